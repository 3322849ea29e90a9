//! One room of an answer.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use ruma::{
    UserId,
    events::{StateEventType, TimelineEventType},
};
use serde_json::{Map, Value, json};

use super::{
    super::{Sources, build, summary},
    SlidingSync,
    connection::RoomSent,
    lists::direct_rooms,
    recency::{Last, state_text},
    request::RoomParams,
};
use crate::{
    http::error::ApiError,
    rooms::{ClientEventFormat, ClientEventOptions, Event, Membership, Onlooker, RoomMembership, Root},
    stream::Position,
};

/// What a room of an answer is put together from.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) sources: &'a Sources,
    pub(super) asked: &'a SlidingSync,
    pub(super) onlooker: Onlooker<'a>,
    pub(super) known: &'a RoomMembership,
    pub(super) params: &'a RoomParams,
    pub(super) seen: Option<Position>,
    pub(super) until: Position,
}

/// What is new of a room, and what is told of it then; `None` where nothing is new.
pub(super) async fn shown(
    frame: Frame<'_>,
    before: Option<&RoomSent>,
    last: Last,
    read: bool,
) -> Result<Option<(Value, RoomSent)>, ApiError> {
    let widened = before.is_some_and(|before| frame.is_wider_than(&before.params));
    let is_news = before.is_none_or(|before| last.any > before.until.0 || frame.known.position > before.until);
    if !is_news && !widened && !read {
        return Ok(None);
    }
    // To those outside little was told: who comes in learns everything, as of a room that is new.
    let is_outside = matches!(frame.known.membership, Membership::Invite | Membership::Knock);
    let until = before.map(|before| before.until);
    let before = before.filter(|before| before.inside || is_outside);
    let mut params = before.map(|before| before.params.clone()).unwrap_or_default();
    params.widen(frame.params);
    let members = before.map(|before| before.members.clone()).unwrap_or_default();
    let inside = frame.known.membership == Membership::Join;
    let mut told = RoomSent { until: frame.until, inside, params, members };
    let mut room = Map::new();
    room.insert("bump_stamp".to_owned(), last.bump.into());
    room.insert("membership".to_owned(), frame.known.membership.as_str().into());
    match frame.known.membership {
        Membership::Invite | Membership::Knock => frame.add_stripped(before.is_none(), &mut room).await?,
        Membership::Join => frame.add_timeline_and_state(before, frame.until, &mut told, &mut room).await?,
        Membership::Leave | Membership::Ban => {
            let out = frame.sources.rooms.left_at(&frame.known.room_id, frame.onlooker.user).await?;
            // Who was not in the room, or left it before, learns only that it is over.
            match out.filter(|out| until.is_none_or(|until| *out > until)) {
                Some(out) => frame.add_timeline_and_state(before, out, &mut told, &mut room).await?,
                None => frame.add_end(&mut room).await?,
            }
        }
    }
    Ok(Some((room.into(), told)))
}

/// What is told of a room that an operator deleted: that the user is not in it. Of what was said there nothing is left.
pub(super) fn gone(known: &RoomMembership, until: Position) -> (Value, RoomSent) {
    let room = json!({
        "bump_stamp": known.position.0,
        "membership": Membership::Leave.as_str(),
        "initial": true,
        "required_state": [],
        "timeline": [],
        "limited": false,
    });
    (room, RoomSent { until, inside: false, params: RoomParams::default(), members: HashSet::new() })
}

