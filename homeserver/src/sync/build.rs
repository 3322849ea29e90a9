//! Puts a whole sync together.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use ruma::{
    OneTimeKeyAlgorithm, OwnedRoomId, OwnedUserId, RoomId, UInt, UserId,
    api::client::sync::sync_events::v3::{InvitedRoom, JoinedRoom, KnockedRoom, LeftRoom, Response},
    events::StateEventType,
    serde::Raw,
};
use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};

use super::{
    LOOKED_AT, Sources, SyncRequest, SyncToken, device_changes,
    filter::{EventFilter, admits, admits_room},
    receipts::{Receipt, receipt_events},
    room::{self, Frame, Span},
};
use crate::{
    http::error::ApiError,
    rooms::{Membership, Onlooker, RoomMembership, RoomNid},
    stream::Position,
    users::StoredEvent,
};

/// A sync, and whether there is news in it.
pub(super) struct Built {
    pub(super) response: Response,
    pub(super) until: Position,
    /// Where the next sync begins.
    pub(super) token: SyncToken,
    pub(super) is_empty: bool,
    /// The rooms that the user is in.
    pub(super) joined: Box<[RoomNid]>,
}

/// What happened outside timelines.
pub(super) struct News {
    /// The rooms with events, `None` if there were too many to tell.
    pub(super) rooms: Option<HashSet<OwnedRoomId>>,
    pub(super) receipts: HashMap<OwnedRoomId, Vec<Receipt>>,
    pub(super) typing: HashMap<OwnedRoomId, Vec<OwnedUserId>>,
    pub(super) account_data: HashMap<String, Vec<StoredEvent>>,
}

pub(super) async fn build(sources: &Sources, request: &SyncRequest) -> Result<Built, ApiError> {
    let ignored = sources.account_data.ignored(&request.user_id).await?;
    let onlooker = Onlooker { user: &request.user_id, ignored: &ignored };
    let frame = Frame { sources, request, onlooker };
    let (until, memberships) = standing(sources, &request.user_id).await?;
    let seen = request.since.map(|since| since.position);
    let news = news(frame, &memberships, seen, until).await?;
    let mut response = Response::new(String::new());
    for membership in &*memberships {
        if !membership.forgotten && admits_room(&request.filter, &membership.room_id) {
            let added = add_room(frame, &news, membership, until, &mut response).await;
            // It may have been deleted while it was looked at: then the next sync tells that it was left.
            if added.is_err() && sources.rooms.version(&membership.room_id).await?.is_some() {
                added?;
            }
        }
    }
    add_account_data(sources, request, &news, &mut response).await?;
    add_presence(sources, request, &memberships, until, &mut response).await?;
    let is_joined = |member: &&RoomMembership| member.membership == Membership::Join;
    let joined = memberships.iter().filter(is_joined).map(|member| member.room_id.clone()).collect();
    add_device_lists(sources, request, &joined, until, &mut response).await?;
    let token = add_to_device(sources, request, until, &mut response).await?;
    response.next_batch = token.to_string();
    let is_empty = response.rooms.is_empty()
        && response.presence.is_empty()
        && response.account_data.is_empty()
        && response.to_device.is_empty()
        && response.device_lists.is_empty();
    add_key_counts(sources, request, &mut response).await?;
    let joined = memberships.iter().filter(is_joined).map(|member| member.room).collect();
    Ok(Built { response, until, token, is_empty, joined })
}

/// The answer without news.
pub(super) async fn nothing(
    sources: &Sources,
    request: &SyncRequest,
    token: SyncToken,
) -> Result<Box<Response>, ApiError> {
    let mut response = Box::new(Response::new(token.to_string()));
    add_key_counts(sources, request, &mut response).await?;
    Ok(response)
}

