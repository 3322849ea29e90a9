//! Making a room: <https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3createroom>.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomAliasId, RoomId, UserId,
    api::client::room::{Visibility, create_room, create_room::v3::RoomPreset},
    room_version_rules::RoomVersionRules,
    serde::Raw,
};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{
    DEFAULT_ROOM_VERSION, MemberProfile, RoomError, Rooms,
    build::{self, Draft},
    core::{Batch, Core},
    version,
};
use crate::store::{CurrentState, RoomInfo, StoreError};

/// A room as a client or appservice asks for it.
#[derive(Debug)]
pub struct NewRoom<'a> {
    /// Who makes it.
    pub creator: OwnedUserId,
    /// The request.
    pub request: &'a create_room::v3::Request,
    /// The profiles of the creator and of those invited, as far as they are known.
    pub profiles: BTreeMap<OwnedUserId, MemberProfile>,
}

/// One event of a new room, in the order the spec gives.
struct FirstEvent {
    kind: String,
    state_key: String,
    content: CanonicalJsonObject,
}

#[derive(Deserialize)]
struct InitialState<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    state_key: String,
    #[serde(borrow)]
    content: &'a RawValue,
}

impl Rooms {
    /// Makes a room: all its first events, its alias and its place in the directory, in one commit.
    ///
    /// In room versions whose creators have infinite power, creators that `power_level_content_override` names are left out of
    /// the power levels: they could not stand there, and many a bridge names itself.
    ///
    /// # Errors
    /// [`RoomError::UnsupportedVersion`], [`RoomError::AliasTaken`], [`RoomError::InvalidState`] where an event that was asked
    /// for is refused, [`RoomError::BadJson`].
    pub async fn create(&self, room: NewRoom<'_>) -> Result<OwnedRoomId, RoomError> {
        let version = room.request.room_version.clone().unwrap_or(DEFAULT_ROOM_VERSION);
        let rules = version::rules(&version)?;
        let alias = self.new_alias(room.request).await?;
        let first = first_events(&room, &rules, version.as_str(), alias.as_deref())?;
        let store = &self.context.store;
        let info = RoomInfo::new(
            store.next_room_nid(),
            // Where the id follows from the create event, this one is replaced below.
            RoomId::new_v1(self.server_name()),
            version,
            rules,
            CurrentState::default(),
        );
        let mut core = Core::new(self.context.clone(), Arc::new(info));
        let mut batch = Batch::default();
        batch.creates = true;
        let now = self.context.unique_now();
        for event in first {
            let draft = Draft::new(&event.kind, Some(&event.state_key), &room.creator, event.content, now)?;
            let appended = core.append(draft, &mut batch).await.map_err(|error| match error {
                RoomError::Forbidden(why) => RoomError::InvalidState(format!("{}: {why}", event.kind)),
                other => other,
            })?;
            if core.room.room_id != appended.room_id {
                core.room = Arc::new(RoomInfo::new(
                    core.room.nid,
                    appended.room_id.clone(),
                    core.room.version.clone(),
                    core.room.rules.clone(),
                    CurrentState::default(),
                ));
            }
        }
        batch.aliases.extend(alias.map(|alias| (alias, room.creator.clone())));
        batch.publish = room.request.visibility == Visibility::Public;
        let written = store.enqueue_room(core.finish(batch)).await?.committed().await;
        store.forget_writes(core.room.nid);
        match written {
            Ok(_) => Ok(core.room.room_id.clone()),
            // Someone was quicker: nothing else in a new room can be there already.
            Err(StoreError::Conflict) if room.request.room_alias_name.is_some() => Err(RoomError::AliasTaken),
            Err(error) => Err(error.into()),
        }
    }

    async fn new_alias(&self, request: &create_room::v3::Request) -> Result<Option<OwnedRoomAliasId>, RoomError> {
        let Some(name) = &request.room_alias_name else { return Ok(None) };
        let alias = RoomAliasId::parse(format!("#{name}:{}", self.server_name()))
            .ok()
            .filter(|alias| !name.is_empty() && alias.alias() == name)
            .ok_or_else(|| RoomError::InvalidParam("room_alias_name is not the local part of an alias".into()))?;
        if self.context.store.alias(&alias).await?.is_some() {
            return Err(RoomError::AliasTaken);
        }
        Ok(Some(alias))
    }
}

