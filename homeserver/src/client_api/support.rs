//! Whom to ask about this server ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#getwell-knownmatrixsupport

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use landbridge_axum_ruma::MatrixError;
use ruma::OwnedUserId;
use serde::Serialize;

use crate::http::{ApiConfig, ApiState, error::ApiResult};

/// Where help is found: a page, contacts, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Support {
    /// Who can be asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<Contact>,
    /// A page for those who use this server.
    #[serde(rename = "support_page", skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
}

/// Somebody who can be asked, in Matrix, by e-mail, or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contact {
    /// For what: `m.role.admin`, `m.role.security`, or a namespaced role.
    pub role: String,
    /// In Matrix, maybe on another server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matrix_id: Option<OwnedUserId>,
    /// By e-mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_address: Option<String>,
}

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    router.route("/.well-known/matrix/support", get(support))
}

/// `GET /.well-known/matrix/support`
async fn support(State(config): State<Arc<ApiConfig>>) -> ApiResult<Json<Support>> {
    let support = config.support.clone().ok_or_else(|| MatrixError::not_found("Not configured"))?;
    Ok(Json(support))
}
