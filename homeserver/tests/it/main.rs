//! What happens in rooms, through the service, over real databases.

mod support;

mod forks;
mod rooms;
