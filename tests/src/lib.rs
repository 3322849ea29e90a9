//! End-to-end scenarios: real IRC servers, real Matrix clients, the real binary.
//!
//! Fixtures start a server in a fresh folder on free ports, wait until it really answers, end it by process id, and
//! print the end of its log when the test fails. People are [`IrcUser`] (the `irc` crate) and [`MatrixUser`]
//! (matrix-nio); a scenario reads as what they say and see. Expectations wait for the thing itself, for a generous
//! bound, and fail with everything that was seen instead.
//!
//! Fixtures fail the test that uses them, so they panic; nothing outside tests depends on this crate.
#![expect(clippy::expect_used, clippy::panic, reason = "a fixture that fails fails its test")]

mod deployment;
mod driver;
mod files;
mod foreign_bridge;
mod homeserver;
mod http;
mod irc_user;
mod landbridge;
mod lone_bridge;
mod matrix_user;
mod node;
mod ports;
mod process;
mod servers;
mod transcript;
mod xmpp_deployment;
mod xmpp_user;

pub use deployment::{Deployment, Irc, On, Over, With};
pub use files::Workdir;
pub use foreign_bridge::{ForeignBridge, Library};
pub use homeserver::Homeserver;
pub use http::http;
pub use irc_user::{IrcUser, Line, Sasl};
pub use landbridge::Landbridge;
pub use lone_bridge::{LoneBridge, transaction};
pub use matrix_user::{MatrixUser, Room, RoomEvent};
pub use node::NodeScript;
pub use ports::Port;
pub use process::Process;
pub use servers::{
    Atheme, Certificates, Ejabberd, HostileIrcd, Inspircd, Ircd, Ngircd, Postgres, Prosody, Synapse, Xmppd,
};
pub use transcript::{PATIENCE, Transcript, eventually};
pub use xmpp_deployment::XmppDeployment;
pub use xmpp_user::{Stanza, XmppUser};
