//! Rooms that fork: another server adds events beside ours.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    sync::Arc,
};

use landbridge_homeserver::rooms::{Direction, Event, EventFlags, MessagesQuery, RoomError, SUPPORTED_ROOM_VERSIONS};
use ruma::{
    CanonicalJsonObject, EventId, OwnedEventId, OwnedRoomId, RoomVersionId, UserId,
    events::StateEventType,
    room_version_rules::{RoomVersionRules, StateResolutionVersion},
    serde::Base64,
    signatures::{Ed25519KeyPair, PublicKeyMap, hash_and_sign_event, reference_hash},
    state_res::{StateMap, auth_types_for_event, resolve, utils::event_id_set::EventIdSet},
    user_id,
};
use serde_json::{Value, json};

use crate::support::{START, Server, content};

/// Another server, with one user who builds on what it knows.
struct Remote {
    key: Ed25519KeyPair,
    user: &'static UserId,
    room: OwnedRoomId,
    rules: RoomVersionRules,
    /// The state as this server sees it.
    state: StateMap<OwnedEventId>,
    head: OwnedEventId,
    depth: i64,
}

impl Remote {
    fn keys(&self) -> PublicKeyMap {
        let key = BTreeMap::from([("ed25519:r".to_owned(), Base64::new(self.key.public_key().to_vec()))]);
        PublicKeyMap::from([("other.example".to_owned(), key)])
    }

    /// Looks at the room as it stands on our server now.
    async fn look(&mut self, server: &Server) {
        self.state = state_of(server, &self.room).await;
        let heads = server.rooms().forward_extremities(&self.room).await.unwrap();
        assert_eq!(heads.len(), 1);
        self.depth = server.rooms().event(&heads[0]).await.unwrap().unwrap().depth;
        self.head = heads[0].clone();
    }

    fn build(&mut self, kind: &str, state_key: Option<&str>, content: Value) -> (CanonicalJsonObject, OwnedEventId) {
        let raw = serde_json::value::to_raw_value(&content).unwrap();
        let rules = &self.rules.authorization;
        let auth: Vec<OwnedEventId> = auth_types_for_event(&kind.into(), self.user, state_key, &raw, rules)
            .unwrap()
            .iter()
            .filter_map(|key| self.state.get(key).cloned())
            .collect();
        self.depth += 1;
        let mut pdu = json!({
            "type": kind, "sender": self.user, "content": content, "room_id": self.room, "depth": self.depth,
            "origin_server_ts": START + self.depth.unsigned_abs(), "prev_events": [self.head], "auth_events": auth,
        });
        if let Some(state_key) = state_key {
            pdu["state_key"] = json!(state_key);
        }
        let mut pdu: CanonicalJsonObject = serde_json::from_value(pdu).unwrap();
        hash_and_sign_event("other.example", &self.key, &mut pdu, &self.rules.redaction).unwrap();
        let id = EventId::new_v2_or_v3(&reference_hash(&pdu, &self.rules).unwrap()).unwrap();
        (pdu, id)
    }

    /// Adds an event to this server's own branch and sends it to us.
    async fn send(&mut self, server: &Server, kind: &str, state_key: Option<&str>, content: Value) -> EventFlags {
        let (pdu, id) = self.build(kind, state_key, content);
        let sent = server.rooms().receive(&self.room, pdu, self.keys()).await.unwrap();
        assert_eq!(sent.event_id, id);
        let flags = server.rooms().event(&id).await.unwrap().unwrap().flags;
        if !flags.rejected {
            if let Some(state_key) = state_key {
                self.state.insert((StateEventType::from(kind), state_key.to_owned()), id.clone());
            }
            self.head = id;
        }
        flags
    }
}

async fn state_of(server: &Server, room: &OwnedRoomId) -> StateMap<OwnedEventId> {
    let state = server.rooms().state(room).await.unwrap();
    let key = |event: &landbridge_homeserver::rooms::Event| {
        (StateEventType::from(event.kind.to_string()), event.state_key.clone().unwrap())
    };
    state.iter().map(|event| (key(event), event.event_id.clone())).collect()
}

