//! Application-service registrations ([spec]): the YAML file by which a homeserver and a bridge know each other.
//!
//! Pure: no network and no clock; the only I/O is in [`read`] and [`write()`].
//!
//! * [`Registration`] is the file: every field of the spec, the extensions in use, and whatever else it holds.
//! * [`Registration::from_yaml`] reports *all* [`Fault`]s of a file at once, each with its place and what to do.
//! * [`NamespaceMatcher`] decides which users, aliases and rooms a registration is about.
//! * [`RegistrationSet`] is what a homeserver holds: no two with the same id or token, and who claims what.
//! * [`Builder`] makes new ones.
//!
//! ```
//! use landbridge_registration::{Builder, Namespace, NamespaceMatcher};
//! use ruma::{server_name, user_id};
//!
//! let registration = Builder::new("irc", "ircbot")
//!     .url("http://127.0.0.1:9000")
//!     .user_namespace(Namespace::users_with_prefix("irc_", server_name!("example.org")))
//!     .build()?;
//! let matcher = NamespaceMatcher::new(&registration, server_name!("example.org"))?;
//! assert!(matcher.user(user_id!("@irc_alice:example.org")).is_exclusive());
//! assert!(!matcher.user(user_id!("@alice:example.org")).is_interesting());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [spec]: https://spec.matrix.org/v1.19/application-service-api/#registration

mod advice;
mod builder;
mod check;
mod fault;
mod file;
mod matcher;
mod namespace;
mod overlap;
mod pattern;
mod registration;
mod ruma_type;
mod set;
mod token;
mod url;
mod yaml;

pub use self::{
    builder::{BuildError, Builder},
    fault::{Fault, Faults, Position},
    file::{MAX_FILE_BYTES, Overwrite, ReadError, read, write},
    matcher::{Match, NamespaceMatcher},
    namespace::{Namespace, NamespaceKind, Namespaces},
    overlap::{Overlap, Overlapping, Side, overlaps},
    registration::Registration,
    set::{Member, RegistrationSet},
    token::{Token, TokenError},
    url::{ServiceUrl, ServiceUrlError},
};
