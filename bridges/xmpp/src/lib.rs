//! XMPP as a Landbridge network: a component ([XEP-0114](https://xmpp.org/extensions/xep-0114.html)) of any XMPP server.
//!
//! Data walks from `link` (bytes, sockets) and `stanza` (bounded XML) through `muc` (a state machine that does no I/O) and
//! `convert` (pure) to the network itself.

pub mod jid;
pub mod stanza;

pub mod link;
pub mod muc;

pub mod config;
pub mod convert;
pub mod examine;
pub mod network;

pub use config::XmppConfig;
pub use network::{XmppNetwork, XmppSession};
