//! What happens in rooms, through the service, over real databases.

mod support;

mod durability;
mod forks;
mod rooms;
