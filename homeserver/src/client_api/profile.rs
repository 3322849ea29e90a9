//! Profiles ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#profiles

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use landbridge_axum_ruma::{JsonBody, MatrixError, mount};
use ruma::{
    MxcUri, OwnedUserId, UserId,
    api::{client::profile::get_profile::v3 as get_profile, error::ErrorKind},
};
use serde_json::{Map, Value, json};

use super::reply::empty;
use crate::{
    http::{
        ApiConfig, ApiState,
        auth::Caller,
        error::{ApiError, ApiResult},
        path::PathArgs,
    },
    rooms::{MemberProfile, Membership, MembershipChange, Rooms},
    users::{Profile, Users},
};

/// The longest display name and the longest avatar URI, in bytes: a member event must hold both.
const MAX_FIELD_BYTES: usize = 1024;

/// The longest name of a field, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// In how many rooms at once a new profile is told.
const ROOMS_AT_ONCE: usize = 8;

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = mount::<get_profile::Request, _, _, _>(router, whole);
    ["/_matrix/client/r0/profile/{user_id}/{field}", "/_matrix/client/v3/profile/{user_id}/{field}"]
        .into_iter()
        .fold(router, |router, path| router.route(path, get(field).put(put_field).delete(delete_field)))
}

async fn profile(config: &ApiConfig, users: &Users, user_id: &UserId) -> ApiResult<Profile> {
    let found = if config.is_local(user_id) { users.profile(user_id).await? } else { None };
    Ok(found.ok_or_else(|| MatrixError::not_found("No such user"))?)
}

/// `GET /_matrix/client/v3/profile/{userId}`
async fn whole(
    State(config): State<Arc<ApiConfig>>,
    State(users): State<Users>,
    landbridge_axum_ruma::Ruma { body, .. }: landbridge_axum_ruma::Ruma<get_profile::Request>,
) -> ApiResult<Json<Value>> {
    let profile = profile(&config, &users, &body.user_id).await?;
    let mut fields = users.fields(&body.user_id).await?;
    fields.extend(profile.displayname.map(|name| ("displayname".to_owned(), name.into())));
    fields.extend(profile.avatar_url.map(|url| ("avatar_url".to_owned(), url.into())));
    Ok(Json(fields.into()))
}

/// A field of a profile.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Displayname,
    AvatarUrl,
    /// Any other; the server knows nothing of what it means.
    Other,
}

impl Field {
    fn parse(name: &str) -> ApiResult<Self> {
        match name {
            "displayname" => Ok(Self::Displayname),
            "avatar_url" => Ok(Self::AvatarUrl),
            _ if name.len() > MAX_NAME_BYTES => {
                let message = "The name of the field is too long";
                Err(MatrixError::with_errcode(StatusCode::BAD_REQUEST, "M_KEY_TOO_LARGE", message).into())
            }
            _ if is_namespaced(name) => Ok(Self::Other),
            _ => Err(MatrixError::invalid_param("The name of the field is not a namespaced identifier").into()),
        }
    }
}

/// Whether a name follows the grammar for names that anybody may make up
/// ([spec](https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3profileuseridkeyname)).
fn is_namespaced(name: &str) -> bool {
    let fits = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_lowercase())
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    name.contains('.') && name.split('.').all(fits)
}

fn user_id(text: &str) -> ApiResult<OwnedUserId> {
    Ok(UserId::parse(text).map_err(|_| MatrixError::invalid_param("Not a user id"))?)
}

/// `GET /_matrix/client/v3/profile/{userId}/{keyName}`
async fn field(
    State(config): State<Arc<ApiConfig>>,
    State(users): State<Users>,
    PathArgs((user, name)): PathArgs<(String, String)>,
) -> ApiResult<Json<Value>> {
    let (field, user_id) = (Field::parse(&name)?, user_id(&user)?);
    let profile = profile(&config, &users, &user_id).await?;
    let value = match field {
        Field::Displayname => profile.displayname.map(Value::from),
        Field::AvatarUrl => profile.avatar_url.map(Value::from),
        Field::Other => {
            let value = users.fields(&user_id).await?.remove(&name);
            Some(value.ok_or_else(|| MatrixError::not_found("The user has no such field"))?)
        }
    };
    Ok(Json(value.map_or_else(|| json!({}), |value| json!({ name: value }))))
}

