//! Profiles ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#profiles

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use futures_util::{StreamExt as _, stream};
use landbridge_axum_ruma::{JsonBody, MatrixError, mount};
use ruma::{OwnedUserId, UserId, api::client::profile::get_profile::v3 as get_profile};
use serde_json::{Map, Value, json};

use super::reply::empty;
use crate::{
    http::{ApiConfig, ApiState, auth::Caller, error::ApiResult, path::PathArgs},
    rooms::{MemberProfile, Membership, MembershipChange, Rooms},
    users::{Profile, Users},
};

/// The longest display name and the longest avatar URI, in bytes: a member event must hold both.
const MAX_FIELD_BYTES: usize = 1024;

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
    let mut fields = Map::new();
    fields.extend(profile.displayname.map(|name| ("displayname".to_owned(), name.into())));
    fields.extend(profile.avatar_url.map(|url| ("avatar_url".to_owned(), url.into())));
    Ok(Json(fields.into()))
}

/// The fields kept here; others are not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Displayname,
    AvatarUrl,
}

impl Field {
    fn parse(name: &str) -> ApiResult<Self> {
        match name {
            "displayname" => Ok(Self::Displayname),
            "avatar_url" => Ok(Self::AvatarUrl),
            _ => Err(MatrixError::not_found("This server keeps no such profile field").into()),
        }
    }

    fn of(self, profile: Profile) -> Option<String> {
        match self {
            Self::Displayname => profile.displayname,
            Self::AvatarUrl => profile.avatar_url,
        }
    }
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
    let field = Field::parse(&name)?;
    let profile = profile(&config, &users, &user_id(&user)?).await?;
    Ok(Json(field.of(profile).map_or_else(|| json!({}), |value| json!({ name: value }))))
}

/// `PUT /_matrix/client/v3/profile/{userId}/{keyName}`
async fn put_field(
    State(users): State<Users>,
    State(rooms): State<Rooms>,
    caller: Caller,
    PathArgs((user, name)): PathArgs<(String, String)>,
    JsonBody(body): JsonBody<Map<String, Value>>,
) -> ApiResult<Json<Value>> {
    let field = Field::parse(&name)?;
    let value = match body.get(&name) {
        Some(Value::String(value)) => Some(value.replace('\0', "")).filter(|value| !value.is_empty()),
        Some(Value::Null) | None => None,
        Some(_) => return Err(MatrixError::bad_json(format!("{name} must be a string")).into()),
    };
    set(&users, &rooms, &caller, &user_id(&user)?, field, value).await
}

/// `DELETE /_matrix/client/v3/profile/{userId}/{keyName}`
async fn delete_field(
    State(users): State<Users>,
    State(rooms): State<Rooms>,
    caller: Caller,
    PathArgs((user, name)): PathArgs<(String, String)>,
) -> ApiResult<Json<Value>> {
    set(&users, &rooms, &caller, &user_id(&user)?, Field::parse(&name)?, None).await
}

async fn set(
    users: &Users,
    rooms: &Rooms,
    caller: &Caller,
    user_id: &UserId,
    field: Field,
    value: Option<String>,
) -> ApiResult<Json<Value>> {
    caller.must_be(user_id)?;
    if value.as_ref().is_some_and(|value| value.len() > MAX_FIELD_BYTES) {
        return Err(MatrixError::invalid_param("The value is too long").into());
    }
    match field {
        Field::Displayname => users.set_displayname(user_id, value.as_deref()).await?,
        Field::AvatarUrl => users.set_avatar_url(user_id, value.as_deref()).await?,
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
