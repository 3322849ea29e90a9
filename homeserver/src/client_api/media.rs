//! Uploading and downloading ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#content-repository

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, State},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use landbridge_axum_ruma::{ContentHeaders, MatrixError, safe_headers};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    http::{
        ApiConfig, ApiState,
        auth::Caller,
        error::ApiResult,
        limits::{Action, Limits},
        path::{PathArgs, QueryArgs},
    },
    media::{Frame, Media, MediaFile, Method, Previews, Upload, range_of},
};

/// How long a file that is to come is waited for, unless the client says otherwise.
const USUAL_PATIENCE: Duration = Duration::from_secs(20);

/// The longest that a client may have it waited for.
const LONGEST_PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    // The bound on media is the repository's own, and counted as it streams.
    let endless = DefaultBodyLimit::disable;
    let router = ["/_matrix/media/r0/upload", "/_matrix/media/v3/upload"]
        .into_iter()
        .fold(router, |router, path| router.route(path, post(upload).layer(endless())));
    let router = router
        .route("/_matrix/media/v1/create", post(create))
        .route("/_matrix/media/v3/upload/{server}/{id}", put(fill).layer(endless()))
        .route("/_matrix/client/v1/media/config", get(config))
        .route("/_matrix/media/v3/config", get(config))
        .route("/_matrix/media/r0/config", get(config))
        .route("/_matrix/client/v1/media/download/{server}/{id}", get(download))
        .route("/_matrix/client/v1/media/download/{server}/{id}/{filename}", get(download_as))
        .route("/_matrix/client/v1/media/thumbnail/{server}/{id}", get(thumbnail))
        .route("/_matrix/client/v1/media/preview_url", get(preview))
        .route("/_matrix/media/v3/preview_url", get(preview))
        .route("/_matrix/media/r0/preview_url", get(preview));
    // The paths from before media were authenticated
    // ([spec](https://spec.matrix.org/v1.19/client-server-api/#content-repository)).
    ["r0", "v1", "v3"].into_iter().fold(router, |router, version| {
        let base = format!("/_matrix/media/{version}");
        router
            .route(&format!("{base}/download/{{server}}/{{id}}"), get(open_download))
            .route(&format!("{base}/download/{{server}}/{{id}}/{{filename}}"), get(open_download_as))
            .route(&format!("{base}/thumbnail/{{server}}/{{id}}"), get(open_thumbnail))
    })
}

#[derive(Deserialize)]
struct UploadQuery {
    filename: Option<String>,
}

/// Refuses what says itself that it is too long, before it is read.
fn check_length(media: &Media, headers: &HeaderMap) -> ApiResult<()> {
    let claimed = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if claimed.is_some_and(|claimed| claimed > media.max_bytes()) {
        return Err(MatrixError::too_large().into());
    }
    Ok(())
}

fn described<'a>(headers: &'a HeaderMap, query: &'a UploadQuery) -> Upload<'a> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    Upload { content_type, filename: query.filename.as_deref() }
}

/// Most application services upload as much as they like.
fn limit(limits: &Limits, caller: &Caller) -> ApiResult<()> {
    if caller.is_unlimited() {
        return Ok(());
    }
    limits.take_for(Action::Upload, &caller.user_id)
}

