//! From what was heard to what is said: inbox → lanes → outbox.
//!
//! Everything heard is durable before it is acknowledged ([`intake`], [`ingest`](crate::network::host::Host::ingest)), and everything
//! said is durable before it is said. Between the two stands one lane per room, in which conversions happen in the order of
//! hearing; what they decide is delivered in that order by two streams, one towards the network and one towards Matrix, so
//! that a network that is down does not hide what Matrix can still be told.

pub mod intake;
pub mod kill;

pub use intake::{AcceptError, Intake, Transaction};
pub use kill::{KILL_POINTS, kill_point};
