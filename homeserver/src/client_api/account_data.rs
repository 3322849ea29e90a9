//! Account data and tags ([account data], [tags])
//!
//! [account data]: https://spec.matrix.org/v1.19/client-server-api/#client-config
//! [tags]: https://spec.matrix.org/v1.19/client-server-api/#room-tagging

use axum::{Json, Router, extract::State, routing::put};
use http::StatusCode;
use landbridge_axum_ruma::{JsonBody, MatrixError, mount};
use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, UserId,
    api::{
        client::{
            config::{
                get_global_account_data::v3 as get_global, get_room_account_data::v3 as get_room,
                set_global_account_data::v3 as set_global, set_room_account_data::v3 as set_room,
            },
            tag::{delete_tag::v3 as delete_tag, get_tags::v3 as get_tags},
        },
        error::ErrorKind,
    },
};
use serde_json::{Map, Number, Value, json, value::RawValue};

use super::reply::empty;
use crate::{
    http::{
        ApiState,
        auth::{Authed, Caller},
        error::{ApiError, ApiResult},
        path::PathArgs,
    },
    users::{AccountData, MAX_ACCOUNT_DATA_BYTES},
};

/// The longest name of a tag ([spec](https://spec.matrix.org/v1.19/client-server-api/#room-tagging)).
const MAX_TAG_BYTES: usize = 255;

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = mount::<get_global::Request, _, _, _>(router, global);
    let router = mount::<set_global::Request, _, _, _>(router, put_global);
    let router = mount::<get_room::Request, _, _, _>(router, of_room);
    let router = mount::<set_room::Request, _, _, _>(router, put_of_room);
    let router = mount::<get_tags::Request, _, _, _>(router, tags);
    let router = mount::<delete_tag::Request, _, _, _>(router, delete_tag);
    ["v3", "r0"].into_iter().fold(router, |router, version| {
        // ruma's type forgets what it does not know.
        router
            .route(&format!("/_matrix/client/{version}/user/{{user_id}}/rooms/{{room_id}}/tags/{{tag}}"), put(put_tag))
    })
}

fn raw(content: Option<String>) -> ApiResult<Json<Box<RawValue>>> {
    let content = content.ok_or_else(|| MatrixError::not_found("No such account data"))?;
    Ok(Json(RawValue::from_string(content).map_err(|_| MatrixError::internal())?))
}

/// Types that the server keeps itself cannot be written this way.
fn check(kind: &str, content: &RawValue) -> ApiResult<()> {
    if matches!(kind, "m.fully_read" | "m.push_rules") {
        let message = format!("{kind} is set through its own endpoint");
        return Err(MatrixError::new(StatusCode::METHOD_NOT_ALLOWED, ErrorKind::BadJson, message).into());
    }
    if !content.get().starts_with('{') {
        return Err(MatrixError::bad_json("Account data has to be an object").into());
    }
    if kind.len() > 255 || content.get().len() > MAX_ACCOUNT_DATA_BYTES {
        return Err(MatrixError::too_large().into());
    }
    Ok(())
}

/// `GET /_matrix/client/v3/user/{userId}/account_data/{type}`
async fn global(
    State(account_data): State<AccountData>,
    Authed { caller, body }: Authed<get_global::Request>,
) -> ApiResult<Json<Box<RawValue>>> {
    caller.must_be(&body.user_id)?;
    let kind = body.event_type.to_string();
    // The rules that count, also where the user never changed any.
    if kind == "m.push_rules" {
        let rules = json!({ "global": *account_data.push_rules(&body.user_id).await? });
        return raw(Some(rules.to_string()));
    }
    raw(account_data.read(&body.user_id, None, &kind).await?)
}

/// `PUT /_matrix/client/v3/user/{userId}/account_data/{type}`
async fn put_global(
    State(account_data): State<AccountData>,
    Authed { caller, body }: Authed<set_global::Request>,
) -> ApiResult<Json<Value>> {
    caller.must_be(&body.user_id)?;
    let kind = body.event_type.to_string();
    check(&kind, body.data.json())?;
    account_data.put(&body.user_id, None, &kind, body.data.json().get()).await?;
    Ok(empty())
}

