//! Homeserver → us: the [Application Service API], and what anybody may ask: health, metrics, media links.
//!
//! [Application Service API]: https://spec.matrix.org/v1.19/application-service-api/

mod auth;
mod directory;
mod media;
mod media_links;
mod operations;
mod ping;
mod queries;
mod thirdparty;
mod transactions;

use std::sync::Arc;

use axum::{Router, extract::FromRef};
use landbridge_axum_ruma::finish;
use landbridge_registration::Token;

pub(crate) use self::media_links::PATH as MEDIA_PATH;
pub use self::{
    directory::{Directory, NetworkDirectory},
    media::MediaSource,
    media_links::MediaLinks,
    operations::{Health, Operations},
    transactions::{MAX_EVENTS, Pushed},
};
use crate::{dispatch::Intake, metrics::Metrics};

/// The largest transaction that is read, in bytes. Synapse sends 100 events of at most 64 KiB.
pub const MAX_TRANSACTION: usize = 64 * 1024 * 1024;

/// What the appservice endpoints stand on.
#[derive(Clone)]
pub struct Appservice {
    /// What the homeserver shows to prove itself.
    pub hs_token: Token,
    /// Takes transactions and answers queries.
    pub intake: Arc<dyn Intake>,
    /// Answers third-party lookups.
    pub directory: Arc<dyn Directory>,
    /// Counts transactions.
    pub metrics: Metrics,
}

impl std::fmt::Debug for Appservice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Appservice")
    }
}

impl FromRef<Appservice> for Arc<dyn Intake> {
    fn from_ref(state: &Appservice) -> Self {
        Arc::clone(&state.intake)
    }
}

impl FromRef<Appservice> for Metrics {
    fn from_ref(state: &Appservice) -> Self {
        state.metrics.clone()
    }
}

impl FromRef<Appservice> for Arc<dyn Directory> {
    fn from_ref(state: &Appservice) -> Self {
        Arc::clone(&state.directory)
    }
}

/// The whole HTTP side: the appservice endpoints (behind the `hs_token`), and those that `open` brings.
///
/// An unknown endpoint is answered with 404 `M_UNRECOGNIZED`, a wrong method with 405.
pub fn router(appservice: Appservice, open: Router) -> Router {
    finish(appservice_routes(appservice).merge(open), MAX_TRANSACTION)
}

fn appservice_routes(appservice: Appservice) -> Router {
    let routes = Router::new();
    let routes = transactions::mount(routes);
    let routes = queries::mount(routes);
    let routes = thirdparty::mount(routes);
    let routes = ping::mount(routes);
    routes
        .route_layer(axum::middleware::from_fn_with_state(appservice.hs_token.clone(), auth::require_hs_token))
        .with_state(appservice)
}

/// `/health`, `/metrics` and the media links, for [`router`]'s `open`.
pub fn open_routes(operations: Operations, media: Option<MediaSource>) -> Router {
    let routes = health_route(operations.clone()).merge(metrics_route(operations));
    match media {
        Some(source) => routes.merge(media_routes(source)),
        None => routes,
    }
}

/// `/health`.
pub fn health_route(operations: Operations) -> Router {
    operations::health_route(operations)
}

/// `/metrics`.
pub fn metrics_route(operations: Operations) -> Router {
    operations::metrics_route(operations)
}

/// The links to media.
pub fn media_routes(source: MediaSource) -> Router {
    media::routes(source)
}

#[cfg(test)]
mod tests;
