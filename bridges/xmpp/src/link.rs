//! The component link ([XEP-0114](https://xmpp.org/extensions/xep-0114.html)): one connection for everybody.

mod connection;
mod handshake;
mod iq;

pub use self::{
    connection::{Connection, Counters, Endpoint, LinkError, Outlet, Timing},
    handshake::{StreamFault, digest, opening},
    iq::{IqError, Iqs},
};