impl Frame<'_> {
    fn is_wider_than(&self, before: &RoomParams) -> bool {
        self.params.timeline_limit > before.timeline_limit
            || self.params.required_state.iter().any(|pair| !before.required_state.contains(pair))
    }

    async fn add_stripped(&self, initial: bool, room: &mut Map<String, Value>) -> Result<(), ApiError> {
        let room_id = &self.known.room_id;
        let state: Vec<ruma::serde::Raw<Value>> = build::stripped(self.sources, room_id, self.onlooker.user).await?;
        room.insert("invite_state".to_owned(), json!(state));
        if initial {
            room.insert("initial".to_owned(), true.into());
        }
        self.add_names(room).await?;
        Ok(())
    }

    /// The member event that ended what there was.
    async fn add_end(&self, room: &mut Map<String, Value>) -> Result<(), ApiError> {
        let (rooms, user) = (&self.sources.rooms, self.onlooker.user);
        let member = rooms.state_event(&self.known.room_id, &StateEventType::RoomMember, user.as_str()).await?;
        let events: Vec<Arc<Event>> = member.into_iter().collect();
        room.insert("timeline".to_owned(), json!(rooms.client_events(&events, self.options()).await?));
        room.insert("limited".to_owned(), false.into());
        Ok(())
    }

    async fn add_timeline_and_state(
        &self,
        before: Option<&RoomSent>,
        until: Position,
        told: &mut RoomSent,
        room: &mut Map<String, Value>,
    ) -> Result<(), ApiError> {
        let room_id = &self.known.room_id;
        let rooms = &self.sources.rooms;
        let expanded = before.is_some_and(|before| self.params.timeline_limit > before.params.timeline_limit);
        let after = before.filter(|_| !expanded).map_or(Position::START, |before| before.until);
        let limit = usize::try_from(self.params.timeline_limit).unwrap_or(usize::MAX);
        let slice = rooms.timeline_since_history(room_id, after, until, limit).await?;
        let timeline = rooms.shown_to(room_id, self.onlooker, slice.events).await?;
        if !timeline.is_empty() || slice.limited {
            let shown = rooms.aggregated_events(&timeline, self.options(), self.onlooker).await?;
            room.insert("timeline".to_owned(), json!(shown));
            room.insert("prev_batch".to_owned(), slice.prev_batch.to_string().into());
            room.insert("limited".to_owned(), slice.limited.into());
            let live = self.seen.map_or(0, |seen| timeline.iter().filter(|event| event.position() > seen).count());
            room.insert("num_live".to_owned(), live.into());
        }
        if expanded {
            room.insert("unstable_expanded_timeline".to_owned(), true.into());
        }
        let root = rooms.root_at(room_id, until).await?;
        let changes = match before {
            Some(before) => Some(rooms.state_changes(rooms.root_at(room_id, before.until).await?, root).await?),
            None => None,
        };
        let state = self.required(before, root, changes.as_deref(), &timeline, told).await?;
        if !state.is_empty() {
            let shown = rooms.client_events(&state, self.options()).await?;
            room.insert("required_state".to_owned(), json!(shown));
        }
        if before.is_none() {
            room.insert("initial".to_owned(), true.into());
        }
        if changes.as_deref().is_none_or(|changes| changes.iter().any(|event| is_naming(event))) {
            self.add_names(room).await?;
            let (joined, invited) = rooms.member_counts(room_id).await?;
            room.insert("joined_count".to_owned(), joined.into());
            room.insert("invited_count".to_owned(), invited.into());
        }
        if self.known.membership == Membership::Join {
            let counts = self.sources.unread.of_room(self.onlooker.user, room_id, self.until).await?.total();
            room.insert("notification_count".to_owned(), counts.notifications.into());
            room.insert("highlight_count".to_owned(), counts.highlights.into());
        }
        Ok(())
    }

    /// What a room is called, and by whose names where it has none of its own.
    async fn add_names(&self, room: &mut Map<String, Value>) -> Result<(), ApiError> {
        let (rooms, room_id) = (&self.sources.rooms, &self.known.room_id);
        let name = state_text(rooms, room_id, StateEventType::RoomName, "name").await?;
        let alias = state_text(rooms, room_id, StateEventType::RoomCanonicalAlias, "alias").await?;
        match name.filter(|name| !name.is_empty()).or(alias) {
            Some(name) => drop(room.insert("name".to_owned(), name.into())),
            None => {
                let summary = summary::summary(self.sources, room_id, self.onlooker.user).await?;
                let mut heroes = Vec::new();
                for hero in summary.shown.heroes {
                    let member = rooms.state_event(room_id, &StateEventType::RoomMember, hero.as_str()).await?;
                    let content: Value =
                        member.and_then(|member| serde_json::from_str(member.content.get()).ok()).unwrap_or_default();
                    let mut shown = json!({ "user_id": hero });
                    for (field, from) in [("name", "displayname"), ("avatar_url", "avatar_url")] {
                        if let Some(value) = content[from].as_str() {
                            shown[field] = value.into();
                        }
                    }
                    heroes.push(shown);
                }
                room.insert("heroes".to_owned(), heroes.into());
            }
        }
        if let Some(avatar) = state_text(rooms, room_id, StateEventType::RoomAvatar, "url").await? {
            room.insert("avatar".to_owned(), avatar.into());
        }
        if direct_rooms(self.sources, self.onlooker.user).await?.contains(room_id.as_str()) {
            room.insert("is_dm".to_owned(), true.into());
        }
        Ok(())
    }

    /// The state that the client wants and does not have.
    async fn required(
        &self,
        before: Option<&RoomSent>,
        root: Root,
        changes: Option<&[Arc<Event>]>,
        timeline: &[Arc<Event>],
        told: &mut RoomSent,
    ) -> Result<Vec<Arc<Event>>, ApiError> {
        let user = self.onlooker.user;
        let known = before.map(|before| before.params.required_state.as_slice()).unwrap_or_default();
        let mut found: Vec<Arc<Event>> = Vec::new();
        // What changed of that which was told before.
        found.extend(
            changes.unwrap_or_default().iter().filter(|event| wants(&self.params.required_state, event, user)).cloned(),
        );
        // All of what is asked for now for the first time.
        let new: Vec<(String, String)> =
            self.params.required_state.iter().filter(|pair| !known.contains(pair)).cloned().collect();
        let rooms = &self.sources.rooms;
        if new.iter().any(|(kind, key)| kind == "*" || key == "*") {
            let all = rooms.state_at(root).await?;
            found.extend(all.into_iter().filter(|event| wants(&new, event, user)));
        } else {
            for (kind, key) in new.iter().filter(|(_, key)| key != "$LAZY") {
                let key = if key == "$ME" { user.as_str() } else { key.as_str() };
                let kind = StateEventType::from(kind.as_str());
                found.extend(rooms.state_event_at(&self.known.room_id, root, &kind, key).await?);
            }
        }
        if self.params.required_state.iter().any(|(kind, key)| kind == "m.room.member" && key == "$LAZY") {
            let mut speakers: BTreeSet<&str> = timeline.iter().map(|event| event.sender.as_str()).collect();
            speakers.extend(
                timeline
                    .iter()
                    .filter(|event| event.membership().is_some())
                    .filter_map(|event| event.state_key.as_deref()),
            );
            let mut told_now = Vec::new();
            for speaker in speakers.into_iter().filter(|speaker| !told.members.contains(*speaker)) {
                let kind = StateEventType::RoomMember;
                found.extend(rooms.state_event_at(&self.known.room_id, root, &kind, speaker).await?);
                told_now.push(speaker.to_owned());
            }
            // Those who were told and changed since are told again.
            found.extend(
                changes
                    .unwrap_or_default()
                    .iter()
                    .filter(|event| event.kind == TimelineEventType::RoomMember)
                    .filter(|event| event.state_key.as_ref().is_some_and(|member| told.members.contains(member)))
                    .cloned(),
            );
            told.note_members(told_now.into_iter());
        }
        let mut nids = BTreeSet::new();
        found.retain(|event| nids.insert(event.nid));
        Ok(found)
    }

    fn options(&self) -> ClientEventOptions<'_> {
        let reader = Some((self.onlooker.user, self.asked.device_id.as_str()));
        ClientEventOptions { format: ClientEventFormat::Sync, reader }
    }
}

/// Whether one of the pairs asks for a state event. `*` as a type with a key of its own stands for every type that is not asked
/// for by name.
fn wants(pairs: &[(String, String)], event: &Event, user: &UserId) -> bool {
    let (kind, key) = (event.kind.to_string(), event.state_key.as_deref().unwrap_or_default());
    pairs.iter().any(|(wanted, wanted_key)| {
        let is_kind = wanted == "*" || *wanted == kind;
        let is_key = match wanted_key.as_str() {
            "*" => true,
            "$ME" => key == user.as_str(),
            "$LAZY" => false,
            other => other == key,
        };
        is_kind && is_key
    })
}

/// Whether a change of the state may change what a room is called.
fn is_naming(event: &Event) -> bool {
    matches!(
        event.kind,
        TimelineEventType::RoomName
            | TimelineEventType::RoomCanonicalAlias
            | TimelineEventType::RoomAvatar
            | TimelineEventType::RoomMember
    )
}