/// The end of the log, and how the user stands to rooms at that end or before it.
pub(super) async fn standing(
    sources: &Sources,
    user_id: &UserId,
) -> Result<(Position, Arc<[RoomMembership]>), ApiError> {
    let mut until = sources.stream.position();
    loop {
        let memberships = sources.rooms.memberships_of(user_id).await?;
        match memberships.iter().map(|membership| membership.position).max() {
            // Something was committed in between: look at the log as far as that.
            Some(newest) if newest > until => until = sources.stream.wait_past(Position(newest.0 - 1)).await,
            _ => return Ok((until, memberships)),
        }
    }
}

/// Who is typing in the rooms in which that changed, but for those who are ignored.
pub(super) fn typing(
    sources: &Sources,
    ignored: &BTreeSet<OwnedUserId>,
    after: Position,
    until: Position,
) -> HashMap<OwnedRoomId, Vec<OwnedUserId>> {
    let mut typing: HashMap<_, Vec<OwnedUserId>> = sources.typing.changes(after.0, until.0).into_iter().collect();
    typing.values_mut().for_each(|user_ids| user_ids.retain(|user_id| !ignored.contains(user_id)));
    typing
}

pub(super) async fn news(
    Frame { sources, request, onlooker }: Frame<'_>,
    memberships: &[RoomMembership],
    seen: Option<Position>,
    until: Position,
) -> Result<News, ApiError> {
    let after = seen.unwrap_or(Position::START);
    let typing = typing(sources, onlooker.ignored, after, until);
    let mut news = News { rooms: None, receipts: HashMap::new(), typing, account_data: HashMap::new() };
    for event in sources.account_data.between(&request.user_id, after.0, until.0).await? {
        news.account_data.entry(event.room_id.clone()).or_default().push(event);
    }
    if seen.is_none() {
        return Ok(news);
    }
    let joined: Vec<&RoomMembership> =
        memberships.iter().filter(|member| member.membership == Membership::Join).collect();
    let rooms: Vec<&RoomId> = joined.iter().map(|member| &*member.room_id).collect();
    for receipt in sources.receipts.of_rooms(&rooms, after.0, until.0).await? {
        if receipt.is_private() && receipt.user_id() != request.user_id.as_str() {
            continue;
        }
        if let Ok(room_id) = OwnedRoomId::try_from(receipt.room_id()) {
            news.receipts.entry(room_id).or_default().push(receipt);
        }
    }
    let events = sources.stream.read(after, until, LOOKED_AT).await?;
    if events.len() < LOOKED_AT {
        news.rooms = Some(events.iter().map(|event| event.room_id.clone()).collect());
    }
    Ok(news)
}

impl News {
    /// Whether a user has read something in a room.
    pub(super) fn has_read(&self, room_id: &RoomId, user: &UserId) -> bool {
        self.receipts.get(room_id).is_some_and(|receipts| receipts.iter().any(|own| own.user_id() == user.as_str()))
    }
}

