//! Looking into a room without being in it, as older clients do ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidinitialsync

use std::time::Duration;

use axum::{Json, Router, extract::State, routing::get};
use landbridge_axum_ruma::{MatrixError, mount};
use ruma::{
    OwnedEventId, OwnedUserId, RoomId,
    api::client::peeking::{get_current_state::v3 as initial_sync, listen_to_new_events::v3 as listen},
    events::StateEventType,
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{messages::token, shown::Reader};
use crate::{
    http::{
        ApiState,
        auth::{Authed, Caller},
        error::ApiResult,
        path::{PathArgs, QueryArgs},
    },
    rooms::{Direction, Membership, MessagesQuery, Rooms},
    stream::{Position, Stream},
    sync::{LONGEST_POLL, Presences},
    users::{AccountData, StoredEvent},
};

/// How many messages are shown first, and at most later on.
const MESSAGES: usize = 20;
const MAX_MESSAGES: usize = 500;

/// Of how many rooms everything is shown at once.
const MAX_ROOMS: usize = 200;

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = mount::<listen::Request, _, _, _>(router, events);
    let router = mount::<initial_sync::Request, _, _, _>(router, initial);
    ["r0", "v3"].into_iter().fold(router, |router, version| {
        router
            .route(&format!("/_matrix/client/{version}/initialSync"), get(everything))
            .route(&format!("/_matrix/client/{version}/events/{{event_id}}"), get(event))
    })
}

/// `GET /_matrix/client/v3/rooms/{roomId}/initialSync`
async fn initial(
    State(rooms): State<Rooms>,
    State(account_data): State<AccountData>,
    Authed { caller, body }: Authed<initial_sync::Request>,
) -> ApiResult<Json<Value>> {
    let reader = Reader::new(&rooms, &account_data, &caller).await?;
    let stored = account_data.between(&caller.user_id, 0, i64::MAX).await?;
    Ok(Json(snapshot(&rooms, &reader, &caller, &stored, &body.room_id, MESSAGES).await?))
}

/// A room as it is now: the last messages, the state, and what the caller stored for it.
async fn snapshot(
    rooms: &Rooms,
    reader: &Reader<'_>,
    caller: &Caller,
    stored: &[StoredEvent],
    room_id: &RoomId,
    limit: usize,
) -> ApiResult<Value> {
    let root = rooms.readable_state(room_id, &caller.user_id).await?;
    let query = MessagesQuery {
        room_id: room_id.to_owned(),
        user: caller.user_id.clone(),
        from: None,
        to: None,
        direction: Direction::Backward,
        limit,
    };
    let mut page = rooms.messages(query).await?;
    page.events.reverse();
    let membership = rooms.membership(room_id, &caller.user_id).await?;
    let stored: Vec<Value> =
        stored.iter().filter(|event| event.room_id == room_id.as_str()).filter_map(shown).collect();
    let mut answer = json!({
        "room_id": room_id,
        "messages": {
            "start": page.end.unwrap_or(Position::START).to_string(),
            "end": page.start.to_string(),
            "chunk": reader.shown(&page.events).await?,
        },
        "state": reader.state(&rooms.state_at(root).await?).await?,
        "visibility": if rooms.is_published(room_id, None).await? { "public" } else { "private" },
        "account_data": stored,
    });
    if let Some(known) = membership {
        answer["membership"] = known.membership.as_str().into();
    }
    Ok(answer)
}

/// How much a client wants to see of each room.
#[derive(Deserialize)]
struct HowMuch {
    limit: Option<u32>,
}

