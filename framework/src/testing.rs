//! A kit for testing bridges: a simulated homeserver, a scripted network, a clock that tests turn by hand, and faults.
//!
//! Nothing here opens a socket unless asked to, and nothing waits for a time: a test waits for what it expects, and fails with what it
//! saw instead.

mod clock;
mod homeserver;
mod network;
mod recorder;
mod registration;
mod wait;

pub use self::{
    clock::TestClock,
    homeserver::{Fault, PushFault, SimHomeserver, SimRoom, SimUser},
    network::{Heard, Said, Script, ScriptedConfig, ScriptedNetwork, ScriptedSession},
    recorder::Recorder,
    registration::{names, registration},
    wait::{PATIENCE, until},
};
