//! Pushers and what a user was notified of ([pushers], [notifications])
//!
//! [pushers]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushers
//! [notifications]: https://spec.matrix.org/v1.19/client-server-api/#listing-notifications

use axum::{Json, Router, extract::State, routing::post};
use http::StatusCode;
use landbridge_axum_ruma::{JsonBody, MatrixError, mount};
use ruma::api::client::push::{
    PusherKind, get_notifications::v3 as get_notifications, get_pushers::v3 as get_pushers,
    set_pusher::v3::PusherAction,
};
use ruma::api::error::ErrorKind;
use serde_json::{Map, Value, json};

use super::reply::empty;
use crate::{
    http::{
        ApiState,
        auth::{Authed, Caller},
        error::ApiResult,
    },
    push::{Judge, NewPusher, Pushers, Unread},
    rooms::{ClientEventFormat, ClientEventOptions, Rooms},
    stream::{Position, Stream},
};

/// The longest texts of a pusher ([spec](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3pushersset)).
const MAX_PUSHKEY: usize = 512;
const MAX_APP_ID: usize = 64;
const MAX_BODY: usize = 16 * 1024;

/// How many notifications a page has at most, and how many events are looked at for it.
const MAX_PAGE: usize = 100;
const LOOKED_AT: usize = 1000;

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = mount::<get_pushers::Request, _, _, _>(router, list);
    let router = ["r0", "v3"]
        .into_iter()
        .fold(router, |router, version| router.route(&format!("/_matrix/client/{version}/pushers/set"), post(set)));
    mount::<get_notifications::Request, _, _, _>(router, notifications)
}

/// `GET /_matrix/client/v3/pushers`
async fn list(
    State(pushers): State<Pushers>,
    Authed { caller, .. }: Authed<get_pushers::Request>,
) -> ApiResult<Json<Value>> {
    Ok(Json(json!({ "pushers": pushers.of_user(&caller.user_id).await? })))
}

/// `POST /_matrix/client/v3/pushers/set`. Only a `kind` that is null deletes; to ruma one that is not there does, too.
async fn set(
    State(pushers): State<Pushers>,
    caller: Caller,
    JsonBody(body): JsonBody<Map<String, Value>>,
) -> ApiResult<Json<Value>> {
    if !body.contains_key("kind") {
        let message = "The kind is missing: null deletes a pusher";
        return Err(MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::MissingParam, message).into());
    }
    let action: PusherAction = serde_json::value::to_raw_value(&body)
        .and_then(|body| serde_json::from_str(body.get()))
        .map_err(|error| MatrixError::bad_json(error.to_string()))?;
    let data = match action {
        PusherAction::Delete(ids) => {
            pushers.delete(&caller.user_id, &ids.app_id, &ids.pushkey).await?;
            return Ok(empty());
        }
        PusherAction::Post(data) => data,
        _ => return Err(MatrixError::bad_json("Not a pusher").into()),
    };
    let bad = |message: &str| Err(MatrixError::invalid_param(message).into());
    let ids = &data.pusher.ids;
    let is_id = |id: &str, most: usize| !id.is_empty() && id.len() <= most && !id.contains('\0');
    if !is_id(&ids.pushkey, MAX_PUSHKEY) || !is_id(&ids.app_id, MAX_APP_ID) {
        return bad("pushkey or app_id is too long, empty or holds a NUL");
    }
    let PusherKind::Http(http) = &data.pusher.kind else {
        return bad("This server sends notifications to push gateways alone");
    };
    let url = url::Url::parse(&http.url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if url.is_none_or(|url| url.path() != "/_matrix/push/v1/notify") {
        return bad("data.url is not the address of a push gateway: it ends with /_matrix/push/v1/notify");
    }
    let shown = serde_json::to_string(&data.pusher).map_err(|_| MatrixError::bad_json("Not a pusher"))?;
    if shown.len() > MAX_BODY {
        return Err(MatrixError::too_large().into());
    }
    let new = NewPusher {
        user_id: caller.user_id.clone(),
        device_id: caller.device_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        app_id: ids.app_id.clone(),
        pushkey: ids.pushkey.clone(),
        body: shown,
        append: data.append,
    };
    pushers.set(new).await?;
    Ok(empty())
}

/// `GET /_matrix/client/v3/notifications`: found by going back through the user's rooms. A page may be empty and say where to go
/// on, where nothing of what was looked at was notified of.
async fn notifications(
    State(rooms): State<Rooms>,
    State(stream): State<Stream>,
    State(judge): State<Judge>,
    State(unread): State<Unread>,
    Authed { caller, body }: Authed<get_notifications::Request>,
) -> ApiResult<Json<Value>> {
    let user = &caller.user_id;
    let from: Option<Position> = body
        .from
        .as_deref()
        .filter(|from| !from.is_empty())
        .map(str::parse)
        .transpose()
        .map_err(|_| MatrixError::invalid_param("The token is not one of this server"))?;
    let limit = body.limit.map_or(20, |limit| usize::try_from(u64::from(limit)).unwrap_or(MAX_PAGE)).clamp(1, MAX_PAGE);
    let only_highlights = match body.only.as_deref() {
        None | Some("") => false,
        Some(only) => only.split(',').any(|word| word == "highlight"),
    };
    let start = from.unwrap_or_else(|| stream.position());
    let events = rooms.log_of_user(user, start, LOOKED_AT).await?;
    let mut found = Vec::new();
    let mut next = (events.len() == LOOKED_AT).then(|| events.last().map(|event| event.position())).flatten();
    for event in &events {
        if found.len() == limit {
            break;
        }
        let Some(verdict) = judge.verdict(user, event).await? else { continue };
        if only_highlights && !verdict.highlight() {
            continue;
        }
        if rooms.filter_visible(&event.room_id, user, vec![event.clone()]).await?.is_empty() {
            continue;
        }
        let thread = rooms.thread_of(event).await?;
        let read = unread.is_read(user, &event.room_id, thread, event.position()).await?;
        let options = ClientEventOptions { format: ClientEventFormat::Sync, reader: caller.reader() };
        found.push(json!({
            "actions": verdict.actions,
            "event": rooms.client_events(std::slice::from_ref(event), options).await?.first(),
            "read": read,
            "room_id": event.room_id,
            "ts": event.origin_server_ts,
        }));
        if found.len() == limit {
            next = Some(event.position());
        }
    }
    let mut answer = json!({ "notifications": found });
    if let Some(next) = next {
        // Tokens stand between events.
        answer["next_token"] = Position(next.0 - 1).to_string().into();
    }
    Ok(Json(answer))
}
