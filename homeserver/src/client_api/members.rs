//! Who is where ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidmembers

use axum::{Json, Router, extract::State};
use landbridge_axum_ruma::{MatrixError, mount};
use ruma::{
    api::client::membership::{
        get_member_events::v3 as get_member_events, joined_members::v3 as joined_members,
        joined_rooms::v3 as joined_rooms,
    },
    events::TimelineEventType,
};
use serde_json::{Map, Value, json};

use crate::{
    http::{ApiState, auth::Authed, error::ApiResult},
    rooms::{ClientEventFormat, ClientEventOptions, Event, Membership, Rooms},
    sync::SyncToken,
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = mount::<get_member_events::Request, _, _, _>(router, members);
    let router = mount::<joined_members::Request, _, _, _>(router, joined);
    mount::<joined_rooms::Request, _, _, _>(router, rooms_of)
}

/// `GET /_matrix/client/v3/rooms/{roomId}/members`
async fn members(
    State(rooms): State<Rooms>,
    Authed { caller, body }: Authed<get_member_events::Request>,
) -> ApiResult<Json<Value>> {
    for asked in body.membership.iter().chain(&body.not_membership) {
        Membership::parse(asked.as_str()).ok_or_else(|| MatrixError::invalid_param("There is no such membership"))?;
    }
    let readable = rooms.readable_state(&body.room_id, &caller.user_id).await?;
    let standing = rooms.membership(&body.room_id, &caller.user_id).await?;
    let mut events = match &body.at {
        Some(at) => {
            let at: SyncToken = at.parse().map_err(|_| MatrixError::invalid_param("at is no token of this server"))?;
            // Who left reads the room no further than that.
            let is_out = standing.is_some_and(|known| known.membership != Membership::Join);
            let last = if is_out { rooms.left_at(&body.room_id, &caller.user_id).await? } else { None };
            let at = last.map_or(at.position, |last| last.min(at.position));
            if !rooms.sees_place(&body.room_id, &caller.user_id, at).await? {
                return Err(MatrixError::forbidden("You may not see who was in the room then").into());
            }
            rooms.members(&body.room_id, Some(at)).await?
        }
        // Who left reads the room as it was then.
        _ => {
            let mut events = rooms.state_at(readable).await?;
            events.retain(|event| event.kind == TimelineEventType::RoomMember);
            events
        }
    };
    let is = |event: &Event, wanted: &str| event.membership().is_some_and(|membership| membership.as_str() == wanted);
    if let Some(wanted) = &body.membership {
        events.retain(|event| is(event, wanted.as_str()));
    }
    if let Some(unwanted) = &body.not_membership {
        events.retain(|event| !is(event, unwanted.as_str()));
    }
    let options = ClientEventOptions { format: ClientEventFormat::Full, reader: caller.reader() };
    Ok(Json(json!({ "chunk": rooms.client_events(&events, options).await? })))
}

/// `GET /_matrix/client/v3/rooms/{roomId}/joined_members`
async fn joined(
    State(rooms): State<Rooms>,
    Authed { caller, body }: Authed<joined_members::Request>,
) -> ApiResult<Json<Value>> {
    let standing = rooms.membership(&body.room_id, &caller.user_id).await?;
    let is_member = standing.is_some_and(|standing| standing.membership == Membership::Join);
    // An application service may ask of rooms that any of its users is in, so long as the asking one can read the room.
    if !is_member && caller.appservice.is_none() {
        return Err(MatrixError::forbidden("You are not in the room").into());
    }
    rooms.readable_state(&body.room_id, &caller.user_id).await?;
    let mut joined = Map::new();
    for member in rooms.joined_members(&body.room_id).await? {
        let mut shown = Map::new();
        shown.extend(member.profile.displayname.map(|name| ("display_name".to_owned(), name.into())));
        shown.extend(member.profile.avatar_url.map(|url| ("avatar_url".to_owned(), url.into())));
        joined.insert(member.user_id.to_string(), shown.into());
    }
    Ok(Json(json!({ "joined": joined })))
}

/// `GET /_matrix/client/v3/joined_rooms`
async fn rooms_of(
    State(rooms): State<Rooms>,
    Authed { caller, .. }: Authed<joined_rooms::Request>,
) -> ApiResult<Json<Value>> {
    Ok(Json(json!({ "joined_rooms": rooms.joined_rooms(&caller.user_id).await? })))
}
