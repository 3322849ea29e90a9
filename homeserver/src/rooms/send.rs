//! Sending: message events and state events.

use std::sync::Arc;

use landbridge_axum_ruma::Turn;
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId,
    RoomId, UserId,
};
use serde_json::value::RawValue;

use super::{
    Event, EventTxn, RoomError, Rooms,
    actor::Command,
    build::{self, Draft},
    core::{Batch, Core},
};
use crate::{store::TxnKey, stream::Position};

/// The transaction id of a request, which makes it safe to repeat.
///
/// Two requests are the same when sender, device, room, type and id are. The first answer is kept in the commit of the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Txn {
    /// The device the request came from, or the appservice's id where it names no device.
    pub device: String,
    /// The id the client chose.
    pub id: String,
}

/// An event as a client or appservice asks for it.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Who sends.
    pub sender: OwnedUserId,
    /// Its type.
    pub kind: String,
    /// Its state key; `None` for a message event.
    pub state_key: Option<String>,
    /// Its content, a JSON object.
    pub content: Box<RawValue>,
    /// The event it redacts, where it is an `m.room.redaction`.
    pub redacts: Option<OwnedEventId>,
    /// When it happened, where an appservice says so; otherwise now.
    pub ts: Option<MilliSecondsSinceUnixEpoch>,
    /// The transaction it is sent under.
    pub txn: Option<Txn>,
}

impl Outgoing {
    /// A message event.
    pub fn message(
        room_id: impl Into<OwnedRoomId>,
        sender: impl Into<OwnedUserId>,
        kind: impl Into<String>,
        content: Box<RawValue>,
    ) -> Self {
        Self {
            room_id: room_id.into(),
            sender: sender.into(),
            kind: kind.into(),
            state_key: None,
            content,
            redacts: None,
            ts: None,
            txn: None,
        }
    }

    /// A state event.
    pub fn state(
        room_id: impl Into<OwnedRoomId>,
        sender: impl Into<OwnedUserId>,
        kind: impl Into<String>,
        state_key: impl Into<String>,
        content: Box<RawValue>,
    ) -> Self {
        Self { state_key: Some(state_key.into()), ..Self::message(room_id, sender, kind, content) }
    }

    /// The same, sent under a transaction id.
    #[must_use]
    pub fn under(mut self, device: impl Into<String>, txn_id: impl Into<String>) -> Self {
        self.txn = Some(Txn { device: device.into(), id: txn_id.into() });
        self
    }
}

/// What became of an [`Outgoing`] event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The event's id: of the first, where the request was a repetition.
    pub event_id: OwnedEventId,
    /// Where the log stood when the event was durable.
    pub position: Position,
}

impl Rooms {
    /// Sends an event and returns after it is durable.
    ///
    /// A repeated transaction id returns the first answer. A state event that changes nothing (same content as what stands,
    /// from the same sender) returns the event that stands.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room, [`RoomError::Forbidden`] where its rules refuse,
    /// [`RoomError::BadJson`] where the content is not an object of canonical JSON, [`RoomError::TooLarge`],
    /// [`RoomError::DuplicateAnnotation`],
    /// [`RoomError::Unavailable`] where nothing could be written.
    pub async fn send(&self, outgoing: Outgoing) -> Result<Sent, RoomError> {
        self.send_in_turn(outgoing, None).await
    }

    /// As [`Self::send`], and not before what was to be sent before it. Its turn is taken once the room has given the event its place,
    /// which is before it is durable.
    ///
    /// # Errors
    /// As [`Self::send`]; [`RoomError::Unavailable`] where what was to be sent before it was not.
    pub async fn send_in_turn(&self, outgoing: Outgoing, turn: Option<Turn>) -> Result<Sent, RoomError> {
        if let Some(event) =
            self.answered(&outgoing.room_id, &outgoing.sender, &outgoing.kind, outgoing.txn.as_ref()).await?
        {
            if let Some(turn) = turn {
                turn.comes().await?;
                turn.taken();
            }
            return Ok(event);
        }
        let room_id = outgoing.room_id.clone();
        self.tasks.ask_in_turn(&room_id, Command::Send(Box::new(outgoing)), turn).await
    }

    /// The answer to an earlier repetition of a request, where that is in the database already.
    pub(crate) async fn answered(
        &self,
        room_id: &RoomId,
        sender: &UserId,
        kind: &str,
        txn: Option<&Txn>,
    ) -> Result<Option<Sent>, RoomError> {
        let Some(txn) = txn else { return Ok(None) };
        let store = &self.context.store;
        let Some(nid) = store.txn(&TxnKey::new(sender, room_id, kind, txn)).await? else { return Ok(None) };
        let event = store.event_by_nid(nid).await?;
        Ok(Some(Sent { event_id: event.event_id.clone(), position: event.position() }))
    }
}

impl Core {
    /// Sends an event, or finds the one that an earlier repetition of the request led to.
    pub(super) async fn send(&mut self, outgoing: Outgoing, batch: &mut Batch) -> Result<Arc<Event>, RoomError> {
        let key =
            outgoing.txn.as_ref().map(|txn| TxnKey::new(&outgoing.sender, &outgoing.room_id, &outgoing.kind, txn));
        if let Some(event) = self.known_txn(key.as_ref()).await? {
            return Ok(event);
        }
        if outgoing.state_key.is_none() {
            self.check_annotation(&outgoing).await?;
        }
        let mut content = build::canonical(&outgoing.content)?;
        let mut redacts = None;
        if outgoing.kind == REDACTION && outgoing.state_key.is_none() {
            redacts = redacted_id(&outgoing, &content)?;
            if let Some(redacts) = &redacts
                && self.room.rules.redaction.content_field_redacts
            {
                content.insert("redacts".to_owned(), CanonicalJsonValue::String(redacts.to_string()));
            }
        }
        let ts = outgoing.ts.unwrap_or_else(|| self.context.clock.now());
        let mut draft = Draft::new(&outgoing.kind, outgoing.state_key.as_deref(), &outgoing.sender, content, ts)?;
        draft.redacts = redacts;
        draft.txn = outgoing.txn.map(|txn| EventTxn { device: txn.device, txn_id: txn.id });
        batch.txn = key;
        self.append(draft, batch).await
    }
}

const REDACTION: &str = "m.room.redaction";

/// What a redaction redacts: said beside the content, or in it.
fn redacted_id(outgoing: &Outgoing, content: &CanonicalJsonObject) -> Result<Option<OwnedEventId>, RoomError> {
    if outgoing.redacts.is_some() {
        return Ok(outgoing.redacts.clone());
    }
    match content.get("redacts") {
        Some(CanonicalJsonValue::String(id)) => OwnedEventId::try_from(id.as_str())
            .map(Some)
            .map_err(|_| RoomError::BadJson("redacts is no event id".into())),
        Some(_) => Err(RoomError::BadJson("redacts is no event id".into())),
        None => Ok(None),
    }
}
