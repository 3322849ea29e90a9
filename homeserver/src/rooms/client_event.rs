//! The form in which clients and appservices see an event.

use std::{collections::HashMap, sync::Arc};

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, UserId,
    canonical_json::{redact_content_in_place, redact_in_place},
    room_version_rules::RedactionRules,
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Event, EventNid, Membership, RoomError, Rooms};

/// Which fields an event is shown with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientEventFormat {
    /// With `room_id`: everywhere but in `/sync`.
    Full,
    /// Without `room_id`: in `/sync`.
    Sync,
    /// As other servers get it, for those who ask `/sync` for `event_format: federation`.
    Federation,
}

/// For whom an event is shown.
#[derive(Debug, Clone, Copy)]
pub struct ClientEventOptions<'a> {
    /// Which fields.
    pub format: ClientEventFormat,
    /// The reader and its device, who gets its own transaction ids back.
    pub reader: Option<(&'a UserId, &'a str)>,
}

/// <https://spec.matrix.org/v1.19/client-server-api/#room-event-format>
#[derive(Serialize)]
struct ClientEvent<'a> {
    content: &'a RawValue,
    event_id: &'a str,
    origin_server_ts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    redacts: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_id: Option<&'a str>,
    sender: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_key: Option<&'a str>,
    #[serde(rename = "type")]
    kind: String,
    unsigned: Unsigned<'a>,
}

#[derive(Serialize)]
struct Unsigned<'a> {
    age: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    membership: Option<&'static str>,
    #[serde(rename = "m.relations", skip_serializing_if = "Option::is_none")]
    relations: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_content: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_sender: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redacted_because: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces_state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<&'a str>,
}

/// What is around events of a timeline.
#[derive(Debug, Default)]
pub(super) struct Context {
    /// What others relate to them.
    pub(super) relations: HashMap<EventNid, Box<RawValue>>,
    /// How the reader stood to the room then.
    pub(super) memberships: HashMap<EventNid, Membership>,
}

/// What is around one event.
#[derive(Clone, Copy, Default)]
struct Around<'a> {
    relations: Option<&'a RawValue>,
    membership: Option<Membership>,
}

impl Rooms {
    /// Shows events to a client: redacted where they were redacted, with `unsigned` filled in (`age`, `prev_content`,
    /// `replaces_state`, `redacted_because`, `transaction_id`).
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn client_events(
        &self,
        events: &[Arc<Event>],
        options: ClientEventOptions<'_>,
    ) -> Result<Vec<Box<RawValue>>, RoomError> {
        self.client_events_with(events, options, &Context::default()).await
    }

    /// The same, with more of what is around them.
    pub(super) async fn client_events_with(
        &self,
        events: &[Arc<Event>],
        options: ClientEventOptions<'_>,
        context: &Context,
    ) -> Result<Vec<Box<RawValue>>, RoomError> {
        let mut related = self.related(events).await?;
        let reader = options.reader.map(|(user, _)| user);
        let blanked = self.blanked(events, &related, reader).await?;
        related.retain(|nid, _| !blanked.contains(nid));
        let now = i64::from(self.context.clock.now().0);
        let mut shown = Vec::with_capacity(events.len());
        for event in events {
            let blank = blanked.contains(&event.nid);
            let rules = if event.redacted_by().is_some() || blank {
                self.context.store.room_by_nid(event.room).await?.map(|room| room.rules.redaction.clone())
            } else {
                None
            };
            shown.push(show(
                event,
                &related,
                rules.as_ref(),
                Around {
                    relations: context.relations.get(&event.nid).filter(|_| !blank).map(|json| &**json),
                    membership: context.memberships.get(&event.nid).copied(),
                },
                options,
                now,
            )?);
        }
        Ok(shown)
    }

