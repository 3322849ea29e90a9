use landbridge_homeserver::{Contact, Support};
use ruma::user_id;
use serde_json::json;

use crate::support::Server;

#[tokio::test]
async fn a_new_name_is_told_in_every_room() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.creates_room(json!({ "preset": "public_chat" })).await;
    let path = format!("profile/{}/displayname", alice.user_id);
    alice.put(&path, json!({ "displayname": "Alice" })).await.ok();
    bob.put(&path, json!({ "displayname": "Eve" })).await.refused(403, "M_FORBIDDEN");
    let member = alice.get(&format!("rooms/{room}/state/m.room.member/{}", alice.user_id)).await.ok();
    assert_eq!(member["displayname"], "Alice");
    alice
        .put(&format!("profile/{}/avatar_url", alice.user_id), json!({ "avatar_url": "mxc://localhost/a" }))
        .await
        .ok();
    let whole = bob.get(&format!("profile/{}", alice.user_id)).await.ok();
    assert_eq!(whole, json!({ "displayname": "Alice", "avatar_url": "mxc://localhost/a" }));
    let joined = alice.get(&format!("rooms/{room}/joined_members")).await.ok();
    assert_eq!(joined["joined"][&alice.user_id], json!({ "display_name": "Alice", "avatar_url": "mxc://localhost/a" }));
    bob.get("profile/@nobody:localhost").await.refused(404, "M_NOT_FOUND");
}

/// What people say of themselves beside name and avatar, on either engine.
async fn a_profile_has_fields_that_clients_make_up(server: Server) {
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let of = |name: &str| format!("profile/{}/{name}", alice.user_id);
    assert_eq!(alice.get("capabilities").await.ok()["capabilities"]["m.profile_fields"], json!({ "enabled": true }));
    alice.get(&of("m.tz")).await.refused(404, "M_NOT_FOUND");
    alice.put(&of("m.tz"), json!({ "m.tz": "Europe/Berlin" })).await.ok();
    let pronouns = json!([{ "language": "en", "summary": "she/her \u{0}" }, null, 1.5]);
    alice.put(&of("org.example.pronouns"), json!({ "org.example.pronouns": pronouns })).await.ok();
    alice.put(&of("org.example.nothing"), json!({ "org.example.nothing": null })).await.ok();
    alice.put(&of("displayname"), json!({ "displayname": "Alice" })).await.ok();
    let server = server.restart().await;
    let (alice, bob) = (alice.on(&server), bob.on(&server));
    let whole = json!({ "displayname": "Alice", "m.tz": "Europe/Berlin", "org.example.pronouns": pronouns,
        "org.example.nothing": null });
    assert_eq!(bob.get(&format!("profile/{}", alice.user_id)).await.ok(), whole);
    assert_eq!(bob.get(&of("m.tz")).await.ok(), json!({ "m.tz": "Europe/Berlin" }));
    alice.put(&of("m.tz"), json!({ "m.tz": "Asia/Tokyo" })).await.ok();
    assert_eq!(bob.get(&of("m.tz")).await.ok(), json!({ "m.tz": "Asia/Tokyo" }));
    for _ in 0..2 {
        alice.call("DELETE", &of("m.tz"), None).await.ok();
    }
    bob.get(&of("m.tz")).await.refused(404, "M_NOT_FOUND");

    bob.put(&of("m.tz"), json!({ "m.tz": "UTC" })).await.refused(403, "M_FORBIDDEN");
    bob.call("DELETE", &of("org.example.pronouns"), None).await.refused(403, "M_FORBIDDEN");
    alice.put(&of("m.tz"), json!({ "m.zt": "UTC" })).await.refused(400, "M_MISSING_PARAM");
    for name in ["tz", "M.tz", "m.", "m..tz", "m.t-z", "1.tz"] {
        alice.put(&of(name), json!({ (name): 1 })).await.refused(400, "M_INVALID_PARAM");
        alice.get(&of(name)).await.refused(400, "M_INVALID_PARAM");
    }
    let name = format!("m.{}", "x".repeat(254));
    alice.put(&of(&name), json!({ (&*name): 1 })).await.refused(400, "M_KEY_TOO_LARGE");
    bob.get("profile/@nobody:localhost/m.tz").await.refused(404, "M_NOT_FOUND");
    // Together they have a bound, and what is replaced does not count.
    let large = |bytes: usize| json!({ "m.large": "x".repeat(bytes) });
    alice.put(&of("m.large"), large(52_000)).await.refused(400, "M_PROFILE_TOO_LARGE");
    for _ in 0..2 {
        alice.put(&of("m.large"), large(50_000)).await.ok();
    }
    alice.put(&of("m.more"), json!({ "m.more": "x".repeat(5_000) })).await.refused(400, "M_PROFILE_TOO_LARGE");
    assert!(bob.get(&format!("profile/{}", alice.user_id)).await.bytes.len() < 64 * 1024);
    // What is erased is gone.
    let auth = json!({ "type": "m.login.password", "password": "secret",
        "identifier": { "type": "m.id.user", "user": "alice" } });
    alice.post("account/deactivate", json!({ "auth": auth, "erase": true })).await.ok();
    assert_eq!(bob.get(&format!("profile/{}", alice.user_id)).await.ok(), json!({}));
}

