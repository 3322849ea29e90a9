//! Batch sending: bridges fill rooms up with what was said elsewhere before, as mautrix does it where a server says
//! `com.beeper.batch_sending`. Not of the specification; see `docs/adr/0010-history.md`.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, FromRequest as _, FromRequestParts as _, Request, State},
    routing::post,
};
use landbridge_axum_ruma::{JsonBody, MatrixError};
use ruma::{EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UInt, UserId};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{ephemeral, extensions, profile::member_profile};
use crate::{
    appservice::{Appservice, Names},
    http::{
        ApiConfig, ApiState,
        auth::{Auth, Caller},
        error::ApiResult,
        path::PathArgs,
    },
    kill,
    push::Unread,
    rooms::{Backfill, BackfillEvent, BackfillPlace, MemberProfile, Membership, RoomNid, Rooms},
    search::Search,
    stream::Position,
    sync::Receipts,
    users::Users,
};

/// The most events of one batch.
const MAX_EVENTS: usize = 1000;
/// The longest body, in bytes.
const MAX_BODY: usize = 16 * 1024 * 1024;
/// The longest name of an event, in bytes.
const MAX_NAME: usize = 255;

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let path = "/_matrix/client/unstable/com.beeper.backfill/rooms/{room_id}/batch_send";
    router.route(path, post(batch_send).layer(DefaultBodyLimit::max(MAX_BODY)))
}

/// A batch, as bridges send it.
#[derive(Deserialize)]
struct Body {
    events: Vec<Given>,
    #[serde(default)]
    forward: bool,
    #[serde(default)]
    forward_if_no_messages: bool,
    #[serde(default)]
    send_notification: bool,
    mark_read_by: Option<OwnedUserId>,
}

/// An event of it.
#[derive(Deserialize)]
struct Given {
    sender: OwnedUserId,
    #[serde(rename = "type")]
    kind: String,
    content: Box<RawValue>,
    origin_server_ts: Option<UInt>,
    event_id: Option<String>,
    room_id: Option<OwnedRoomId>,
    state_key: Option<Value>,
    redacts: Option<Value>,
}

/// `POST /_matrix/client/unstable/com.beeper.backfill/rooms/{roomId}/batch_send`
async fn batch_send(State(state): State<ApiState>, request: Request) -> ApiResult<Json<Value>> {
    let parts = &state.parts;
    if !parts.config.bridge_extensions {
        return Err(MatrixError::unknown_endpoint().into());
    }
    let (mut head, body) = request.into_parts();
    let caller = Caller::from_request_parts(&mut head, &state).await?;
    let (PathArgs(room_id), request) =
        (PathArgs::<OwnedRoomId>::from_request_parts(&mut head, &state).await?, Request::from_parts(head, body));
    let Some(service) = caller.appservice.clone().filter(|_| extensions::allowed(&parts.config, &caller)) else {
        return Err(MatrixError::forbidden("Only application services can do this").into());
    };
    let JsonBody(body) = JsonBody::<Body>::from_request(request, &state).await?;
    let sending = Sending {
        config: &parts.config,
        auth: &parts.auth,
        rooms: &parts.rooms,
        users: &parts.users,
        names: &parts.names,
        receipts: &parts.receipts,
        unread: &parts.unread,
        search: &parts.search,
    };
    parts.limits.take_event(&caller)?;
    sending.send(&caller, &service, room_id, body).await
}

/// What sending a batch stands on.
struct Sending<'a> {
    config: &'a Arc<ApiConfig>,
    auth: &'a Auth,
    rooms: &'a Rooms,
    users: &'a Users,
    names: &'a Names,
    receipts: &'a Receipts,
    unread: &'a Unread,
    search: &'a Search,
}