/// `POST /_matrix/media/v3/upload`
async fn upload(
    State(api): State<Arc<ApiConfig>>,
    State(media): State<Media>,
    State(limits): State<Limits>,
    caller: Caller,
    QueryArgs(query): QueryArgs<UploadQuery>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Json<Value>> {
    check_length(&media, &headers)?;
    limit(&limits, &caller)?;
    let id = media.upload(&caller.user_id, described(&headers, &query), body.into_data_stream()).await?;
    Ok(Json(json!({ "content_uri": format!("mxc://{}/{id}", api.server_name) })))
}

/// `POST /_matrix/media/v1/create`
async fn create(
    State(api): State<Arc<ApiConfig>>,
    State(media): State<Media>,
    State(limits): State<Limits>,
    caller: Caller,
) -> ApiResult<Json<Value>> {
    limit(&limits, &caller)?;
    let (id, until) = media.reserve(&caller.user_id).await?;
    Ok(Json(json!({ "content_uri": format!("mxc://{}/{id}", api.server_name), "unused_expires_at": until })))
}

/// `PUT /_matrix/media/v3/upload/{serverName}/{mediaId}`
async fn fill(
    State(api): State<Arc<ApiConfig>>,
    State(media): State<Media>,
    caller: Caller,
    PathArgs((server, id)): PathArgs<(String, String)>,
    QueryArgs(query): QueryArgs<UploadQuery>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Json<Value>> {
    if server != api.server_name.as_str() {
        return Err(MatrixError::not_found("No such file").into());
    }
    check_length(&media, &headers)?;
    media.fill(&caller.user_id, &id, described(&headers, &query), body.into_data_stream()).await?;
    Ok(Json(json!({})))
}

/// `GET /_matrix/client/v1/media/config`
async fn config(State(media): State<Media>, _: Caller) -> Json<Value> {
    Json(json!({ "m.upload.size": media.max_bytes() }))
}

#[derive(Deserialize)]
struct PreviewQuery {
    url: String,
}

/// `GET /_matrix/client/v1/media/preview_url`. The time that is asked for is not heeded: pages are seen as they are now.
async fn preview(
    State(previews): State<Option<Previews>>,
    State(limits): State<Limits>,
    caller: Caller,
    QueryArgs(query): QueryArgs<PreviewQuery>,
) -> ApiResult<Json<Arc<Value>>> {
    let previews = previews.ok_or_else(|| MatrixError::not_found("This server makes no previews"))?;
    limit(&limits, &caller)?;
    Ok(Json(previews.preview(&query.url).await?))
}

/// How long a client wants a file waited for that is to come.
#[derive(Deserialize)]
struct Patience {
    timeout_ms: Option<u64>,
}

impl Patience {
    fn duration(&self) -> Duration {
        self.timeout_ms.map_or(USUAL_PATIENCE, Duration::from_millis).min(LONGEST_PATIENCE)
    }
}

async fn find(api: &ApiConfig, media: &Media, server: &str, id: &str, patience: &Patience) -> ApiResult<MediaFile> {
    let is_here = server == api.server_name.as_str();
    let found = if is_here { media.find(id, patience.duration()).await? } else { None };
    Ok(found.ok_or_else(|| MatrixError::not_found("No such file"))?)
}

/// A file, or the part of it that was asked for.
async fn stream(media: &Media, file: MediaFile, filename: Option<&str>, headers: &HeaderMap) -> ApiResult<Response> {
    let wanted = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let part = match range_of(wanted, file.size) {
        None => None,
        Some(Some(part)) => Some(part),
        Some(None) => {
            let whole = format!("bytes */{}", file.size);
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, [(header::CONTENT_RANGE, whole)]).into_response());
        }
    };
    let found = media.read(&file, part).await?;
    let body = Body::from_stream(found.ok_or_else(|| MatrixError::not_found("No such file"))?);
    let mut safe = safe_headers(ContentHeaders {
        content_type: file.content_type.as_deref(),
        filename: filename.or(file.filename.as_deref()),
        size: Some(file.size),
    });
    safe.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let Some(part) = part else { return Ok((safe, body).into_response()) };
    safe.insert(header::CONTENT_LENGTH, HeaderValue::from(part.length()));
    let which = format!("bytes {}-{}/{}", part.first, part.last, file.size);
    safe.insert(header::CONTENT_RANGE, HeaderValue::from_str(&which).map_err(|_| MatrixError::internal())?);
    Ok((StatusCode::PARTIAL_CONTENT, safe, body).into_response())
}

/// `GET /_matrix/client/v1/media/download/{serverName}/{mediaId}`
async fn download(
    State(api): State<Arc<ApiConfig>>,
    State(media): State<Media>,
    _: Caller,
    PathArgs((server, id)): PathArgs<(String, String)>,
    QueryArgs(patience): QueryArgs<Patience>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    stream(&media, find(&api, &media, &server, &id, &patience).await?, None, &headers).await
}

