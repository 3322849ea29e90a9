//! Scenarios over real servers and real clients; see the crate's documentation.

mod fixtures;
