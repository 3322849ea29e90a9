//! Making rooms ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#creation

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, Router, extract::State};
use http::StatusCode;
use landbridge_axum_ruma::{MatrixError, Ruma, RumaReply, mount};
use ruma::{
    OwnedRoomAliasId, RoomAliasId,
    api::{
        client::room::{
            aliases::v3 as aliases,
            create_room::v3::{self as create_room, RoomPreset},
        },
        error::ErrorKind,
    },
};
use serde_json::{Value, json};

use super::{
    account::exclusive,
    directory::is_visibility,
    extensions::{Members, allowed},
    membership::may_invite,
    profile::member_profile,
};
use crate::{
    appservice::{Appservices, Deliveries},
    http::{
        ApiConfig, ApiState,
        auth::{Authed, Caller},
        error::ApiResult,
        limits::Limits,
    },
    rooms::{NewRoom, RoomError, Rooms},
    users::{AccountData, Users},
};

/// How many users one request may invite.
const MAX_INVITES: usize = 1000;

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = mount::<create_room::Request, _, _, _>(router, create);
    mount::<aliases::Request, _, _, _>(router, list_aliases)
}

/// The alias with this localpart.
fn local_alias(localpart: &str, config: &ApiConfig) -> ApiResult<OwnedRoomAliasId> {
    let bad = || MatrixError::invalid_param("The alias is not allowed");
    if localpart.is_empty() || localpart.contains([':', '\0']) || localpart.chars().any(char::is_whitespace) {
        return Err(bad().into());
    }
    let alias = RoomAliasId::parse(format!("#{localpart}:{}", config.server_name())).map_err(|_| bad())?;
    if alias.as_str().len() > 255 { Err(bad().into()) } else { Ok(alias) }
}

/// `POST /_matrix/client/v3/createRoom`
#[expect(clippy::too_many_arguments, reason = "a handler lists what it uses")]
async fn create(
    State(config): State<Arc<ApiConfig>>,
    State(rooms): State<Rooms>,
    State(users): State<Users>,
    State(account_data): State<AccountData>,
    State(appservices): State<Appservices>,
    State(deliveries): State<Deliveries>,
    State(limits): State<Limits>,
    caller: Caller,
    Ruma { body, request, .. }: Ruma<create_room::Request>,
) -> ApiResult<RumaReply<create_room::Response>> {
    limits.take_event(&caller)?;
    let known = |preset: &RoomPreset| {
        matches!(preset, RoomPreset::PrivateChat | RoomPreset::PublicChat | RoomPreset::TrustedPrivateChat)
    };
    if body.preset.as_ref().is_some_and(|preset| !known(preset)) {
        return Err(MatrixError::invalid_param("There is no such preset").into());
    }
    is_visibility(&body.visibility)?;
    let more = if allowed(&config, &caller) { Members::of(request.body()) } else { Members::default() };
    if body.invite.len() + more.more() > MAX_INVITES {
        return Err(MatrixError::invalid_param("Too many users are invited").into());
    }
    let mut turn = None;
    if let Some(localpart) = &body.room_alias_name {
        let alias = local_alias(localpart, &config)?;
        if appservices.is_alias_exclusive(&alias, caller.appservice.as_deref()) {
            return Err(exclusive().into());
        }
        if caller.appservice.is_none() {
            turn = Some(rooms.may_make_alias(&caller.user_id).await?);
        }
    }
    for invited in &body.invite {
        may_invite(&config, &account_data, invited).await?;
    }
    let mut profiles = BTreeMap::new();
    for user_id in body.invite.iter().chain([&caller.user_id]) {
        if config.is_local(user_id) {
            profiles.insert(user_id.clone(), member_profile(&users, user_id).await?);
        }
    }
    let made = rooms.create(NewRoom { creator: caller.user_id.clone(), request: &body, profiles }).await;
    drop(turn);
    let room_id = made.map_err(|error| match error {
        RoomError::AliasTaken => {
            MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::RoomInUse, "The alias is taken").into()
        }
        other => crate::http::error::ApiError::from(other),
    })?;
    deliveries.aliases_changed(&room_id);
    more.join(&rooms, &users, &caller, &room_id, &body.invite).await?;
    Ok(RumaReply(create_room::Response::new(room_id)))
}

/// `GET /_matrix/client/v3/rooms/{roomId}/aliases`
async fn list_aliases(
    State(rooms): State<Rooms>,
    Authed { caller, body }: Authed<aliases::Request>,
) -> ApiResult<Json<Value>> {
    rooms.readable_state(&body.room_id, &caller.user_id).await?;
    Ok(Json(json!({ "aliases": rooms.aliases(&body.room_id).await? })))
}
