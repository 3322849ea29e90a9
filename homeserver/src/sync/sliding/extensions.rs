//! What an answer has besides rooms.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use landbridge_axum_ruma::MatrixError;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, api::client::sync::sync_events::v3::Response};
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    super::{Sources, SyncRequest, build, receipts::receipt_events},
    SlidingSync,
    connection::Extended,
    request::{Extension, RoomParams},
};
use crate::{devices::TO_DEVICE_PER_SYNC, http::error::ApiError, stream::Position, users::StoredEvent};

/// What the extensions are put together from.
pub(super) struct Extensions<'a> {
    pub(super) sources: &'a Sources,
    pub(super) asked: &'a SlidingSync,
    pub(super) plain: &'a SyncRequest,
    pub(super) news: &'a build::News,
    /// The rooms that the user is in.
    pub(super) joined: &'a HashSet<OwnedRoomId>,
    pub(super) seen: Option<Position>,
    /// What was asked for before: what is asked for later begins with all that there is.
    pub(super) extended: Extended,
    /// Whom the user ignores.
    pub(super) ignored: &'a BTreeSet<OwnedUserId>,
    pub(super) until: Position,
}

type InLists = HashMap<String, HashSet<OwnedRoomId>>;

impl Extensions<'_> {
    /// Everything that is asked for, and whether there is news in it.
    pub(super) async fn build(
        &self,
        wanted: &HashMap<OwnedRoomId, RoomParams>,
        in_lists: &InLists,
        is_new: impl Fn(&RoomId) -> bool,
    ) -> Result<(Map<String, Value>, bool), ApiError> {
        let asked = &self.asked.request.extensions;
        let mut shown = Map::new();
        let mut has_news = false;
        if asked.to_device.enabled {
            let (to_device, some) = self.to_device().await?;
            shown.insert("to_device".to_owned(), to_device);
            has_news |= some;
        }
        if asked.e2ee.enabled {
            let (e2ee, some) = self.e2ee().await?;
            shown.insert("e2ee".to_owned(), e2ee);
            has_news |= some;
        }
        let rooms = |extension: &Extension| self.rooms(extension, wanted, in_lists);
        if asked.account_data.enabled {
            let (account_data, some) = self.account_data(&rooms(&asked.account_data), &is_new).await?;
            shown.insert("account_data".to_owned(), account_data);
            has_news |= some;
        }
        if asked.receipts.enabled {
            let found = self.receipts(&rooms(&asked.receipts), &is_new).await?;
            has_news |= !found.is_empty();
            shown.insert("receipts".to_owned(), json!({ "rooms": found }));
        }
        if asked.typing.enabled {
            let found = self.typing(&rooms(&asked.typing));
            has_news |= !found.is_empty();
            shown.insert("typing".to_owned(), json!({ "rooms": found }));
        }
        Ok((shown, has_news))
    }

    /// The rooms that an extension is about: those of some lists and some subscriptions, of all unless it says which.
    fn rooms<'a>(
        &self,
        extension: &Extension,
        wanted: &'a HashMap<OwnedRoomId, RoomParams>,
        in_lists: &InLists,
    ) -> Vec<&'a OwnedRoomId> {
        let subscribed = &self.asked.request.room_subscriptions;
        let by_list = |room_id: &OwnedRoomId| {
            in_lists.iter().any(|(name, rooms)| {
                rooms.contains(room_id)
                    && extension.lists.as_ref().is_none_or(|lists| lists.iter().any(|list| list == "*" || list == name))
            })
        };
        let by_room = |room_id: &OwnedRoomId| {
            subscribed.contains_key(room_id)
                && extension.rooms.as_ref().is_none_or(|rooms| rooms.iter().any(|room| room == "*" || room == room_id))
        };
        wanted
            .keys()
            .filter(|room_id| self.joined.contains(*room_id) && (by_list(room_id) || by_room(room_id)))
            .collect()
    }

    async fn to_device(&self) -> Result<(Value, bool), ApiError> {
        let asked = &self.asked.request.extensions.to_device;
        let since: i64 = match asked.since.as_deref().filter(|since| !since.is_empty()) {
            None => 0,
            Some(since) => since.parse().map_err(|_| MatrixError::invalid_param("to_device.since is no token"))?,
        };
        let (user, device) = (&self.asked.user_id, &self.asked.device_id);
        let limit = asked.limit.unwrap_or(TO_DEVICE_PER_SYNC).clamp(1, TO_DEVICE_PER_SYNC);
        let source = &self.sources.to_device;
        let mut waiting = source.between(user, device, 0, self.until.0).await?;
        if waiting.first().is_some_and(|(position, _)| *position <= since) {
            source.seen(user, device, since).await?;
            waiting = source.between(user, device, since, self.until.0).await?;
        }
        let full = waiting.len() >= TO_DEVICE_PER_SYNC;
        // Messages of one request share a place and stay together.
        if let Some((cut, _)) =
            waiting.get(limit).filter(|(cut, _)| waiting.first().is_some_and(|(first, _)| first < cut))
        {
            let cut = *cut;
            waiting.retain(|(position, _)| *position < cut);
        }
        let next = match waiting.last() {
            Some((last, _)) if full || waiting.len() >= limit => *last,
            _ => self.until.0,
        };
        let some = !waiting.is_empty();
        let events: Vec<Box<RawValue>> =
            waiting.into_iter().filter_map(|(_, body)| RawValue::from_string(body).ok()).collect();
        Ok((json!({ "next_batch": next.to_string(), "events": events }), some))
    }

    async fn e2ee(&self) -> Result<(Value, bool), ApiError> {
        let mut found = Response::new(String::new());
        build::add_device_lists(self.sources, self.plain, self.joined, self.until, &mut found).await?;
        build::add_key_counts(self.sources, self.plain, &mut found).await?;
        let some = !found.device_lists.is_empty();
        let mut shown = json!({
            "device_one_time_keys_count": found.device_one_time_keys_count,
            "device_unused_fallback_key_types": found.device_unused_fallback_key_types,
        });
        if some {
            shown["device_lists"] = json!(found.device_lists);
        }
        Ok((shown, some))
    }

    async fn account_data(
        &self,
        rooms: &[&OwnedRoomId],
        is_new: &impl Fn(&RoomId) -> bool,
    ) -> Result<(Value, bool), ApiError> {
        let user = &self.asked.user_id;
        let begins = !self.extended.account_data;
        // The news of a connection that begins are all that there is.
        let all = if self.seen.is_some() && (begins || rooms.iter().any(|room_id| is_new(room_id))) {
            self.sources.account_data.between(user, 0, self.until.0).await?
        } else {
            Vec::new()
        };
        let whole = |room_id: &str| shown(all.iter().filter(|event| event.room_id == room_id));
        let news = |room_id: &str| shown(self.news.account_data.get(room_id).into_iter().flatten());
        let of =
            |room_id: &str, begins: bool| if begins && self.seen.is_some() { whole(room_id) } else { news(room_id) };
        let mut global = of("", begins);
        if begins && !global.iter().any(|event| event["type"] == "m.push_rules") {
            let rules = self.sources.account_data.push_rules(user).await?;
            global.push(json!({ "type": "m.push_rules", "content": { "global": *rules } }));
        }
        let told = rooms.iter().map(|room_id| (room_id.as_str(), of(room_id.as_str(), begins || is_new(room_id))));
        let of_rooms: BTreeMap<&str, Vec<Value>> = told.filter(|(_, events)| !events.is_empty()).collect();
        let some = !global.is_empty() || !of_rooms.is_empty();
        Ok((json!({ "global": global, "rooms": of_rooms }), some))
    }

    async fn receipts(
        &self,
        rooms: &[&OwnedRoomId],
        is_new: &impl Fn(&RoomId) -> bool,
    ) -> Result<BTreeMap<OwnedRoomId, Value>, ApiError> {
        let mut found = BTreeMap::new();
        for room_id in rooms {
            let mut receipts = if is_new(room_id) || !self.extended.receipts {
                self.sources.receipts.of_room(room_id, self.until.0).await?
            } else {
                self.news.receipts.get(*room_id).cloned().unwrap_or_default()
            };
            receipts.retain(|receipt| !receipt.is_private() || receipt.user_id() == self.asked.user_id.as_str());
            // There is one event for each room: of threads that share an event, the last is told.
            let mut content = Map::new();
            for event in receipt_events(&receipts) {
                merge(&mut content, &event["content"]);
            }
            if !content.is_empty() {
                found.insert((*room_id).clone(), json!({ "type": "m.receipt", "content": content }));
            }
        }
        Ok(found)
    }

    fn typing(&self, rooms: &[&OwnedRoomId]) -> BTreeMap<OwnedRoomId, Value> {
        let all: HashMap<OwnedRoomId, Vec<OwnedUserId>>;
        let begins = !self.extended.typing;
        let typing = if begins && self.seen.is_some() {
            all = build::typing(self.sources, self.ignored, Position::START, self.until);
            &all
        } else {
            &self.news.typing
        };
        let known = rooms.iter().filter_map(|room_id| Some((*room_id, typing.get(*room_id)?)));
        let told = known.filter(|(_, users)| !begins || !users.is_empty());
        let event = |users| json!({ "type": "m.typing", "content": { "user_ids": users } });
        told.map(|(room_id, users)| (room_id.clone(), event(users))).collect()
    }
}

/// Adds objects into objects.
fn merge(into: &mut Map<String, Value>, from: &Value) {
    for (key, value) in from.as_object().into_iter().flatten() {
        match into.get_mut(key) {
            Some(Value::Object(inner)) if value.is_object() => merge(inner, value),
            _ => drop(into.insert(key.clone(), value.clone())),
        }
    }
}

fn shown<'a>(stored: impl Iterator<Item = &'a StoredEvent>) -> Vec<Value> {
    let event = |event: &StoredEvent| {
        let content: Value = serde_json::from_str(&event.content).ok()?;
        Some(json!({ "type": event.kind, "content": content }))
    };
    stored.filter_map(event).collect()
}
