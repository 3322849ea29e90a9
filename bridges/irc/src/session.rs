//! One client session as a state machine that does no I/O: lines, commands and the time go in; lines, events and
//! outcomes come out.

mod caps;
mod command;
mod event;
mod limits;
mod settings;

pub use caps::{Cap, CapSet};
pub use command::{Command, Evidence, NotSent, Outcome, Outgoing, Receipt, RejectedBecause, Rejection, SendKind};
pub use event::{Event, EventKind, Incoming, Member, MessageKind, Meta, Online, Recipient};
pub use limits::Limits;
pub use settings::{Flood, Identity, Policy, Role, Sasl, SaslMethod, Secret, Timing};

use crate::numerics::EndClass;

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// What to do next.
    pub class: EndClass,
    /// Why, in the server's words or ours.
    pub why: String,
    /// Whether the session had been registered: a bridge resets its back-off after one that was.
    pub was_online: bool,
}
