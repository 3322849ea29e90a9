//! Replacing a room by one of another version: <https://spec.matrix.org/v1.19/client-server-api/#room-upgrades>.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, RoomVersionId, UserId,
    api::client::room::create_room::v3::{self as create_room, RoomPreset},
    events::{StateEventType, TimelineEventType},
    serde::Raw,
    state_res::events::RoomCreateEvent,
};
use serde_json::{Value, json, value::RawValue};

use super::{Event, MemberProfile, Membership, MembershipChange, NewRoom, Outgoing, RoomError, Rooms, version};

/// What is carried over, besides power levels, aliases and bans.
const CARRIED: [&str; 9] = [
    "m.room.server_acl",
    "m.room.encryption",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.guest_access",
    "m.room.history_visibility",
    "m.room.join_rules",
    "m.room.canonical_alias",
];

/// An upgrade as a client asks for it.
#[derive(Debug, Clone)]
pub struct Upgrade {
    /// The room that is replaced.
    pub room_id: OwnedRoomId,
    /// Who asks.
    pub user: OwnedUserId,
    /// The version of the new room.
    pub version: RoomVersionId,
    /// Who else is a creator of the new room, where its version has such.
    pub additional_creators: Vec<OwnedUserId>,
    /// The profile of who asks.
    pub profile: MemberProfile,
}

impl Rooms {
    /// Makes a new room in place of another: its state, bans, aliases and place in the directory are carried over, the old room
    /// is closed and points to the new one. Members come over by themselves.
    ///
    /// # Errors
    /// [`RoomError::UnsupportedVersion`], [`RoomError::Forbidden`] where the user may not send `m.room.tombstone`.
    pub async fn upgrade(&self, upgrade: Upgrade) -> Result<OwnedRoomId, RoomError> {
        version::rules(&upgrade.version)?;
        let Upgrade { room_id, user, .. } = &upgrade;
        let old = self.known_room(room_id).await.map_err(|_| RoomError::Forbidden("You are not in the room".into()))?;
        if !self.may_send_state(room_id, user, "m.room.tombstone").await? {
            return Err(RoomError::Forbidden("You may not upgrade the room".into()));
        }
        let state = self.state(room_id).await?;
        let levels = content_of(&state, "m.room.power_levels");
        let request = self.replacement_of(&upgrade, &state).await?;
        let profiles = BTreeMap::from([(user.clone(), upgrade.profile.clone())]);
        let new = self.create(NewRoom { creator: user.clone(), request: &request, profiles }).await?;
        if let Some(levels) = &levels
            && !version::rules(&upgrade.version)?.authorization.explicitly_privilege_room_creators
            && !old.rules.authorization.explicitly_privilege_room_creators
        {
            // Whoever upgrades had the power to set everything up; now it is as it was.
            self.best_effort(Outgoing::state(new.clone(), user.clone(), "m.room.power_levels", "", raw(levels)?)).await;
        }
        for event in state.iter().filter(|event| event.membership() == Some(Membership::Ban)) {
            if let Some(banned) = event.state_key.as_deref().and_then(|key| UserId::parse(key).ok()) {
                let ban = MembershipChange::new(new.clone(), user.clone(), banned, Membership::Ban);
                if let Err(error) = self.change_membership(ban).await {
                    tracing::info!(%error, room.id = %new, "a ban was not carried over");
                }
            }
        }
        let to = self.known_room(&new).await?;
        self.context.store.move_aliases(old.nid, to.nid).await?;
        if self.is_published(room_id, None).await? {
            self.set_published(&new, None, true).await?;
            self.set_published(room_id, None, false).await?;
        }
        let tombstone = json!({ "body": "This room has been replaced", "replacement_room": new });
        self.send(Outgoing::state(room_id.clone(), user.clone(), "m.room.tombstone", "", raw(&tombstone)?)).await?;
        self.close(room_id, user, levels, content_of(&state, "m.room.canonical_alias").is_some()).await?;
        Ok(new)
    }

