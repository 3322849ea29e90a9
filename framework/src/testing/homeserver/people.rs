//! Matrix users and rooms, as a test plays and sees them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Shared, until};

/// A Matrix user, played by the test.
#[derive(Clone)]
pub struct SimUser {
    shared: Arc<Shared>,
    /// Their id.
    pub id: String,
}

impl std::fmt::Debug for SimUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.id)
    }
}

/// What a test does wrong, it is told at once.
#[expect(clippy::panic, reason = "this is how a test fails")]
fn allowed<T>(result: Result<T, super::world::Refusal>) -> T {
    match result {
        Ok(value) => value,
        Err((status, errcode, message)) => panic!("the homeserver refuses: {status} {errcode} {message}"),
    }
}

impl SimUser {
    pub(super) fn new(shared: Arc<Shared>, localpart: &str) -> Self {
        let id = {
            let mut world = shared.world.lock();
            let id = if localpart.starts_with('@') {
                localpart.to_owned()
            } else {
                format!("@{localpart}:{}", world.server_name)
            };
            let name = id.trim_start_matches('@').split(':').next().unwrap_or_default().to_owned();
            world.profiles.entry(id.clone()).or_insert_with(|| json!({ "displayname": name }));
            id
        };
        Self { shared, id }
    }

    fn act<T>(&self, act: impl FnOnce(&mut super::world::World) -> Result<T, super::world::Refusal>) -> T {
        let done = allowed(act(&mut self.shared.world.lock()));
        self.shared.changed();
        done
    }

    /// Makes a room that anybody may join.
    pub fn makes_room(&self, name: &str) -> SimRoom {
        let wanted = json!({ "name": name, "preset": "public_chat" });
        let id = self.act(|world| world.create_room(&self.id, &wanted));
        SimRoom::new(Arc::clone(&self.shared), id)
    }

    /// Makes a room for whom it is invited to, and invites them.
    pub async fn invites_to_chat(&self, user_id: &str) -> SimRoom {
        self.shared.query_user(user_id).await;
        let wanted = json!({ "preset": "trusted_private_chat", "is_direct": true, "invite": [user_id] });
        let id = self.act(|world| world.create_room(&self.id, &wanted));
        SimRoom::new(Arc::clone(&self.shared), id)
    }

    /// Joins a room by its alias (asking the application service for it, as homeservers do) or by its id. `None` when there is none.
    pub async fn joins(&self, room: &str) -> Option<SimRoom> {
        let known = self.shared.world.lock().aliases.contains_key(room);
        if room.starts_with('#') && !known {
            self.shared.query_alias(room).await;
        }
        let room_id =
            if room.starts_with('#') { self.shared.world.lock().aliases.get(room).cloned()? } else { room.to_owned() };
        self.act(|world| world.set_membership(&room_id, &self.id, &self.id, "join", None));
        Some(SimRoom::new(Arc::clone(&self.shared), room_id))
    }

    /// Says something; returns the event's id.
    pub fn says(&self, room: &SimRoom, text: &str) -> String {
        self.sends(room, "m.room.message", json!({ "msgtype": "m.text", "body": text }))
    }

    /// Sends any event.
    pub fn sends(&self, room: &SimRoom, kind: &str, content: Value) -> String {
        self.act(|world| world.send(&room.id, &self.id, kind, content, None))
    }

    /// Answers a message.
    pub fn replies(&self, room: &SimRoom, to: &str, text: &str) -> String {
        let relation = json!({ "m.in_reply_to": { "event_id": to } });
        self.sends(room, "m.room.message", json!({ "msgtype": "m.text", "body": text, "m.relates_to": relation }))
    }

    /// Changes what they said.
    pub fn edits(&self, room: &SimRoom, target: &str, text: &str) -> String {
        let content = json!({
            "msgtype": "m.text",
            "body": format!("* {text}"),
            "m.new_content": { "msgtype": "m.text", "body": text },
            "m.relates_to": { "rel_type": "m.replace", "event_id": target },
        });
        self.sends(room, "m.room.message", content)
    }

    /// Reacts.
    pub fn reacts(&self, room: &SimRoom, target: &str, key: &str) -> String {
        let relation = json!({ "rel_type": "m.annotation", "event_id": target, "key": key });
        self.sends(room, "m.reaction", json!({ "m.relates_to": relation }))
    }

    /// Takes something back.
    pub fn redacts(&self, room: &SimRoom, target: &str, reason: Option<&str>) -> String {
        self.act(|world| world.redact(&room.id, &self.id, target, reason))
    }

    /// Sets state.
    pub fn sets(&self, room: &SimRoom, kind: &str, content: Value) -> String {
        self.act(|world| world.set_state(&room.id, &self.id, kind, "", content))
    }

    /// Upgrades a room: makes another, which anybody may join or only who is invited, and says in the old one where it goes on.
    pub fn upgrades(&self, room: &SimRoom, public: bool) -> SimRoom {
        let wanted = json!({
            "preset": if public { "public_chat" } else { "private_chat" },
            "creation_content": { "predecessor": { "room_id": room.id } },
        });
        let id = self.act(|world| world.create_room(&self.id, &wanted));
        self.sets(room, "m.room.tombstone", json!({ "body": "It goes on elsewhere", "replacement_room": id }));
        SimRoom::new(Arc::clone(&self.shared), id)
    }

    /// Invites somebody, asking the application service first when they are its to make.
    pub async fn invites(&self, room: &SimRoom, user_id: &str) {
        self.shared.query_user(user_id).await;
        self.act(|world| world.set_membership(&room.id, &self.id, user_id, "invite", None));
    }

