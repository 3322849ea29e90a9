//! Nobody reads what a room's history visibility hides: random sequences of what people do in a room, and a model that knows who may
//! see which message by the words of the specification alone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::{Person, Server};

/// How many rooms are played through, and how long.
const ROOMS: u64 = 14;
const ACTIONS: usize = 40;

/// A small generator: the same number gives the same sequence, so that a failure can be looked at again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % u64::try_from(sides).unwrap()).unwrap()
    }
}

#[derive(Clone)]
struct Said {
    body: String,
    event_id: String,
    visibility: &'static str,
    members: BTreeMap<usize, &'static str>,
    at: usize,
}

/// What the specification says, and nothing of how the server does it.
#[derive(Default)]
struct Model {
    now: usize,
    visibility: &'static str,
    members: BTreeMap<usize, &'static str>,
    /// When each came in, for the last time.
    joined_at: BTreeMap<usize, usize>,
    said: Vec<Said>,
}

impl Model {
    fn sees(&self, who: usize, said: &Said) -> bool {
        match (said.visibility, said.members.get(&who).copied().unwrap_or("leave")) {
            ("world_readable", _) | (_, "join") => true,
            ("shared", _) => self.joined_at.get(&who).is_some_and(|at| *at > said.at),
            ("invited", "invite") => true,
            _ => false,
        }
    }

    fn visible(&self, who: usize) -> BTreeSet<&str> {
        self.said.iter().filter(|said| self.sees(who, said)).map(|said| said.body.as_str()).collect()
    }

    fn became(&mut self, who: usize, membership: &'static str) {
        self.now += 1;
        if membership == "join" && self.members.get(&who) != Some(&"join") {
            self.joined_at.insert(who, self.now);
        }
        self.members.insert(who, membership);
    }
}

/// All messages of an answer, wherever they are in it.
fn found(answer: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                if let Some(body) = map.get("body").and_then(Value::as_str).filter(|body| body.starts_with("word ")) {
                    into.insert(body.to_owned());
                }
                map.values().for_each(|value| walk(value, into));
            }
            Value::Array(list) => list.iter().for_each(|value| walk(value, into)),
            _ => {}
        }
    }
    let mut into = BTreeSet::new();
    walk(answer, &mut into);
    into
}

struct Play<'a> {
    people: &'a [Person],
    room: String,
    model: Model,
    seed: u64,
    tokens: BTreeMap<usize, String>,
    /// What happened, for whoever looks at a failure.
    history: Vec<String>,
}