impl Sending<'_> {
    async fn send(
        &self,
        caller: &Caller,
        service: &Appservice,
        room_id: OwnedRoomId,
        body: Body,
    ) -> ApiResult<Json<Value>> {
        if body.events.len() > MAX_EVENTS {
            return Err(MatrixError::too_large().into());
        }
        let standing = self.rooms.membership(&room_id, &caller.user_id).await?;
        let Some(standing) = standing.filter(|standing| standing.membership == Membership::Join) else {
            return Err(MatrixError::forbidden("You are not in the room").into());
        };
        if let Some(reader) = body.mark_read_by.as_ref().filter(|reader| !self.config.is_local(reader)) {
            return Err(MatrixError::invalid_param(format!("{reader} is not a user of this server")).into());
        }
        let place = match (body.forward, body.forward_if_no_messages) {
            (true, _) => BackfillPlace::Forward,
            (false, true) => BackfillPlace::ForwardIfNoMessages,
            (false, false) => BackfillPlace::History,
        };
        let events = body.events.into_iter().map(|given| given.read(&room_id)).collect::<ApiResult<Vec<_>>>()?;
        let profiles = self.profiles(service, &events).await?;
        let names: Vec<Option<OwnedEventId>> = events.iter().map(|event| event.name.clone()).collect();
        if names.iter().any(Option::is_some) {
            self.names.begin(service.id());
        }
        let (appservice, sender) = (service.id().to_owned(), caller.user_id.clone());
        let backfill = Backfill {
            room_id: room_id.clone(),
            appservice,
            sender,
            events,
            place,
            notify: body.send_notification,
            profiles,
        };
        let ids = self.fill(backfill, standing.room).await?;
        if let (Some(reader), Some(last)) = (&body.mark_read_by, ids.last()) {
            self.mark_read(&room_id, reader, last).await?;
        }
        let ids: Vec<_> = names.into_iter().zip(ids).map(|(name, id)| name.unwrap_or(id)).collect();
        Ok(Json(json!({ "event_ids": ids })))
    }

    /// Fills the room up, and has its history read for the search, also where nobody waits for the answer any more.
    async fn fill(&self, backfill: Backfill, room: RoomNid) -> ApiResult<Vec<OwnedEventId>> {
        let (rooms, search) = (self.rooms.clone(), self.search.clone());
        let may_be_history = backfill.place != BackfillPlace::Forward;
        let filling = tokio::spawn(async move {
            kill::pass(kill::BATCH_STARTED);
            let ids = rooms.backfill(backfill).await;
            kill::pass(kill::BATCH_COMMITTED);
            if may_be_history {
                search.history_grew(room);
            }
            ids
        });
        Ok(filling.await.map_err(|_| MatrixError::internal())??)
    }

    async fn is_joined(&self, room_id: &RoomId, user_id: &UserId) -> ApiResult<bool> {
        let known = self.rooms.membership(room_id, user_id).await?;
        Ok(known.is_some_and(|known| known.membership == Membership::Join))
    }

    /// What those are called who speak, all of whom the service may act as.
    async fn profiles(
        &self,
        service: &Appservice,
        events: &[BackfillEvent],
    ) -> ApiResult<HashMap<OwnedUserId, MemberProfile>> {
        let speakers: BTreeSet<&OwnedUserId> = events.iter().map(|event| &event.sender).collect();
        let mut profiles = HashMap::with_capacity(speakers.len());
        for speaker in speakers {
            self.auth.check_speaker(service, speaker).await?;
            profiles.insert(speaker.clone(), member_profile(self.users, speaker).await?);
        }
        Ok(profiles)
    }

    /// A member has read what went to the end of the room. Who is not in it has nothing to read.
    async fn mark_read(&self, room_id: &RoomId, reader: &UserId, last: &EventId) -> ApiResult<()> {
        let place = self.rooms.event(last).await?.map(|event| event.position());
        if place.is_none_or(|place| place <= Position::START) || !self.is_joined(room_id, reader).await? {
            return Ok(());
        }
        ephemeral::read(self.rooms, self.receipts, self.unread, reader, room_id, "m.read", "", last).await
    }
}

impl Given {
    fn read(self, room_id: &RoomId) -> ApiResult<BackfillEvent> {
        let invalid = |message: &str| Err(MatrixError::invalid_param(message).into());
        if self.state_key.is_some() || self.kind == "m.room.member" || self.kind == "m.room.create" {
            return invalid("A batch holds no state events");
        }
        if self.redacts.is_some() || self.kind == "m.room.redaction" {
            return invalid("A batch holds no redactions");
        }
        if self.kind.is_empty() || self.kind.contains('\0') {
            return invalid("An event has no type");
        }
        if self.room_id.is_some_and(|of| of != *room_id) {
            return invalid("An event is of another room");
        }
        let name = match self.event_id.filter(|name| !name.is_empty()) {
            None => None,
            Some(name) if name.len() > MAX_NAME || name.contains(['\0', '/']) => {
                return invalid("event_id is no id of an event");
            }
            Some(name) => match OwnedEventId::try_from(name) {
                Ok(name) => Some(name),
                Err(_) => return invalid("event_id is no id of an event"),
            },
        };
        let ts = self.origin_server_ts.map(MilliSecondsSinceUnixEpoch);
        Ok(BackfillEvent { sender: self.sender, kind: self.kind, content: self.content, ts, name })
    }
}
