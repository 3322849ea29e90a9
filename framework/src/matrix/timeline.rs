//! Events: sending, state, redactions, typing, receipts.

use std::time::Duration;

use landbridge_axum_ruma::Turn;
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, RoomId, TransactionId, UInt, UserId,
    api::client::{
        config::{get_global_account_data, set_global_account_data},
        message::send_message_event,
        receipt::create_receipt,
        redact::redact_event,
        room::get_room_event,
        state::{get_state_event_for_key, get_state_events, send_state_event},
        typing::create_typing_event,
    },
    events::GlobalAccountDataEventType,
    serde::Raw,
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    Assertion, Client, ClientError,
    client::{Repeat, parse},
    rooms::found,
};
use crate::clock::Millis;

/// An event to send that is no state.
#[derive(Debug, Clone)]
pub struct NewEvent<'a> {
    /// The room it is for.
    pub room: &'a RoomId,
    /// Its type, such as `m.room.message`.
    pub event_type: &'a str,
    /// What makes a repetition harmless.
    pub txn_id: &'a TransactionId,
    /// Its content.
    pub content: &'a RawValue,
    /// When it was said, in milliseconds since 1970 (`ts`); where it is left out, the homeserver takes the time.
    pub at: Option<Millis>,
    /// Its turn: it takes effect after what was given an earlier one, where [`Client::takes_turns`] says so.
    pub turn: Option<Turn>,
}

impl Client {
    /// Sends an event ([spec]). The same `txn_id` of the same user in the same room is the same event, however often it is sent.
    ///
    /// The homeserver may forget transaction ids of an application service after half an hour or at its restart (Synapse does,
    /// unless the assertion names a device), and Synapse keys them by token alone: a `txn_id` must be unique over all users.
    ///
    /// # Errors
    /// [`ClientError::TooLarge`] for an event of more than 65,536 bytes; [`ClientError::Unavailable`] also when what should have come
    /// before it failed, where it has a turn.
    ///
    /// [spec]: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidsendeventtypetxnid
    pub async fn send_event(&self, who: &Assertion, event: &NewEvent<'_>) -> Result<OwnedEventId, ClientError> {
        let content = Raw::from_json(event.content.to_owned());
        let (room, txn_id) = (event.room.to_owned(), event.txn_id.to_owned());
        let mut message = send_message_event::v3::Request::new_raw(room, txn_id, event.event_type.into(), content);
        message.timestamp = event.at.and_then(timestamp);
        let mut request = self.prepare(who, message)?;
        if let Some(turn) = &event.turn {
            request.extensions_mut().insert(turn.clone());
        }
        let response = self.call(request, Repeat::Safe).await?;
        Ok(parse::<send_message_event::v3::Response>(&response)?.event_id)
    }

    /// Sets state. Setting what is set already makes no new event on most homeservers.
    ///
    /// # Errors
    /// [`ClientError::Forbidden`] when our power does not suffice.
    pub async fn send_state(
        &self,
        who: &Assertion,
        room: &RoomId,
        event_type: &str,
        state_key: &str,
        content: &RawValue,
        ts: Option<Millis>,
    ) -> Result<OwnedEventId, ClientError> {
        let mut request = send_state_event::v3::Request::new_raw(
            room.to_owned(),
            event_type.into(),
            state_key.to_owned(),
            Raw::from_json(content.to_owned()),
        );
        request.timestamp = ts.and_then(timestamp);
        Ok(self.send(who, request, Repeat::Safe).await?.event_id)
    }

    /// The content of a state event, if there is one.
    ///
    /// # Errors
    /// [`ClientError::Forbidden`] when we are not in the room.
    pub async fn state(
        &self,
        who: &Assertion,
        room: &RoomId,
        event_type: &str,
        state_key: &str,
    ) -> Result<Option<Value>, ClientError> {
        let request =
            get_state_event_for_key::v3::Request::new(room.to_owned(), event_type.into(), state_key.to_owned());
        let content = found(self.send(who, request, Repeat::Safe).await)?;
        content.map(|response| value(&response.event_or_content)).transpose()
    }