/// What the algorithm says when it is given everything: whole states and whole auth chains.
async fn resolve_in_full(
    server: &Server,
    rules: &RoomVersionRules,
    states: &[StateMap<OwnedEventId>],
) -> StateMap<OwnedEventId> {
    let mut events = HashMap::new();
    let mut way: Vec<OwnedEventId> = states.iter().flat_map(|state| state.values().cloned()).collect();
    while let Some(id) = way.pop() {
        if let Entry::Vacant(place) = events.entry(id) {
            let event = server.rooms().event(place.key()).await.unwrap().unwrap();
            way.extend(event.auth_events.iter().cloned());
            place.insert(event);
        }
    }
    let chain = |ids: Vec<OwnedEventId>| {
        let mut chain = EventIdSet::new();
        let mut way = ids;
        while let Some(id) = way.pop() {
            for auth in &events[&id].auth_events {
                if chain.insert(auth.clone()) {
                    way.push(auth.clone());
                }
            }
        }
        chain
    };
    let chains = states.iter().map(|state| chain(state.values().cloned().collect())).collect();
    let subgraph = |conflicted: &StateMap<Vec<OwnedEventId>>| {
        let conflicted: Vec<OwnedEventId> = conflicted.values().flatten().cloned().collect();
        let below = chain(conflicted.clone());
        let mut found: EventIdSet<OwnedEventId> = conflicted.iter().cloned().collect();
        for id in &below {
            let above = chain(vec![id.clone()]);
            if conflicted.iter().any(|conflicted| above.contains(conflicted)) {
                found.insert(id.clone());
            }
        }
        Some(found)
    };
    let StateResolutionVersion::V2(state_res) = &rules.state_res else { panic!("version 1") };
    resolve(&rules.authorization, state_res, states, chains, |id| events.get(id).cloned(), subgraph).unwrap()
}

fn alice() -> &'static UserId {
    user_id!("@alice:test.example")
}

fn bob() -> &'static UserId {
    user_id!("@bob:test.example")
}

fn eve() -> &'static UserId {
    user_id!("@eve:other.example")
}

/// A room of alice's, with bob of our server and eve of another as moderators.
async fn room_with_moderators(server: &Server, version: &RoomVersionId) -> Remote {
    let room = server.public_room(alice(), version.as_str()).await;
    server.join(&room, bob()).await.unwrap();
    let der = Ed25519KeyPair::generate();
    let mut remote = Remote {
        key: Ed25519KeyPair::from_der(&der, "r".into()).unwrap(),
        user: eve(),
        room: room.clone(),
        rules: version.rules().unwrap(),
        state: StateMap::new(),
        head: ruma::owned_event_id!("$none"),
        depth: 0,
    };
    remote.look(server).await;
    let joined = remote.send(server, "m.room.member", Some(eve().as_str()), json!({ "membership": "join" })).await;
    assert!(joined.in_timeline());
    let mut levels = server.state(&room, "m.room.power_levels", "").await.unwrap();
    levels["users"][bob().as_str()] = json!(50);
    levels["users"][eve().as_str()] = json!(50);
    levels["events"]["m.room.power_levels"] = json!(50);
    levels["kick"] = json!(40);
    levels["ban"] = json!(40);
    levels["users"]["@carol:test.example"] = json!(10);
    server.set(&room, alice(), "m.room.power_levels", "", levels).await.unwrap();
    server.join(&room, user_id!("@carol:test.example")).await.unwrap();
    remote.look(server).await;
    remote
}

#[tokio::test]
async fn a_ban_on_one_side_beats_a_topic_on_the_other() {
    for version in SUPPORTED_ROOM_VERSIONS {
        println!("version {version}");
        let server = Server::start().await;
        let mut remote = room_with_moderators(&server, &version).await;
        let room = remote.room.clone();
        let carol = user_id!("@carol:test.example");
        let mut levels = server.state(&room, "m.room.power_levels", "").await.unwrap();
        levels["events"]["m.room.topic"] = json!(10);
        server.set(&room, alice(), "m.room.power_levels", "", levels).await.unwrap();
        remote.look(&server).await;
        server.set(&room, carol, "m.room.topic", "", json!({ "topic": "carol was here" })).await.unwrap();
        let ban = remote.send(&server, "m.room.member", Some(carol.as_str()), json!({ "membership": "ban" })).await;
        assert!(ban.in_timeline());
        assert_eq!(server.rooms().forward_extremities(&room).await.unwrap().len(), 2);
        assert_eq!(
            server.state(&room, "m.room.topic", "").await,
            None,
            "the topic of one who is banned does not stand"
        );
        let known = server.rooms().membership(&room, carol).await.unwrap().unwrap();
        assert_eq!(known.membership.as_str(), "ban");
        // The next event of ours joins the ends.
        let server = server.restart().await;
        assert_eq!(server.state(&room, "m.room.topic", "").await, None);
        let sent = server.say(&room, alice(), "both").await.unwrap();
        let event = server.rooms().event(&sent.event_id).await.unwrap().unwrap();
        assert_eq!(event.prev_events.len(), 2);
        assert_eq!(server.rooms().forward_extremities(&room).await.unwrap(), [sent.event_id]);
        server.say(&room, carol, "me too").await.unwrap_err();
    }
}

