//! For operators: `/health` and `/metrics`.

use std::{fmt::Write as _, sync::atomic::Ordering};

use axum::{Json, Router, extract::State, response::IntoResponse, routing::get};
use http::header;
use serde_json::{Value, json};

use super::state::ApiState;
use crate::{
    appservice::{Appservice, Appservices},
    devices::ToDevice,
    stream::Stream,
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    router.route("/health", get(health)).route("/metrics", get(metrics))
}

/// 200 while the process answers.
async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// The Prometheus text format.
async fn metrics(
    State(stream): State<Stream>,
    State(appservices): State<Appservices>,
    State(to_device): State<ToDevice>,
) -> impl IntoResponse {
    let head = stream.position().0;
    let all = appservices.all();
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, value: &dyn Fn(&Appservice) -> i64| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for appservice in &all {
            let id = appservice.id().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = writeln!(text, "{name}{{appservice=\"{id}\"}} {}", value(appservice));
        }
    };
    let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    family(
        "landbridge_homeserver_appservice_lag",
        "gauge",
        "Places of the log that the application service has not been told of.",
        &|appservice| {
            if !appservice.is_reachable() {
                return 0;
            }
            head - appservice.status().acknowledged.load(Ordering::Relaxed).min(head)
        },
    );
    family(
        "landbridge_homeserver_appservice_failures",
        "gauge",
        "Failed deliveries in a row; 0 while all is well.",
        &|appservice| count(appservice.status().failures.load(Ordering::Relaxed)),
    );
    family(
        "landbridge_homeserver_appservice_transactions_total",
        "counter",
        "Transactions acknowledged.",
        &|appservice| count(appservice.status().transactions.load(Ordering::Relaxed)),
    );
    family("landbridge_homeserver_appservice_events_total", "counter", "Events acknowledged.", &|appservice| {
        count(appservice.status().events.load(Ordering::Relaxed))
    });
    family(
        "landbridge_homeserver_appservice_refused_total",
        "counter",
        "Transactions set aside because they are too large for the application service.",
        &|appservice| count(appservice.status().refused.load(Ordering::Relaxed)),
    );
    let _ = writeln!(
        text,
        "# HELP landbridge_homeserver_log_position The end of the log.\n# TYPE landbridge_homeserver_log_position gauge\n\
         landbridge_homeserver_log_position {head}"
    );
    let _ = writeln!(
        text,
        "# HELP landbridge_homeserver_to_device_dropped_total Messages dropped because too many waited for their devices.\n\
         # TYPE landbridge_homeserver_to_device_dropped_total counter\n\
         landbridge_homeserver_to_device_dropped_total {}",
        to_device.dropped()
    );
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}
