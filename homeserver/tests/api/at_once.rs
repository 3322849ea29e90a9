//! What several clients of somebody ask for in the same moment: nothing that was granted is lost, and what may be once is once.

use futures_util::future::join_all;
use ruma::{
    CanonicalJsonObject,
    serde::{Base64, base64::Standard},
    signatures::{Ed25519KeyPair, sign_json},
};
use serde_json::{Value, json};

use crate::support::{Answer, Person, Server};

/// Requests under way at the same time.
const AT_ONCE: usize = 16;

/// How many were granted; all others were refused so.
#[track_caller]
fn granted(answers: Vec<Answer>, status: u16, errcode: Option<&str>) -> usize {
    let (granted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status.is_success());
    for answer in refused {
        assert_eq!((answer.status.as_u16(), answer.body["errcode"].as_str()), (status, errcode), "{}", answer.body);
    }
    granted.len()
}

async fn tags_set_at_once_are_all_there(server: Server) {
    let alice = server.person("alice").await;
    let room = alice.creates_room(json!({})).await;
    let tags = format!("user/{}/rooms/{room}/tags", alice.user_id);
    let puts = (0..AT_ONCE).map(|number| {
        let (alice, path) = (alice.clone(), format!("{tags}/u.{number}"));
        async move { alice.put(&path, json!({ "order": 0.5 })).await.ok() }
    });
    join_all(puts).await;
    let server = server.restart().await;
    let alice = alice.on(&server);
    let all = alice.get(&tags).await.ok()["tags"].as_object().unwrap().clone();
    assert_eq!(all.len(), AT_ONCE, "{all:?}");
    // Half of them go while others come.
    let changes = (0..AT_ONCE).map(|number| {
        let (alice, tags) = (alice.clone(), tags.clone());
        async move {
            if number % 2 == 0 {
                alice.call("DELETE", &format!("{tags}/u.{number}"), None).await.ok();
            } else {
                alice.put(&format!("{tags}/u.new{number}"), json!({})).await.ok();
            }
        }
    });
    join_all(changes).await;
    let all = alice.get(&tags).await.ok()["tags"].as_object().unwrap().clone();
    assert_eq!(all.len(), AT_ONCE, "{all:?}");
    assert!(all.keys().all(|tag| tag.starts_with("u.new") || tag.ends_with(['1', '3', '5', '7', '9'])), "{all:?}");
}

#[tokio::test]
async fn tags_set_at_once_are_all_there_on_sqlite() {
    tags_set_at_once_are_all_there(Server::start().await).await;
}

#[tokio::test]
async fn tags_set_at_once_are_all_there_on_postgresql() {
    let Some(postgres) = crate::rooms_support::Postgres::start().await else { return };
    tags_set_at_once_are_all_there(Server::start_on(Some(postgres.url.clone())).await).await;
}

#[tokio::test]
async fn push_rules_changed_at_once_are_all_changed() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let rule = |number: usize| format!("pushrules/global/content/r{number}");
    let change = async |what: &str, body: Value| {
        let changes = (0..AT_ONCE).map(|number| {
            let (alice, path, body) = (alice.clone(), format!("{}{what}", rule(number)), body.clone());
            async move { alice.put(&path, body).await.ok() }
        });
        join_all(changes).await;
    };
    let own = async || {
        let rules = alice.get("pushrules/global/").await.ok()["content"].as_array().cloned().unwrap_or_default();
        rules.into_iter().filter(|rule| rule["default"] == false).collect::<Vec<_>>()
    };
    change("", json!({ "pattern": "tea", "actions": ["notify"] })).await;
    assert_eq!(own().await.len(), AT_ONCE);
    change("/enabled", json!({ "enabled": false })).await;
    assert!(own().await.iter().all(|rule| rule["enabled"] == false));
    change("/actions", json!({ "actions": [] })).await;
    assert!(own().await.iter().all(|rule| rule["actions"] == json!([]) && rule["enabled"] == false));
    let deletes = (0..AT_ONCE).map(|number| {
        let (alice, path) = (alice.clone(), rule(number));
        async move { alice.call("DELETE", &path, None).await.ok() }
    });
    join_all(deletes).await;
    assert_eq!(own().await, Vec::<Value>::new());
}

/// A key to sign with: it is called by its public part, or by a name.
struct Key(Ed25519KeyPair, String);

impl Key {
    fn new(name: Option<&str>) -> Self {
        let der = Ed25519KeyPair::generate();
        let public = Ed25519KeyPair::from_der(&der, "x".to_owned()).unwrap().public_key().to_vec();
        let public = Base64::<Standard>::new(public).encode();
        let pair = Ed25519KeyPair::from_der(&der, name.unwrap_or(&public).to_owned()).unwrap();
        Self(pair, public)
    }

    /// The object with a signature of this key.
    fn signs(&self, by: &Person, object: &Value) -> Value {
        let mut object: CanonicalJsonObject = serde_json::from_value(object.clone()).unwrap();
        sign_json(&by.user_id, &self.0, &mut object).unwrap();
        serde_json::to_value(object).unwrap()
    }

    /// The key of a user, for cross-signing.
    fn of(&self, user: &Person, usage: &str) -> Value {
        json!({ "user_id": user.user_id, "usage": [usage], "keys": { format!("ed25519:{}", self.1): self.1 } })
    }
}

