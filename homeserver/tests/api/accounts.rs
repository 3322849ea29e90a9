use serde_json::json;

use crate::support::{AS_TOKEN, Server, Service, irc_registration};

#[tokio::test]
async fn registering_takes_two_steps() {
    let server = Server::start().await;
    let wish = json!({ "username": "alice", "password": "wonderland" });
    let first = server.call("POST", "/_matrix/client/v3/register", None, Some(wish.clone())).await;
    assert_eq!(first.status, 401);
    assert_eq!(first.body["flows"], json!([{ "stages": ["m.login.dummy"] }]));
    let mut second = wish;
    second["auth"] = json!({ "type": "m.login.dummy", "session": first.body["session"] });
    let body = server.call("POST", "/_matrix/client/v3/register", None, Some(second)).await.ok();
    assert_eq!(body["user_id"], "@alice:localhost");
    let token = body["access_token"].as_str().unwrap();
    let who = server.call("GET", "/_matrix/client/v3/account/whoami", Some(token), None).await.ok();
    assert_eq!((&who["user_id"], &who["device_id"]), (&json!("@alice:localhost"), &body["device_id"]));
}

#[tokio::test]
async fn a_session_that_nobody_began_passes_nothing() {
    let server = Server::start().await;
    let auth = json!({ "type": "m.login.dummy", "session": "made-up" });
    let wish = json!({ "username": "alice", "password": "wonderland", "auth": auth });
    let refused = server.call("POST", "/_matrix/client/v3/register", None, Some(wish)).await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.body["errcode"], "M_UNKNOWN");
}