#[tokio::test]
async fn what_comes_late_from_one_who_is_banned_is_kept_and_not_shown() {
    let server = Server::start().await;
    let mut remote = room_with_moderators(&server, &RoomVersionId::V12).await;
    let room = remote.room.clone();
    server.member(&room, alice(), eve(), landbridge_homeserver::rooms::Membership::Ban).await.unwrap();
    let before = server.hs.stream().position();
    let flags = remote.send(&server, "m.room.topic", Some(""), json!({ "topic": "late" })).await;
    assert_eq!(flags, EventFlags { soft_failed: true, ..EventFlags::default() });
    assert_eq!(server.state(&room, "m.room.topic", "").await, None);
    assert_eq!(server.rooms().forward_extremities(&room).await.unwrap().len(), 1);
    assert_eq!(server.hs.stream().read(before, before, 10).await.unwrap().len(), 0);
    // What its own auth events forbid is rejected.
    let flags =
        remote.send(&server, "m.room.power_levels", Some(""), json!({ "users": { "@eve:other.example": 100 } })).await;
    assert!(flags.rejected);
}

#[tokio::test]
async fn what_is_not_whole_is_refused_and_not_kept() {
    let server = Server::start().await;
    let mut remote = room_with_moderators(&server, &RoomVersionId::V11).await;
    let room = remote.room.clone();
    let (pdu, id) = remote.build("m.room.message", None, json!({ "body": "hi" }));
    let unsigned = server.rooms().receive(&room, pdu.clone(), PublicKeyMap::new()).await;
    assert!(matches!(unsigned, Err(RoomError::Forbidden(_))), "{unsigned:?}");
    let mut unknown = pdu.clone();
    unknown.remove("sender");
    let refused = server.rooms().receive(&room, unknown, remote.keys()).await;
    assert!(matches!(refused, Err(RoomError::BadJson(_))), "{refused:?}");
    remote.head = ruma::owned_event_id!("$nobody_knows_this_event_at_all_nobody_really");
    let (late, _) = remote.build("m.room.message", None, json!({ "body": "hi" }));
    let missing = server.rooms().receive(&room, late, remote.keys()).await;
    assert!(matches!(missing, Err(RoomError::MissingEvents(_))), "{missing:?}");
    assert!(server.rooms().event(&id).await.unwrap().is_none());
    // A content that is not what was signed is taken away.
    let mut changed = pdu;
    changed.insert("content".into(), serde_json::from_value(json!({ "body": "changed" })).unwrap());
    let sent = server.rooms().receive(&room, changed, remote.keys()).await.unwrap();
    let event = server.rooms().event(&sent.event_id).await.unwrap().unwrap();
    assert_eq!(content(&event), json!({}));
}

/// A small generator, so that every run does the same.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Something a moderator may do.
fn deed(dice: &mut Dice, levels: &Value) -> (&'static str, &'static str, Value) {
    match dice.roll(8) {
        6 => {
            let mut levels = levels.clone();
            levels["users"]["@carol:test.example"] = json!(dice.roll(40));
            ("m.room.power_levels", "", levels)
        }
        7 => {
            let mut levels = levels.clone();
            levels["events"]["m.room.topic"] = json!(dice.roll(51));
            ("m.room.power_levels", "", levels)
        }
        0 => ("m.room.topic", "", json!({ "topic": format!("{}", dice.roll(1000)) })),
        1 => ("m.room.name", "", json!({ "name": format!("{}", dice.roll(1000)) })),
        2 => ("m.room.member", "@carol:test.example", json!({ "membership": "ban" })),
        3 => ("m.room.member", "@carol:test.example", json!({ "membership": "leave" })),
        4 => ("m.room.canonical_alias", "", json!({ "n": dice.roll(1000) })),
        _ => ("x.y", "k", json!({ "n": dice.roll(1000) })),
    }
}