    async fn replacement_of(&self, upgrade: &Upgrade, state: &[Arc<Event>]) -> Result<create_room::Request, RoomError> {
        let rules = version::rules(&upgrade.version)?;
        let old = self.known_room(&upgrade.room_id).await?;
        let last = self.forward_extremities(&upgrade.room_id).await?.into_iter().next();
        let create = content_of(state, "m.room.create").unwrap_or_default();
        let mut content = json!({ "predecessor": { "room_id": upgrade.room_id, "event_id": last } });
        for field in ["type", "m.federate"] {
            if let Some(value) = create.get(field) {
                content[field] = value.clone();
            }
        }
        if rules.authorization.additional_room_creators && !upgrade.additional_creators.is_empty() {
            content["additional_creators"] = json!(upgrade.additional_creators);
        }
        let mut levels = content_of(state, "m.room.power_levels").unwrap_or_else(|| json!({}));
        if rules.authorization.explicitly_privilege_room_creators {
            if !old.rules.authorization.explicitly_privilege_room_creators && levels["events"].is_object() {
                // Above everybody but the creators, as in every room of this version.
                levels["events"]["m.room.tombstone"] = json!(150);
            }
            if let Some(users) = levels.get_mut("users").and_then(Value::as_object_mut) {
                users.retain(|user, _| !upgrade.additional_creators.iter().any(|creator| creator == user));
            }
        } else {
            if !levels["users"].is_object() {
                levels["users"] = json!({});
            }
            let highest = highest(&levels).max(100);
            levels["users"][upgrade.user.as_str()] = json!(highest);
            if old.rules.authorization.explicitly_privilege_room_creators {
                // Those who needed no power to do everything have the highest now.
                for creator in self.creators(&upgrade.room_id).await? {
                    levels["users"][creator.as_str()] = json!(highest);
                }
            }
        }
        let is_space = create.get("type").and_then(Value::as_str) == Some("m.space");
        let carried = |event: &&Arc<Event>| {
            let (kind, key) = (event.kind.to_string(), event.state_key.as_deref());
            (CARRIED.contains(&kind.as_str()) && key == Some(""))
                || (is_space && kind == "m.space.child" && event.content.get() != "{}")
        };
        let mut initial = Vec::new();
        for event in state.iter().filter(carried).filter(|event| event.redacted_by().is_none()) {
            let shown =
                json!({ "type": event.kind.to_string(), "state_key": event.state_key, "content": event.content });
            initial.push(Raw::from_json(raw(&shown)?));
        }
        let mut request = create_room::Request::new();
        request.room_version = Some(upgrade.version.clone());
        request.preset = Some(RoomPreset::PrivateChat);
        request.creation_content = Some(Raw::from_json(raw(&content)?));
        request.power_level_content_override = Some(Raw::from_json(raw(&levels)?));
        request.initial_state = initial;
        Ok(request)
    }

    /// Who is a creator of a room.
    async fn creators(&self, room_id: &RoomId) -> Result<HashSet<OwnedUserId>, RoomError> {
        let room = self.known_room(room_id).await?;
        let create = self.state_event(room_id, &StateEventType::RoomCreate, "").await?;
        let create = create.ok_or(RoomError::NotFound("There is no such room"))?;
        RoomCreateEvent::new(&create).creators(&room.rules.authorization).map_err(RoomError::Internal)
    }

    /// Nobody is to say anything in the old room any more, as far as the user may decide that.
    async fn close(
        &self,
        room_id: &RoomId,
        user: &UserId,
        levels: Option<Value>,
        named: bool,
    ) -> Result<(), RoomError> {
        let mut levels = levels.unwrap_or_else(|| json!({}));
        let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0);
        let least = (number(&levels["users_default"]) + 1).max(50);
        for field in ["events_default", "invite"] {
            levels[field] = json!(number(&levels[field]).max(least));
        }
        if named {
            self.best_effort(Outgoing::state(room_id, user, "m.room.canonical_alias", "", raw(&json!({}))?)).await;
        }
        self.best_effort(Outgoing::state(room_id, user, "m.room.power_levels", "", raw(&levels)?)).await;
        Ok(())
    }

    async fn best_effort(&self, outgoing: Outgoing) {
        let (room_id, kind) = (outgoing.room_id.clone(), outgoing.kind.clone());
        if let Err(error) = self.send(outgoing).await {
            tracing::info!(%error, room.id = %room_id, kind, "not all of an upgrade was done");
        }
    }

    /// The room that a room replaces, as its create event says.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn predecessor(&self, room_id: &RoomId) -> Result<Option<OwnedRoomId>, RoomError> {
        let create = self.state_event(room_id, &StateEventType::RoomCreate, "").await?;
        let content: Value =
            create.and_then(|create| serde_json::from_str(create.content.get()).ok()).unwrap_or_default();
        Ok(content["predecessor"]["room_id"].as_str().and_then(|id| id.try_into().ok()))
    }
}

/// The highest power that the levels ask for or give.
fn highest(levels: &Value) -> i64 {
    let numbers = |value: &Value| -> Vec<i64> {
        let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok());
        match value {
            Value::Object(map) => map.values().filter_map(number).collect(),
            other => number(other).into_iter().collect(),
        }
    };
    let fields = ["users", "events", "ban", "kick", "redact", "invite", "state_default", "events_default"];
    fields.iter().flat_map(|field| numbers(&levels[*field])).max().unwrap_or(0)
}

fn content_of(state: &[Arc<Event>], kind: &str) -> Option<Value> {
    let kind = TimelineEventType::from(kind);
    let event = state.iter().find(|event| event.kind == kind && event.state_key.as_deref() == Some(""))?;
    serde_json::from_str(event.content.get()).ok()
}

fn raw(value: &Value) -> Result<Box<RawValue>, RoomError> {
    serde_json::value::to_raw_value(value).map_err(|error| RoomError::Internal(error.to_string()))
}
