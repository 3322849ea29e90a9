//! Sockets, TLS, lines, and the task that drives a session over them.

mod connection;
mod endpoint;
mod tls;

pub use connection::{Connection, Driver, Events, Handle, Pending};
pub use endpoint::{Endpoint, OpenError};
pub use tls::{Roots, TlsClient, TlsError, TlsIdentity, TlsSettings};