#[tokio::test]
async fn what_is_left_out_of_the_algorithm_makes_no_difference() {
    let mut conflicts = 0;
    for (round, version) in SUPPORTED_ROOM_VERSIONS.iter().cycle().take(42).enumerate() {
        let mut dice = Dice(u64::try_from(round).unwrap() * 977 + 5);
        let server = Server::start().await;
        let mut remote = room_with_moderators(&server, version).await;
        let room = remote.room.clone();
        let levels = server.state(&room, "m.room.power_levels", "").await.unwrap();
        // What was set by one who may not set it any more is judged again when it is at stake.
        for who in [bob(), bob(), bob(), alice()] {
            let (kind, key, content) = deed(&mut dice, &levels);
            drop(server.set(&room, who, kind, key, content).await);
        }
        let mut levels = server.state(&room, "m.room.power_levels", "").await.unwrap();
        levels["users"][bob().as_str()] = json!(dice.roll(2) * 50);
        server.set(&room, alice(), "m.room.power_levels", "", levels.clone()).await.unwrap();
        remote.look(&server).await;
        let base = state_of(&server, &room).await;
        // Ours goes one way, the other server's another.
        let mut ours = base.clone();
        for _ in 0..6 {
            let who = [alice(), bob()][usize::try_from(dice.roll(2)).unwrap()];
            let (kind, key, content) = deed(&mut dice, &levels);
            if let Ok(sent) = server.set(&room, who, kind, key, content).await {
                ours.insert((kind.into(), key.to_owned()), sent.event_id);
            }
        }
        for _ in 0..6 {
            let (kind, key, content) = deed(&mut dice, &levels);
            let flags = remote.send(&server, kind, Some(key), content).await;
            if flags.soft_failed {
                // Not an end of the room: from here on the oracle below does not know what we know.
                break;
            }
            let heads = server.rooms().forward_extremities(&room).await.unwrap();
            if heads.len() < 2 {
                continue;
            }
            let expected = resolve_in_full(&server, &remote.rules, &[ours.clone(), remote.state.clone()]).await;
            assert_eq!(state_of(&server, &room).await, expected, "version {version}, round {round}");
            conflicts +=
                usize::from(ours.iter().any(|(key, id)| remote.state.get(key).is_some_and(|other| other != id)));
        }
        let before = state_of(&server, &room).await;
        let server = server.restart().await;
        assert_eq!(state_of(&server, &room).await, before, "version {version}, round {round}, read again");
    }
    assert!(conflicts > 20, "the dice must lead to conflicts: {conflicts}");
}

/// All pages of a room, read in one direction.
async fn paged(server: &Server, room: &OwnedRoomId, direction: Direction, limit: usize) -> Vec<Arc<Event>> {
    let (mut events, mut from) = (Vec::new(), None);
    loop {
        let (room_id, user) = (room.clone(), alice().to_owned());
        let query = MessagesQuery { room_id, user, from, to: None, direction, limit };
        let page = server.rooms().messages(query).await.unwrap();
        assert!(page.events.len() <= limit);
        events.extend(page.events);
        match page.end {
            Some(end) => from = Some(end),
            None => return events,
        }
    }
}

#[tokio::test]
async fn pages_of_a_room_that_forked_hold_every_event_once_and_what_came_before_first() {
    let server = Server::start().await;
    let mut remote = room_with_moderators(&server, &RoomVersionId::V12).await;
    let room = remote.room.clone();
    let mut said = Vec::new();
    for number in 0..24 {
        // Branches of one to four events on each side, that ours joins again from time to time.
        if number % 5 == 4 {
            remote.look(&server).await;
        }
        for body in 0..=number % 2 {
            let content = json!({ "msgtype": "m.text", "body": format!("theirs {number} {body}") });
            assert!(remote.send(&server, "m.room.message", None, content).await.in_timeline());
            said.push(remote.head.clone());
        }
        said.push(server.say(&room, bob(), &format!("ours {number}")).await.unwrap().event_id);
    }
    let all = paged(&server, &room, Direction::Forward, 1000).await;
    let place: HashMap<&OwnedEventId, usize> = all.iter().map(|event| &event.event_id).zip(0..).collect();
    assert_eq!(place.len(), all.len(), "every event comes once");
    assert!(said.iter().all(|event_id| place.contains_key(event_id)), "none is left out");
    assert!(all.iter().any(|event| event.prev_events.len() > 1), "the room forked");
    for event in &all {
        let earlier = |prev: &OwnedEventId| place[prev] < place[&event.event_id];
        assert!(event.prev_events.iter().all(earlier), "what it follows comes first");
    }
    let ids = |events: &[Arc<Event>]| events.iter().map(|event| event.event_id.clone()).collect::<Vec<_>>();
    for limit in [1, 2, 3, 7, 50] {
        assert_eq!(ids(&paged(&server, &room, Direction::Forward, limit).await), ids(&all), "{limit}");
        let mut backward = paged(&server, &room, Direction::Backward, limit).await;
        backward.reverse();
        assert_eq!(ids(&backward), ids(&all), "{limit}");
    }
}
