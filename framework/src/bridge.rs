//! What a bridge does with rooms and people, on top of the dispatcher.

pub(crate) mod commands;
pub(crate) mod content;
pub mod dead_letters;
mod direct;
mod entering;
pub(crate) mod ephemeral;
mod existence;
mod gate;
mod greeting;
pub mod homeserver;
pub(crate) mod latest;
pub mod mappings;
pub(crate) mod members;
pub mod names;
pub(crate) mod parts;
pub mod permissions;
pub(crate) mod pictures;
mod plumbing;
pub(crate) mod polls;
pub(crate) mod power;
mod retention;
pub mod revoked;
pub(crate) mod room_names;
pub mod rooms;
mod running;
pub mod setup;
mod shelf;
pub mod speakers;
mod stripes;
mod tasks;
mod upgrades;
pub(crate) mod virtual_users;

pub use self::{
    dead_letters::{DeadLetter, DeadLetters},
    homeserver::{Homeserver, HomeserverError},
    mappings::{MappingKind, RoomMapping},
    names::Names,
    permissions::{Permissions, Role},
    revoked::Revoked,
    rooms::RoomError,
    running::Bridge,
    setup::{Plumb, Retention, Setup, StartError},
    speakers::Speakers,
};