/// `GET /_matrix/client/v1/media/download/{serverName}/{mediaId}/{fileName}`
async fn download_as(
    State(api): State<Arc<ApiConfig>>,
    State(media): State<Media>,
    _: Caller,
    PathArgs((server, id, filename)): PathArgs<(String, String, String)>,
    QueryArgs(patience): QueryArgs<Patience>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    stream(&media, find(&api, &media, &server, &id, &patience).await?, Some(&filename), &headers).await
}

/// The old endpoints ask for no token: there are no new files there, unless the operator wants it so.
async fn must_be_open(api: &ApiConfig, media: &Media, id: &str) -> ApiResult<()> {
    if api.unauthenticated_media || media.is_open(id).await? {
        return Ok(());
    }
    Err(MatrixError::not_found("No such file, or not without a token: see /_matrix/client/v1/media").into())
}

/// `GET /_matrix/media/v3/download/{serverName}/{mediaId}`, without a token
async fn open_download(
    State(api): State<Arc<ApiConfig>>,
    State(media): State<Media>,
    PathArgs((server, id)): PathArgs<(String, String)>,
    QueryArgs(patience): QueryArgs<Patience>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    must_be_open(&api, &media, &id).await?;
    stream(&media, find(&api, &media, &server, &id, &patience).await?, None, &headers).await
}

/// `GET /_matrix/media/v3/download/{serverName}/{mediaId}/{fileName}`, without a token
async fn open_download_as(
    State(api): State<Arc<ApiConfig>>,
    State(media): State<Media>,
    PathArgs((server, id, filename)): PathArgs<(String, String, String)>,
    QueryArgs(patience): QueryArgs<Patience>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    must_be_open(&api, &media, &id).await?;
    stream(&media, find(&api, &media, &server, &id, &patience).await?, Some(&filename), &headers).await
}

#[derive(Deserialize)]
struct ThumbnailQuery {
    width: u32,
    height: u32,
    method: Option<String>,
    animated: Option<bool>,
    timeout_ms: Option<u64>,
}

impl ThumbnailQuery {
    /// The frame that is asked for; `None`: larger than any.
    fn frame(&self) -> ApiResult<Option<Frame>> {
        let method = match self.method.as_deref() {
            None | Some("scale") => Method::Scale,
            Some("crop") => Method::Crop,
            Some(_) => return Err(MatrixError::invalid_param("The method is neither scale nor crop").into()),
        };
        if self.width == 0 || self.height == 0 {
            return Err(MatrixError::invalid_param("A thumbnail has a size").into());
        }
        Ok(Frame::for_request(self.width, self.height, method))
    }
}

/// `GET /_matrix/client/v1/media/thumbnail/{serverName}/{mediaId}`
async fn thumbnail(
    State(api): State<Arc<ApiConfig>>,
    State(media): State<Media>,
    _: Caller,
    PathArgs((server, id)): PathArgs<(String, String)>,
    QueryArgs(query): QueryArgs<ThumbnailQuery>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    small(&api, &media, (&server, &id), &query, &headers).await
}

/// `GET /_matrix/media/v3/thumbnail/{serverName}/{mediaId}`, without a token
async fn open_thumbnail(
    State(api): State<Arc<ApiConfig>>,
    State(media): State<Media>,
    PathArgs((server, id)): PathArgs<(String, String)>,
    QueryArgs(query): QueryArgs<ThumbnailQuery>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    must_be_open(&api, &media, &id).await?;
    small(&api, &media, (&server, &id), &query, &headers).await
}

/// A smaller picture of a file.
async fn small(
    api: &ApiConfig,
    media: &Media,
    (server, id): (&str, &str),
    query: &ThumbnailQuery,
    headers: &HeaderMap,
) -> ApiResult<Response> {
    let frame = query.frame()?;
    let patience = Patience { timeout_ms: query.timeout_ms };
    let file = find(api, media, server, id, &patience).await?;
    let moves = file.content_type.as_deref().is_some_and(|kind| matches!(kind, "image/gif" | "image/webp"));
    if moves && query.animated == Some(true) {
        // What moves is shown as it is: it is not made smaller here.
        return stream(media, file, None, headers).await;
    }
    let shown = match frame {
        Some(frame) => media.thumbnail(id, file, frame).await?,
        None => file,
    };
    stream(media, shown, None, headers).await
}