/// Everything that the request implies, in the order of the spec.
fn first_events(
    room: &NewRoom<'_>,
    rules: &RoomVersionRules,
    version: &str,
    alias: Option<&RoomAliasId>,
) -> Result<Vec<FirstEvent>, RoomError> {
    let request = room.request;
    let preset = request.preset.clone().unwrap_or(match request.visibility {
        Visibility::Public => RoomPreset::PublicChat,
        _ => RoomPreset::PrivateChat,
    });
    let trusted = preset == RoomPreset::TrustedPrivateChat;
    let invited: BTreeSet<&OwnedUserId> = request.invite.iter().filter(|user| **user != room.creator).collect();
    let create = create_content(room, rules, version, trusted.then_some(&invited))?;
    let creators = creators(&room.creator, &create);
    let mut events = vec![
        FirstEvent { kind: "m.room.create".into(), state_key: String::new(), content: create },
        member(&room.creator, "join", room, false)?,
        power_levels(room, rules, &preset, &creators, trusted.then_some(&invited))?,
    ];
    let initial = initial_state(request)?;
    let is_initial = |kind: &str| initial.iter().any(|event| event.kind == kind && event.state_key.is_empty());
    if let Some(alias) = alias.filter(|_| !is_initial("m.room.canonical_alias")) {
        events.push(first("m.room.canonical_alias", json!({ "alias": alias }))?);
    }
    for (kind, field, value) in preset_state(&preset) {
        if !is_initial(kind) {
            events.push(first(kind, json!({ field: value }))?);
        }
    }
    events.extend(initial);
    if let Some(name) = &request.name {
        events.push(first("m.room.name", json!({ "name": name }))?);
    }
    if let Some(topic) = &request.topic {
        let rich = json!({ "m.text": [{ "body": topic }] });
        events.push(first("m.room.topic", json!({ "topic": topic, "m.topic": rich }))?);
    }
    for user in invited {
        events.push(member(user, "invite", room, request.is_direct)?);
    }
    if !request.invite_3pid.is_empty() {
        return Err(RoomError::InvalidParam("This server has no identity server to invite by e-mail".into()));
    }
    Ok(events)
}

