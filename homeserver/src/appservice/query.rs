//! What application services are asked: users and aliases that nobody made yet ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/application-service-api/#querying

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ruma::{RoomAliasId, UserId};

use super::registry::{Appservice, Appservices};

/// How long a service may take to answer whether it has a user or a room. Making one may take several requests.
const PATIENCE: Duration = Duration::from_secs(30);

/// What stands in a path as it is.
const NOT_IN_PATHS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One segment of a path, escaped.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, NOT_IN_PATHS).to_string()
}

/// `GET /_matrix/app/v1/users/{userId}`: whether the service knows the user; it registers the user before it says yes.
pub(super) async fn user_exists(appservice: &Appservice, user_id: &UserId) -> bool {
    ask(appservice, &format!("/_matrix/app/v1/users/{}", segment(user_id.as_str()))).await
}

/// `GET /_matrix/app/v1/rooms/{roomAlias}`: asks each service whose namespace has the alias, until one has made the room.
pub async fn alias_exists(appservices: &Appservices, alias: &RoomAliasId) -> bool {
    let path = format!("/_matrix/app/v1/rooms/{}", segment(alias.as_str()));
    for appservice in appservices.all() {
        if appservice.alias(alias).is_interesting() && ask(&appservice, &path).await {
            return true;
        }
    }
    false
}

async fn ask(appservice: &Appservice, path: &str) -> bool {
    match appservice.call(Method::GET, path, Bytes::new(), PATIENCE).await {
        None => false,
        Some(Ok(answer)) => answer.status().is_success(),
        Some(Err(error)) => {
            tracing::warn!(appservice.id = appservice.id(), %error, "an application service did not answer a query");
            false
        }
    }
}
