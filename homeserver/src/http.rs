//! The wire: who asks ([`auth`]), what they are told when it goes wrong ([`error`]), what the handlers stand on ([`state`]).

pub(crate) mod auth;
pub(crate) mod error;
pub(crate) mod guard;
pub(crate) mod guests;
pub(crate) mod limits;
mod names;
mod ops;
pub(crate) mod path;
pub(crate) mod peer;
pub(crate) mod standing;
pub(crate) mod state;
pub(crate) mod uia;

use axum::Router;
use landbridge_axum_ruma::finish;

pub use self::{
    limits::{Rate, RateLimits},
    state::{ApiConfig, ApiState, Registering},
    uia::Terms,
};
use crate::{admin, client_api};

/// The largest request body but for media, in bytes.
pub const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;

/// The whole homeserver as a router: the client-server API, `/health` and `/metrics`.
pub fn router(state: ApiState) -> Router {
    let router = finish(ops::routes(admin::routes(client_api::routes(Router::new()))), MAX_BODY_BYTES);
    let plain = router.clone().with_state(state.clone());
    guard::guard(names::named(router, &state, plain)).with_state(state)
}
