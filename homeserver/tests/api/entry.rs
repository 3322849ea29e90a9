//! Who is let in, how often they may try, and how they stay.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::extract::ConnectInfo;
use landbridge_homeserver::{
    Config, Homeserver,
    clock::ManualClock,
    http::{Rate, Registering, Terms},
    users::Standing,
};
use ruma::{server_name, user_id};
use serde_json::{Value, json};

use crate::support::{AS_TOKEN, Answer, Server, Service, irc_registration, request};

const REGISTER: &str = "/_matrix/client/v3/register";
const LOGIN: &str = "/_matrix/client/v3/login";
const WHOAMI: &str = "/_matrix/client/v3/account/whoami";

async fn server_with(clock: Arc<ManualClock>, change: impl FnOnce(&mut Config)) -> Server {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(server_name!("localhost").to_owned(), dir.path());
    change(&mut config);
    Server::of(Homeserver::open(config, clock).await.unwrap(), dir)
}

async fn server(change: impl FnOnce(&mut Config)) -> Server {
    server_with(Arc::new(ManualClock::at(1_000)), change).await
}

/// A request from somewhere in the network.
async fn from(server: &Server, address: &str, path: &str, token: Option<&str>, body: Value) -> Answer {
    let mut request = request("POST", path, token, Some(body));
    request.extensions_mut().insert(ConnectInfo(SocketAddr::new(address.parse().unwrap(), 4000)));
    server.send(request).await
}

fn account(name: &str) -> Value {
    json!({ "username": name, "password": "secret", "auth": { "type": "m.login.dummy" } })
}

fn login(name: &str, password: &str) -> Value {
    json!({ "type": "m.login.password", "identifier": { "type": "m.id.user", "user": name }, "password": password })
}

#[tokio::test]
async fn registering_is_limited_by_network_and_services_are_exempt() {
    let server = server(|config| config.rate_limits.register = Rate::new(2, 1.0)).await;
    for name in ["a", "b"] {
        from(&server, "192.0.2.1", REGISTER, None, account(name)).await.ok();
    }
    let refused = from(&server, "192.0.2.1", REGISTER, None, account("c")).await;
    let after: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");
    refused.refused(429, "M_LIMIT_EXCEEDED");
    from(&server, "192.0.2.2", REGISTER, None, account("c")).await.ok();
    server.appservice(irc_registration(), &Service::default()).await;
    for number in 0..5 {
        let body = json!({ "type": "m.login.application_service", "username": format!("irc_{number}") });
        from(&server, "192.0.2.1", REGISTER, Some(AS_TOKEN), body).await.ok();
    }
}

#[tokio::test]
async fn logins_are_limited_by_network() {
    let server = server(|config| config.rate_limits.login = Rate::new(2, 1.0)).await;
    server.person("alice").await;
    for _ in 0..2 {
        from(&server, "192.0.2.1", LOGIN, None, login("alice", "secret")).await.ok();
    }
    from(&server, "192.0.2.1", LOGIN, None, login("alice", "secret")).await.refused(429, "M_LIMIT_EXCEEDED");
    from(&server, "192.0.2.2", LOGIN, None, login("alice", "secret")).await.ok();
}

#[tokio::test]
async fn guessing_one_password_is_limited_wherever_it_comes_from() {
    let server = server(|config| config.rate_limits.wrong_passwords = Rate::new(3, 1.0)).await;
    let alice = server.person("alice").await;
    server.person("bob").await;
    for number in 0..2 {
        let address = format!("192.0.2.{number}");
        from(&server, &address, LOGIN, None, login("alice", "nope")).await.refused(403, "M_FORBIDDEN");
    }
    // A password asked for in between counts as well.
    let first = alice.post("account/deactivate", json!({})).await;
    let auth = json!({ "type": "m.login.password", "session": first.body["session"], "password": "nope",
                       "identifier": { "type": "m.id.user", "user": "alice" } });
    assert_eq!(alice.post("account/deactivate", json!({ "auth": auth })).await.body["errcode"], "M_FORBIDDEN");
    from(&server, "192.0.2.9", LOGIN, None, login("alice", "secret")).await.refused(429, "M_LIMIT_EXCEEDED");
    alice.post("account/deactivate", json!({ "auth": auth })).await.refused(429, "M_LIMIT_EXCEEDED");
    from(&server, "192.0.2.9", LOGIN, None, login("bob", "secret")).await.ok();
}

