//! The homeserver's router, driven as clients and application services drive it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

/// For its PostgreSQL.
#[path = "../it/support.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod rooms_support;

mod accounts;
mod admin;
mod appservices;
mod at_once;
mod bad_input;
mod bounds;
mod dehydrated;
mod deletion;
mod devices;
mod dialects;
mod entry;
mod every_route;
mod files;
mod guests;
mod login_tokens;
mod media;
mod notices;
mod people;
mod presence;
mod previews;
mod push;
mod relations;
mod rooms;
mod search;
mod sliding_sync;
mod spaces;
mod standing;
mod sync;
mod visibility;
