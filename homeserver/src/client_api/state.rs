//! Room state ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#getting-events-for-a-room

use std::sync::Arc;

use axum::{Json, Router, extract::State};
use http::StatusCode;
use landbridge_axum_ruma::{MatrixError, RumaReply, mount, mount_at};
use ruma::{
    OwnedRoomAliasId, RoomId, UserId,
    api::{
        client::state::{
            get_state_event_for_key::v3::{self as get_state_event, StateEventFormat},
            get_state_events::v3 as get_state,
            send_state_event::v3 as send_state_event,
        },
        error::ErrorKind,
    },
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    extensions,
    membership::{may_invite, may_refuse, see_guests_out},
    send::check_type,
};
use crate::{
    http::{ApiConfig, ApiState, auth::Authed, error::ApiResult, guests::no_guests, limits::Limits},
    notices::Notices,
    rooms::{ClientEventFormat, ClientEventOptions, Membership, Outgoing, Rooms},
    users::{AccountData, Users},
};

/// The paths of state with an empty key: with the closing slash and without it.
const EMPTY_KEY: [&str; 4] = [
    "/_matrix/client/r0/rooms/{room_id}/state/{event_type}",
    "/_matrix/client/r0/rooms/{room_id}/state/{event_type}/",
    "/_matrix/client/v3/rooms/{room_id}/state/{event_type}",
    "/_matrix/client/v3/rooms/{room_id}/state/{event_type}/",
];

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = mount::<get_state::Request, _, _, _>(router, all);
    let router = mount::<get_state_event::Request, _, _, _>(router, one);
    let router = mount_at::<get_state_event::Request, _, _, _>(router, &EMPTY_KEY, one);
    let router = mount::<send_state_event::Request, _, _, _>(router, put);
    mount_at::<send_state_event::Request, _, _, _>(router, &EMPTY_KEY, put)
}

/// `GET /_matrix/client/v3/rooms/{roomId}/state`
async fn all(
    State(rooms): State<Rooms>,
    Authed { caller, body }: Authed<get_state::Request>,
) -> ApiResult<Json<Vec<Box<RawValue>>>> {
    let root = rooms.readable_state(&body.room_id, &caller.user_id).await?;
    let events = rooms.state_at(root).await?;
    let options = ClientEventOptions { format: ClientEventFormat::Full, reader: caller.reader() };
    Ok(Json(rooms.client_events(&events, options).await?))
}

/// `GET /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}`
async fn one(
    State(rooms): State<Rooms>,
    Authed { caller, body }: Authed<get_state_event::Request>,
) -> ApiResult<Json<Box<RawValue>>> {
    #[derive(Deserialize)]
    struct Shown {
        content: Box<RawValue>,
    }
    let whole = match body.format {
        StateEventFormat::Event => true,
        StateEventFormat::Content => false,
        _ => return Err(MatrixError::invalid_param("There is no such format").into()),
    };
    let root = rooms.readable_state(&body.room_id, &caller.user_id).await?;
    let event = rooms.state_event_at(&body.room_id, root, &body.event_type, &body.state_key).await?;
    let event = event.ok_or_else(|| MatrixError::not_found("No such state"))?;
    let options = ClientEventOptions { format: ClientEventFormat::Full, reader: caller.reader() };
    let shown = rooms.client_events(&[event], options).await?.into_iter().next();
    let shown = shown.ok_or_else(MatrixError::internal)?;
    if whole {
        return Ok(Json(shown));
    }
    let shown: Shown = serde_json::from_str(shown.get()).map_err(|_| MatrixError::internal())?;
    Ok(Json(shown.content))
}

/// `PUT /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}`
async fn put(
    State(config): State<Arc<ApiConfig>>,
    State(rooms): State<Rooms>,
    State(account_data): State<AccountData>,
    State(users): State<Users>,
    State(notices): State<Notices>,
    State(limits): State<Limits>,
    Authed { caller, body }: Authed<send_state_event::Request>,
) -> ApiResult<RumaReply<send_state_event::Response>> {
    limits.take_event(&caller)?;
    let kind = body.event_type.to_string();
    check_type(&kind)?;
    let content = body.body.into_json();
    if kind == "m.room.member" && caller.guest {
        return Err(no_guests("Guests come and go by the endpoints for it").into());
    }
    let membership = if kind == "m.room.member" { membership_of(&content) } else { None };
    if membership == Some(Membership::Leave) && body.state_key == caller.user_id.as_str() {
        may_refuse(&rooms, &notices, &caller.user_id, &body.room_id).await?;
    }
    // An invitation by another way is one, too.
    if membership == Some(Membership::Invite)
        && let Ok(target) = <&UserId>::try_from(&*body.state_key)
    {
        may_invite(&config, &account_data, target).await?;
    }
    if kind == "m.room.canonical_alias" {
        check_aliases(&rooms, &body.room_id, &content).await?;
    }
    rooms.check_encryption(&body.room_id, &kind, &body.state_key, &content).await?;
    if kind == "m.room.member"
        && extensions::allowed(&config, &caller)
        && let Some(event_id) =
            extensions::change_member(&rooms, &users, &caller, &body.room_id, &body.state_key, &content).await?
    {
        return Ok(RumaReply(send_state_event::Response::new(event_id)));
    }
    let lets_in = (kind == "m.room.guest_access").then(|| body.room_id.clone());
    let mut outgoing = Outgoing::state(body.room_id, caller.user_id, kind, body.state_key, content);
    outgoing.ts = caller.ts;
    let sent = rooms.send(outgoing).await?;
    if let Some(room_id) = lets_in {
        see_guests_out(&rooms, &users, &room_id).await?;
    }
    Ok(RumaReply(send_state_event::Response::new(sent.event_id)))
}

/// What the content of a member event says.
fn membership_of(content: &RawValue) -> Option<Membership> {
    #[derive(Deserialize)]
    struct Content {
        membership: String,
    }
    let content: Content = serde_json::from_str(content.get()).ok()?;
    Membership::parse(&content.membership)
}

/// What a room calls its aliases must be its aliases
/// ([spec](https://spec.matrix.org/v1.19/client-server-api/#mroomcanonical_alias)). Those of other servers are believed.
async fn check_aliases(rooms: &Rooms, room_id: &RoomId, content: &RawValue) -> ApiResult<()> {
    #[derive(Deserialize)]
    struct Content {
        alias: Option<String>,
        #[serde(default)]
        alt_aliases: Option<Vec<String>>,
    }
    let content: Content =
        serde_json::from_str(content.get()).map_err(|_| MatrixError::bad_json("Not a canonical alias event"))?;
    let aliases = content.alt_aliases.unwrap_or_default().into_iter().chain(content.alias);
    for alias in aliases.filter(|alias| !alias.is_empty()) {
        let alias = OwnedRoomAliasId::try_from(alias).map_err(|_| MatrixError::invalid_param("Not a room alias"))?;
        if alias.server_name() == rooms.server_name() && rooms.resolve_alias(&alias).await?.as_deref() != Some(room_id)
        {
            let message = format!("{alias} does not point to this room");
            return Err(MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::BadAlias, message).into());
        }
    }
    Ok(())
}