async fn add_room(
    frame: Frame<'_>,
    news: &News,
    membership: &RoomMembership,
    until: Position,
    response: &mut Response,
) -> Result<(), ApiError> {
    let Frame { sources, request, onlooker } = frame;
    let room_id = &membership.room_id;
    let seen = request.since.map(|since| since.position);
    let is_new = seen.is_none_or(|seen| membership.position > seen);
    match membership.membership {
        Membership::Join => {
            let was_there = match seen {
                Some(seen) if is_new => was_joined(sources, room_id, &request.user_id, seen).await?,
                Some(_) => true,
                None => false,
            };
            let span = Span { seen: seen.filter(|_| was_there), until };
            add_joined(frame, news, room_id, span, response).await
        }
        // Nobody hears of invitations by those they ignore, or of any if they want none.
        Membership::Invite if is_new && !onlooker.ignored.contains(&membership.sender) => {
            if sources.account_data.takes_no_invitations(&request.user_id).await? {
                return Ok(());
            }
            let mut invited = InvitedRoom::new();
            invited.invite_state.events = stripped(sources, room_id, &request.user_id).await?;
            response.rooms.invite.insert(room_id.clone(), invited);
            Ok(())
        }
        Membership::Knock if is_new => {
            let mut knocked = KnockedRoom::default();
            knocked.knock_state.events = stripped(sources, room_id, &request.user_id).await?;
            response.rooms.knock.insert(room_id.clone(), knocked);
            Ok(())
        }
        Membership::Leave | Membership::Ban if is_new || (request.full_state && request.filter.room.include_leave) => {
            if seen.is_none() && !request.filter.room.include_leave {
                return Ok(());
            }
            if sources.rooms.version(room_id).await?.is_none() {
                // It was deleted: there is nothing to be told but that one is not in it.
                if seen.is_some() && is_new {
                    response.rooms.leave.insert(room_id.clone(), LeftRoom::new());
                }
                return Ok(());
            }
            let out = sources.rooms.left_at(room_id, &request.user_id).await?;
            let left = match out.filter(|out| seen.is_none_or(|seen| *out > seen)) {
                Some(out) => {
                    let was_there = match seen {
                        Some(seen) => was_joined(sources, room_id, &request.user_id, seen).await?,
                        None => false,
                    };
                    let span = Span { seen: seen.filter(|_| was_there), until: out };
                    room::left(frame, room_id, span, membership.position > out).await?
                }
                // Who was not in the room learns nothing of it but that it is over.
                None => room::over(frame, room_id).await?,
            };
            response.rooms.leave.insert(room_id.clone(), left);
            Ok(())
        }
        Membership::Invite | Membership::Knock | Membership::Leave | Membership::Ban => Ok(()),
    }
}

/// Whether the user was in the room at a place in the log.
async fn was_joined(sources: &Sources, room_id: &RoomId, user_id: &UserId, at: Position) -> Result<bool, ApiError> {
    let root = sources.rooms.root_at(room_id, at).await?;
    let member = sources.rooms.state_event_at(room_id, root, &StateEventType::RoomMember, user_id.as_str()).await?;
    Ok(member.is_some_and(|member| member.membership() == Some(Membership::Join)))
}

pub(super) async fn stripped<T>(
    sources: &Sources,
    room_id: &RoomId,
    user_id: &UserId,
) -> Result<Vec<Raw<T>>, ApiError> {
    Ok(sources.rooms.stripped_state(room_id, user_id).await?.into_iter().map(Raw::from_json).collect())
}

async fn add_joined(
    frame: Frame<'_>,
    news: &News,
    room_id: &OwnedRoomId,
    span: Span,
    response: &mut Response,
) -> Result<(), ApiError> {
    let Frame { sources, request, .. } = frame;
    let has_events =
        span.seen.is_none() || request.full_state || news.rooms.as_ref().is_none_or(|rooms| rooms.contains(room_id));
    let mut joined = if has_events { room::joined(frame, room_id, span).await? } else { JoinedRoom::new() };
    let all;
    let stored = if span.seen.is_none() && request.since.is_some() {
        // What was stored for the room while the user was not in it was not told.
        let stored = sources.account_data.between(&request.user_id, 0, span.until.0).await?;
        all = stored.into_iter().filter(|event| event.room_id == room_id.as_str()).collect();
        Some(&all)
    } else {
        news.account_data.get(room_id.as_str())
    };
    let filter = EventFilter::new(&request.filter.room.account_data);
    joined.account_data.events =
        raw_events(stored.filter(|_| filter.admits_room(room_id)), |kind| filter.admits_type(kind))?;
    joined.ephemeral.events = ephemeral(sources, request, news, room_id, span).await?;
    let receipts = news.receipts.get(room_id);
    let has_read =
        receipts.is_some_and(|receipts| receipts.iter().any(|own| own.user_id() == request.user_id.as_str()));
    if !joined.is_empty() || has_read {
        room::count_unread(frame, room_id, span.until, &mut joined).await?;
        response.rooms.join.insert(room_id.clone(), joined);
    }
    Ok(())
}