#[tokio::test]
async fn a_registration_token_lets_in_as_many_as_it_says() {
    let server = server(|config| config.registering = Registering::WithToken).await;
    let grants = server.hs.grants();
    grants.create(Some("sesame".to_owned()), Some(1), None).await.unwrap().unwrap();
    assert!(grants.create(Some("not a token".to_owned()), None, None).await.unwrap().is_none());
    let wish = json!({ "username": "alice", "password": "secret" });
    let first = server.call("POST", REGISTER, None, Some(wish.clone())).await;
    assert_eq!(first.status, 401);
    assert_eq!(first.body["flows"], json!([{ "stages": ["m.login.registration_token"] }]));
    let with = |token: &str| {
        let auth = json!({ "type": "m.login.registration_token", "token": token, "session": first.body["session"] });
        json!({ "username": "alice", "password": "secret", "auth": auth })
    };
    let wrong = server.call("POST", REGISTER, None, Some(with("open"))).await;
    assert_eq!((wrong.status.as_u16(), &wrong.body["errcode"]), (401, &json!("M_FORBIDDEN")));
    // The dummy stage opens nothing here.
    let dummy = server.call("POST", REGISTER, None, Some(account("alice"))).await;
    assert_eq!(dummy.status, 401);
    let valid = async |token: &str| {
        let path = format!("/_matrix/client/v1/register/m.login.registration_token/validity?token={token}");
        server.call("GET", &path, None, None).await.ok()["valid"].clone()
    };
    assert_eq!((valid("sesame").await, valid("open").await), (json!(true), json!(false)));
    server.call("POST", REGISTER, None, Some(with("sesame"))).await.ok();
    assert_eq!(valid("sesame").await, false);
    let auth = json!({ "type": "m.login.registration_token", "token": "sesame" });
    let second = json!({ "username": "bob", "password": "secret", "auth": auth });
    assert_eq!(server.call("POST", REGISTER, None, Some(second)).await.body["errcode"], "M_FORBIDDEN");
}

#[tokio::test]
async fn terms_are_agreed_to_in_the_client_or_on_a_page() {
    let terms = Terms {
        id: "privacy".to_owned(),
        version: "1".to_owned(),
        language: "en".to_owned(),
        name: "Privacy <&>".to_owned(),
        url: "https://example.org/privacy".to_owned(),
    };
    let server = server(|config| {
        config.terms = vec![terms];
        config.registering = Registering::WithToken;
    })
    .await;
    server.hs.grants().create(Some("sesame".to_owned()), None, None).await.unwrap();
    let wish = json!({ "username": "alice", "password": "secret" });
    let first = server.call("POST", REGISTER, None, Some(wish.clone())).await.body;
    assert_eq!(first["flows"], json!([{ "stages": ["m.login.registration_token", "m.login.terms"] }]));
    let policy = &first["params"]["m.login.terms"]["policies"]["privacy"];
    assert_eq!(policy["en"]["url"], "https://example.org/privacy");
    let with = |auth: Value| {
        let mut body = wish.clone();
        body["auth"] = auth;
        body["auth"]["session"] = first["session"].clone();
        body
    };
    let half = with(json!({ "type": "m.login.registration_token", "token": "sesame" }));
    let half = server.call("POST", REGISTER, None, Some(half)).await;
    assert_eq!((half.status.as_u16(), &half.body["completed"]), (401, &json!(["m.login.registration_token"])));
    // The page, for clients that cannot show terms.
    let page =
        format!("/_matrix/client/v3/auth/m.login.terms/fallback/web?session={}", first["session"].as_str().unwrap());
    let shown = server.call("GET", &page, None, None).await;
    let text = String::from_utf8(shown.bytes.to_vec()).unwrap();
    assert!(text.contains("Privacy &lt;&amp;&gt;"), "{text}");
    assert_eq!(server.call("POST", &page, None, None).await.status, 200);
    server.call("POST", &page.replace("session=", "session=x"), None, None).await.refused(404, "M_NOT_FOUND");
    let session_only = with(json!({}));
    let made = server.call("POST", REGISTER, None, Some(session_only)).await.ok();
    assert_eq!(made["user_id"], "@alice:localhost");
}