fn preset_state(preset: &RoomPreset) -> [(&'static str, &'static str, &'static str); 3] {
    let (join_rule, guests) = match preset {
        RoomPreset::PublicChat => ("public", "forbidden"),
        _ => ("invite", "can_join"),
    };
    [
        ("m.room.join_rules", "join_rule", join_rule),
        ("m.room.history_visibility", "history_visibility", "shared"),
        ("m.room.guest_access", "guest_access", guests),
    ]
}

fn object(value: serde_json::Value) -> Result<CanonicalJsonObject, RoomError> {
    match CanonicalJsonValue::try_from(value) {
        Ok(CanonicalJsonValue::Object(object)) => Ok(object),
        _ => Err(RoomError::BadJson("not an object of canonical JSON".into())),
    }
}

fn first(kind: &str, content: serde_json::Value) -> Result<FirstEvent, RoomError> {
    Ok(FirstEvent { kind: kind.to_owned(), state_key: String::new(), content: object(content)? })
}

fn member(user: &UserId, membership: &str, room: &NewRoom<'_>, is_direct: bool) -> Result<FirstEvent, RoomError> {
    let mut content = json!({ "membership": membership });
    if let Some(profile) = room.profiles.get(user) {
        if let Some(displayname) = &profile.displayname {
            content["displayname"] = json!(displayname);
        }
        if let Some(avatar_url) = &profile.avatar_url {
            content["avatar_url"] = json!(avatar_url);
        }
    }
    if is_direct {
        content["is_direct"] = json!(true);
    }
    Ok(FirstEvent { kind: "m.room.member".to_owned(), state_key: user.to_string(), content: object(content)? })
}

/// The content of the create event; `trusted` are the invited of a trusted private chat.
fn create_content(
    room: &NewRoom<'_>,
    rules: &RoomVersionRules,
    version: &str,
    trusted: Option<&BTreeSet<&OwnedUserId>>,
) -> Result<CanonicalJsonObject, RoomError> {
    let text = |text: &str| CanonicalJsonValue::String(text.to_owned());
    let mut content = match &room.request.creation_content {
        Some(raw) => build::canonical(raw.json())?,
        None => CanonicalJsonObject::new(),
    };
    content.insert("room_version".to_owned(), text(version));
    content.remove("creator");
    if !rules.authorization.use_room_create_sender {
        content.insert("creator".to_owned(), text(room.creator.as_str()));
    }
    if rules.authorization.additional_room_creators
        && let Some(trusted) = trusted.filter(|trusted| !trusted.is_empty())
    {
        let entry = content.entry("additional_creators".to_owned());
        let CanonicalJsonValue::Array(creators) = entry.or_insert_with(|| CanonicalJsonValue::Array(Vec::new())) else {
            return Err(RoomError::BadJson("additional_creators is not a list".into()));
        };
        for user in trusted {
            let user = text(user.as_str());
            if !creators.contains(&user) {
                creators.push(user);
            }
        }
    }
    Ok(content)
}

fn creators(creator: &UserId, create: &CanonicalJsonObject) -> BTreeSet<String> {
    let additional = match create.get("additional_creators") {
        Some(CanonicalJsonValue::Array(creators)) => creators.as_slice(),
        _ => &[],
    };
    let additional = additional.iter().filter_map(CanonicalJsonValue::as_str).map(str::to_owned);
    additional.chain([creator.to_string()]).collect()
}

/// The first power levels: our defaults, and what the request puts on top of them.
fn power_levels(
    room: &NewRoom<'_>,
    rules: &RoomVersionRules,
    preset: &RoomPreset,
    creators: &BTreeSet<String>,
    trusted: Option<&BTreeSet<&OwnedUserId>>,
) -> Result<FirstEvent, RoomError> {
    let infinite = rules.authorization.explicitly_privilege_room_creators;
    let mut users = serde_json::Map::new();
    if !infinite {
        users.insert(room.creator.to_string(), json!(100));
        for user in trusted.into_iter().flatten() {
            users.insert(user.to_string(), json!(100));
        }
    }
    let mut content = object(json!({
        "users": users,
        "users_default": 0,
        "events": {
            "m.room.name": 50,
            "m.room.avatar": 50,
            "m.room.canonical_alias": 50,
            "m.room.power_levels": 100,
            "m.room.history_visibility": 100,
            "m.room.server_acl": 100,
            "m.room.encryption": 100,
            // Since version 12 above everything but the creators.
            "m.room.tombstone": if infinite { 150 } else { 100 },
        },
        "events_default": 0,
        "state_default": 50,
        "ban": 50,
        "kick": 50,
        "redact": 50,
        "invite": if *preset == RoomPreset::PublicChat { 50 } else { 0 },
        "historical": 100,
    }))?;
    if let Some(given) = &room.request.power_level_content_override {
        content.extend(build::canonical(given.json())?);
    }
    if infinite && let Some(CanonicalJsonValue::Object(users)) = content.get_mut("users") {
        users.retain(|user, _| !creators.contains(user));
    }
    Ok(FirstEvent { kind: "m.room.power_levels".to_owned(), state_key: String::new(), content })
}

fn initial_state(request: &create_room::v3::Request) -> Result<Vec<FirstEvent>, RoomError> {
    let read = |raw: &Raw<_>| {
        let event: InitialState<'_> = serde_json::from_str(raw.json().get())
            .map_err(|error| RoomError::BadJson(format!("initial_state: {error}")))?;
        if matches!(event.kind.as_str(), "m.room.create" | "m.room.member") {
            return Err(RoomError::InvalidState(format!("{} cannot be in initial_state", event.kind)));
        }
        let content = build::canonical(event.content)?;
        Ok(FirstEvent { kind: event.kind, state_key: event.state_key, content })
    };
    request.initial_state.iter().map(read).collect()
}
