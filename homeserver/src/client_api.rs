//! The client-server API, a module for each section of the specification ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/

mod account;
mod account_data;
mod appservice;
mod capabilities;
mod devices;
mod directory;
mod ephemeral;
mod filters;
mod keys;
mod media;
mod members;
mod membership;
mod messages;
mod openid;
mod profile;
mod push_rules;
mod registration_tokens;
mod reply;
mod room_keys;
mod rooms;
mod send;
mod session;
mod state;
mod sync;
mod thirdparty;
mod threepid;
mod to_device;
mod user_directory;
mod versions;
mod voip;

use axum::Router;

pub(crate) use self::account::free_name;
pub use self::voip::Turn;

use crate::http::ApiState;

/// Every endpoint. Anything else is answered `M_UNRECOGNIZED`.
pub(crate) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    [
        versions::routes,
        capabilities::routes,
        account::routes,
        session::routes,
        devices::routes,
        account_data::routes,
        filters::routes,
        profile::routes,
        push_rules::routes,
        rooms::routes,
        membership::routes,
        members::routes,
        send::routes,
        state::routes,
        messages::routes,
        directory::routes,
        ephemeral::routes,
        keys::routes,
        to_device::routes,
        media::routes,
        sync::routes,
        user_directory::routes,
        voip::routes,
        openid::routes,
        registration_tokens::routes,
        room_keys::routes,
        thirdparty::routes,
        threepid::routes,
        appservice::routes,
    ]
    .into_iter()
    .fold(router, |router, routes| routes(router))
}