/// `GET /_matrix/client/v3/initialSync`: what the first sync of old clients is, deprecated in favour of `/sync`
/// (<https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3initialsync>). Only the rooms that were moved last are shown.
async fn everything(
    State(rooms): State<Rooms>,
    State(account_data): State<AccountData>,
    State(presences): State<Presences>,
    State(stream): State<Stream>,
    caller: Caller,
    QueryArgs(HowMuch { limit }): QueryArgs<HowMuch>,
) -> ApiResult<Json<Value>> {
    let end = stream.position();
    let limit = limit.map_or(MESSAGES, |limit| usize::try_from(limit).unwrap_or(MAX_MESSAGES)).clamp(1, MAX_MESSAGES);
    let reader = Reader::new(&rooms, &account_data, &caller).await?;
    let stored = account_data.between(&caller.user_id, 0, i64::MAX).await?;
    let memberships = rooms.memberships_of(&caller.user_id).await?;
    let mut shown_rooms = Vec::new();
    for known in memberships.iter().rev().take(MAX_ROOMS) {
        match known.membership {
            Membership::Join => {
                let room = snapshot(&rooms, &reader, &caller, &stored, &known.room_id, limit).await?;
                shown_rooms.push(room);
            }
            Membership::Invite if !reader.onlooker().ignored.contains(&known.sender) => {
                let invited = StateEventType::RoomMember;
                let event = rooms.state_event(&known.room_id, &invited, caller.user_id.as_str()).await?;
                let events: Vec<_> = event.into_iter().collect();
                let mut room = json!({ "room_id": known.room_id, "membership": "invite", "inviter": known.sender });
                if let Some(event) = reader.state(&events).await?.first() {
                    room["invite"] = json!(event);
                }
                shown_rooms.push(room);
            }
            Membership::Invite | Membership::Knock | Membership::Leave | Membership::Ban => {}
        }
    }
    let known = presences.changes(0, end.0);
    let sharing = rooms.sharing(&caller.user_id, known.iter().map(|(user, _)| user.clone())).await?;
    let is_shown = |user: &OwnedUserId| *user == caller.user_id || sharing.contains(user);
    let presence: Vec<Value> = (known.into_iter().filter(|(user, _)| is_shown(user)))
        .map(|(user, content)| json!({ "type": "m.presence", "sender": user, "content": content }))
        .collect();
    let own: Vec<Value> = stored.iter().filter(|event| event.room_id.is_empty()).filter_map(shown).collect();
    Ok(Json(json!({ "end": end.to_string(), "rooms": shown_rooms, "presence": presence, "account_data": own })))
}

/// `GET /_matrix/client/v3/events/{eventId}`: one event, in whatever room it is, deprecated in favour of `/rooms/{roomId}/event/{eventId}`
/// (<https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3eventseventid>)
async fn event(
    State(rooms): State<Rooms>,
    State(account_data): State<AccountData>,
    caller: Caller,
    PathArgs((event_id,)): PathArgs<(OwnedEventId,)>,
) -> ApiResult<Json<Value>> {
    let missing = || MatrixError::not_found("There is no such event, or you may not see it");
    let room_id = rooms.event(&event_id).await?.ok_or_else(missing)?.room_id.clone();
    let event = rooms.visible_event(&room_id, &event_id, &caller.user_id).await.map_err(|_| missing())?;
    let reader = Reader::new(&rooms, &account_data, &caller).await?;
    Ok(Json(json!(reader.shown(&[event]).await?.first().ok_or_else(missing)?)))
}

fn shown(event: &StoredEvent) -> Option<Value> {
    let content: &RawValue = serde_json::from_str(&event.content).ok()?;
    Some(json!({ "type": event.kind, "content": content }))
}

/// `GET /_matrix/client/v3/events`: what happens in one room, for those who look into it.
async fn events(
    State(rooms): State<Rooms>,
    State(account_data): State<AccountData>,
    State(stream): State<Stream>,
    Authed { caller, body }: Authed<listen::Request>,
) -> ApiResult<Json<Value>> {
    let room_id = body.room_id;
    rooms.readable_state(&room_id, &caller.user_id).await?;
    let reader = Reader::new(&rooms, &account_data, &caller).await?;
    let mut from = token(body.from.as_deref())?.unwrap_or_else(|| stream.position());
    let deadline = tokio::time::Instant::now() + body.timeout.unwrap_or(Duration::ZERO).min(LONGEST_POLL);
    let start = from;
    loop {
        let query = MessagesQuery {
            room_id: room_id.clone(),
            user: caller.user_id.clone(),
            from: Some(from),
            to: None,
            direction: Direction::Forward,
            limit: MAX_MESSAGES,
        };
        let head = stream.position();
        let page = rooms.messages(query).await?;
        let end = page.end.unwrap_or(head);
        if !page.events.is_empty() || tokio::time::Instant::now() >= deadline {
            let chunk = reader.shown(&page.events).await?;
            return Ok(Json(json!({ "start": start.to_string(), "end": end.to_string(), "chunk": chunk })));
        }
        from = end;
        let _ = tokio::time::timeout_at(deadline, stream.wait_past(from)).await;
    }
}
