//! Between Matrix and IRC, purely: no I/O, no clock, no randomness.

pub mod formatting;
pub mod ids;
pub mod mentions;
pub mod nick;
pub mod outgoing;
mod palette;
pub mod to_irc;
pub mod to_matrix;