impl Play<'_> {
    async fn act(&mut self, dice: &mut Dice) {
        let (owner, other) = (&self.people[0], 1 + dice.roll(self.people.len() - 1));
        let room = self.room.clone();
        let target = json!({ "user_id": self.people[other].user_id });
        let before = (self.model.now, self.model.said.len());
        let owners = async |what: &str| owner.post(&format!("rooms/{room}/{what}"), target.clone()).await.status == 200;
        match dice.roll(14) {
            0..=5 => {
                let speaker = dice.roll(self.people.len());
                let body = format!("{}{}", self.prefix(), self.model.said.len());
                let path = format!("rooms/{room}/send/m.room.message/t{}", self.model.said.len());
                let answer = self.people[speaker].put(&path, json!({ "msgtype": "m.text", "body": body })).await;
                if answer.status == 200 {
                    self.model.now += 1;
                    self.model.said.push(Said {
                        body,
                        event_id: answer.body["event_id"].as_str().unwrap().to_owned(),
                        visibility: self.model.visibility,
                        members: self.model.members.clone(),
                        at: self.model.now,
                    });
                }
            }
            6 | 7 if self.people[other].post(&format!("join/{room}"), json!({})).await.status == 200 => {
                self.model.became(other, "join");
            }
            8 if self.people[other].post(&format!("rooms/{room}/leave"), json!({})).await.status == 200 => {
                self.model.became(other, "leave");
            }
            9 if owners("invite").await => self.model.became(other, "invite"),
            10 if owners("kick").await => self.model.became(other, "leave"),
            11 if owners("ban").await => self.model.became(other, "ban"),
            12 if owners("unban").await => self.model.became(other, "leave"),
            13 => {
                let to = ["world_readable", "shared", "invited", "joined"][dice.roll(4)];
                let path = format!("rooms/{room}/state/m.room.history_visibility");
                owner.put(&path, json!({ "history_visibility": to })).await.ok();
                self.model.now += 1;
                self.model.visibility = to;
            }
            _ => {}
        }
        if self.model.now != before.0 {
            let said = self.model.said.len() > before.1;
            let what = if said {
                format!("said {}", before.1)
            } else {
                format!("{:?} {}", self.model.members, self.model.visibility)
            };
            self.history.push(what);
        }
        if dice.roll(4) == 0 {
            self.sync(dice.roll(self.people.len())).await;
        }
    }

    /// What all messages of this room begin with.
    fn prefix(&self) -> String {
        format!("word {}.", self.seed)
    }

    #[track_caller]
    fn check(&self, who: usize, path: &str, answer: &Value) {
        let visible = self.model.visible(who);
        for body in found(answer).into_iter().filter(|body| body.starts_with(&self.prefix())) {
            assert!(
                visible.contains(body.as_str()),
                "room {}: {path} shows {body:?} to person {who}: {:?}",
                self.seed,
                self.history
            );
        }
    }

    /// What is new since this person's last sync.
    async fn sync(&mut self, who: usize) {
        let since = self.tokens.get(&who).map(|since| format!("&since={since}")).unwrap_or_default();
        let answer = self.people[who].get(&format!("sync?timeout=0{since}")).await.ok();
        self.check(who, "an incremental sync", &answer["rooms"]["join"][&self.room]);
        self.check(who, "an incremental sync", &answer["rooms"]["leave"][&self.room]);
        self.tokens.insert(who, answer["next_batch"].as_str().unwrap().to_owned());
    }

    /// Every way to read, by everybody.
    async fn read(&self) {
        let room = &self.room;
        let everything = r#"{"room":{"include_leave":true,"timeline":{"limit":200}}}"#;
        let everything: String = everything.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for (who, person) in self.people.iter().enumerate() {
            let sync = person.get(&format!("sync?filter={everything}")).await.ok();
            for part in ["join", "leave", "invite", "knock"] {
                self.check(who, "a first sync", &sync["rooms"][part][room]);
            }
            let mut paged = BTreeSet::new();
            for direction in ["b", "f"] {
                let page = person.get(&format!("rooms/{room}/messages?dir={direction}&limit=200")).await;
                self.check(who, "messages", &page.body);
                paged = found(&page.body);
                if self.model.members.get(&who) == Some(&"join") {
                    let visible: BTreeSet<String> = self.model.visible(who).into_iter().map(str::to_owned).collect();
                    assert_eq!(paged, visible, "room {}: person {who} is in it and sees all it may", self.seed);
                }
            }
            for said in &self.model.said {
                let id = &said.event_id;
                let one = person.get(&format!("rooms/{room}/event/{id}")).await;
                self.check(who, "event", &one.body);
                assert!(
                    one.status == 200 || !paged.contains(&said.body),
                    "room {}: {} in pages alone",
                    self.seed,
                    said.body
                );
                self.check(who, "context", &person.get(&format!("rooms/{room}/context/{id}?limit=20")).await.body);
                self.check(who, "relations", &person.get_v1(&format!("rooms/{room}/relations/{id}")).await.body);
            }
            self.check(who, "initialSync", &person.get(&format!("rooms/{room}/initialSync")).await.body);
            self.check(who, "notifications", &person.get("notifications?limit=100").await.body);
            let filter = json!({ "limit": 100, "rooms": [room] });
            let criteria = json!({ "search_term": "word", "filter": filter, "order_by": "recent" });
            let search = json!({ "search_categories": { "room_events": criteria } });
            let search = person.post("search", search).await.ok();
            self.check(who, "search", &search);
            let of_room = &search["search_categories"]["room_events"];
            let shown = of_room["results"].as_array().map_or(0, Vec::len);
            let count = of_room["count"].as_u64().unwrap_or(0);
            assert_eq!(json!(count), json!(shown), "room {}: what is not shown is not counted", self.seed);
            let subscribed = json!({ room.clone(): { "timeline_limit": 100, "required_state": [] } });
            let slide = "../unstable/org.matrix.simplified_msc3575/sync?timeout=0";
            let slide = person.post(slide, json!({ "room_subscriptions": subscribed })).await;
            self.check(who, "sliding sync", &slide.body);
            let found = person.get_v1(&format!("rooms/{room}/timestamp_to_event?ts=0&dir=f")).await;
            if let Some(id) = found.body["event_id"].as_str() {
                person.get(&format!("rooms/{room}/event/{id}")).await.ok();
            }
        }
    }
}

