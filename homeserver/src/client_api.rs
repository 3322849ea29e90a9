//! The client-server API, a module for each section of the specification ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/

mod account;
mod account_data;
mod appservice;
mod batch;
mod capabilities;
mod dehydrated;
mod devices;
mod directory;
mod ephemeral;
mod extensions;
mod filters;
mod keys;
mod login_page;
mod login_tokens;
mod media;
mod members;
mod membership;
mod messages;
mod mutual_rooms;
mod openid;
mod peeking;
mod profile;
mod push_rules;
mod pushers;
mod registration_tokens;
mod relations;
mod reply;
mod reports;
mod room_keys;
mod rooms;
mod search;
mod send;
mod session;
mod shown;
mod sliding_sync;
mod spaces;
mod state;
mod support;
mod sync;
mod thirdparty;
mod threepid;
mod to_device;
mod upgrade;
mod user_directory;
mod versions;
mod voip;

use axum::Router;

pub(crate) use self::account::free_name;
pub use self::{
    support::{Contact, Support},
    voip::Turn,
};

use crate::http::ApiState;

/// Every endpoint. Anything else is answered `M_UNRECOGNIZED`.
pub(crate) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    [
        account::routes,
        account_data::routes,
        appservice::routes,
        batch::routes,
        capabilities::routes,
        dehydrated::routes,
        devices::routes,
        directory::routes,
        ephemeral::routes,
        filters::routes,
        keys::routes,
        login_page::routes,
        login_tokens::routes,
        media::routes,
        members::routes,
        membership::routes,
        messages::routes,
        mutual_rooms::routes,
        openid::routes,
        peeking::routes,
        profile::routes,
        push_rules::routes,
        pushers::routes,
        registration_tokens::routes,
        relations::routes,
        reports::routes,
        room_keys::routes,
        rooms::routes,
        search::routes,
        send::routes,
        session::routes,
        sliding_sync::routes,
        spaces::routes,
        state::routes,
        support::routes,
        sync::routes,
        thirdparty::routes,
        threepid::routes,
        to_device::routes,
        upgrade::routes,
        user_directory::routes,
        versions::routes,
        voip::routes,
    ]
    .into_iter()
    .fold(router, |router, routes| routes(router))
}
