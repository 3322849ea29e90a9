//! Push: which events a user is told of, how many are unread, and where notifications are sent to ([spec])
//!
//! Nothing is stored per event and user. A [`Judge`] says by the push rules what an event means to a user; [`Unread`] counts along
//! the log, as far as somebody asks; each pusher of [`Pushers`] follows the log from a durable place of its own.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#push-notifications

mod failing;
mod gateway;
mod judge;
mod notification;
mod pushers;
mod unread;

pub use self::{
    failing::Failing,
    gateway::{GatewayError, HttpGateway, PushGateway},
    judge::{Judge, Verdict},
    pushers::{FailingPusher, MAX_PUSHERS, NewPusher, Pushers},
    unread::{Counts, Unread},
};