/// `GET /_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}`
async fn of_room(
    State(account_data): State<AccountData>,
    Authed { caller, body }: Authed<get_room::Request>,
) -> ApiResult<Json<Box<RawValue>>> {
    caller.must_be(&body.user_id)?;
    raw(account_data.read(&body.user_id, Some(&body.room_id), &body.event_type.to_string()).await?)
}

/// `PUT /_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}`
async fn put_of_room(
    State(account_data): State<AccountData>,
    Authed { caller, body }: Authed<set_room::Request>,
) -> ApiResult<Json<Value>> {
    caller.must_be(&body.user_id)?;
    let kind = body.event_type.to_string();
    check(&kind, body.data.json())?;
    account_data.put(&body.user_id, Some(&body.room_id), &kind, body.data.json().get()).await?;
    Ok(empty())
}

fn tags_in(stored: Option<String>) -> Map<String, Value> {
    let content: Value = stored.and_then(|stored| serde_json::from_str(&stored).ok()).unwrap_or_default();
    content["tags"].as_object().cloned().unwrap_or_default()
}

/// Changes the tags of a room, with whatever else changes them at the same time.
async fn change_tags(
    account_data: &AccountData,
    (user_id, room_id): (&UserId, &RoomId),
    change: impl Fn(&mut Map<String, Value>) + Send + Sync + 'static,
) -> ApiResult<Json<Value>> {
    let change = move |stored: Option<String>| {
        let mut tags = tags_in(stored);
        change(&mut tags);
        let content = json!({ "tags": tags }).to_string();
        if content.len() > MAX_ACCOUNT_DATA_BYTES {
            return Err(ApiError::from(MatrixError::too_large()));
        }
        Ok(Some(content))
    };
    account_data.change(user_id, Some(room_id), "m.tag", change).await?;
    Ok(empty())
}

/// `GET /_matrix/client/v3/user/{userId}/rooms/{roomId}/tags`
async fn tags(
    State(account_data): State<AccountData>,
    Authed { caller, body }: Authed<get_tags::Request>,
) -> ApiResult<Json<Value>> {
    caller.must_be(&body.user_id)?;
    let stored = account_data.read(&body.user_id, Some(&body.room_id), "m.tag").await?;
    Ok(Json(json!({ "tags": tags_in(stored) })))
}

/// `PUT /_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}`; what a client says of a tag is kept as it is.
async fn put_tag(
    State(account_data): State<AccountData>,
    caller: Caller,
    PathArgs((user_id, room_id, tag)): PathArgs<(OwnedUserId, OwnedRoomId, String)>,
    JsonBody(mut info): JsonBody<Map<String, Value>>,
) -> ApiResult<Json<Value>> {
    caller.must_be(&user_id)?;
    if tag.len() > MAX_TAG_BYTES {
        return Err(MatrixError::invalid_param("The name of a tag has 255 bytes at most").into());
    }
    if let Some(order) = info.get_mut("order") {
        *order = order_of(order).ok_or_else(|| MatrixError::bad_json("order is no number"))?;
    }
    let change = move |tags: &mut Map<String, Value>| drop(tags.insert(tag.clone(), info.clone().into()));
    change_tags(&account_data, (&user_id, &room_id), change).await
}

/// A number; some old clients write it as a text.
fn order_of(order: &Value) -> Option<Value> {
    match order {
        Value::Number(_) => Some(order.clone()),
        Value::String(text) => text.parse::<f64>().ok().and_then(Number::from_f64).map(Value::Number),
        _ => None,
    }
}

/// `DELETE /_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}`
async fn delete_tag(
    State(account_data): State<AccountData>,
    Authed { caller, body }: Authed<delete_tag::Request>,
) -> ApiResult<Json<Value>> {
    caller.must_be(&body.user_id)?;
    let tag = body.tag;
    let change = move |tags: &mut Map<String, Value>| drop(tags.remove(&tag));
    change_tags(&account_data, (&body.user_id, &body.room_id), change).await
}
