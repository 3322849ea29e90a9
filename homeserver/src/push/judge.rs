//! What an event means to a user, by the user's push rules
//! ([spec](https://spec.matrix.org/v1.19/client-server-api/#push-rules)).

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use ruma::{
    OwnedRoomId, RoomId, UInt, UserId,
    push::{Action, PushConditionRoomCtx, Tweak},
    serde::Raw,
};
use serde_json::{Map, Value, json, value::to_raw_value};

use crate::{
    http::error::ApiError,
    rooms::{Event, PushFacts, Rooms},
    users::AccountData,
};

/// Of how many rooms facts are kept in memory; at the bound all are forgotten and read again.
const KEPT: usize = 2000;

/// Decides by push rules. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Judge {
    rooms: Rooms,
    account_data: AccountData,
    facts: Arc<Mutex<HashMap<OwnedRoomId, Arc<PushFacts>>>>,
}

/// What is to be done about an event for one user: always something to notify about.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The actions of the rule that applied.
    pub actions: Vec<Action>,
}

impl Verdict {
    /// Whether the event is to stand out.
    #[must_use]
    pub fn highlight(&self) -> bool {
        self.actions.iter().any(Action::is_highlight)
    }

    /// Whether it is to be heard.
    #[must_use]
    pub fn sound(&self) -> bool {
        self.actions.iter().any(|action| action.sound().is_some())
    }

    /// The tweaks, as push gateways get them.
    #[must_use]
    pub fn tweaks(&self) -> Map<String, Value> {
        let tweak = |action: &Action| match action {
            Action::SetTweak(tweak) => Some((tweak.set_tweak().to_owned(), value(tweak))),
            _ => None,
        };
        self.actions.iter().filter_map(tweak).collect()
    }
}

/// A tweak without a value is true.
fn value(tweak: &Tweak) -> Value {
    tweak.value().and_then(|value| serde_json::from_str(value.get()).ok()).unwrap_or(Value::Bool(true))
}

impl Judge {
    pub(crate) fn new(rooms: Rooms, account_data: AccountData) -> Self {
        Self { rooms, account_data, facts: Arc::default() }
    }

    /// What an event means to a user; `None` where it is nothing to notify about. Visibility is not looked at.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn verdict(&self, user: &UserId, event: &Event) -> Result<Option<Verdict>, ApiError> {
        if event.sender == user || event.flags.quiet || event.redacted_by().is_some() {
            return Ok(None);
        }
        if self.account_data.ignored(user).await?.contains(&event.sender) {
            return Ok(None);
        }
        let rules = self.account_data.push_rules(user).await?;
        let facts = self.facts(&event.room_id).await?;
        let name = self.rooms.name_in(&event.room_id, user).await?.unwrap_or_default();
        let joined = UInt::try_from(facts.joined).unwrap_or(UInt::MAX);
        let context = PushConditionRoomCtx::new(event.room_id.clone(), joined, user.to_owned(), name)
            .with_power_levels(facts.power_levels.clone());
        let actions = rules.get_actions(&raw(event)?, &context).await;
        let notify = actions.iter().any(Action::should_notify);
        Ok(notify.then(|| Verdict { actions: actions.to_vec() }))
    }

    async fn facts(&self, room_id: &RoomId) -> Result<Arc<PushFacts>, ApiError> {
        let known = self.facts.lock().get(room_id).cloned();
        if let Some(known) = known
            && self.rooms.root(room_id).await? == Some(known.root)
        {
            return Ok(known);
        }
        let facts = Arc::new(self.rooms.push_facts(room_id).await?);
        let mut kept = self.facts.lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(room_id.to_owned(), facts.clone());
        Ok(facts)
    }
}

/// An event as rules look at it.
fn raw(event: &Event) -> Result<Raw<Value>, ApiError> {
    let mut shown = json!({
        "type": event.kind.to_string(),
        "event_id": event.event_id,
        "room_id": event.room_id,
        "sender": event.sender,
        "content": event.content,
    });
    if let Some(state_key) = &event.state_key {
        shown["state_key"] = state_key.as_str().into();
    }
    let json = to_raw_value(&shown).map_err(|_| landbridge_axum_ruma::MatrixError::internal())?;
    Ok(Raw::from_json(json))
}
