//! A framework for Matrix bridges that loses nothing and doubles nothing.
//!
//! A bridge author implements two traits, [`Network`] and [`Session`]; everything else is here: the application-service API
//! towards the homeserver, a durable inbox and outbox, virtual users, room mappings, media, commands, status and metrics.
//!
//! Data walks one way:
//!
//! ```text
//! Matrix → network   http → dispatch (inbox) → lane of the room → Network::to_remote → outbox → Session::deliver → message map
//! network → Matrix   Session → Host::ingest (inbox) → lane of the room → Network::to_matrix → outbox → matrix → message map
//! ```
//!
//! Modules in reading order: the seam ([`network`]), what crosses it as text ([`rich_text`]), then the rooms of the house.

pub mod bridge;
pub mod chance;
pub mod clock;
pub mod config;
pub mod dispatch;
pub mod http;
pub mod matrix;
pub mod metrics;
pub mod network;
pub mod rich_text;
pub mod run;
pub mod sessions;
pub mod socket;
mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use landbridge_registration as registration;

pub use clock::{Clock, Millis, SystemClock};
pub use network::{Network, Session, host::Host};
