//! Us → homeserver: the transport, the client with [identity assertion], media, and waiting between attempts.
//!
//! [identity assertion]: https://spec.matrix.org/v1.19/application-service-api/#identity-assertion

mod as_homeserver;
pub mod assertion;
pub mod backoff;
pub mod client;
pub mod error;
mod files;
pub mod media;
mod profiles;
mod rooms;
mod timeline;
pub mod transport;

pub use self::{
    as_homeserver::ClientHomeserver,
    assertion::Assertion,
    backoff::Backoff,
    client::{Client, Registered, RetryPolicy},
    error::ClientError,
    files::WebFiles,
    media::Download,
    rooms::{Act, Member, NewRoom},
    timeline::NewEvent,
    transport::{HttpTransport, InProcess, Transport, TransportError},
};

#[cfg(test)]
mod tests;