async fn ephemeral<T>(
    sources: &Sources,
    request: &SyncRequest,
    news: &News,
    room_id: &RoomId,
    span: Span,
) -> Result<Vec<Raw<T>>, ApiError> {
    let filter = EventFilter::new(&request.filter.room.ephemeral);
    let mut events = Vec::new();
    if !filter.admits_room(room_id) {
        return Ok(events);
    }
    if let Some(user_ids) = news.typing.get(room_id)
        && filter.admits_type("m.typing")
        && (span.seen.is_some() || !user_ids.is_empty())
    {
        events.push(raw(&json!({ "type": "m.typing", "content": { "user_ids": user_ids } }))?);
    }
    if filter.admits_type("m.receipt") {
        let mut receipts: Vec<Receipt> = match span.seen {
            None => sources.receipts.of_room(room_id, span.until.0).await?,
            Some(_) => news.receipts.get(room_id).cloned().unwrap_or_default(),
        };
        receipts.retain(|receipt| !receipt.is_private() || receipt.user_id() == request.user_id.as_str());
        receipts.retain(|receipt| filter.admits_sender(receipt.user_id()));
        for event in receipt_events(&receipts) {
            events.push(raw(&event)?);
        }
    }
    Ok(events)
}

fn raw<T>(value: &serde_json::Value) -> Result<Raw<T>, ApiError> {
    let json = to_raw_value(value).map_err(|_| landbridge_axum_ruma::MatrixError::internal())?;
    Ok(Raw::from_json(json))
}

