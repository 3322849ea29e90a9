//! What application services are told, asked and allowed.

pub(crate) mod batches;
mod control;
mod delivery;
mod encryption;
mod history;
mod identity;
mod interest;
mod ping;
mod queries;
mod registrations;
