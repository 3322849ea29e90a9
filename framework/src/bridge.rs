//! What a bridge does with rooms and people, on top of the dispatcher.

pub(crate) mod commands;
pub(crate) mod content;
pub mod dead_letters;
pub mod homeserver;
<<<<<<< HEAD
pub mod names;
=======
pub mod mappings;
pub(crate) mod members;
mod names;
pub(crate) mod room_names;
pub mod rooms;
>>>>>>> e3d4198 (wip)
pub mod speakers;
mod stripes;
pub(crate) mod typing;
pub(crate) mod virtual_users;

<<<<<<< HEAD
pub use dead_letters::DeadLetter;
pub use homeserver::{Homeserver, HomeserverError};
pub use names::Names;
pub use speakers::Speakers;
=======
pub use self::{
    dead_letters::DeadLetter,
    homeserver::{Homeserver, HomeserverError},
    mappings::{MappingKind, RoomMapping},
    names::Names,
    rooms::RoomError,
    speakers::Speakers,
};
>>>>>>> e3d4198 (wip)
