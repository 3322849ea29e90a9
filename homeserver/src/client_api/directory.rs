//! Room aliases and the directory of public rooms ([aliases], [directory])
//!
//! [aliases]: https://spec.matrix.org/v1.19/client-server-api/#room-aliases
//! [directory]: https://spec.matrix.org/v1.19/client-server-api/#published-room-directory

use std::sync::Arc;

use axum::{Json, Router, extract::State};
use http::StatusCode;
use landbridge_axum_ruma::{MatrixError, Ruma, mount};
use ruma::{
    RoomAliasId, RoomId, ServerName, UInt,
    api::{
        client::{
            alias::{create_alias::v3 as create_alias, delete_alias::v3 as delete_alias, get_alias::v3 as get_alias},
            appservice::set_room_visibility::v3 as set_network_visibility,
            directory::{
                get_public_rooms::v3 as get_public_rooms, get_public_rooms_filtered::v3 as search_public_rooms,
                get_room_visibility::v3 as get_visibility, set_room_visibility::v3 as set_visibility,
            },
            room::Visibility,
        },
        error::ErrorKind,
    },
    directory::{RoomNetwork, RoomTypeFilter},
};
use serde_json::{Map, Value, json};

use super::{account::exclusive, membership::room_of_alias, reply::empty};
use crate::{
    appservice::{Appservices, Deliveries},
    http::{
        ApiConfig, ApiState,
        auth::{Authed, Caller},
        error::ApiResult,
    },
    rooms::{MAX_ALIASES, Membership, PublicRoom, RoomError, Rooms},
};

/// The most rooms of one page.
const MAX_PAGE: usize = 500;

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = mount::<create_alias::Request, _, _, _>(router, put_alias);
    let router = mount::<get_alias::Request, _, _, _>(router, alias);
    let router = mount::<delete_alias::Request, _, _, _>(router, remove_alias);
    let router = mount::<get_public_rooms::Request, _, _, _>(router, public_rooms);
    let router = mount::<search_public_rooms::Request, _, _, _>(router, search);
    let router = mount::<get_visibility::Request, _, _, _>(router, visibility);
    let router = mount::<set_visibility::Request, _, _, _>(router, put_visibility);
    mount::<set_network_visibility::Request, _, _, _>(router, put_network_visibility)
}

fn check_alias(alias: &RoomAliasId, config: &ApiConfig, appservices: &Appservices, caller: &Caller) -> ApiResult<()> {
    if alias.server_name() != config.server_name() || alias.as_str().len() > 255 || alias.alias().is_empty() {
        return Err(MatrixError::invalid_param("Not an alias of this server").into());
    }
    let by = caller.appservice.as_deref();
    let foreign = by.is_some_and(|appservice| !appservice.alias(alias).is_interesting());
    if appservices.is_alias_exclusive(alias, by) || (foreign && by.is_some_and(|by| by.sender() != caller.user_id)) {
        return Err(exclusive().into());
    }
    Ok(())
}

/// Who is in a room may name it, and an application service any room in its own namespace: by an alias rooms become a service's own.
/// Others are told nothing of the room.
async fn may_name(rooms: &Rooms, caller: &Caller, alias: &RoomAliasId, room_id: &RoomId) -> ApiResult<()> {
    if caller.appservice.as_ref().is_some_and(|by| by.alias(alias).is_interesting()) {
        return Ok(());
    }
    let known = rooms.membership(room_id, &caller.user_id).await?;
    if known.is_some_and(|known| known.membership == Membership::Join) {
        return Ok(());
    }
    Err(MatrixError::forbidden("You are not in the room").into())
}

/// `PUT /_matrix/client/v3/directory/room/{roomAlias}`
async fn put_alias(
    State(config): State<Arc<ApiConfig>>,
    State(rooms): State<Rooms>,
    State(appservices): State<Appservices>,
    State(deliveries): State<Deliveries>,
    Authed { caller, body }: Authed<create_alias::Request>,
) -> ApiResult<Json<Value>> {
    check_alias(&body.room_alias, &config, &appservices, &caller)?;
    may_name(&rooms, &caller, &body.room_alias, &body.room_id).await?;
    let most = caller.appservice.is_none().then_some(MAX_ALIASES);
    rooms.create_alias(&body.room_alias, &body.room_id, &caller.user_id, most).await.map_err(|error| match error {
        RoomError::AliasTaken => {
            MatrixError::new(StatusCode::CONFLICT, ErrorKind::Unknown, "The alias is taken").into()
        }
        other => crate::http::error::ApiError::from(other),
    })?;
    deliveries.aliases_changed(&body.room_id);
    Ok(empty())
}