#[tokio::test]
async fn names_are_checked() {
    let server = Server::start().await;
    server.person("alice").await;
    let available = |name: &str| format!("/_matrix/client/v3/register/available?username={name}");
    server.call("GET", &available("bob"), None, None).await.ok();
    server.call("GET", &available("alice"), None, None).await.refused(400, "M_USER_IN_USE");
    for bad in ["Alice", "a%20b", "%C3%A9", "", "a:b", &"x".repeat(250)] {
        server.call("GET", &available(bad), None, None).await.refused(400, "M_INVALID_USERNAME");
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_look_the_same() {
    let server = Server::start().await;
    server.person("alice").await;
    let login = |user: &str, password: &str| json!({ "type": "m.login.password", "identifier": { "type": "m.id.user", "user": user }, "password": password });
    let path = "/_matrix/client/v3/login";
    let wrong = server.call("POST", path, None, Some(login("alice", "nope"))).await.refused(403, "M_FORBIDDEN");
    let unknown = server.call("POST", path, None, Some(login("nobody", "nope"))).await.refused(403, "M_FORBIDDEN");
    assert_eq!(wrong, unknown);
    for name in ["alice", "@alice:localhost"] {
        server.call("POST", path, None, Some(login(name, "secret"))).await.ok();
    }
    // From before there were identifiers.
    let old = json!({ "type": "m.login.password", "user": "alice", "password": "secret" });
    server.call("POST", path, None, Some(old)).await.ok();
}

#[tokio::test]
async fn a_login_without_a_type_is_refused_and_breaks_nothing() {
    let server = Server::start().await;
    for body in [json!({}), json!({ "type": 5 }), json!({ "user": "alice" })] {
        server.call("POST", "/_matrix/client/v3/login", None, Some(body)).await.refused(400, "M_BAD_JSON");
    }
    let body = json!({ "type": "m.login.telepathy" });
    server.call("POST", "/_matrix/client/v3/login", None, Some(body)).await.refused(400, "M_UNKNOWN");
}

#[tokio::test]
async fn a_token_ends_with_its_device() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    alice.get("account/whoami").await.ok();
    alice.post("logout", json!({})).await.ok();
    alice.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
    server.call("GET", "/_matrix/client/v3/account/whoami", None, None).await.refused(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn a_second_login_on_a_device_ends_the_first() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let device = alice.get("account/whoami").await.ok()["device_id"].clone();
    let login = json!({ "type": "m.login.password", "user": "alice", "password": "secret", "device_id": device });
    server.call("POST", "/_matrix/client/v3/login", None, Some(login)).await.ok();
    alice.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn logins_survive_a_restart() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let server = server.restart().await;
    server.call("GET", "/_matrix/client/v3/account/whoami", Some(&alice.token), None).await.ok();
}

#[tokio::test]
async fn a_deactivated_account_is_gone_and_its_name_stays_taken() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let first = alice.post("account/deactivate", json!({})).await;
    assert_eq!(first.status, 401);
    let identifier = json!({ "type": "m.id.user", "user": "alice" });
    let auth = |password: &str| json!({ "type": "m.login.password", "identifier": identifier, "password": password, "session": first.body["session"] });
    let wrong = alice.post("account/deactivate", json!({ "auth": auth("nope") })).await;
    assert_eq!((wrong.status.as_u16(), &wrong.body["errcode"]), (401, &json!("M_FORBIDDEN")));
    alice.post("account/deactivate", json!({ "auth": auth("secret") })).await.ok();
    alice.get("account/whoami").await.refused(401, "M_UNKNOWN_TOKEN");
    let login = json!({ "type": "m.login.password", "user": "alice", "password": "secret" });
    server.call("POST", "/_matrix/client/v3/login", None, Some(login)).await.refused(403, "M_FORBIDDEN");
    let taken = "/_matrix/client/v3/register/available?username=alice";
    server.call("GET", taken, None, None).await.refused(400, "M_USER_IN_USE");
}

#[tokio::test]
async fn names_of_an_application_service_are_kept_for_it() {
    let server = Server::start().await;
    server.appservice(irc_registration(), &Service::default()).await;
    let register = |name: &str| json!({ "username": name, "password": "x", "auth": { "type": "m.login.dummy" } });
    for name in ["irc_bob", "ircbot"] {
        let path = "/_matrix/client/v3/register";
        server.call("POST", path, None, Some(register(name))).await.refused(400, "M_EXCLUSIVE");
    }
    let service = |name: &str| json!({ "type": "m.login.application_service", "username": name });
    let path = "/_matrix/client/v3/register";
    server.call("POST", path, Some(AS_TOKEN), Some(service("bob"))).await.refused(400, "M_EXCLUSIVE");
    server.call("POST", path, None, Some(service("irc_bob"))).await.refused(401, "M_MISSING_TOKEN");
    let made = server.call("POST", path, Some(AS_TOKEN), Some(service("irc_bob"))).await.ok();
    assert!(made["access_token"].is_string());
    server.call("POST", path, Some(AS_TOKEN), Some(service("irc_bob"))).await.refused(400, "M_USER_IN_USE");
    // Without a type, as one bridge does, and without a device.
    let untyped = json!({ "username": "irc_carol", "inhibit_login": true });
    let made = server.call("POST", path, Some(AS_TOKEN), Some(untyped)).await.ok();
    assert_eq!(made, json!({ "user_id": "@irc_carol:localhost" }));
}

#[tokio::test]
async fn application_services_log_in_as_their_users_alone() {
    let server = Server::start().await;
    server.appservice(irc_registration(), &Service::default()).await;
    crate::support::registers(&server, "irc_bob").await;
    server.person("alice").await;
    let login = |user: &str| json!({ "type": "m.login.application_service", "identifier": { "type": "m.id.user", "user": user } });
    let path = "/_matrix/client/v3/login";
    server.call("POST", path, Some(AS_TOKEN), Some(login("irc_bob"))).await.ok();
    server.call("POST", path, Some(AS_TOKEN), Some(login("irc_nobody"))).await.refused(403, "M_FORBIDDEN");
    server.call("POST", path, Some(AS_TOKEN), Some(login("alice"))).await.refused(403, "M_EXCLUSIVE");
    server.call("POST", path, None, Some(login("irc_bob"))).await.refused(401, "M_MISSING_TOKEN");
    server.call("POST", path, Some("wrong"), Some(login("irc_bob"))).await.refused(401, "M_UNKNOWN_TOKEN");
}
