//! One client lets another in.

use std::sync::Arc;

use landbridge_homeserver::{clock::ManualClock, http::Rate, users::Standing};
use ruma::user_id;
use serde_json::{Value, json};

use crate::support::{AS_TOKEN, Answer, Person, Server, bridged, registers};

const MAKE: &str = "../v1/login/get_token";

fn password(who: &Person, password: &str) -> Value {
    json!({ "auth": { "type": "m.login.password", "password": password,
        "identifier": { "type": "m.id.user", "user": who.user_id } } })
}

/// The token that a person's client gets for another.
async fn token_of(who: &Person) -> String {
    who.post(MAKE, password(who, "secret")).await.ok()["login_token"].as_str().unwrap().to_owned()
}

async fn enters(server: &Server, token: &str) -> Answer {
    let body = json!({ "type": "m.login.token", "token": token });
    server.call("POST", "/_matrix/client/v3/login", None, Some(body)).await
}

#[tokio::test]
async fn a_client_lets_another_in_once() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let flows = server.call("GET", "/_matrix/client/v3/login", None, None).await.ok()["flows"].clone();
    assert!(flows.as_array().unwrap().contains(&json!({ "type": "m.login.token", "get_login_token": true })));
    let asked = alice.post(MAKE, json!({})).await;
    assert_eq!((asked.status.as_u16(), &asked.body["flows"]), (401, &json!([{ "stages": ["m.login.password"] }])));
    let wrong = alice.post(MAKE, password(&alice, "wrong")).await;
    assert_eq!((wrong.status.as_u16(), &wrong.body["errcode"]), (401, &json!("M_FORBIDDEN")));
    let made = alice.post(MAKE, password(&alice, "secret")).await.ok();
    assert_eq!(made["expires_in_ms"], 120_000);
    // What was shown once is asked for again.
    assert_eq!(alice.post(MAKE, json!({})).await.status, 401);

    let token = made["login_token"].as_str().unwrap();
    let file = std::fs::read_dir(server.folder()).unwrap().map(|entry| entry.unwrap().path());
    let kept = file.filter(|path| path.is_file()).map(|path| std::fs::read(path).unwrap());
    let kept: Vec<u8> = kept.flatten().collect();
    assert!(memmem(&kept, b"login_token_device"), "the table is in what was read");
    assert!(!memmem(&kept, token.as_bytes()), "only a hash is kept");

    let server = server.restart().await;
    let body = json!({ "type": "m.login.token", "token": token, "device_id": "TABLET", "refresh_token": true,
        "initial_device_display_name": "Tablet" });
    let entered = server.call("POST", "/_matrix/client/v3/login", None, Some(body)).await.ok();
    assert_eq!((&entered["user_id"], &entered["device_id"]), (&json!(alice.user_id), &json!("TABLET")));
    assert!(entered["refresh_token"].is_string());
    let tablet = Person::of(&server, entered["access_token"].as_str().unwrap(), &alice.user_id);
    assert_eq!(tablet.get("devices/TABLET").await.ok()["display_name"], "Tablet");
    enters(&server, token).await.refused(403, "M_FORBIDDEN");
}