/// Stored events as clients stored them, with their types.
fn raw_events<T>(stored: Option<&Vec<StoredEvent>>, admits: impl Fn(&str) -> bool) -> Result<Vec<Raw<T>>, ApiError> {
    #[derive(serde::Serialize)]
    struct Shown<'a> {
        r#type: &'a str,
        content: &'a RawValue,
    }
    let mut events = Vec::new();
    for event in stored.into_iter().flatten().filter(|event| admits(&event.kind)) {
        let content: &RawValue = match serde_json::from_str(&event.content) {
            Ok(content) => content,
            Err(_) => continue,
        };
        let json = to_raw_value(&Shown { r#type: &event.kind, content })
            .map_err(|_| landbridge_axum_ruma::MatrixError::internal())?;
        events.push(Raw::from_json(json));
    }
    Ok(events)
}

async fn add_account_data(
    sources: &Sources,
    request: &SyncRequest,
    news: &News,
    response: &mut Response,
) -> Result<(), ApiError> {
    let filter = &request.filter.account_data;
    let admits = |kind: &str| admits(&filter.not_types, filter.types.as_deref(), kind);
    response.account_data.events = raw_events(news.account_data.get(""), admits)?;
    let first = request.since.is_none() && admits("m.push_rules");
    if first && sources.account_data.read(&request.user_id, None, "m.push_rules").await?.is_none() {
        let rules = ruma::push::Ruleset::server_default(&request.user_id);
        response.account_data.events.push(raw(&json!({ "type": "m.push_rules", "content": { "global": rules } }))?);
    }
    Ok(())
}

async fn add_presence(
    sources: &Sources,
    request: &SyncRequest,
    memberships: &[RoomMembership],
    until: Position,
    response: &mut Response,
) -> Result<(), ApiError> {
    let filter = &request.filter.presence;
    if !admits(&filter.not_types, filter.types.as_deref(), "m.presence") {
        return Ok(());
    }
    let after = request.since.map_or(Position::START, |since| since.position);
    let admits_sender = |user: &OwnedUserId| {
        !filter.not_senders.contains(user) && filter.senders.as_ref().is_none_or(|only| only.contains(user))
    };
    let mut changed = sources.presences.changes(after.0, until.0);
    if let Some(since) = request.since {
        // Who comes into a room sees who is there.
        let met = met_since(sources, request, memberships, since.position).await?;
        let known: HashSet<OwnedUserId> = changed.iter().map(|(user, _)| user.clone()).collect();
        let others = met.difference(&known).filter(|user| **user != request.user_id);
        let others = others.filter_map(|user| Some((user.clone(), sources.presences.known(user)?)));
        changed.extend(others);
    }
    changed.retain(|(user, _)| admits_sender(user));
    let sharing = sources.rooms.sharing(&request.user_id, changed.iter().map(|(user, _)| user.clone())).await?;
    for (user_id, content) in changed {
        if user_id == request.user_id || sharing.contains(&user_id) {
            let event = json!({ "type": "m.presence", "sender": user_id, "content": content });
            response.presence.events.push(raw(&event)?);
        }
    }
    Ok(())
}

/// The users in the rooms that a user has come into after a place in the log.
async fn met_since(
    sources: &Sources,
    request: &SyncRequest,
    memberships: &[RoomMembership],
    since: Position,
) -> Result<HashSet<OwnedUserId>, ApiError> {
    let mut met = HashSet::new();
    for room in memberships.iter().filter(|room| room.membership == Membership::Join && room.position > since) {
        if !was_joined(sources, &room.room_id, &request.user_id, since).await? {
            met.extend(sources.rooms.joined_users(&room.room_id).await?);
        }
    }
    Ok(met)
}

/// Users whose devices a client must look at anew, and those it can forget.
pub(super) async fn add_device_lists(
    sources: &Sources,
    request: &SyncRequest,
    joined: &HashSet<OwnedRoomId>,
    until: Position,
    response: &mut Response,
) -> Result<(), ApiError> {
    let Some(since) = request.since else { return Ok(()) };
    let places = (&sources.keys, &sources.rooms, &sources.stream);
    let changes = device_changes(places, &request.user_id, joined, since.position, until).await?;
    response.device_lists.changed = changes.changed.into_iter().collect();
    response.device_lists.left = changes.left.into_iter().collect();
    Ok(())
}

/// Messages to the device; those it has seen are forgotten.
async fn add_to_device(
    sources: &Sources,
    request: &SyncRequest,
    until: Position,
    response: &mut Response,
) -> Result<SyncToken, ApiError> {
    let Some(device_id) = &request.device_id else { return Ok(until.into()) };
    let seen = request.since.map_or(Position::START, |since| since.to_device);
    let mut waiting = sources.to_device.between(&request.user_id, device_id, 0, until.0).await?;
    if waiting.first().is_some_and(|(position, _)| *position <= seen.0) {
        sources.to_device.seen(&request.user_id, device_id, seen.0).await?;
        waiting = sources.to_device.between(&request.user_id, device_id, seen.0, until.0).await?;
    }
    let full = waiting.len() >= crate::devices::TO_DEVICE_PER_SYNC;
    let to_device = match waiting.last() {
        Some((last, _)) if full => Position(*last),
        _ => until,
    };
    for (_, body) in waiting {
        if let Ok(json) = RawValue::from_string(body) {
            response.to_device.events.push(Raw::from_json(json));
        }
    }
    Ok(SyncToken { position: until, to_device })
}

pub(super) async fn add_key_counts(
    sources: &Sources,
    request: &SyncRequest,
    response: &mut Response,
) -> Result<(), ApiError> {
    let Some(device_id) = &request.device_id else { return Ok(()) };
    let counts = sources.keys.one_time_counts(&request.user_id, device_id).await?;
    let mut shown: BTreeMap<OneTimeKeyAlgorithm, UInt> =
        counts.into_iter().map(|(algorithm, count)| (algorithm.into(), UInt::from(count))).collect();
    // Some clients only see that their keys are used up if they are told so.
    shown.entry(OneTimeKeyAlgorithm::SignedCurve25519).or_insert_with(|| UInt::from(0_u32));
    response.device_one_time_keys_count = shown;
    let fallback = sources.keys.unused_fallback(&request.user_id, device_id).await?;
    response.device_unused_fallback_key_types = Some(fallback.into_iter().map(Into::into).collect());
    Ok(())
}
