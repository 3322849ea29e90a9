//! What application services are told, asked and allowed.

mod control;
mod delivery;
mod encryption;
mod identity;
mod interest;
mod ping;
mod queries;
mod registrations;