#[tokio::test]
async fn a_profile_has_fields_that_clients_make_up_on_sqlite() {
    a_profile_has_fields_that_clients_make_up(Server::start().await).await;
}

#[tokio::test]
async fn a_profile_has_fields_that_clients_make_up_on_postgresql() {
    let Some(postgres) = crate::rooms_support::Postgres::start().await else { return };
    a_profile_has_fields_that_clients_make_up(Server::start_on(Some(postgres.url.clone())).await).await;
}

#[tokio::test]
async fn whom_to_ask_about_the_server_is_told() {
    let path = "/.well-known/matrix/support";
    Server::start().await.call("GET", path, None, None).await.refused(404, "M_NOT_FOUND");
    let admin = Contact {
        role: "m.role.admin".to_owned(),
        matrix_id: Some(user_id!("@admin:example.org").to_owned()),
        email_address: None,
    };
    let support = Support { contacts: vec![admin], page: Some("https://example.org/support".to_owned()) };
    let server = Server::with(|config| config.support = Some(support)).await;
    assert_eq!(
        server.call("GET", path, None, None).await.ok(),
        json!({ "contacts": [{ "role": "m.role.admin", "matrix_id": "@admin:example.org" }],
            "support_page": "https://example.org/support" })
    );
}

#[tokio::test]
async fn account_data_filters_and_tags_are_kept() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.creates_room(json!({})).await;
    let mine = format!("user/{}/account_data/irc", alice.user_id);
    alice.get(&mine).await.refused(404, "M_NOT_FOUND");
    alice.put(&mine, json!({ "nick": "ali" })).await.ok();
    assert_eq!(alice.get(&mine).await.ok(), json!({ "nick": "ali" }));
    bob.get(&mine).await.refused(403, "M_FORBIDDEN");
    let of_room = format!("user/{}/rooms/{room}/account_data/irc", alice.user_id);
    alice.put(&of_room, json!({ "here": true })).await.ok();
    assert_eq!(alice.get(&of_room).await.ok(), json!({ "here": true }));
    let tag = format!("user/{}/rooms/{room}/tags/m.favourite", alice.user_id);
    alice.put(&tag, json!({ "order": 0.5 })).await.ok();
    let tags = format!("user/{}/rooms/{room}/tags", alice.user_id);
    assert_eq!(alice.get(&tags).await.ok(), json!({ "tags": { "m.favourite": { "order": 0.5 } } }));
    alice.call("DELETE", &tag, None).await.ok();
    assert_eq!(alice.get(&tags).await.ok(), json!({ "tags": {} }));
    let filter = json!({ "room": { "timeline": { "limit": 3 } } });
    let id = alice.post(&format!("user/{}/filter", alice.user_id), filter.clone()).await.ok()["filter_id"].clone();
    let path = format!("user/{}/filter/{}", alice.user_id, id.as_str().unwrap());
    assert_eq!(alice.get(&path).await.ok(), filter);
}

#[tokio::test]
async fn push_rules_are_account_data_before_anybody_changed_them() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let path = format!("user/{}/account_data/m.push_rules", alice.user_id);
    for _ in 0..2 {
        assert_eq!(alice.get(&path).await.ok(), alice.get("pushrules/").await.ok());
        alice.put("pushrules/global/content/tea", json!({ "pattern": "tea", "actions": ["notify"] })).await.ok();
    }
    assert_eq!(alice.get(&path).await.ok()["global"]["content"][0]["rule_id"], "tea");
    alice.put(&path, json!({})).await.refused(405, "M_BAD_JSON");
}

