//! `GET /_matrix/app/v1/thirdparty/…` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/application-service-api/#third-party-networks

use std::sync::Arc;

use axum::{Router, extract::State};
use landbridge_axum_ruma::{MatrixError, Ruma, RumaReply, mount as put_on, mount_at};
use ruma::api::appservice::thirdparty::{
    get_location_for_protocol::v1 as locations, get_location_for_room_alias::v1 as location_of,
    get_protocol::v1 as protocol, get_user_for_protocol::v1 as users, get_user_for_user_id::v1 as user_of,
};

use super::{Appservice, Directory};

type Known = State<Arc<dyn Directory>>;

pub(super) fn mount(routes: Router<Appservice>) -> Router<Appservice> {
    let routes = put_on::<protocol::Request, _, _, _>(routes, get_protocol);
    let routes = put_on::<locations::Request, _, _, _>(routes, get_locations);
    let routes = put_on::<location_of::Request, _, _, _>(routes, get_location_of);
    let routes = put_on::<users::Request, _, _, _>(routes, get_users);
    let routes = put_on::<user_of::Request, _, _, _>(routes, get_user_of);
    // The paths from before v1.4's prefix, in which `unstable` stood for the version.
    let routes = mount_at::<protocol::Request, _, _, _>(
        routes,
        &["/_matrix/app/unstable/thirdparty/protocol/{protocol}"],
        get_protocol,
    );
    let routes = mount_at::<locations::Request, _, _, _>(
        routes,
        &["/_matrix/app/unstable/thirdparty/location/{protocol}"],
        get_locations,
    );
    let routes = mount_at::<location_of::Request, _, _, _>(
        routes,
        &["/_matrix/app/unstable/thirdparty/location"],
        get_location_of,
    );
    let routes =
        mount_at::<users::Request, _, _, _>(routes, &["/_matrix/app/unstable/thirdparty/user/{protocol}"], get_users);
    mount_at::<user_of::Request, _, _, _>(routes, &["/_matrix/app/unstable/thirdparty/user"], get_user_of)
}

async fn get_protocol(
    State(directory): Known,
    Ruma { body, .. }: Ruma<protocol::Request>,
) -> Result<RumaReply<protocol::Response>, MatrixError> {
    let found = directory.protocol(&body.protocol).ok_or_else(|| MatrixError::not_found("No such protocol"))?;
    Ok(RumaReply(protocol::Response::new(found)))
}

async fn get_locations(
    State(directory): Known,
    Ruma { body, .. }: Ruma<locations::Request>,
) -> RumaReply<locations::Response> {
    RumaReply(locations::Response::new(directory.locations(&body.protocol, &body.fields)))
}

async fn get_location_of(
    State(directory): Known,
    Ruma { body, .. }: Ruma<location_of::Request>,
) -> RumaReply<location_of::Response> {
    RumaReply(location_of::Response::new(directory.location_of(&body.alias).into_iter().collect()))
}

async fn get_users(State(directory): Known, Ruma { body, .. }: Ruma<users::Request>) -> RumaReply<users::Response> {
    RumaReply(users::Response::new(directory.users(&body.protocol, &body.fields)))
}

async fn get_user_of(
    State(directory): Known,
    Ruma { body, .. }: Ruma<user_of::Request>,
) -> RumaReply<user_of::Response> {
    RumaReply(user_of::Response::new(directory.user_of(&body.userid).into_iter().collect()))
}