    /// The content of an event as clients see it: without what a redaction took away.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn client_content(&self, event: &Event) -> Result<Box<RawValue>, RoomError> {
        if event.redacted_by().is_none() {
            return Ok(event.content.clone());
        }
        match self.context.store.room_by_nid(event.room).await? {
            Some(room) => redacted_content(event, &room.rules.redaction),
            None => Err(RoomError::Internal("an event without a room".into())),
        }
    }

    /// The events that others refer to: what they replaced, and what redacted them.
    async fn related(&self, events: &[Arc<Event>]) -> Result<HashMap<EventNid, Arc<Event>>, RoomError> {
        let mut nids: Vec<EventNid> =
            events.iter().flat_map(|event| [event.replaces, event.redacted_by()]).flatten().collect();
        nids.sort_unstable();
        nids.dedup();
        let found = self.context.store.events(&nids).await?;
        Ok(found.into_iter().map(|event| (event.nid, event)).collect())
    }
}

fn show(
    event: &Event,
    related: &HashMap<EventNid, Arc<Event>>,
    redaction: Option<&RedactionRules>,
    around: Around<'_>,
    options: ClientEventOptions<'_>,
    now: i64,
) -> Result<Box<RawValue>, RoomError> {
    if options.format == ClientEventFormat::Federation {
        return federated(event, redaction);
    }
    let redacted = redaction.map(|rules| redacted_content(event, rules)).transpose()?;
    let redacted_because = match event.redacted_by().and_then(|nid| related.get(&nid)) {
        Some(redaction) => Some(show(
            redaction,
            &HashMap::new(),
            None,
            Around::default(),
            ClientEventOptions { reader: None, ..options },
            now,
        )?),
        None => None,
    };
    let replaced = event.replaces.and_then(|nid| related.get(&nid)).filter(|_| redaction.is_none());
    let txn = event
        .txn
        .as_ref()
        .filter(|txn| options.reader.is_some_and(|(user, device)| event.sender == user && txn.device == device));
    let shown = ClientEvent {
        content: redacted.as_deref().unwrap_or(&event.content),
        event_id: event.event_id.as_str(),
        origin_server_ts: u64::from(event.origin_server_ts.0),
        redacts: event.redacts.as_deref().map(EventId::as_str),
        room_id: (options.format == ClientEventFormat::Full).then_some(event.room_id.as_str()),
        sender: event.sender.as_str(),
        state_key: event.state_key.as_deref(),
        kind: event.kind.to_string(),
        unsigned: Unsigned {
            relations: around.relations,
            membership: around.membership.map(Membership::as_str),
            age: now.saturating_sub(i64::from(event.origin_server_ts.0)),
            prev_content: replaced
                .filter(|replaced| replaced.redacted_by().is_none())
                .map(|replaced| &*replaced.content),
            prev_sender: replaced.map(|replaced| replaced.sender.as_str()),
            redacted_because,
            replaces_state: replaced.map(|replaced| replaced.event_id.as_str()),
            transaction_id: txn.map(|txn| txn.txn_id.as_str()),
        },
    };
    serde_json::value::to_raw_value(&shown).map_err(|error| RoomError::Internal(error.to_string()))
}

/// The event as other servers get it.
fn federated(event: &Event, redaction: Option<&RedactionRules>) -> Result<Box<RawValue>, RoomError> {
    let bad = |error: String| RoomError::Internal(error);
    let Some(rules) = redaction else {
        return RawValue::from_string(event.json.to_string()).map_err(|error| bad(error.to_string()));
    };
    let mut object: CanonicalJsonObject = serde_json::from_str(&event.json).map_err(|error| bad(error.to_string()))?;
    redact_in_place(&mut object, rules, None).map_err(|error| bad(error.to_string()))?;
    serde_json::value::to_raw_value(&object).map_err(|error| bad(error.to_string()))
}

/// What a redaction leaves of a content.
fn redacted_content(event: &Event, rules: &RedactionRules) -> Result<Box<RawValue>, RoomError> {
    let bad = |error: serde_json::Error| RoomError::Internal(error.to_string());
    let content: CanonicalJsonValue = serde_json::from_str(event.content.get()).map_err(bad)?;
    let mut content = match content {
        CanonicalJsonValue::Object(content) => content,
        _ => CanonicalJsonObject::new(),
    };
    redact_content_in_place(&mut content, rules, event.kind.to_string());
    serde_json::value::to_raw_value(&content).map_err(bad)
}