#[tokio::test]
async fn what_is_no_object_is_nobodys_content() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let room = alice.creates_room(json!({})).await;
    let mine = format!("user/{}/account_data/x.mine", alice.user_id);
    let of_room = format!("user/{}/rooms/{room}/account_data/x.mine", alice.user_id);
    for content in [json!(5), json!("text"), json!(null), json!(true), json!([{}])] {
        alice.put(&mine, content.clone()).await.refused(400, "M_BAD_JSON");
        alice.put(&of_room, content.clone()).await.refused(400, "M_BAD_JSON");
        let body = json!({ "messages": { &alice.user_id: { "*": content } } });
        alice.put("sendToDevice/x.hello/t1", body).await.refused(400, "M_BAD_JSON");
    }
    let sync = alice.syncs(None, "").await;
    assert_eq!(sync["to_device"], json!(null));
    alice.get(&mine).await.refused(404, "M_NOT_FOUND");
    alice.get(&of_room).await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn a_tag_keeps_what_was_said_of_it() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let room = alice.creates_room(json!({})).await;
    let tags = format!("user/{}/rooms/{room}/tags", alice.user_id);
    let said = json!({ "order": 0.25, "org.example.colour": "green", "nested": { "n": [1, null] } });
    alice.put(&format!("{tags}/u.tea"), said.clone()).await.ok();
    alice.put(&format!("{tags}/u.old"), json!({ "order": "0.5" })).await.ok();
    let expected = json!({ "tags": { "u.tea": said, "u.old": { "order": 0.5 } } });
    assert_eq!(alice.get(&tags).await.ok(), expected);
    for order in [json!("first"), json!(null), json!([])] {
        alice.put(&format!("{tags}/u.bad"), json!({ "order": order })).await.refused(400, "M_BAD_JSON");
    }
    alice.put(&format!("{tags}/u.bad"), json!(5)).await.refused(400, "M_BAD_JSON");
    alice.put(&format!("{tags}/u.{}", "x".repeat(253)), json!({})).await.ok();
    alice.put(&format!("{tags}/u.{}", "x".repeat(254)), json!({})).await.refused(400, "M_INVALID_PARAM");
    assert_eq!(alice.get(&tags).await.ok()["tags"].as_object().unwrap().len(), 3);
    let bob = server.person("bob").await;
    bob.put(&format!("{tags}/u.mine"), json!({})).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn clients_find_what_they_look_for_at_the_start() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let versions = server.call("GET", "/_matrix/client/versions", None, None).await.ok();
    for version in ["v1.4", "v1.7", "v1.11", "v1.17"] {
        assert!(versions["versions"].as_array().unwrap().contains(&json!(version)), "{version}");
    }
    let capabilities = alice.get("capabilities").await.ok();
    assert_eq!(capabilities["capabilities"]["m.room_versions"]["available"]["9"], "stable");
    let rules = alice.get("pushrules/").await.ok();
    assert!(!rules["global"]["underride"].as_array().unwrap().is_empty());
    alice.put("pushrules/global/override/.m.rule.master/enabled", json!({ "enabled": true })).await.ok();
    assert_eq!(alice.get("pushrules/global/override/.m.rule.master/enabled").await.ok(), json!({ "enabled": true }));
    assert_eq!(alice.get("voip/turnServer").await.ok(), json!({}));
    assert_eq!(alice.get("thirdparty/protocols").await.ok(), json!({}));
    alice.get("room_keys/version").await.refused(404, "M_NOT_FOUND");
    assert_eq!(alice.get("pushers").await.ok(), json!({ "pushers": [] }));
}

#[tokio::test]
async fn people_are_found_and_application_services_are_not() {
    let server = Server::start().await;
    server.appservice(crate::support::irc_registration(), &crate::support::Service::default()).await;
    let alice = server.person("alice").await;
    // Who is in a room that anybody may join can be found.
    server.person("malice").await.creates_room(json!({ "preset": "public_chat" })).await;
    crate::support::registers(&server, "irc_alice").await;
    let found = alice.post("user_directory/search", json!({ "search_term": "ALICE" })).await.ok();
    let ids: Vec<&str> =
        found["results"].as_array().unwrap().iter().map(|user| user["user_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["@alice:localhost", "@malice:localhost"]);
}

#[tokio::test]
async fn a_field_is_named_in_the_body_and_an_avatar_is_a_file() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let of = |field: &str| format!("profile/{}/{field}", alice.user_id);
    alice.put(&of("displayname"), json!({ "displayname": "Alice" })).await.ok();
    alice.put(&of("displayname"), json!({})).await.refused(400, "M_MISSING_PARAM");
    alice.put(&of("avatar_url"), json!({ "displayname": "Eve" })).await.refused(400, "M_MISSING_PARAM");
    assert_eq!(alice.get(&of("displayname")).await.ok(), json!({ "displayname": "Alice" }));
    alice.put(&of("avatar_url"), json!({ "avatar_url": "mxc://localhost/a" })).await.ok();
    for bad in ["http://x", "https://example.org/a.png", "mxc://", "mxc://localhost", "mxc://localhost/a/b", "a"] {
        alice.put(&of("avatar_url"), json!({ "avatar_url": bad })).await.refused(400, "M_INVALID_PARAM");
    }
    assert_eq!(alice.get(&of("avatar_url")).await.ok(), json!({ "avatar_url": "mxc://localhost/a" }));
    for none in [json!(null), json!("")] {
        alice.put(&of("avatar_url"), json!({ "avatar_url": none })).await.ok();
        assert_eq!(alice.get(&of("avatar_url")).await.ok(), json!({}));
    }
}
