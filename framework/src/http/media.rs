//! `GET /_landbridge/media/v1/{signature}/{server}/{media_id}/{filename}`: Matrix media for those who have only a link.

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use landbridge_axum_ruma::{ContentHeaders, MatrixError, is_shown_inline, safe_headers};

use super::{MediaLinks, media_links::PATH};
use crate::{
    bridge::Revoked,
    matrix::{Client, ClientError, Download},
};

/// Where linked files come from.
#[derive(Clone, Debug)]
pub struct MediaSource {
    /// Which links are ours.
    pub links: MediaLinks,
    /// Fetches from the homeserver, with our token.
    pub client: Client,
    /// The largest file that is handed out, in bytes.
    pub max: u64,
    /// Which links were taken back.
    pub revoked: Option<Revoked>,
}

pub(super) fn routes(source: MediaSource) -> Router {
    Router::new()
        .route(&format!("{PATH}/{{signature}}/{{server}}/{{media_id}}/{{name}}"), get(media))
        .with_state(source)
}

/// Streams a file from the homeserver.
#[tracing::instrument(name = "http.media.get", skip_all)]
async fn media(
    State(source): State<MediaSource>,
    Path((signature, server, media_id, name)): Path<(String, String, String, String)>,
) -> Result<Response, MatrixError> {
    let mxc =
        source.links.verify(&signature, &server, &media_id).ok_or_else(|| MatrixError::not_found("No such file"))?;
    if let Some(revoked) = &source.revoked {
        match revoked.contains(&mxc).await {
            Ok(false) => {}
            Ok(true) => return Err(MatrixError::not_found("No such file")),
            Err(error) => {
                tracing::warn!(%error, "whether a link was taken back is not known");
                return Err(unavailable(StatusCode::SERVICE_UNAVAILABLE));
            }
        }
    }
    let file = source.client.download(&mxc, source.max).await.map_err(|error| refused(&error))?;
    let headers = headers(&file, &name);
    Ok((headers, Body::from_stream(file.body)).into_response())
}

fn refused(error: &ClientError) -> MatrixError {
    match error {
        ClientError::NotFound(_) | ClientError::Forbidden(_) => MatrixError::not_found("No such file"),
        ClientError::TooLarge(_) => MatrixError::too_large(),
        _ => {
            tracing::warn!(%error, "a linked file could not be fetched");
            unavailable(StatusCode::BAD_GATEWAY)
        }
    }
}

fn unavailable(status: StatusCode) -> MatrixError {
    MatrixError::with_errcode(status, "M_UNKNOWN", "The file cannot be fetched right now")
}

/// Headers with which a file from anybody can do no harm on our domain. What is not shown tells its type to nobody; caches ask again
/// soon, because a link can be taken back.
fn headers(file: &Download, name: &str) -> HeaderMap {
    let content = ContentHeaders { content_type: file.mime.as_deref(), filename: Some(name), size: file.size };
    let mut headers = safe_headers(content);
    if !is_shown_inline(file.mime.as_deref().unwrap_or_default()) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=600"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers
}
