//! Sockets, TLS, lines, and the task that drives a session over them.

mod codec;
mod connection;
mod driver;
mod endpoint;
mod prompt;
#[cfg(test)]
mod tests;
mod tls;

pub use connection::{Connection, Events, Handle, Pending};
pub use driver::Driver;
pub use endpoint::{Endpoint, OpenError};
pub use tls::{Roots, TlsClient, TlsError, TlsIdentity, TlsSettings};
