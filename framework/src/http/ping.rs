//! `POST /_matrix/app/v1/ping` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/application-service-api/#post_matrixappv1ping

use axum::Router;
use landbridge_axum_ruma::{Ruma, RumaReply};
use ruma::api::appservice::ping::send_ping::v1::{Request, Response};

use super::Appservice;

pub(super) fn mount(routes: Router<Appservice>) -> Router<Appservice> {
    landbridge_axum_ruma::mount::<Request, _, _, _>(routes, pinged)
}

/// The homeserver can reach us and has the right token: that is all it wants to know.
async fn pinged(_: Ruma<Request>) -> RumaReply<Response> {
    RumaReply(Response::new())
}
