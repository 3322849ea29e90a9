//! Sending and redacting ([sending], [redacting])
//!
//! [sending]: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidsendeventtypetxnid
//! [redacting]: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidredacteventidtxnid

use axum::{Extension, Router, extract::State};
use http::StatusCode;
use landbridge_axum_ruma::{MatrixError, RumaReply, Turn, mount};
use ruma::{
    EventId, OwnedEventId, RoomId, UserId,
    api::{
        client::{message::send_message_event::v3 as send_event, redact::redact_event::v3 as redact_event},
        error::ErrorKind,
    },
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    http::{
        ApiState,
        auth::{Authed, Caller},
        error::ApiResult,
        limits::Limits,
        standing::suspended,
    },
    rooms::{Outgoing, Redaction, Rooms, Txn},
    users::{Standing, Users},
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = mount::<send_event::Request, _, _, _>(router, send);
    mount::<redact_event::Request, _, _, _>(router, redact)
}

fn txn(caller: &Caller, txn_id: &str) -> ApiResult<Option<Txn>> {
    if txn_id.is_empty() || txn_id.len() > 255 {
        return Err(MatrixError::invalid_param("The transaction id is not allowed").into());
    }
    Ok(caller.txn(txn_id))
}

/// What an `m.room.redaction` redacts, where its content says so.
fn redacts(kind: &str, content: &RawValue) -> Option<OwnedEventId> {
    #[derive(Deserialize)]
    struct Content {
        redacts: Option<OwnedEventId>,
    }
    if kind != "m.room.redaction" {
        return None;
    }
    serde_json::from_str::<Content>(content.get()).ok()?.redacts
}

/// An event has a type.
pub(super) fn check_type(kind: &str) -> ApiResult<()> {
    if kind.is_empty() {
        return Err(MatrixError::invalid_param("An event has a type").into());
    }
    Ok(())
}

/// A message says what kind it is and what it says ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/client-server-api/#server-behaviour-4
fn check_message(kind: &str, content: &RawValue) -> ApiResult<()> {
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only their being there counts")]
    struct Content {
        msgtype: String,
        body: String,
    }
    if kind == "m.room.message" {
        let missing = |_| MatrixError::bad_json("A message has a msgtype and a textual body");
        serde_json::from_str::<Content>(content.get()).map_err(missing)?;
    }
    Ok(())
}

/// Threads do not branch ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/client-server-api/#validation-of-mthread-relationships
async fn check_thread(rooms: &Rooms, outgoing: &Outgoing) -> ApiResult<()> {
    #[derive(Deserialize)]
    struct Content {
        #[serde(rename = "m.relates_to")]
        relates_to: RelatesTo,
    }
    #[derive(Deserialize)]
    struct RelatesTo {
        rel_type: String,
        event_id: OwnedEventId,
    }
    if !outgoing.content.get().contains("m.relates_to") {
        return Ok(());
    }
    let Ok(Content { relates_to }) = serde_json::from_str(outgoing.content.get()) else { return Ok(()) };
    if relates_to.rel_type != "m.thread" {
        return Ok(());
    }
    let root = rooms.event(&relates_to.event_id).await?.filter(|root| root.room_id == outgoing.room_id);
    if root.is_some_and(|root| root.relation().is_some()) {
        let message = "A thread cannot begin at an event that relates to another";
        return Err(MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::Unknown, message).into());
    }
    Ok(())
}

/// Of what others said, those who are suspended take nothing back, nor of what is not there yet.
async fn must_be_own(rooms: &Rooms, user: &UserId, room_id: &RoomId, event_id: Option<&EventId>) -> ApiResult<()> {
    if let Some(event_id) = event_id
        && let Some(event) = rooms.event(event_id).await?
        && event.room_id == room_id
        && event.sender == user
    {
        return Ok(());
    }
    Err(suspended().into())
}

/// `PUT /_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}`
async fn send(
    State(rooms): State<Rooms>,
    State(users): State<Users>,
    State(limits): State<Limits>,
    turn: Option<Extension<Turn>>,
    Authed { caller, body }: Authed<send_event::Request>,
) -> ApiResult<RumaReply<send_event::Response>> {
    limits.take_event(&caller)?;
    let txn = txn(&caller, body.txn_id.as_str())?;
    let kind = body.event_type.to_string();
    let content = body.body.into_json();
    check_type(&kind)?;
    check_message(&kind, &content)?;
    let mut outgoing = Outgoing::message(body.room_id, caller.user_id, kind, content);
    outgoing.redacts = redacts(&outgoing.kind, &outgoing.content);
    if users.standing(&outgoing.sender) == Standing::Suspended {
        must_be_own(&rooms, &outgoing.sender, &outgoing.room_id, outgoing.redacts.as_deref()).await?;
    }
    if outgoing.kind == "m.room.redaction" && outgoing.redacts.is_none() {
        return Err(MatrixError::bad_json("A redaction says in redacts which event it redacts").into());
    }
    if let Some(redacts) = &outgoing.redacts {
        rooms.check_encryption_stays(&outgoing.room_id, redacts).await?;
    }
    outgoing.ts = caller.ts;
    outgoing.txn = txn;
    check_thread(&rooms, &outgoing).await?;
    let sent = rooms.send_in_turn(outgoing, turn.map(|Extension(turn)| turn)).await?;
    Ok(RumaReply(send_event::Response::new(sent.event_id)))
}

/// `PUT /_matrix/client/v3/rooms/{roomId}/redact/{eventId}/{txnId}`
async fn redact(
    State(rooms): State<Rooms>,
    State(users): State<Users>,
    State(limits): State<Limits>,
    Authed { caller, body }: Authed<redact_event::Request>,
) -> ApiResult<RumaReply<redact_event::Response>> {
    limits.take_event(&caller)?;
    let txn = txn(&caller, body.txn_id.as_str())?;
    if users.standing(&caller.user_id) == Standing::Suspended {
        must_be_own(&rooms, &caller.user_id, &body.room_id, Some(&body.event_id)).await?;
    }
    rooms.check_encryption_stays(&body.room_id, &body.event_id).await?;
    let redaction = Redaction {
        room_id: body.room_id,
        sender: caller.user_id,
        event_id: body.event_id,
        reason: body.reason,
        ts: caller.ts,
        txn,
    };
    let sent = rooms.redact(redaction).await?;
    Ok(RumaReply(redact_event::Response::new(sent.event_id)))
}