#[tokio::test]
async fn nobody_reads_what_is_hidden() {
    let server = Server::start().await;
    let mut people = Vec::new();
    for name in ["alice", "bob", "carol", "dave"] {
        people.push(server.person(name).await);
    }
    for seed in 0..ROOMS {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1));
        dice.roll(2);
        let version = ["12", "11", "10", "6"][dice.roll(4)];
        let preset = ["public_chat", "private_chat"][dice.roll(2)];
        let room = people[0].creates_room(json!({ "preset": preset, "room_version": version })).await;
        let model = Model { visibility: "shared", members: BTreeMap::from([(0, "join")]), ..Model::default() };
        let mut play = Play { people: &people, room, model, seed, tokens: BTreeMap::new(), history: Vec::new() };
        for _ in 0..ACTIONS {
            play.act(&mut dice).await;
        }
        play.read().await;
    }
}

#[tokio::test]
async fn who_is_banned_after_leaving_learns_nothing_of_what_was_in_between() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let eve = server.person("eve").await;
    let room = alice.creates_room(json!({ "preset": "public_chat", "topic": "old" })).await;
    bob.joins(&room).await;
    alice.says(&room, "word 0.before").await;
    bob.post(&format!("rooms/{room}/leave"), json!({})).await.ok();
    alice.says(&room, "word 0.secret").await;
    alice.put(&format!("rooms/{room}/state/m.room.topic"), json!({ "topic": "secret" })).await.ok();
    alice.post(&format!("rooms/{room}/ban"), json!({ "user_id": bob.user_id })).await.ok();
    // And one who was only invited.
    let private = alice.creates_room(json!({ "topic": "secret", "invite": [eve.user_id] })).await;
    eve.post(&format!("rooms/{private}/leave"), json!({})).await.ok();
    let everything = "&filter=%7B%22room%22%3A%7B%22include_leave%22%3Atrue%7D%7D";
    for (person, room) in [(&bob, &room), (&eve, &private)] {
        let sync = person.syncs(None, everything).await;
        let left = &sync["rooms"]["leave"][room];
        assert!(!left.to_string().contains("secret"), "{left}");
        let last = left["timeline"]["events"].as_array().unwrap().last().unwrap().clone();
        assert_eq!((&last["type"], &last["state_key"]), (&json!("m.room.member"), &json!(person.user_id)));
        for path in ["messages?dir=b&limit=100", "state", "state/m.room.topic", "members"] {
            let answer = person.get(&format!("rooms/{room}/{path}")).await;
            assert!(!answer.body.to_string().contains("secret"), "{path}: {}", answer.body);
        }
    }
    assert_eq!(bob.get(&format!("rooms/{room}/state/m.room.topic")).await.ok()["topic"], "old");
    eve.get(&format!("rooms/{private}/state")).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn who_was_there_before_one_came_is_hidden_with_what_they_said() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let carol = server.person("carol").await;
    let visibility = |to: &str| {
        let content = json!({ "history_visibility": to });
        json!([{ "type": "m.room.history_visibility", "state_key": "", "content": content }])
    };
    let members = async |who: &Person, room: &str, at: &str| {
        who.get(&format!("rooms/{room}/members?membership=join&at={at}")).await
    };
    for (to, shown) in [("joined", false), ("shared", true)] {
        let room = alice.creates_room(json!({ "preset": "public_chat", "initial_state": visibility(to) })).await;
        bob.joins(&room).await;
        let early = alice.syncs(None, "").await["next_batch"].as_str().unwrap().to_owned();
        bob.post(&format!("rooms/{room}/leave"), json!({})).await.ok();
        alice.says(&room, "alone at last").await;
        let before = alice.syncs(None, "").await["next_batch"].as_str().unwrap().to_owned();
        carol.joins(&room).await;
        let sync = carol.syncs(None, "").await;
        assert_eq!(members(&alice, &room, &early).await.ok()["chunk"].as_array().unwrap().len(), 2);
        if shown {
            assert_eq!(members(&carol, &room, &early).await.ok()["chunk"].as_array().unwrap().len(), 2, "{to}");
        } else {
            members(&carol, &room, &early).await.refused(403, "M_FORBIDDEN");
        }
        // What she found when she came, and what a client asks for whose timeline begins there.
        assert_eq!(members(&carol, &room, &before).await.ok()["chunk"][0]["state_key"], json!(alice.user_id));
        let now = sync["next_batch"].as_str().unwrap();
        assert_eq!(members(&carol, &room, now).await.ok()["chunk"].as_array().unwrap().len(), 2);
    }
}
