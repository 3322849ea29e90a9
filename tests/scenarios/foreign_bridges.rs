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

async fn ask(homeserver: &Homeserver, method: Method, path: &str, token: &str, body: Value) -> Value {
    let answer = http().request(method, homeserver.path(path)).bearer_auth(token).json(&body).send().await;
    let answer = answer.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
    answer.json().await.expect("JSON")
}
