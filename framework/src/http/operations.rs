//! `GET /health` and `GET /metrics`: for those who run the bridge.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
use serde::Serialize;

use crate::{dispatch::Intake, metrics::Metrics};

/// What the bridge says of itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Health {
    /// Whether it does its work: the database takes writes and the relay session is connected.
    pub healthy: bool,
    /// The sessions by state.
    pub sessions: std::collections::BTreeMap<String, usize>,
    /// Things heard and not yet converted.
    pub inbox: u64,
    /// Things decided and not yet delivered.
    pub outbox: u64,
    /// The age in seconds of the oldest of them.
    pub oldest_seconds: f64,
}

/// What `/health` and `/metrics` stand on.
#[derive(Clone)]
pub struct Operations {
    /// Counts.
    pub metrics: Metrics,
    /// How much waits.
    pub intake: Arc<dyn Intake>,
    /// The sessions by state, and whether the relay is connected.
    pub sessions: Arc<dyn Fn() -> (std::collections::BTreeMap<String, usize>, bool) + Send + Sync>,
}

impl std::fmt::Debug for Operations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Operations")
    }
}

impl Operations {
    /// How the bridge is right now.
    pub fn health(&self) -> Health {
        let backlog = self.intake.backlog();
        let (sessions, healthy) = (self.sessions)();
        Health {
            healthy,
            sessions,
            inbox: backlog.inbox,
            outbox: backlog.outbox,
            oldest_seconds: backlog.oldest.as_secs_f64(),
        }
    }
}

pub(super) fn health_route(operations: Operations) -> Router {
    Router::new().route("/health", get(health)).with_state(operations)
}

pub(super) fn metrics_route(operations: Operations) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(operations)
}

async fn health(State(operations): State<Operations>) -> Response {
    let health = operations.health();
    let status = if health.healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health)).into_response()
}

async fn metrics(State(operations): State<Operations>) -> Response {
    let (sessions, _) = (operations.sessions)();
    operations.metrics.observe(&operations.intake.backlog(), &sessions);
    let headers = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    (headers, operations.metrics.render()).into_response()
}