    /// All state of a room, as events.
    ///
    /// # Errors
    /// [`ClientError::Forbidden`] when we are not in the room.
    pub async fn all_state(&self, who: &Assertion, room: &RoomId) -> Result<Vec<Value>, ClientError> {
        let request = get_state_events::v3::Request::new(room.to_owned());
        let events = self.send(who, request, Repeat::Safe).await?.room_state;
        events.iter().map(|event| value(event.json())).collect()
    }

    /// An event of this room, if there is such. An event of another room counts as none, whatever the homeserver says.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn event(
        &self,
        who: &Assertion,
        room: &RoomId,
        event_id: &EventId,
    ) -> Result<Option<Value>, ClientError> {
        let request = get_room_event::v3::Request::new(room.to_owned(), event_id.to_owned());
        let Some(response) = found(self.send(who, request, Repeat::Safe).await)? else { return Ok(None) };
        let event = value(response.event.json())?;
        let same = event.get("room_id").is_none_or(|id| id == room.as_str())
            && event.get("event_id").is_none_or(|id| id == event_id.as_str());
        Ok(same.then_some(event))
    }

    /// Redacts an event; idempotent by `txn_id` as [`Client::send_event`].
    ///
    /// # Errors
    /// [`ClientError::Forbidden`] when our power does not suffice.
    pub async fn redact(
        &self,
        who: &Assertion,
        room: &RoomId,
        event_id: &EventId,
        txn_id: &TransactionId,
        reason: Option<&str>,
    ) -> Result<OwnedEventId, ClientError> {
        let mut request = redact_event::v3::Request::new(room.to_owned(), event_id.to_owned(), txn_id.to_owned());
        request.reason = reason.map(str::to_owned);
        Ok(self.send(who, request, Repeat::Safe).await?.event_id)
    }

    /// Says that a virtual user types for this long, or that they stopped.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn typing(&self, user_id: &UserId, room: &RoomId, timeout: Option<Duration>) -> Result<(), ClientError> {
        use create_typing_event::v3::{Request, Typing, TypingInfo};
        let state = timeout.map_or(Typing::No, |timeout| Typing::Yes(TypingInfo::new(timeout)));
        let request = Request::new(user_id.to_owned(), room.to_owned(), state);
        self.send(&Assertion::user(user_id), request, Repeat::Safe).await.map(drop)
    }

    /// Says that somebody has read up to an event.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn read_receipt(&self, who: &Assertion, room: &RoomId, event_id: &EventId) -> Result<(), ClientError> {
        use create_receipt::v3::{ReceiptType, Request};
        let request = Request::new(room.to_owned(), ReceiptType::Read, event_id.to_owned());
        self.send(who, request, Repeat::Safe).await.map(drop)
    }

    /// Account data of one of our users, if set.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn account_data(&self, user_id: &UserId, event_type: &str) -> Result<Option<Value>, ClientError> {
        let event_type: GlobalAccountDataEventType = event_type.into();
        let request = get_global_account_data::v3::Request::new(user_id.to_owned(), event_type);
        let data = found(self.send(&Assertion::user(user_id), request, Repeat::Safe).await)?;
        data.map(|response| value(response.account_data.json())).transpose()
    }

    /// Sets account data of one of our users.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn set_account_data(
        &self,
        user_id: &UserId,
        event_type: &str,
        data: &RawValue,
    ) -> Result<(), ClientError> {
        let event_type: GlobalAccountDataEventType = event_type.into();
        let request = set_global_account_data::v3::Request::new_raw(
            user_id.to_owned(),
            event_type,
            Raw::from_json(data.to_owned()),
        );
        self.send(&Assertion::user(user_id), request, Repeat::Safe).await.map(drop)
    }
}

fn timestamp(at: Millis) -> Option<MilliSecondsSinceUnixEpoch> {
    UInt::try_from(at.0).ok().map(MilliSecondsSinceUnixEpoch)
}

fn value(json: &RawValue) -> Result<Value, ClientError> {
    Value::deserialize(json).map_err(|_| ClientError::Unavailable("the homeserver's answer cannot be read".to_owned()))
}
