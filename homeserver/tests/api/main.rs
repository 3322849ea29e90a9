//! The homeserver's router, driven as clients and application services drive it.

mod support;

mod accounts;
mod appservices;
mod bad_input;
mod devices;
mod media;
mod people;
mod rooms;
mod sync;
