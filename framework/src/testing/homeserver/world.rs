//! What a simulated homeserver knows.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use http::StatusCode;
use serde_json::{Value, json};

use super::faults::Faults;

/// A refusal: status, `errcode`, message.
pub(super) type Refusal = (StatusCode, &'static str, String);

pub(super) fn refuse<T>(status: u16, errcode: &'static str, message: &str) -> Result<T, Refusal> {
    Err((StatusCode::from_u16(status).unwrap_or_default(), errcode, message.to_owned()))
}

pub(super) fn forbidden<T>(message: &str) -> Result<T, Refusal> {
    refuse(403, "M_FORBIDDEN", message)
}

pub(super) fn not_found<T>(message: &str) -> Result<T, Refusal> {
    refuse(404, "M_NOT_FOUND", message)
}

/// A room.
#[derive(Debug, Default)]
pub(super) struct Room {
    pub(super) timeline: Vec<Value>,
    pub(super) state: BTreeMap<(String, String), Value>,
    pub(super) typing: BTreeSet<String>,
}

impl Room {
    pub(super) fn membership(&self, user_id: &str) -> &str {
        let member = self.state.get(&("m.room.member".to_owned(), user_id.to_owned()));
        member.and_then(|event| event["content"]["membership"].as_str()).unwrap_or("leave")
    }

    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &Value)> {
        let all = self.state.iter().filter(|((kind, _), _)| kind == "m.room.member");
        all.map(|((_, user_id), event)| (user_id.as_str(), event))
    }

    fn is_public(&self) -> bool {
        let rules = self.state.get(&("m.room.join_rules".to_owned(), String::new()));
        rules.is_some_and(|event| event["content"]["join_rule"] == "public")
    }
}

/// Everything, behind one lock.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) server_name: String,
    pub(super) now: i64,
    pub(super) profiles: BTreeMap<String, Value>,
    pub(super) rooms: BTreeMap<String, Room>,
    pub(super) aliases: BTreeMap<String, String>,
    pub(super) listed: BTreeSet<String>,
    pub(super) account_data: HashMap<(String, String), Value>,
    pub(super) media: BTreeMap<String, (String, bytes::Bytes)>,
    pub(super) receipts: Vec<(String, String, String)>,
    pub(super) presence: BTreeMap<String, Value>,
    /// Path → event id. Forgotten at a restart, as Synapse does.
    pub(super) transactions: HashMap<String, String>,
    pub(super) faults: Faults,
    /// Every request as `METHOD path?query`, oldest first.
    pub(super) requests: Vec<String>,
    /// Whether the old media endpoints are the only ones.
    pub(super) legacy_media: bool,
    pub(super) appservice: Option<super::push::Link>,
    pub(super) queue: VecDeque<Value>,
    pub(super) ephemeral: VecDeque<Value>,
    /// How many transactions are on their way.
    pub(super) in_flight: usize,
    pub(super) next_id: u64,
    pub(super) next_txn: u64,
    /// Stops pushing while set.
    pub(super) paused: bool,
    /// Whether requests with a turn take effect in that order, and how many came.
    pub(super) turns: Option<usize>,
}

