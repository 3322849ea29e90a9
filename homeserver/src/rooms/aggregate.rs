//! What others made of an event, told with it: its last edit, its thread, what refers to it
//! (<https://spec.matrix.org/v1.19/client-server-api/#aggregations-of-child-events>). Reactions are not told this way.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use ruma::{OwnedUserId, UserId, events::TimelineEventType};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{ClientEventOptions, Event, EventNid, RoomError, Rooms, client_event::Context};
use crate::store::{
    RoomInfo,
    relations::{ChildrenOf, RelationCount},
};

/// How many edits of one event, and how many of the last events of a thread, are looked through.
const LOOKED_AT: i64 = 100;

/// Who reads.
#[derive(Debug, Clone, Copy)]
pub struct Onlooker<'a> {
    /// The reader.
    pub user: &'a UserId,
    /// Whom it ignores.
    pub ignored: &'a BTreeSet<OwnedUserId>,
}

#[derive(Default, Serialize)]
struct Relations {
    #[serde(rename = "m.thread", skip_serializing_if = "Option::is_none")]
    thread: Option<Thread>,
    #[serde(rename = "m.replace", skip_serializing_if = "Option::is_none")]
    replace: Option<Box<RawValue>>,
    #[serde(rename = "m.reference", skip_serializing_if = "Option::is_none")]
    reference: Option<References>,
}

#[derive(Serialize)]
struct Thread {
    latest_event: Box<RawValue>,
    count: i64,
    current_user_participated: bool,
}

#[derive(Serialize)]
struct References {
    chunk: Vec<Reference>,
}

#[derive(Serialize)]
struct Reference {
    event_id: ruma::OwnedEventId,
}

impl Rooms {
    /// Shows events to a client as [`Rooms::client_events`] does, with what others made of them that the reader may see.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn aggregated_events(
        &self,
        events: &[Arc<Event>],
        options: ClientEventOptions<'_>,
        onlooker: Onlooker<'_>,
    ) -> Result<Vec<Box<RawValue>>, RoomError> {
        let counts = self.context.store.relation_counts(events.iter().map(|event| &**event)).await?;
        let mut found: HashMap<EventNid, Box<RawValue>> = HashMap::new();
        for event in events {
            let of_event: Vec<&RelationCount> =
                counts.iter().filter(|count| count.target == event.event_id && count.count > 0).collect();
            if of_event.is_empty() {
                continue;
            }
            if let Some(room) = self.context.store.room_by_nid(event.room).await?
                && let Some(relations) = self.relations_of(&room, event, &of_event, options, onlooker).await?
            {
                found.insert(event.nid, raw(&relations)?);
            }
        }
        let memberships = self.stood(events, onlooker.user).await?;
        self.client_events_with(events, options, &Context { relations: found, memberships }).await
    }

    async fn relations_of(
        &self,
        room: &RoomInfo,
        event: &Arc<Event>,
        counts: &[&RelationCount],
        options: ClientEventOptions<'_>,
        onlooker: Onlooker<'_>,
    ) -> Result<Option<Relations>, RoomError> {
        let has = |rel_type: &str| counts.iter().any(|count| count.rel_type == rel_type);
        let mut relations = Relations::default();
        if has("m.reference") {
            relations.reference = self.references(room, event, onlooker).await?;
        }
        if has("m.replace") {
            relations.replace = self.replacement(room, event, options, onlooker).await?;
        }
        if has("m.thread") && event.relation().is_none() {
            relations.thread = self.thread(room, event, options, onlooker).await?;
        }
        let Relations { thread, replace, reference } = &relations;
        let none = thread.is_none() && replace.is_none() && reference.is_none();
        Ok((!none).then_some(relations))
    }

    async fn references(
        &self,
        room: &RoomInfo,
        event: &Event,
        onlooker: Onlooker<'_>,
    ) -> Result<Option<References>, RoomError> {
        let found = self.children(room, &event.event_id, &of_type("m.reference"), false).await?;
        let found = self.shown_to(&room.room_id, onlooker, found).await?;
        let chunk: Vec<_> = found.iter().map(|event| Reference { event_id: event.event_id.clone() }).collect();
        Ok((!chunk.is_empty()).then_some(References { chunk }))
    }

    /// The newest valid edit (<https://spec.matrix.org/v1.19/client-server-api/#validity-of-replacement-events>).
    async fn replacement(
        &self,
        room: &RoomInfo,
        event: &Event,
        options: ClientEventOptions<'_>,
        onlooker: Onlooker<'_>,
    ) -> Result<Option<Box<RawValue>>, RoomError> {
        let is_edit = event.relation().is_some_and(|relation| relation.rel_type == "m.replace");
        if event.redacted_by().is_some() || event.is_state() || is_edit {
            return Ok(None);
        }
        let mut found = self.children(room, &event.event_id, &of_type("m.replace"), true).await?;
        found.retain(|edit| {
            edit.sender == event.sender
                && edit.kind == event.kind
                && !edit.is_state()
                && (edit.kind == TimelineEventType::RoomEncrypted || edit.content.get().contains("\"m.new_content\""))
        });
        let found = self.shown_to(&room.room_id, onlooker, found).await?;
        let newest =
            found.into_iter().max_by(|a, b| (a.origin_server_ts, &a.event_id).cmp(&(b.origin_server_ts, &b.event_id)));
        let Some(newest) = newest else { return Ok(None) };
        Ok(self.client_events(&[newest], options).await?.pop())
    }

    async fn thread(
        &self,
        room: &RoomInfo,
        root: &Event,
        options: ClientEventOptions<'_>,
        onlooker: Onlooker<'_>,
    ) -> Result<Option<Thread>, RoomError> {
        let senders = self.context.store.thread_senders(room.nid, &root.event_id).await?;
        let count =
            senders.iter().filter(|(sender, _)| !onlooker.ignored.contains(sender)).map(|(_, count)| count).sum();
        let participated = root.sender == onlooker.user || senders.iter().any(|(sender, _)| sender == onlooker.user);
        let found = self.children(room, &root.event_id, &of_type("m.thread"), true).await?;
        let Some(latest) = self.shown_to(&room.room_id, onlooker, found).await?.into_iter().next() else {
            return Ok(None);
        };
        let mut context = Context::default();
        if let Some(replace) = self.replacement(room, &latest, options, onlooker).await? {
            context.relations.insert(latest.nid, raw(&Relations { replace: Some(replace), ..Relations::default() })?);
        }
        let Some(latest_event) = self.client_events_with(&[latest], options, &context).await?.pop() else {
            return Ok(None);
        };
        Ok(Some(Thread { latest_event, count, current_user_participated: participated }))
    }
}

fn of_type(rel_type: &str) -> ChildrenOf<'_> {
    let (after, up_to) = (i64::MIN, i64::MAX);
    ChildrenOf { rel_type: Some(rel_type), kind: None, after, up_to, depth: 1, limit: LOOKED_AT }
}

fn raw(relations: &Relations) -> Result<Box<RawValue>, RoomError> {
    to_raw_value(relations).map_err(|error| RoomError::Internal(error.to_string()))
}