    /// Leaves.
    pub fn leaves(&self, room: &SimRoom) {
        self.act(|world| world.set_membership(&room.id, &self.id, &self.id, "leave", None));
    }

    /// Puts somebody out.
    pub fn kicks(&self, room: &SimRoom, user_id: &str, reason: Option<&str>) {
        self.act(|world| world.set_membership(&room.id, &self.id, user_id, "leave", reason));
    }

    /// Puts somebody out for good.
    pub fn bans(&self, room: &SimRoom, user_id: &str, reason: Option<&str>) {
        self.act(|world| world.set_membership(&room.id, &self.id, user_id, "ban", reason));
    }

    /// Goes by another name.
    pub fn is_called(&self, name: &str) {
        self.act(|world| {
            world.set_profile(&self.id, "displayname", name.into());
            Ok(())
        });
    }
}

/// A room, as a test sees it.
#[derive(Clone)]
pub struct SimRoom {
    shared: Arc<Shared>,
    /// Its id.
    pub id: String,
}

impl std::fmt::Debug for SimRoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.id)
    }
}

impl SimRoom {
    pub(super) fn new(shared: Arc<Shared>, id: String) -> Self {
        Self { shared, id }
    }

    /// All its events, oldest first.
    pub fn timeline(&self) -> Vec<Value> {
        self.shared.world.lock().rooms.get(&self.id).map_or_else(Vec::new, |room| room.timeline.clone())
    }

    /// Who said what (`m.room.message` and nothing else), oldest first. Edits are listed as what they say now.
    pub fn messages(&self) -> Vec<(String, String)> {
        let timeline = self.timeline();
        let messages = timeline.iter().filter(|event| event["type"] == "m.room.message");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        messages.map(|event| (text(&event["sender"]), text(&event["content"]["body"]))).collect()
    }

    /// The content of a state event.
    pub fn state(&self, kind: &str, key: &str) -> Option<Value> {
        let world = self.shared.world.lock();
        let event = world.rooms.get(&self.id)?.state.get(&(kind.to_owned(), key.to_owned()))?;
        Some(event["content"].clone())
    }

    /// `join`, `invite`, `leave` or `ban`; `leave` for strangers.
    pub fn membership(&self, user_id: &str) -> String {
        let world = self.shared.world.lock();
        world.rooms.get(&self.id).map_or("leave", |room| room.membership(user_id)).to_owned()
    }

    /// Who is in it.
    pub fn members(&self) -> Vec<String> {
        let world = self.shared.world.lock();
        let Some(room) = world.rooms.get(&self.id) else { return Vec::new() };
        let joined = room.members().filter(|(_, event)| event["content"]["membership"] == "join");
        joined.map(|(user_id, _)| user_id.to_owned()).collect()
    }

    /// Who types.
    pub fn typing(&self) -> Vec<String> {
        let world = self.shared.world.lock();
        world.rooms.get(&self.id).map_or_else(Vec::new, |room| room.typing.iter().cloned().collect())
    }

    /// Up to where somebody has read: the event they said so of last.
    pub fn read_by(&self, user_id: &str) -> Option<String> {
        let world = self.shared.world.lock();
        let mut receipts = world.receipts.iter().rev();
        receipts.find(|(room, user, _)| *room == self.id && user == user_id).map(|(.., event)| event.clone())
    }

    /// Whether the directory lists it.
    pub fn is_listed(&self) -> bool {
        self.shared.world.lock().listed.contains(&self.id)
    }

    /// Waits until this sender has said this, and returns the event.
    pub async fn hears(&self, sender: &str, text: &str) -> Value {
        self.sees(&format!("{sender}: {text}"), |event| {
            event["type"] == "m.room.message" && event["sender"] == sender && event["content"]["body"] == text
        })
        .await
    }

    /// Waits until an event fits, and returns it.
    pub async fn sees(&self, what: &str, mut fits: impl FnMut(&Value) -> bool) -> Value {
        until(what, &mut self.shared.changes.subscribe(), || {
            let timeline = self.timeline();
            timeline.iter().find(|event| fits(event)).cloned().ok_or(timeline)
        })
        .await
    }

    /// Waits until somebody is this in the room.
    pub async fn has(&self, user_id: &str, membership: &str) {
        until(&format!("{user_id} to be {membership}"), &mut self.shared.changes.subscribe(), || {
            let is = self.membership(user_id);
            if is == membership { Ok(()) } else { Err(is) }
        })
        .await;
    }

    /// Waits until somebody types, or does so no longer.
    pub async fn has_typing(&self, user_id: &str, typing: bool) {
        until(&format!("{user_id} to type: {typing}"), &mut self.shared.changes.subscribe(), || {
            let now = self.typing();
            if now.iter().any(|who| who == user_id) == typing { Ok(()) } else { Err(now) }
        })
        .await;
    }

    /// Waits until somebody has read up to an event.
    pub async fn has_read(&self, user_id: &str, event_id: &str) {
        until(&format!("{user_id} to read {event_id}"), &mut self.shared.changes.subscribe(), || {
            let now = self.read_by(user_id);
            if now.as_deref() == Some(event_id) { Ok(()) } else { Err(now) }
        })
        .await;
    }

    /// Waits until there are this many messages, and returns them.
    pub async fn has_messages(&self, count: usize) -> Vec<(String, String)> {
        until(&format!("{count} messages"), &mut self.shared.changes.subscribe(), || {
            let messages = self.messages();
            if messages.len() >= count { Ok(messages) } else { Err(messages) }
        })
        .await
    }
}
