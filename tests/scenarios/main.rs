//! Scenarios over real servers and real clients; see the crate's documentation.

mod bad_input;
mod everywhere;
mod fixtures;
mod homeserver;
mod kills;
mod messages;
mod people;
mod restarts;
mod rooms;