fn memmem(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn of_those_who_bring_a_token_at_once_one_comes_in() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let token = token_of(&alice).await;
    let tries = futures_util::future::join_all((0..8).map(|_| enters(&server, &token))).await;
    let (entered, refused): (Vec<Answer>, Vec<Answer>) =
        tries.into_iter().partition(|answer| answer.status.is_success());
    assert_eq!(entered.len(), 1);
    for answer in refused {
        answer.refused(403, "M_FORBIDDEN");
    }
    assert_eq!(alice.get("devices").await.ok()["devices"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_login_token_ends_with_its_time_and_with_the_client_that_got_it() {
    let clock = Arc::new(ManualClock::at(1_000));
    let server = Server::at(clock.clone(), |config| config.rate_limits.login_tokens = Rate::new(10, 1.0)).await;
    let alice = server.person("alice").await;
    let (late, in_time) = (token_of(&alice).await, token_of(&alice).await);
    clock.advance(119_999);
    enters(&server, &in_time).await.ok();
    clock.advance(1);
    enters(&server, &late).await.refused(403, "M_FORBIDDEN");

    let phone = Person::of(&server, &server.logs_in("alice").await, &alice.user_id);
    let (of_phone, of_alice) = (token_of(&phone).await, token_of(&alice).await);
    phone.post("logout", json!({})).await.ok();
    enters(&server, &of_phone).await.refused(403, "M_FORBIDDEN");
    alice.post("account/deactivate", password(&alice, "secret")).await.ok();
    enters(&server, &of_alice).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn login_tokens_are_limited_before_a_password_is_asked_for() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    for _ in 0..2 {
        token_of(&alice).await;
    }
    let refused = alice.post(MAKE, json!({})).await;
    assert!(refused.headers.contains_key("retry-after"));
    refused.refused(429, "M_LIMIT_EXCEEDED");
    alice.post(MAKE, password(&alice, "secret")).await.refused(429, "M_LIMIT_EXCEEDED");
    token_of(&bob).await;
}

#[tokio::test]
async fn who_has_no_password_lets_nobody_in() {
    let (server, _service) = bridged().await;
    let bob = registers(&server, "irc_bob").await;
    let path = format!("/_matrix/client/v1/login/get_token?user_id={}", bob.user_id);
    server.call("POST", &path, Some(AS_TOKEN), Some(json!({}))).await.refused(400, "M_UNKNOWN");
    let capability = |capabilities: Value| capabilities["capabilities"]["m.get_login_token"]["enabled"].clone();
    assert_eq!(capability(bob.call("GET", "capabilities", None).await.ok()), false);
    let alice = server.person("alice").await;
    assert_eq!(capability(alice.get("capabilities").await.ok()), true);
    server
        .call("POST", "/_matrix/client/v1/login/get_token", None, Some(json!({})))
        .await
        .refused(401, "M_MISSING_TOKEN");
    server.hs.users().set_standing(user_id!("@alice:localhost"), Standing::Suspended).await.unwrap();
    alice.post(MAKE, password(&alice, "secret")).await.refused(403, "M_USER_SUSPENDED");

    let guests = Server::with(|config| config.guests = true).await;
    let path = "/_matrix/client/v3/register?kind=guest";
    let guest = guests.call("POST", path, None, Some(json!({}))).await.ok();
    let token = guest["access_token"].as_str();
    let path = "/_matrix/client/v1/login/get_token";
    guests.call("POST", path, token, Some(json!({}))).await.refused(403, "M_GUEST_ACCESS_FORBIDDEN");
    assert_eq!(capability(guests.call("GET", "/_matrix/client/v3/capabilities", token, None).await.ok()), false);
}

#[tokio::test]
async fn what_is_no_login_token_opens_nothing() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let login = async |body: Value| server.call("POST", "/_matrix/client/v3/login", None, Some(body)).await;
    login(json!({ "type": "m.login.token" })).await.refused(400, "M_MISSING_PARAM");
    login(json!({ "type": "m.login.token", "token": 5 })).await.refused(400, "M_BAD_JSON");
    for token in ["", "lbt_", "\u{0}", alice.token.as_str()] {
        enters(&server, token).await.refused(403, "M_FORBIDDEN");
    }
    let token = token_of(&alice).await;
    server.call("GET", "/_matrix/client/v3/account/whoami", Some(&token), None).await.refused(401, "M_UNKNOWN_TOKEN");
    enters(&server, &token).await.ok();
}

#[tokio::test]
async fn a_device_and_a_cross_signing_key_are_not_called_the_same() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let key = |public: &str| {
        json!({ "master_key": { "user_id": alice.user_id, "usage": ["master"],
            "keys": { (format!("ed25519:{public}")): public } } })
    };
    let device = alice.get("account/whoami").await.ok()["device_id"].as_str().unwrap().to_owned();
    alice.post("keys/device_signing/upload", key(&device)).await.refused(403, "M_FORBIDDEN");
    alice.post("keys/device_signing/upload", key("MASTER")).await.ok();
    let login = |device: &str| {
        json!({ "type": "m.login.password", "password": "secret", "device_id": device,
            "identifier": { "type": "m.id.user", "user": "alice" } })
    };
    let path = "/_matrix/client/v3/login";
    server.call("POST", path, None, Some(login("MASTER"))).await.refused(403, "M_FORBIDDEN");
    server.call("POST", path, None, Some(login("TABLET"))).await.ok();
}
