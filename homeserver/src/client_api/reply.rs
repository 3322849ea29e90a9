//! Short answers.

use axum::Json;
use serde_json::{Value, json};

/// `{}`.
pub(super) fn empty() -> Json<Value> {
    Json(json!({}))
}
