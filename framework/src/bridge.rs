//! What a bridge does with rooms and people, on top of the dispatcher.

pub mod dead_letters;
pub mod homeserver;
pub mod names;
pub mod speakers;

pub use dead_letters::DeadLetter;
pub use homeserver::{Homeserver, HomeserverError};
pub use names::Names;
pub use speakers::Speakers;