/// `PUT /_matrix/client/v3/profile/{userId}/{keyName}`
async fn put_field(
    State(users): State<Users>,
    State(rooms): State<Rooms>,
    caller: Caller,
    PathArgs((user, name)): PathArgs<(String, String)>,
    JsonBody(body): JsonBody<Map<String, Value>>,
) -> ApiResult<Json<Value>> {
    let (field, user_id) = (Field::parse(&name)?, user_id(&user)?);
    caller.must_be(&user_id)?;
    if field == Field::Other {
        return put_other(&users, &user_id, &name, body.get(&name)).await;
    }
    let value = match body.get(&name) {
        Some(Value::String(value)) => Some(value.replace('\0', "")).filter(|value| !value.is_empty()),
        Some(Value::Null) => None,
        None => return Err(not_there()),
        Some(_) => return Err(MatrixError::bad_json(format!("{name} must be a string")).into()),
    };
    set(&users, &rooms, &user_id, field, value).await
}

fn not_there() -> ApiError {
    MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::MissingParam, "The body does not hold the field").into()
}

async fn put_other(users: &Users, user_id: &UserId, name: &str, value: Option<&Value>) -> ApiResult<Json<Value>> {
    let value = value.ok_or_else(not_there)?;
    if !users.set_field(user_id, name, value).await? {
        let message = "The profile would be too large";
        return Err(MatrixError::with_errcode(StatusCode::BAD_REQUEST, "M_PROFILE_TOO_LARGE", message).into());
    }
    Ok(empty())
}

/// `DELETE /_matrix/client/v3/profile/{userId}/{keyName}`
async fn delete_field(
    State(users): State<Users>,
    State(rooms): State<Rooms>,
    caller: Caller,
    PathArgs((user, name)): PathArgs<(String, String)>,
) -> ApiResult<Json<Value>> {
    let (field, user_id) = (Field::parse(&name)?, user_id(&user)?);
    caller.must_be(&user_id)?;
    if field == Field::Other {
        users.delete_field(&user_id, &name).await?;
        return Ok(empty());
    }
    set(&users, &rooms, &user_id, field, None).await
}

async fn set(
    users: &Users,
    rooms: &Rooms,
    user_id: &UserId,
    field: Field,
    value: Option<String>,
) -> ApiResult<Json<Value>> {
    if value.as_ref().is_some_and(|value| value.len() > MAX_FIELD_BYTES) {
        return Err(MatrixError::invalid_param("The value is too long").into());
    }
    let is_file = |url: &String| <&MxcUri>::from(url.as_str()).is_valid();
    if field == Field::AvatarUrl && !value.as_ref().is_none_or(is_file) {
        return Err(MatrixError::invalid_param("The avatar is no mxc:// address").into());
    }
    match field {
        Field::Displayname => users.set_displayname(user_id, value.as_deref()).await?,
        Field::AvatarUrl => users.set_avatar_url(user_id, value.as_deref()).await?,
        // Rooms are not told of it.
        Field::Other => {}
    }
    tell_rooms(users, rooms, user_id).await?;
    Ok(empty())
}

/// The member events of the user's rooms follow the profile.
async fn tell_rooms(users: &Users, rooms: &Rooms, user_id: &UserId) -> ApiResult<()> {
    let profile = member_profile(users, user_id).await?;
    stream::iter(rooms.joined_rooms(user_id).await?)
        .for_each_concurrent(ROOMS_AT_ONCE, |room_id| {
            let mut change = MembershipChange::new(room_id.clone(), user_id, user_id, Membership::Join);
            change.profile = profile.clone();
            async move {
                if let Err(error) = rooms.change_membership(change).await {
                    tracing::warn!(room.id = %room_id, %error, "a room was not told of a new profile");
                }
            }
        })
        .await;
    Ok(())
}

/// What a member event of this user says of it; nothing for users of other servers.
pub(super) async fn member_profile(users: &Users, user_id: &UserId) -> ApiResult<MemberProfile> {
    let profile = users.profile(user_id).await?.unwrap_or_default();
    Ok(MemberProfile { displayname: profile.displayname, avatar_url: profile.avatar_url })
}
