//! What crosses, in both directions. Pure: no I/O, no clock, no randomness.

pub mod ids;
pub mod incoming;
pub mod outgoing;
pub mod styling;
pub mod to_matrix;
pub mod to_xmpp;
pub mod xhtml;