#[tokio::test]
async fn a_page_logs_in_for_clients_that_cannot() {
    let server = server(|_| ()).await;
    let page = server.call("GET", "/_matrix/static/client/login/?device_id=PHONE", None, None).await;
    assert_eq!(
        (page.status.as_u16(), &page.headers["content-type"]),
        (200, &"text/html; charset=utf-8".parse().unwrap())
    );
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    let text = String::from_utf8(page.bytes.to_vec()).unwrap();
    assert!(text.contains("window.matrixLogin.onLogin(response)") && !text.contains("PHONE"), "{text}");
}

#[tokio::test]
async fn what_was_passed_for_one_thing_does_not_count_for_another() {
    let server = server(|_| ()).await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let begun = alice.post("account/deactivate", json!({})).await.body["session"].clone();
    let auth = json!({ "type": "m.login.password", "session": begun, "password": "secret",
                       "identifier": { "type": "m.id.user", "user": "bob" } });
    let refused = bob.post("account/deactivate", json!({ "auth": auth })).await;
    assert_eq!((refused.status.as_u16(), &refused.body["errcode"]), (401, &json!("M_UNKNOWN")));
    let auth = json!({ "type": "m.login.password", "session": begun, "password": "secret",
                       "identifier": { "type": "m.id.user", "user": "alice" } });
    let body = json!({ "new_password": "other", "auth": auth });
    assert_eq!(alice.post("account/password", body).await.body["errcode"], "M_UNKNOWN");
}