/// `GET /_matrix/client/v3/directory/room/{roomAlias}`
async fn alias(
    State(config): State<Arc<ApiConfig>>,
    State(rooms): State<Rooms>,
    State(appservices): State<Appservices>,
    Ruma { body, .. }: Ruma<get_alias::Request>,
) -> ApiResult<Json<Value>> {
    let room_id = room_of_alias(&body.room_alias, &config, &rooms, &appservices).await?;
    let room_id = room_id.ok_or_else(|| MatrixError::not_found("No room has this alias"))?;
    Ok(Json(json!({ "room_id": room_id, "servers": [config.server_name] })))
}

/// `DELETE /_matrix/client/v3/directory/room/{roomAlias}`
async fn remove_alias(
    State(config): State<Arc<ApiConfig>>,
    State(rooms): State<Rooms>,
    State(appservices): State<Appservices>,
    State(deliveries): State<Deliveries>,
    Authed { caller, body }: Authed<delete_alias::Request>,
) -> ApiResult<Json<Value>> {
    check_alias(&body.room_alias, &config, &appservices, &caller)?;
    let room_id = rooms.resolve_alias(&body.room_alias).await?;
    let owns = caller.appservice.as_ref().is_some_and(|by| by.alias(&body.room_alias).is_exclusive());
    rooms.delete_alias(&body.room_alias, &caller.user_id, owns).await?;
    if let Some(room_id) = room_id {
        deliveries.aliases_changed(&room_id);
    }
    Ok(empty())
}

fn shown(room: &PublicRoom) -> Value {
    let mut shown = Map::new();
    shown.insert("room_id".to_owned(), json!(room.room_id));
    shown.insert("num_joined_members".to_owned(), json!(room.joined_members));
    shown.insert("world_readable".to_owned(), json!(room.world_readable));
    shown.insert("guest_can_join".to_owned(), json!(room.guest_can_join));
    shown.insert("join_rule".to_owned(), json!(room.join_rule));
    shown.extend(room.name.as_ref().map(|name| ("name".to_owned(), json!(name))));
    shown.extend(room.topic.as_ref().map(|topic| ("topic".to_owned(), json!(topic))));
    shown.extend(room.canonical_alias.as_ref().map(|alias| ("canonical_alias".to_owned(), json!(alias))));
    shown.extend(room.avatar_url.as_ref().map(|url| ("avatar_url".to_owned(), json!(url))));
    shown.extend(room.room_type.as_ref().map(|kind| ("room_type".to_owned(), json!(kind))));
    shown.into()
}

/// A page of a list; tokens are offsets.
fn page(rooms: &[PublicRoom], limit: Option<UInt>, since: Option<&str>) -> ApiResult<Json<Value>> {
    let from: usize = match since {
        None | Some("") => 0,
        Some(since) => since.parse().map_err(|_| MatrixError::invalid_param("The token is not one of this server"))?,
    };
    let limit = limit.map_or(MAX_PAGE, |limit| usize::try_from(u64::from(limit)).unwrap_or(MAX_PAGE));
    let limit = limit.clamp(1, MAX_PAGE);
    let chunk: Vec<Value> = rooms.iter().skip(from).take(limit).map(shown).collect();
    let mut answer = json!({ "chunk": chunk, "total_room_count_estimate": rooms.len() });
    if let Some(answer) = answer.as_object_mut() {
        let next = from.saturating_add(limit);
        if next < rooms.len() {
            answer.insert("next_batch".to_owned(), next.to_string().into());
        }
        if from > 0 {
            answer.insert("prev_batch".to_owned(), from.saturating_sub(limit).to_string().into());
        }
    }
    Ok(Json(answer))
}

/// The rooms of other servers cannot be listed.
fn must_be_here(server: Option<&ServerName>, config: &ApiConfig) -> ApiResult<()> {
    if server.is_none_or(|server| server == config.server_name()) {
        return Ok(());
    }
    Err(MatrixError::forbidden("This server reaches no other servers").into())
}

