//! Bridges that are not ours, on our homeserver. The same on Synapse, which proves that they ask for what is usual.

use landbridge_tests::{ForeignBridge, Homeserver, Library, MatrixUser, On, Port, http};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn embedded_a_bridge_on_mautrix_echoes() {
    Box::pin(a_bridge_echoes(On::Embedded, Library::Mautrix)).await;
}

#[tokio::test]
async fn synapse_a_bridge_on_mautrix_echoes() {
    Box::pin(a_bridge_echoes(On::Synapse, Library::Mautrix)).await;
}

#[tokio::test]
async fn embedded_a_bridge_on_matrix_appservice_bridge_echoes() {
    Box::pin(a_bridge_echoes(On::Embedded, Library::AppserviceBridge)).await;
}

#[tokio::test]
async fn synapse_a_bridge_on_matrix_appservice_bridge_echoes() {
    Box::pin(a_bridge_echoes(On::Synapse, Library::AppserviceBridge)).await;
}

async fn a_bridge_echoes(on: On, library: Library) {
    let port = Port::free();
    let mut homeserver = Homeserver::start_with(on, &ForeignBridge::registration(&port)).await;
    let bridge = ForeignBridge::start(library, &homeserver.url(), &port).await;
    let alice = MatrixUser::register(&homeserver.url(), "alice").await;
    let room = alice.creates_room(json!({ "invite": [ForeignBridge::BOT] })).await;
    room.sees_membership(ForeignBridge::GHOST, "join").await;
    assert_eq!(alice.display_name_of(ForeignBridge::GHOST).await.as_deref(), Some("Ghost"));
    room.says("one").await;
    room.sees(ForeignBridge::GHOST, "echo: one").await;

    // While it is away, what is said waits, even if the homeserver is killed; Synapse forgets what it had not handed out then.
    bridge.kill().await;
    room.says("two").await;
    if on == On::Embedded {
        homeserver.killed_and_started_again().await;
    }
    room.says("three").await;
    let bridge = ForeignBridge::start(library, &homeserver.url(), &port).await;
    room.sees(ForeignBridge::GHOST, "echo: two").await;
    room.sees(ForeignBridge::GHOST, "echo: three").await;
    if library == Library::AppserviceBridge {
        // A room that is made when somebody looks for it, by the bot.
        let path = "/_matrix/client/v3/join/%23echo_lobby:localhost";
        let made = ask(&homeserver, Method::POST, path, &alice.token, json!({})).await;
        let path = format!("/_matrix/client/v3/rooms/{}/state/m.room.name", made["room_id"].as_str().expect("an id"));
        let name = ask(&homeserver, Method::GET, &path, &alice.token, json!({})).await;
        assert_eq!(name["name"], "Made when looked for");
        return;
    }
    room.types().await;
    bridge.hears("typing", |line| line["ephemeral"] == "m.typing").await;

    // A device of the ghost, as bridges make them for encryption: what is sent to it comes with the transactions.
    let device = "/_matrix/client/v3/devices/BRIDGE?user_id=@echo_ghost:localhost";
    if on == On::Embedded {
        ask(&homeserver, Method::PUT, device, ForeignBridge::AS_TOKEN, json!({})).await;
        let path = "/_matrix/client/v3/sendToDevice/x.hello/t1";
        let body = json!({ "messages": { ForeignBridge::GHOST: { "BRIDGE": { "n": 1 } } } });
        ask(&homeserver, Method::PUT, path, &alice.token, body).await;
        let came = bridge.hears("a message to its device", |line| line["to_device"].is_object()).await;
        assert_eq!(came["to_device"]["content"]["n"], 1, "{came}");
        bridge.hears("how many keys are left", |line| line["counts"][ForeignBridge::GHOST]["BRIDGE"] == 0).await;
    }
}

#[tokio::test]
async fn embedded_a_bridge_on_mautrix_fills_a_room_up() {
    let port = Port::free();
    let registration = ForeignBridge::registration(&port);
    let mut homeserver = Homeserver::start_with_behaving(&registration, "bridge_extensions: true\n").await;
    let bridge = ForeignBridge::start(Library::Mautrix, &homeserver.url(), &port).await;
    let alice = MatrixUser::register(&homeserver.url(), "alice").await;
    let room = alice.creates_room(json!({ "invite": [ForeignBridge::BOT] })).await;
    room.sees_membership(ForeignBridge::GHOST, "join").await;
    room.says("backfill").await;
    let named = |numbers: &[u32]| json!(numbers.iter().map(|number| format!("$old{number}:echo")).collect::<Vec<_>>());
    for numbers in [&[6, 7][..], &[3, 4, 5], &[1, 2]] {
        let names = named(numbers);
        bridge.hears("what its events are called", |line| line["named"] == names).await;
    }

    // What went to the end is synced; the whole of it is there for who pages back, in its order and with its answers.
    let seen = room.sees(ForeignBridge::BOT, "old 7").await;
    let whole = room.whole_past(3).await;
    let said = |event: &&Value| event["type"] == "m.room.message";
    let texts: Vec<_> =
        whole.iter().filter(said).map(|event| event["content"]["body"].as_str().unwrap_or("")).collect();
    assert_eq!(texts, ["old 1", "old 2", "old 3", "old 4", "old 5", "backfill", "old 6", "old 7"]);
    assert_eq!(whole[0]["type"], "m.room.create");
    let find = |text: &str| {
        let found = whole.iter().find(|event| event["content"]["body"] == text).expect("it was said");
        found["event_id"].as_str().expect("an id").to_owned()
    };
    let answers = |text: &str| {
        let found = whole.iter().find(|event| event["content"]["body"] == text).expect("it was said");
        found["content"]["m.relates_to"]["m.in_reply_to"]["event_id"].clone()
    };
    assert_eq!(answers("old 2"), find("old 1"));
    assert_eq!(answers("old 5"), find("old 4"));
    assert_eq!(answers("old 7"), find("old 6"));
    assert_eq!(seen.id(), find("old 7"));

    // Answers to either reach the bridge under the names that it gave; so they do once the homeserver was killed.
    room.replies(&find("old 2"), "to two").await;
    bridge.hears("an answer to its own name", |line| line["reply_to"] == "$old2:echo").await;
    room.sees(ForeignBridge::GHOST, "echo: to two").await;
    homeserver.killed_and_started_again().await;
    room.replies(&find("old 7"), "to seven").await;
    bridge.hears("an answer after a restart", |line| line["reply_to"] == "$old7:echo").await;
    room.sees(ForeignBridge::GHOST, "echo: to seven").await;
    assert_eq!(room.whole_past(4).await.iter().filter(said).count(), texts.len() + 4, "two answers, each echoed");
}

async fn ask(homeserver: &Homeserver, method: Method, path: &str, token: &str, body: Value) -> Value {
    let answer = http().request(method, homeserver.path(path)).bearer_auth(token).json(&body).send().await;
    let answer = answer.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
    answer.json().await.expect("JSON")
}