#[tokio::test]
async fn a_closed_server_registers_nobody() {
    let server = server(|config| config.registering = Registering::Closed).await;
    server.call("POST", REGISTER, None, Some(account("alice"))).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_token_is_refreshed_and_the_old_ones_end_when_the_new_is_used() {
    let clock = Arc::new(ManualClock::at(1_000));
    let server = server_with(clock.clone(), |config| config.access_token_lifetime = Duration::from_secs(60)).await;
    server.person("alice").await;
    let mut wish = login("alice", "secret");
    wish["refresh_token"] = json!(true);
    let first = server.call("POST", LOGIN, None, Some(wish)).await.ok();
    assert_eq!(first["expires_in_ms"], 60_000);
    let refresh = async |tokens: &Value| {
        let body = json!({ "refresh_token": tokens["refresh_token"] });
        server.call("POST", "/_matrix/client/v3/refresh", None, Some(body)).await
    };
    let who = async |tokens: &Value| server.call("GET", WHOAMI, tokens["access_token"].as_str(), None).await;
    who(&first).await.ok();
    clock.advance(60_000);
    let expired = who(&first).await.refused(401, "M_UNKNOWN_TOKEN");
    assert_eq!(expired["soft_logout"], true);
    // The answer is lost, and the client asks again: the old token still refreshes.
    let lost = refresh(&first).await.ok();
    let second = refresh(&first).await.ok();
    who(&lost).await.refused(401, "M_UNKNOWN_TOKEN");
    who(&second).await.ok();
    assert_eq!(who(&second).await.ok()["device_id"], first["device_id"]);
    refresh(&first).await.refused(401, "M_UNKNOWN_TOKEN");
    let third = refresh(&second).await.ok();
    who(&second).await.ok();
    who(&third).await.ok();
    who(&second).await.refused(401, "M_UNKNOWN_TOKEN");
    // Logging out ends what could be refreshed.
    server.call("POST", "/_matrix/client/v3/logout", third["access_token"].as_str(), None).await.ok();
    refresh(&third).await.refused(401, "M_UNKNOWN_TOKEN");
    // Who does not ask for it gets a token that does not expire.
    let plain = server.call("POST", LOGIN, None, Some(login("alice", "secret"))).await.ok();
    assert!(plain.get("refresh_token").is_none());
    clock.advance(1_000_000_000);
    who(&plain).await.ok();
}

#[tokio::test]
async fn a_new_password_logs_out_the_other_devices() {
    let server = server(|_| ()).await;
    let alice = server.person("alice").await;
    let other = server.call("POST", LOGIN, None, Some(login("alice", "secret"))).await.ok();
    let auth = json!({ "type": "m.login.password", "password": "secret",
                       "identifier": { "type": "m.id.user", "user": "alice" } });
    alice.post("account/password", json!({ "new_password": "", "auth": auth })).await.refused(400, "M_WEAK_PASSWORD");
    alice.post("account/password", json!({ "new_password": "new", "auth": auth })).await.ok();
    alice.get("account/whoami").await.ok();
    server.call("GET", WHOAMI, other["access_token"].as_str(), None).await.refused(401, "M_UNKNOWN_TOKEN");
    server.call("POST", LOGIN, None, Some(login("alice", "secret"))).await.refused(403, "M_FORBIDDEN");
    server.call("POST", LOGIN, None, Some(login("alice", "new"))).await.ok();
}

#[tokio::test]
async fn a_closed_account_leaves_its_rooms_and_is_forgotten_if_it_wants() {
    let server = server(|_| ()).await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = bob.creates_room(json!({ "preset": "public_chat" })).await;
    alice.joins(&room).await;
    alice.put(&format!("profile/{}/displayname", alice.user_id), json!({ "displayname": "Alice" })).await.ok();
    let auth = json!({ "type": "m.login.password", "password": "secret",
                       "identifier": { "type": "m.id.user", "user": "alice" } });
    let mut since = bob.syncs(None, "").await["next_batch"].as_str().unwrap().to_owned();
    alice.post("account/deactivate", json!({ "erase": true, "auth": auth })).await.ok();
    loop {
        let sync = bob.get(&format!("sync?timeout=20000&since={since}")).await.ok();
        since = sync["next_batch"].as_str().unwrap().to_owned();
        let events = sync["rooms"]["join"][&room]["timeline"]["events"].as_array().cloned().unwrap_or_default();
        if events.iter().any(|event| event["content"]["membership"] == "leave") {
            break;
        }
    }
    assert_eq!(bob.get(&format!("profile/{}", alice.user_id)).await.ok(), json!({}));
}

#[tokio::test]
async fn an_account_that_was_half_closed_leaves_after_the_next_start() {
    let server = server(|_| ()).await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = bob.creates_room(json!({ "preset": "public_chat" })).await;
    alice.joins(&room).await;
    // The server stopped right after the account was closed.
    server.hs.users().deactivate(user_id!("@alice:localhost"), false).await.unwrap();
    let server = server.restart().await;
    let bob = bob.on(&server);
    let mut since = bob.syncs(None, "").await["next_batch"].as_str().unwrap().to_owned();
    let member = format!("rooms/{room}/state/m.room.member/{}", alice.user_id);
    while bob.get(&member).await.ok()["membership"] == "join" {
        let sync = bob.get(&format!("sync?timeout=20000&since={since}")).await.ok();
        since = sync["next_batch"].as_str().unwrap().to_owned();
    }
    assert_eq!(bob.get(&member).await.ok()["membership"], "leave");
    alice.on(&server).get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn a_locked_account_can_only_log_out_and_a_suspended_one_only_look() {
    let server = server(|_| ()).await;
    let alice = server.person("alice").await;
    let room = alice.creates_room(json!({})).await;
    let said = alice.says(&room, "one").await;
    let users = server.hs.users();
    users.set_standing(user_id!("@alice:localhost"), Standing::Suspended).await.unwrap();
    alice.syncs(None, "").await;
    let send = format!("rooms/{room}/send/m.room.message/t2");
    alice.put(&send, json!({ "body": "two", "msgtype": "m.text" })).await.refused(403, "M_USER_SUSPENDED");
    alice.post("createRoom", json!({})).await.refused(403, "M_USER_SUSPENDED");
    alice.put(&format!("rooms/{room}/redact/{said}/t3"), json!({})).await.ok();
    users.set_standing(user_id!("@alice:localhost"), Standing::Locked).await.unwrap();
    let locked = alice.get("account/whoami").await.refused(401, "M_USER_LOCKED");
    assert_eq!(locked["soft_logout"], true);
    // It stays so over a restart.
    let server = server.restart().await;
    let alice = crate::support::Person::again(&server, &alice);
    alice.get("account/whoami").await.refused(401, "M_USER_LOCKED");
    server.hs.users().set_standing(user_id!("@alice:localhost"), Standing::Good).await.unwrap();
    alice.get("account/whoami").await.ok();
    server.hs.users().set_standing(user_id!("@alice:localhost"), Standing::Locked).await.unwrap();
    alice.post("logout", json!({})).await.ok();
}

#[tokio::test]
async fn an_openid_token_shows_who_somebody_is_for_an_hour() {
    let clock = Arc::new(ManualClock::at(1_000));
    let server = server_with(clock.clone(), |_| ()).await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let path = format!("user/{}/openid/request_token", alice.user_id);
    bob.post(&path, json!({})).await.refused(403, "M_FORBIDDEN");
    let given = alice.post(&path, json!({})).await.ok();
    assert_eq!((&given["token_type"], &given["expires_in"]), (&json!("Bearer"), &json!(3600)));
    let token = given["access_token"].as_str().unwrap();
    let ask = |token: &str| format!("/_matrix/federation/v1/openid/userinfo?access_token={token}");
    assert_eq!(server.call("GET", &ask(token), None, None).await.ok(), json!({ "sub": alice.user_id }));
    server.call("GET", &ask("other"), None, None).await.refused(401, "M_UNKNOWN_TOKEN");
    server.call("GET", WHOAMI, Some(token), None).await.refused(401, "M_UNKNOWN_TOKEN");
    clock.advance(3_600_001);
    server.call("GET", &ask(token), None, None).await.refused(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn nobody_has_third_party_ids_here() {
    let server = server(|_| ()).await;
    let alice = server.person("alice").await;
    assert_eq!(alice.get("account/3pid").await.ok(), json!({ "threepids": [] }));
    let body = json!({ "sid": "1", "client_secret": "s" });
    alice.post("account/3pid/add", body).await.refused(400, "M_THREEPID_AUTH_FAILED");
    let body = json!({ "client_secret": "s", "email": "a@example.org", "send_attempt": 1 });
    for path in ["register", "account/password"] {
        let path = format!("/_matrix/client/v3/{path}/email/requestToken");
        server.call("POST", &path, None, Some(body.clone())).await.refused(403, "M_THREEPID_DENIED");
    }
    for medium in ["email", "msisdn"] {
        let path = format!("/_matrix/client/v3/account/3pid/{medium}/requestToken");
        let answer = server.call("POST", &path, None, Some(body.clone())).await;
        answer.refused(400, "M_THREEPID_MEDIUM_NOT_SUPPORTED");
    }
    let creds = json!({ "three_pid_creds": { "client_secret": "s", "id_server": "x.org", "sid": "1" } });
    alice.post("account/3pid", creds).await.refused(403, "M_THREEPID_AUTH_FAILED");
    alice.post("account/3pid", json!({})).await.refused(400, "M_MISSING_PARAM");
    let room = alice.creates_room(json!({})).await;
    for body in [
        json!({ "medium": "email", "address": "a@example.org" }),
        json!({ "medium": "email", "address": "a@example.org", "id_server": "x.org", "id_access_token": "t" }),
    ] {
        alice.post(&format!("rooms/{room}/invite"), body).await.refused(400, "M_SERVER_NOT_TRUSTED");
    }
    alice.post(&format!("rooms/{room}/invite"), json!({})).await.refused(400, "M_MISSING_PARAM");
    let body = json!({ "medium": "email", "address": "a@example.org" });
    let gone = alice.post("account/3pid/delete", body).await.ok();
    assert_eq!(gone["id_server_unbind_result"], "no-support");
}

#[tokio::test]
async fn a_service_that_manages_devices_gets_no_tokens_of_users() {
    let server = server(|_| ()).await;
    let mut registration = irc_registration();
    registration.msc4190 = true;
    server.appservice(registration, &Service::default()).await;
    let unsupported = "M_APPSERVICE_LOGIN_UNSUPPORTED";
    let wish = json!({ "type": "m.login.application_service", "username": "irc_bob" });
    server.call("POST", REGISTER, Some(AS_TOKEN), Some(wish.clone())).await.refused(400, unsupported);
    let mut quiet = wish.clone();
    quiet["inhibit_login"] = json!(true);
    server.call("POST", REGISTER, Some(AS_TOKEN), Some(quiet)).await.ok();
    let login =
        json!({ "type": "m.login.application_service", "identifier": { "type": "m.id.user", "user": "irc_bob" } });
    server.call("POST", LOGIN, Some(AS_TOKEN), Some(login)).await.refused(400, unsupported);
}

#[tokio::test]
async fn who_sends_too_much_is_told_when_to_go_on() {
    let events = Some(landbridge_homeserver::http::Rate::new(5, 60.0));
    let server = server(|config| config.rate_limits.events = events).await;
    let service = Service::default();
    server.appservice(irc_registration(), &service).await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.creates_room(json!({ "preset": "public_chat" })).await;
    let path = |number: usize| format!("rooms/{room}/send/m.room.message/{number}");
    for number in 0..4 {
        alice.put(&path(number), json!({ "msgtype": "m.text", "body": "hello" })).await.ok();
    }
    let refusal = alice.put(&path(4), json!({ "msgtype": "m.text", "body": "hello" })).await;
    assert_eq!(refusal.headers["retry-after"], "1");
    refusal.refused(429, "M_LIMIT_EXCEEDED");
    alice
        .put(&format!("rooms/{room}/state/m.room.topic"), json!({ "topic": "a" }))
        .await
        .refused(429, "M_LIMIT_EXCEEDED");
    alice.post("createRoom", json!({})).await.refused(429, "M_LIMIT_EXCEEDED");
    alice.post(&format!("join/{room}"), json!({})).await.refused(429, "M_LIMIT_EXCEEDED");
    // Reading goes on, and so do others.
    alice.get(&format!("rooms/{room}/messages?dir=b")).await.ok();
    bob.joins(&room).await;
    let bot = crate::support::virtual_user(&server, "ircbot");
    bot.joins(&room).await;
    for number in 0..10 {
        bot.call("PUT", &path(number), Some(json!({ "msgtype": "m.text", "body": "hello" }))).await.ok();
    }
}

#[tokio::test]
async fn who_is_locked_gets_no_new_tokens() {
    let server = server(|_| ()).await;
    server.person("alice").await;
    let login = json!({ "type": "m.login.password", "user": "alice", "password": "secret" });
    let wrong = json!({ "type": "m.login.password", "user": "alice", "password": "wrong" });
    server.hs.users().set_standing(user_id!("@alice:localhost"), Standing::Locked).await.unwrap();
    server.call("POST", LOGIN, None, Some(login.clone())).await.refused(401, "M_USER_LOCKED");
    // Who does not know the password is not told.
    server.call("POST", LOGIN, None, Some(wrong)).await.refused(403, "M_FORBIDDEN");
    server.hs.users().set_standing(user_id!("@alice:localhost"), Standing::Good).await.unwrap();
    server.call("POST", LOGIN, None, Some(login)).await.ok();
    // A token that is none is no missing one.
    let account = json!({ "type": "m.login.application_service", "username": "irc_x", "inhibit_login": true });
    server.call("POST", REGISTER, Some("wrong"), Some(account.clone())).await.refused(401, "M_UNKNOWN_TOKEN");
    server.call("POST", REGISTER, None, Some(account)).await.refused(401, "M_MISSING_TOKEN");
}
