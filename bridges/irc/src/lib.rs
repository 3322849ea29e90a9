//! IRC as a Landbridge network.
//!
//! Data walks from `wire` (bytes, sockets, TLS) through `session` (state machines that do no I/O) to the
//! network itself. The modules in between are pure.

pub mod message;

pub mod casemapping;
pub mod isupport;
pub mod modes;
pub mod numerics;

pub mod session;
pub mod wire;

pub mod config;
pub mod convert;
pub mod network;

pub use config::IrcConfig;
pub use network::{IrcNetwork, IrcSession};
