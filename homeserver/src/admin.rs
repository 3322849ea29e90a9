//! The API for operators, `/_landbridge/admin/v1/…`: users, rooms, notices, registration tokens, application services, files,
//! what waits to be sent, and how the server stands to others.
//!
//! Who asks shows the operator token, which lies in the data directory, or the access token of a user with a [`Role`]. What
//! is changed is logged, with who changed it.

mod access;
mod files;
mod moderation;
mod notices;
mod page;
mod queues;
mod reports;
mod rooms;
mod services;
mod tokens;
mod users;

use axum::Router;

pub(crate) use self::access::Operator;
pub use self::access::{OPERATOR_TOKEN_FILE, OperatorError, Role};
use crate::http::ApiState;

/// Every endpoint for operators.
pub(crate) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    [
        users::routes,
        moderation::routes,
        rooms::routes,
        reports::routes,
        notices::routes,
        tokens::routes,
        services::routes,
        queues::routes,
        files::routes,
    ]
    .into_iter()
    .fold(router, |router, routes| routes(router))
}

/// The path of an endpoint.
fn path(rest: &str) -> String {
    format!("/_landbridge/admin/v1/{rest}")
}
