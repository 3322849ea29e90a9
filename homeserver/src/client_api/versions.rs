//! What this server speaks, and where it is ([versions], [well-known])
//!
//! [versions]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientversions
//! [well-known]: https://spec.matrix.org/v1.19/client-server-api/#getwell-knownmatrixclient

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use landbridge_axum_ruma::MatrixError;
use serde_json::{Value, json};

use super::extensions;
use crate::http::{ApiConfig, ApiState, error::ApiResult};

/// All versions, for each adds to the one before: clients look for the one they know.
const VERSIONS: [&str; 27] = [
    "r0.0.1", "r0.1.0", "r0.2.0", "r0.3.0", "r0.4.0", "r0.5.0", "r0.6.0", "r0.6.1", "v1.1", "v1.2", "v1.3", "v1.4",
    "v1.5", "v1.6", "v1.7", "v1.8", "v1.9", "v1.10", "v1.11", "v1.12", "v1.13", "v1.14", "v1.15", "v1.16", "v1.17",
    "v1.18", "v1.19",
];

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    router
        .route("/_matrix/client/versions", get(versions))
        .route("/.well-known/matrix/client", get(well_known))
        .route("/_matrix/client/v1/auth_metadata", get(no_oauth))
}

/// `GET /_matrix/client/versions`
async fn versions(State(config): State<Arc<ApiConfig>>) -> Json<Value> {
    let mut features = json!({
        "fi.mau.msc2659.stable": true,
        "org.matrix.msc3916.stable": true,
        "org.matrix.msc3202": true,
        "org.matrix.msc3814": true,
        "org.matrix.simplified_msc3575": true,
        "uk.tcpip.msc4133.stable": true,
        "uk.half-shot.msc2666.query_mutual_rooms.stable": true,
    });
    if config.bridge_extensions {
        for feature in extensions::FEATURES {
            features[feature] = true.into();
        }
    }
    Json(json!({
        "versions": VERSIONS,
        "unstable_features": features,
        "server": { "name": "Landbridge", "version": env!("CARGO_PKG_VERSION") },
    }))
}

/// `GET /.well-known/matrix/client`
async fn well_known(State(config): State<Arc<ApiConfig>>) -> ApiResult<Json<Value>> {
    let url = config.public_url.as_deref().ok_or_else(|| MatrixError::not_found("Not configured"))?;
    Ok(Json(json!({ "m.homeserver": { "base_url": url } })))
}

/// `GET /_matrix/client/v1/auth_metadata`: this server has no OAuth
/// ([spec](https://spec.matrix.org/v1.19/client-server-api/#server-metadata-discovery)).
async fn no_oauth() -> MatrixError {
    MatrixError::unknown_endpoint()
}