#[tokio::test]
async fn signatures_that_come_at_once_are_all_kept() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let device = alice.get("account/whoami").await.ok()["device_id"].as_str().unwrap().to_owned();
    let (master, own, others, phone) = (Key::new(None), Key::new(None), Key::new(None), Key::new(Some(&device)));
    let device_keys = json!({ "user_id": alice.user_id, "device_id": device, "algorithms": [],
        "keys": { format!("ed25519:{device}"): phone.1 } });
    let device_keys = phone.signs(&alice, &device_keys);
    alice.post("keys/upload", json!({ "device_keys": device_keys })).await.ok();
    let upload = json!({
        "master_key": master.of(&alice, "master"),
        "self_signing_key": master.signs(&alice, &own.of(&alice, "self_signing")),
        "user_signing_key": master.signs(&alice, &others.of(&alice, "user_signing")),
    });
    alice.post("keys/device_signing/upload", upload).await.ok();
    let signed = [&own, &others, &phone].map(|key| {
        let signed = key.signs(&alice, &master.of(&alice, "master"));
        json!({ &alice.user_id: { &master.1: signed } })
    });
    for answer in join_all(signed.map(|body| alice.post("keys/signatures/upload", body))).await {
        assert_eq!(answer.ok()["failures"], json!({}));
    }
    let found = alice.post("keys/query", json!({ "device_keys": { &alice.user_id: [] } })).await.ok();
    let signatures = found["master_keys"][&alice.user_id]["signatures"][&alice.user_id].as_object().unwrap().clone();
    assert_eq!(signatures.len(), 3, "{signatures:?}");
}

async fn nobody_reacts_twice_in_the_same_moment(server: Server) {
    let alice = server.person("alice").await;
    let room = alice.creates_room(json!({})).await;
    let event = alice.says(&room, "tea?").await;
    let reaction = json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": event, "key": "🍵" } });
    let react = async |alice: &Person, kind: &str, prefix: &str| {
        let sends = (0..AT_ONCE).map(|number| {
            let path = format!("rooms/{room}/send/{kind}/{prefix}{number}");
            let (alice, reaction) = (alice.clone(), reaction.clone());
            async move { alice.put(&path, reaction).await }
        });
        let answers = join_all(sends).await;
        let id = answers.iter().find_map(|answer| answer.body["event_id"].as_str()).unwrap_or_default().to_owned();
        (granted(answers, 400, Some("M_DUPLICATE_ANNOTATION")), id)
    };
    let (count, first) = react(&alice, "m.reaction", "a").await;
    assert_eq!(count, 1);
    // Another type of event is another reaction.
    assert_eq!(react(&alice, "x.reaction", "b").await.0, 1);
    let server = server.restart().await;
    let alice = alice.on(&server);
    assert_eq!(react(&alice, "m.reaction", "c").await.0, 0, "what stood before the start stands");
    alice.put(&format!("rooms/{room}/redact/{first}/r"), json!({})).await.ok();
    assert_eq!(react(&alice, "m.reaction", "d").await.0, 1, "what was taken back can be said again");
}

#[tokio::test]
async fn nobody_reacts_twice_in_the_same_moment_on_sqlite() {
    nobody_reacts_twice_in_the_same_moment(Server::start().await).await;
}

#[tokio::test]
async fn nobody_reacts_twice_in_the_same_moment_on_postgresql() {
    let Some(postgres) = crate::rooms_support::Postgres::start().await else { return };
    nobody_reacts_twice_in_the_same_moment(Server::start_on(Some(postgres.url.clone())).await).await;
}

#[tokio::test]
async fn backups_that_begin_at_once_have_numbers_of_their_own() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let new = json!({ "algorithm": "m.megolm_backup.v1", "auth_data": {} });
    let answers = join_all((0..AT_ONCE).map(|_| alice.post("room_keys/version", new.clone()))).await;
    let mut versions: Vec<u64> =
        answers.into_iter().map(|answer| answer.ok()["version"].as_str().unwrap().parse().unwrap()).collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=AT_ONCE as u64).collect::<Vec<_>>());
    // The greatest goes, and its number with it.
    alice.call("DELETE", &format!("room_keys/version/{AT_ONCE}"), None).await.ok();
    let next = alice.post("room_keys/version", new).await.ok()["version"].clone();
    assert_eq!(next, json!((AT_ONCE + 1).to_string()));
}

#[tokio::test]
async fn of_first_cross_signing_keys_that_come_at_once_one_is_taken_and_the_others_want_a_password() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let keys: Vec<Value> = (0..AT_ONCE).map(|_| Key::new(None).of(&alice, "master")).collect();
    let uploads = keys.iter().map(|key| alice.post("keys/device_signing/upload", json!({ "master_key": key })));
    assert_eq!(granted(join_all(uploads).await, 401, None), 1);
    // The one that was taken is taken as often as it comes.
    let found = alice.post("keys/query", json!({ "device_keys": { &alice.user_id: [] } })).await.ok();
    let taken = json!({ "master_key": found["master_keys"][&alice.user_id] });
    let again = (0..AT_ONCE).map(|_| alice.post("keys/device_signing/upload", taken.clone()));
    assert_eq!(granted(join_all(again).await, 401, None), AT_ONCE);
}
