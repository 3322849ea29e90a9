//! Application services, seen from the homeserver ([spec])
//!
//! Who they are ([`Appservices`]), what interests them ([`interest`]), how events reach them exactly once and in order
//! ([`queue`]), and what they are asked ([`query`], [`ping`]).
//!
//! *Invariant:* the log is the queue. Each service has a durable cursor over it; a transaction is frozen before it is sent
//! and thawed in the commit that moves the cursor. A restart loses nothing, and repeats the same bytes under the same id.
//!
//! [spec]: https://spec.matrix.org/v1.19/application-service-api/

mod backoff;
mod batch;
mod deliveries;
mod folder;
mod interest;
mod legacy;
mod names;
pub mod ping;
pub mod query;
mod queue;
mod registrations;
mod registry;
pub(crate) mod service_keys;
pub mod thirdparty;
mod transaction;
mod transport;

pub use self::{
    backoff::Backoff,
    deliveries::Deliveries,
    registry::{AddError, Appservice, Appservices, DeliveryStatus},
    transport::{AppserviceTransport, HttpTransport, InProcess, TransportError},
};
pub(crate) use self::{
    folder::Folder,
    names::Names,
    registrations::{Registrations, RegistrationsError},
};