impl World {
    pub(super) fn fresh(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(super) fn exists(&self, user_id: &str) -> bool {
        self.profiles.contains_key(user_id)
    }

    pub(super) fn room(&self, room_id: &str) -> Result<&Room, Refusal> {
        self.rooms.get(room_id).map_or_else(|| not_found("no such room"), Ok)
    }

    /// Adds an event without asking whether it is allowed, and queues it for the appservice if that is interested.
    pub(super) fn append(
        &mut self,
        room_id: &str,
        sender: &str,
        kind: &str,
        key: Option<&str>,
        content: Value,
    ) -> String {
        let event_id = format!("$event{}", self.fresh());
        self.now += 1;
        let mut event = json!({
            "event_id": event_id, "room_id": room_id, "sender": sender, "type": kind,
            "content": content, "origin_server_ts": self.now, "unsigned": {},
        });
        if let Some(key) = key {
            event["state_key"] = key.into();
            let before = self.rooms.get(room_id).and_then(|room| room.state.get(&(kind.to_owned(), key.to_owned())));
            if let Some(before) = before {
                event["unsigned"]["prev_content"] = before["content"].clone();
            }
        }
        self.append_event(room_id, event);
        event_id
    }

    pub(super) fn append_event(&mut self, room_id: &str, event: Value) {
        let room = self.rooms.entry(room_id.to_owned()).or_default();
        if let (Some(kind), Some(key)) = (event["type"].as_str(), event["state_key"].as_str()) {
            room.state.insert((kind.to_owned(), key.to_owned()), event.clone());
        }
        room.timeline.push(event.clone());
        if self.is_interesting(room_id, &event) {
            self.queue.push_back(event);
        }
    }

    fn is_interesting(&self, room_id: &str, event: &Value) -> bool {
        let Some(appservice) = &self.appservice else { return false };
        let named = [&event["sender"], &event["state_key"]];
        let named = named.into_iter().filter_map(Value::as_str).any(|user_id| appservice.is_ours(user_id));
        let aliases = || self.aliases.iter().filter(|(_, room)| *room == room_id);
        let in_it = |room: &Room| {
            room.members().any(|(user_id, event)| {
                appservice.is_ours(user_id)
                    && matches!(event["content"]["membership"].as_str(), Some("join" | "invite"))
            })
        };
        named
            || self.rooms.get(room_id).is_some_and(in_it)
            || aliases().any(|(alias, _)| appservice.is_our_alias(alias))
    }

    pub(super) fn send(
        &mut self,
        room_id: &str,
        sender: &str,
        kind: &str,
        content: Value,
        ts: Option<i64>,
    ) -> Result<String, Refusal> {
        if self.room(room_id)?.membership(sender) != "join" {
            return forbidden(&format!("{sender} is not in {room_id}"));
        }
        let event_id = self.append(room_id, sender, kind, None, content);
        if let (Some(ts), Some(event)) = (ts, self.queue.back_mut().filter(|event| event["event_id"] == *event_id)) {
            event["origin_server_ts"] = ts.into();
        }
        if let (Some(ts), Some(room)) = (ts, self.rooms.get_mut(room_id))
            && let Some(event) = room.timeline.last_mut()
        {
            event["origin_server_ts"] = ts.into();
        }
        Ok(event_id)
    }

    pub(super) fn set_state(
        &mut self,
        room_id: &str,
        sender: &str,
        kind: &str,
        key: &str,
        content: Value,
    ) -> Result<String, Refusal> {
        let room = self.room(room_id)?;
        if room.membership(sender) != "join" {
            return forbidden(&format!("{sender} is not in {room_id}"));
        }
        // Setting what is set already is no event.
        if let Some(event) = room.state.get(&(kind.to_owned(), key.to_owned()))
            && event["content"] == content
            && event["sender"] == sender
        {
            return Ok(event["event_id"].as_str().unwrap_or_default().to_owned());
        }
        Ok(self.append(room_id, sender, kind, Some(key), content))
    }

    pub(super) fn redact(
        &mut self,
        room_id: &str,
        sender: &str,
        target: &str,
        reason: Option<&str>,
    ) -> Result<String, Refusal> {
        if self.room(room_id)?.membership(sender) != "join" {
            return forbidden(&format!("{sender} is not in {room_id}"));
        }
        let event_id = format!("$event{}", self.fresh());
        self.now += 1;
        let mut content = json!({ "redacts": target });
        if let Some(reason) = reason {
            content["reason"] = reason.into();
        }
        let event = json!({
            "event_id": event_id, "room_id": room_id, "sender": sender, "type": "m.room.redaction",
            "content": content, "redacts": target, "origin_server_ts": self.now, "unsigned": {},
        });
        if let Some(room) = self.rooms.get_mut(room_id) {
            for event in room.timeline.iter_mut().filter(|event| event["event_id"] == target) {
                event["content"] = json!({});
                event["unsigned"]["redacted_because"] = json!({ "event_id": event_id });
            }
        }
        self.append_event(room_id, event);
        Ok(event_id)
    }

    /// Makes somebody a member, invitee or leaver, as the rules allow.
    pub(super) fn set_membership(
        &mut self,
        room_id: &str,
        sender: &str,
        target: &str,
        membership: &str,
        reason: Option<&str>,
    ) -> Result<(), Refusal> {
        let room = self.room(room_id)?;
        let (was, by) = (room.membership(target).to_owned(), room.membership(sender));
        let allowed = match membership {
            "join" => sender == target && was != "ban" && (was == "join" || was == "invite" || room.is_public()),
            "invite" => by == "join" && was != "join" && was != "ban",
            "leave" if sender == target => matches!(was.as_str(), "join" | "invite" | "knock"),
            "leave" => by == "join" && was != "leave",
            _ => by == "join",
        };
        if !allowed {
            return forbidden(&format!("{sender} may not make {target} ({was}) {membership}"));
        }
        if was == membership {
            return Ok(());
        }
        let mut content = json!({ "membership": membership });
        if let Some(profile) = self.profiles.get(target) {
            for key in ["displayname", "avatar_url"] {
                if let Some(value) = profile.get(key) {
                    content[key] = value.clone();
                }
            }
        }
        if let Some(reason) = reason {
            content["reason"] = reason.into();
        }
        self.append(room_id, sender, "m.room.member", Some(target), content);
        Ok(())
    }

    /// Changes a profile, and the member events with it; an empty name is none.
    pub(super) fn set_profile(&mut self, user_id: &str, key: &str, value: Value) {
        let profile = self.profiles.entry(user_id.to_owned()).or_insert_with(|| json!({}));
        match profile.as_object_mut() {
            Some(profile) if key == "displayname" && value == "" => drop(profile.remove(key)),
            _ => profile[key] = value,
        }
        let joined: Vec<_> = self
            .rooms
            .iter()
            .filter(|(_, room)| room.membership(user_id) == "join")
            .map(|(id, _)| id.clone())
            .collect();
        for room_id in joined {
            let mut content = self.profiles.get(user_id).cloned().unwrap_or_default();
            content["membership"] = "join".into();
            self.append(&room_id, user_id, "m.room.member", Some(user_id), content);
        }
    }

    pub(super) fn create_room(&mut self, creator: &str, wanted: &Value) -> Result<String, Refusal> {
        let alias = wanted["room_alias_name"].as_str().map(|name| format!("#{name}:{}", self.server_name));
        if alias.as_ref().is_some_and(|alias| self.aliases.contains_key(alias)) {
            return refuse(400, "M_ROOM_IN_USE", "the alias is taken");
        }
        let room_id = format!("!room{}:{}", self.fresh(), self.server_name);
        self.rooms.insert(room_id.clone(), Room::default());
        let mut state =
            |kind: &str, key: &str, content: Value| self.append(&room_id, creator, kind, Some(key), content);
        let mut create = json!({ "room_version": "12" });
        for (key, value) in wanted["creation_content"].as_object().into_iter().flatten() {
            create[key] = value.clone();
        }
        state("m.room.create", "", create);
        state("m.room.member", creator, json!({ "membership": "join" }));
        let mut power = json!({ "users": { creator: 100 } });
        if let Some(users) = wanted["power_level_content_override"]["users"].as_object() {
            power["users"] = users.clone().into();
        }
        state("m.room.power_levels", "", power);
        let public = wanted["preset"] == "public_chat";
        state("m.room.join_rules", "", json!({ "join_rule": if public { "public" } else { "invite" } }));
        for event in wanted["initial_state"].as_array().into_iter().flatten() {
            let key = event["state_key"].as_str().unwrap_or_default();
            state(event["type"].as_str().unwrap_or_default(), key, event["content"].clone());
        }
        if let Some(name) = wanted["name"].as_str() {
            state("m.room.name", "", json!({ "name": name }));
        }
        if let Some(topic) = wanted["topic"].as_str() {
            state("m.room.topic", "", json!({ "topic": topic }));
        }
        for user_id in wanted["invite"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            state("m.room.member", user_id, json!({ "membership": "invite", "is_direct": wanted["is_direct"] }));
        }
        if let Some(alias) = alias {
            let is_initial = |event: &Value| event["type"] == "m.room.canonical_alias";
            if !wanted["initial_state"].as_array().is_some_and(|initial| initial.iter().any(is_initial)) {
                state("m.room.canonical_alias", "", json!({ "alias": alias }));
            }
            self.aliases.insert(alias, room_id.clone());
        }
        if wanted["visibility"] == "public" {
            self.listed.insert(room_id.clone());
        }
        Ok(room_id)
    }
}
