//! Turns axum requests into [`ruma`] requests, and ruma responses into axum responses.
//!
//! Both sides of the Application Service API are HTTP servers: the homeserver and the bridge. What they share is here,
//! and nothing else is:
//!
//! * [`Ruma`] reads a request: body within a bound, authentication *before* any JSON is parsed, then ruma's own parser.
//! * [`RumaReply`] writes a response, [`MatrixError`] writes a standard error.
//! * [`mount`] puts a handler on every path that ruma knows for an endpoint.
//! * [`finish`] adds the answers for unknown endpoints, and [`cors`] what browsers need.
//! * [`Turn`] keeps requests in order within one process.
//! * [`safe_headers`] keeps a file that somebody uploaded from doing anything in a browser.
//!
//! ```
//! use axum::Router;
//! use landbridge_axum_ruma::{MatrixError, Ruma, RumaReply, finish, mount, same_token};
//! use ruma::api::appservice::ping::send_ping::v1 as ping;
//!
//! async fn pinged(Ruma { auth, .. }: Ruma<ping::Request>) -> Result<RumaReply<ping::Response>, MatrixError> {
//!     if !same_token(&auth, "the hs_token") {
//!         return Err(MatrixError::forbidden("Wrong hs_token"));
//!     }
//!     Ok(RumaReply(ping::Response::new()))
//! }
//!
//! let router: Router = finish(mount::<ping::Request, _, _, _>(Router::new(), pinged), 64 * 1024);
//! # let _ = router;
//! ```

mod assertion;
mod auth;
mod cors;
mod download;
mod error;
mod json;
mod reply;
mod request;
mod route;
mod turn;

pub use self::{
    assertion::IdentityAssertion,
    auth::{bearer_token, same_token},
    cors::{allow_all_origins, cors},
    download::{ContentHeaders, is_shown_inline, safe_headers},
    error::MatrixError,
    json::{JsonBody, parse_json},
    reply::RumaReply,
    request::{RawRequest, Ruma},
    route::{finish, mount, mount_at, unknown_endpoint, unknown_method},
    turn::{OutOfTurn, Turn, Turns},
};
