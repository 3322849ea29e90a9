//! `GET /_landbridge/media/v1/{signature}/{server}/{media_id}/{filename}`: Matrix media for those who have only a link.

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use landbridge_axum_ruma::MatrixError;

use super::{MediaLinks, media_links::PATH};
use crate::matrix::{Client, ClientError, Download};

/// Where linked files come from.
#[derive(Clone, Debug)]
pub struct MediaSource {
    /// Which links are ours.
    pub links: MediaLinks,
    /// Fetches from the homeserver, with our token.
    pub client: Client,
    /// The largest file that is handed out, in bytes.
    pub max: u64,
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
    let file = source.client.download(&mxc, source.max).await.map_err(|error| refused(&error))?;
    let headers = safe_headers(&file, &name);
    Ok((headers, Body::from_stream(file.body)).into_response())
}

fn refused(error: &ClientError) -> MatrixError {
    match error {
        ClientError::NotFound(_) | ClientError::Forbidden(_) => MatrixError::not_found("No such file"),
        ClientError::TooLarge(_) => MatrixError::too_large(),
        _ => {
            tracing::warn!(%error, "a linked file could not be fetched");
            MatrixError::with_errcode(
                http::StatusCode::BAD_GATEWAY,
                "M_UNKNOWN",
                "The file cannot be fetched right now",
            )
        }
    }
}

/// Types that a browser shows and that can run nothing ([spec]); everything else is only saved.
///
/// [spec]: https://spec.matrix.org/v1.19/client-server-api/#serving-inline-content
const INLINE: [&str; 22] = [
    "text/css",
    "text/plain",
    "text/csv",
    "application/json",
    "application/ld+json",
    "image/jpeg",
    "image/gif",
    "image/png",
    "image/apng",
    "image/webp",
    "image/avif",
    "video/mp4",
    "video/webm",
    "video/ogg",
    "video/quicktime",
    "audio/mp4",
    "audio/webm",
    "audio/aac",
    "audio/mpeg",
    "audio/ogg",
    "audio/wave",
    "audio/flac",
];

/// Headers with which a file from anybody can do no harm on our domain.
fn safe_headers(file: &Download, name: &str) -> HeaderMap {
    const FIXED: [(HeaderName, &str); 6] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; style-src 'unsafe-inline'; object-src 'self';",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CACHE_CONTROL, "public, max-age=86400, immutable"),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ];
    let mut headers: HeaderMap =
        FIXED.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect();
    let mime = file.mime.as_deref().unwrap_or("application/octet-stream");
    let essence = mime.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let inline = INLINE.contains(&essence.as_str());
    let shown = if inline { mime } else { "application/octet-stream" };
    let shown = HeaderValue::from_str(shown).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_TYPE, shown);
    let disposition = disposition(inline, name);
    headers.insert(header::CONTENT_DISPOSITION, disposition);
    if let Some(size) = file.size {
        headers.insert(header::CONTENT_LENGTH, size.into());
    }
    headers
}

fn disposition(inline: bool, name: &str) -> HeaderValue {
    let kind = if inline { "inline" } else { "attachment" };
    let name = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    HeaderValue::from_str(&format!("{kind}; filename*=utf-8''{name}")).unwrap_or(HeaderValue::from_static("attachment"))
}
