//! Scenarios over real servers and real clients; see the crate's documentation.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here fails the run")]

mod bad_input;
mod batch_kill;
mod bucket;
mod encryption;
mod everywhere;
mod fixtures;
mod foreign_bridges;
mod homeserver;
mod homeserver_kill;
mod js_sdk;
mod kill_bursts;
mod kills;
mod messages;
mod people;
mod restarts;
mod rooms;
mod stores;
mod xmpp;
