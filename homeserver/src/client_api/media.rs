//! Uploading and downloading ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#content-repository

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, StatusCode, header};
use landbridge_axum_ruma::{ContentHeaders, MatrixError, safe_headers};
use ruma::api::error::ErrorKind;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::io::ReaderStream;

use crate::{
    http::{
        ApiConfig, ApiState,
        auth::Caller,
        error::ApiResult,
        path::{PathArgs, QueryArgs},
    },
    media::{Media, MediaFile},
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = ["/_matrix/media/r0/upload", "/_matrix/media/v3/upload"].into_iter().fold(router, |router, path| {
        // The bound on media is the repository's own, and counted as it streams.
        router.route(path, post(upload).layer(DefaultBodyLimit::disable()))
    });
    let router = router
        .route("/_matrix/client/v1/media/config", get(config))
        .route("/_matrix/media/v3/config", get(config))
        .route("/_matrix/media/r0/config", get(config))
        .route("/_matrix/client/v1/media/download/{server}/{id}", get(download))
        .route("/_matrix/client/v1/media/download/{server}/{id}/{filename}", get(download_as))
        // The original: scaling pictures is left to clients.
        .route("/_matrix/client/v1/media/thumbnail/{server}/{id}", get(download))
        .route("/_matrix/client/v1/media/preview_url", get(no_preview))
        .route("/_matrix/media/v3/preview_url", get(no_preview));
    // The paths from before media were authenticated
    // ([spec](https://spec.matrix.org/v1.19/client-server-api/#content-repository)).
    ["r0", "v1", "v3"].into_iter().fold(router, |router, version| {
        let base = format!("/_matrix/media/{version}");
        router
            .route(&format!("{base}/download/{{server}}/{{id}}"), get(open_download))
            .route(&format!("{base}/download/{{server}}/{{id}}/{{filename}}"), get(open_download_as))
            .route(&format!("{base}/thumbnail/{{server}}/{{id}}"), get(open_download))
    })
}

#[derive(Deserialize)]
struct UploadQuery {
    filename: Option<String>,
}

/// `POST /_matrix/media/v3/upload`
async fn upload(
    State(api): State<Arc<ApiConfig>>,
    State(media): State<Media>,
    caller: Caller,
    QueryArgs(query): QueryArgs<UploadQuery>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Json<Value>> {
    let claimed = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if claimed.is_some_and(|claimed| claimed > media.max_bytes()) {
        return Err(MatrixError::too_large().into());
    }
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let chunks = body.into_data_stream();
    let id = media.upload(&caller.user_id, content_type, query.filename.as_deref(), chunks).await?;
    Ok(Json(json!({ "content_uri": format!("mxc://{}/{id}", api.server_name) })))
}

/// `GET /_matrix/client/v1/media/config`
async fn config(State(media): State<Media>, _: Caller) -> Json<Value> {
    Json(json!({ "m.upload.size": media.max_bytes() }))
}

/// `GET /_matrix/client/v1/media/preview_url`: this server fetches nothing for strangers
/// ([spec](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediapreview_url)).
async fn no_preview(_: Caller) -> MatrixError {
    MatrixError::new(StatusCode::NOT_FOUND, ErrorKind::NotFound, "This server makes no previews")
}

async fn find(api: &ApiConfig, media: &Media, server: &str, id: &str) -> ApiResult<MediaFile> {
    let found = if server == api.server_name.as_str() { media.find(id).await? } else { None };
    Ok(found.ok_or_else(|| MatrixError::not_found("No such file"))?)
}

async fn stream(file: MediaFile, filename: Option<&str>) -> ApiResult<Response> {
    let content = match tokio::fs::File::open(&file.path).await {
        Ok(content) => content,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(MatrixError::not_found("No such file").into());
        }
        Err(error) => return Err(crate::media::MediaError::Disk(error).into()),
    };
    let headers = safe_headers(ContentHeaders {
        content_type: file.content_type.as_deref(),
        filename: filename.or(file.filename.as_deref()),
        size: Some(file.size),
    });
    Ok((headers, Body::from_stream(ReaderStream::new(content))).into_response())
}

/// `GET /_matrix/client/v1/media/download/{serverName}/{mediaId}`, and the thumbnail, which is the original
async fn download(
    State(api): State<Arc<ApiConfig>>,
    State(media): State<Media>,
    _: Caller,
    PathArgs((server, id)): PathArgs<(String, String)>,
) -> ApiResult<Response> {
    stream(find(&api, &media, &server, &id).await?, None).await
}

/// `GET /_matrix/client/v1/media/download/{serverName}/{mediaId}/{fileName}`
async fn download_as(
    State(api): State<Arc<ApiConfig>>,
    State(media): State<Media>,
    _: Caller,
    PathArgs((server, id, filename)): PathArgs<(String, String, String)>,
) -> ApiResult<Response> {
    stream(find(&api, &media, &server, &id).await?, Some(&filename)).await
}

/// `GET /_matrix/media/v3/download/{serverName}/{mediaId}`, without a token
async fn open_download(
    State(api): State<Arc<ApiConfig>>,
    State(media): State<Media>,
    PathArgs((server, id)): PathArgs<(String, String)>,
) -> ApiResult<Response> {
    stream(find(&api, &media, &server, &id).await?, None).await
}

/// `GET /_matrix/media/v3/download/{serverName}/{mediaId}/{fileName}`, without a token
async fn open_download_as(
    State(api): State<Arc<ApiConfig>>,
    State(media): State<Media>,
    PathArgs((server, id, filename)): PathArgs<(String, String, String)>,
) -> ApiResult<Response> {
    stream(find(&api, &media, &server, &id).await?, Some(&filename)).await
}