/// `GET /_matrix/client/v3/publicRooms`
async fn public_rooms(
    State(config): State<Arc<ApiConfig>>,
    State(rooms): State<Rooms>,
    Ruma { body, .. }: Ruma<get_public_rooms::Request>,
) -> ApiResult<Json<Value>> {
    must_be_here(body.server.as_deref(), &config)?;
    page(&rooms.public_rooms(None).await?, body.limit, body.since.as_deref())
}

/// `POST /_matrix/client/v3/publicRooms`
async fn search(
    State(config): State<Arc<ApiConfig>>,
    State(rooms): State<Rooms>,
    Authed { body, .. }: Authed<search_public_rooms::Request>,
) -> ApiResult<Json<Value>> {
    must_be_here(body.server.as_deref(), &config)?;
    let mut found = match &body.room_network {
        RoomNetwork::ThirdParty(network) => rooms.public_rooms(Some(network)).await?,
        _ => rooms.public_rooms(None).await?,
    };
    if body.room_network == RoomNetwork::All {
        found = rooms.published_anywhere().await?;
    }
    if !body.filter.room_types.is_empty() {
        let is = |wanted: &RoomTypeFilter, room: &PublicRoom| wanted.as_str() == room.room_type.as_deref();
        found.retain(|room| body.filter.room_types.iter().any(|wanted| is(wanted, room)));
    }
    if let Some(term) = &body.filter.generic_search_term {
        let term = term.to_lowercase();
        let has = |text: Option<&str>| text.is_some_and(|text| text.to_lowercase().contains(&term));
        found.retain(|room| {
            has(room.name.as_deref())
                || has(room.topic.as_deref())
                || has(room.canonical_alias.as_ref().map(|alias| alias.as_str()))
        });
    }
    page(&found, body.limit, body.since.as_deref())
}

/// `GET /_matrix/client/v3/directory/list/room/{roomId}`
async fn visibility(
    State(rooms): State<Rooms>,
    Ruma { body, .. }: Ruma<get_visibility::Request>,
) -> ApiResult<Json<Value>> {
    let public = rooms.is_published(&body.room_id, None).await?;
    Ok(Json(json!({ "visibility": if public { "public" } else { "private" } })))
}

/// `PUT /_matrix/client/v3/directory/list/room/{roomId}`
async fn put_visibility(
    State(rooms): State<Rooms>,
    Authed { caller, body }: Authed<set_visibility::Request>,
) -> ApiResult<Json<Value>> {
    is_visibility(&body.visibility)?;
    may_publish(&rooms, &caller, &body.room_id).await?;
    rooms.set_published(&body.room_id, None, body.visibility == Visibility::Public).await?;
    Ok(empty())
}

/// Refuses what is neither public nor private.
pub(super) fn is_visibility(visibility: &Visibility) -> ApiResult<()> {
    match visibility {
        Visibility::Public | Visibility::Private => Ok(()),
        _ => Err(MatrixError::invalid_param("The visibility is neither public nor private").into()),
    }
}

/// Who may name the room's canonical alias may publish it.
async fn may_publish(rooms: &Rooms, caller: &Caller, room_id: &RoomId) -> ApiResult<()> {
    if rooms.version(room_id).await?.is_none() {
        return Err(MatrixError::not_found("No such room").into());
    }
    if rooms.may_send_state(room_id, &caller.user_id, "m.room.canonical_alias").await? {
        return Ok(());
    }
    Err(MatrixError::forbidden("You may not change the room's place in the directory").into())
}

/// `PUT /_matrix/client/v3/directory/list/appservice/{networkId}/{roomId}`
/// ([spec](https://spec.matrix.org/v1.19/application-service-api/#application-service-room-directories))
async fn put_network_visibility(
    State(rooms): State<Rooms>,
    Authed { caller, body }: Authed<set_network_visibility::Request>,
) -> ApiResult<Json<Value>> {
    is_visibility(&body.visibility)?;
    let appservice =
        caller.appservice.ok_or_else(|| MatrixError::forbidden("Only application services have networks"))?;
    let network = format!("{}|{}", appservice.id(), body.network_id);
    rooms.set_published(&body.room_id, Some(&network), body.visibility == Visibility::Public).await?;
    Ok(empty())
}
