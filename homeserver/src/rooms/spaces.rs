//! What those outside are told of rooms, and walking spaces: <https://spec.matrix.org/v1.19/client-server-api/#spaces>.

use std::{collections::HashSet, sync::Arc};

use ruma::{OwnedRoomId, RoomId, UserId, events::StateEventType};
use serde_json::{Map, Value, json};

use super::{Event, Membership, RoomError, Rooms, directory::text_field};

/// How many rooms of a space are walked through at most.
const MAX_ROOMS: usize = 10_000;

/// How deep a space is walked where nobody says how deep.
const MAX_DEPTH: u64 = 100;

/// How a space is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walk {
    /// Only rooms whose space suggests them.
    pub suggested_only: bool,
    /// Rooms deeper than this are left out; the space itself is at depth 0.
    pub max_depth: Option<u64>,
}

/// A child of a space, as the space tells of it.
struct Child {
    room_id: OwnedRoomId,
    order: Option<String>,
    ts: u64,
    stripped: Value,
}

impl Rooms {
    /// Whether a user may be told of a room: it is in it or invited, or could come in, or the room is readable for all.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn may_know_of(&self, room_id: &RoomId, user: Option<&UserId>) -> Result<bool, RoomError> {
        let Some(room) = self.context.store.room(room_id).await? else { return Ok(false) };
        if self.is_world_readable(&room).await? {
            return Ok(true);
        }
        let rules = self.state_event(room_id, &StateEventType::RoomJoinRules, "").await?;
        let rules: Value = rules.and_then(|rules| serde_json::from_str(rules.content.get()).ok()).unwrap_or_default();
        let rule = rules["join_rule"].as_str().unwrap_or("invite");
        if matches!(rule, "public" | "knock" | "knock_restricted") {
            return Ok(true);
        }
        let Some(user) = user else { return Ok(false) };
        if let Some(known) = self.membership(room_id, user).await?
            && matches!(known.membership, Membership::Join | Membership::Invite)
        {
            return Ok(true);
        }
        if rule == "restricted" {
            for other in allowed_rooms(&rules) {
                let known = self.membership(&other, user).await?;
                if known.is_some_and(|known| known.membership == Membership::Join) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// What is told of a room (<https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1room_summaryroomidoralias>).
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room.
    pub async fn summary(&self, room_id: &RoomId) -> Result<Map<String, Value>, RoomError> {
        let known = self.known_room(room_id).await?;
        let (joined, _) = self.member_counts(room_id).await?;
        let room = self.public_room(room_id, joined).await?;
        let mut summary = Map::new();
        let mut set = |field: &str, value: Value| drop(summary.insert(field.to_owned(), value));
        set("room_id", json!(room.room_id));
        set("num_joined_members", json!(room.joined_members));
        set("world_readable", json!(room.world_readable));
        set("guest_can_join", json!(room.guest_can_join));
        set("join_rule", json!(room.join_rule));
        set("room_version", json!(known.version));
        for (field, value) in [
            ("name", room.name),
            ("topic", room.topic),
            ("avatar_url", room.avatar_url),
            ("room_type", room.room_type),
            ("canonical_alias", room.canonical_alias.map(|alias| alias.to_string())),
        ] {
            if let Some(value) = value {
                set(field, value.into());
            }
        }
        let encryption = self.state_event(room_id, &StateEventType::RoomEncryption, "").await?;
        if let Some(algorithm) = encryption.and_then(|event| text_field(&event, "algorithm")) {
            set("encryption", algorithm.into());
        }
        if matches!(room.join_rule.as_str(), "restricted" | "knock_restricted") {
            let rules = self.state_event(room_id, &StateEventType::RoomJoinRules, "").await?;
            let rules: Value =
                rules.and_then(|rules| serde_json::from_str(rules.content.get()).ok()).unwrap_or_default();
            set("allowed_room_ids", json!(allowed_rooms(&rules)));
        }
        Ok(summary)
    }

    /// Walks a space, depth first: `limit` rooms after the first `skip`, and whether there are more.
    ///
    /// # Errors
    /// [`RoomError::Forbidden`] where the user may not know of the space, also where there is none.
    pub async fn hierarchy(
        &self,
        space: &RoomId,
        user: &UserId,
        walk: Walk,
        skip: usize,
        limit: usize,
    ) -> Result<(Vec<Value>, bool), RoomError> {
        if !self.may_know_of(space, Some(user)).await? {
            return Err(RoomError::Forbidden("You may not see this room".into()));
        }
        let deepest = walk.max_depth.unwrap_or(MAX_DEPTH).min(MAX_DEPTH);
        let mut seen: HashSet<OwnedRoomId> = HashSet::new();
        let mut stack = vec![(space.to_owned(), 0)];
        let (mut passed, mut found) = (0, Vec::new());
        while let Some((room_id, depth)) = stack.pop() {
            if seen.len() >= MAX_ROOMS || !seen.insert(room_id.clone()) {
                continue;
            }
            if !self.may_know_of(&room_id, Some(user)).await? {
                continue;
            }
            if found.len() == limit {
                return Ok((found, true));
            }
            let children = self.children_of_space(&room_id, walk.suggested_only).await?;
            if passed >= skip {
                let mut shown = self.summary(&room_id).await?;
                let children = children.iter().map(|child| child.stripped.clone()).collect::<Vec<_>>();
                shown.insert("children_state".to_owned(), children.into());
                found.push(shown.into());
            }
            passed += 1;
            if depth < deepest {
                stack.extend(children.into_iter().rev().map(|child| (child.room_id, depth + 1)));
            }
        }
        Ok((found, false))
    }

    /// The children of a space in their order; none of a room that is no space.
    async fn children_of_space(&self, room_id: &RoomId, suggested_only: bool) -> Result<Vec<Child>, RoomError> {
        let room = self.known_room(room_id).await?;
        let create = self.state_event(room_id, &StateEventType::RoomCreate, "").await?;
        if create.and_then(|create| text_field(&create, "type")).as_deref() != Some("m.space") {
            return Ok(Vec::new());
        }
        let state = self.state_at(room.root()).await?;
        let mut children: Vec<Child> = state.iter().filter_map(child).collect();
        if suggested_only {
            children.retain(|child| child.stripped["content"]["suggested"] == true);
        }
        // Those with an order come first, then the older ones
        // (https://spec.matrix.org/v1.19/client-server-api/#ordering-of-children-within-a-space).
        children.sort_by(|a, b| {
            let key = |child: &Child| (child.order.is_none(), child.order.clone(), child.ts, child.room_id.clone());
            key(a).cmp(&key(b))
        });
        Ok(children)
    }
}

fn child(event: &Arc<Event>) -> Option<Child> {
    if event.kind.to_string() != "m.space.child" || event.redacted_by().is_some() {
        return None;
    }
    let content: Value = serde_json::from_str(event.content.get()).ok()?;
    // Without a server to join by, the room is no child any more.
    content.get("via")?.as_array().filter(|via| via.iter().any(Value::is_string))?;
    let order = content
        .get("order")
        .and_then(Value::as_str)
        .filter(|order| order.len() <= 50 && order.bytes().all(|byte| (0x20..=0x7e).contains(&byte)));
    Some(Child {
        room_id: event.state_key.as_deref()?.try_into().ok()?,
        order: order.map(str::to_owned),
        ts: u64::from(event.origin_server_ts.0),
        stripped: json!({
            "type": "m.space.child",
            "state_key": event.state_key,
            "sender": event.sender,
            "origin_server_ts": event.origin_server_ts,
            "content": content,
        }),
    })
}

/// The rooms whose members a join rule lets in.
fn allowed_rooms(rules: &Value) -> Vec<OwnedRoomId> {
    let allow = rules["allow"].as_array().cloned().unwrap_or_default();
    allow
        .iter()
        .filter(|allowed| allowed["type"] == "m.room_membership")
        .filter_map(|allowed| allowed["room_id"].as_str()?.try_into().ok())
        .collect()
}
