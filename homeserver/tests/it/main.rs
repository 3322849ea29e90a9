//! What happens in rooms, through the service, over real databases.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says where")]

mod support;

mod durability;
mod forks;
mod indices;
mod reading;
mod rooms;
