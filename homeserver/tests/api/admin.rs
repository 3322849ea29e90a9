//! An operator's work.

use landbridge_homeserver::http::Rate;
use serde_json::{Value, json};

use crate::support::{AS_TOKEN, Answer, Person, Server, irc_registration};

struct Operator<'a> {
    server: &'a Server,
    token: String,
}

impl Operator<'_> {
    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.server.call(method, &format!("/_landbridge/admin/v1/{path}"), Some(&self.token), body).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    async fn put(&self, path: &str, body: Value) -> Answer {
        self.call("PUT", path, Some(body)).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(body)).await
    }
}

fn operator(server: &Server) -> Operator<'_> {
    let token = std::fs::read_to_string(server.folder().join(landbridge_homeserver::OPERATOR_TOKEN_FILE)).unwrap();
    Operator { server, token: token.trim().to_owned() }
}

fn acting<'a>(server: &'a Server, person: &Person) -> Operator<'a> {
    Operator { server, token: person.token.clone() }
}

#[tokio::test]
async fn only_operators_get_in_and_each_does_what_the_role_allows() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let operator = operator(&server);
    let users = "/_landbridge/admin/v1/users";
    server.call("GET", users, None, None).await.refused(401, "M_MISSING_TOKEN");
    server.call("GET", users, Some("wrong"), None).await.refused(401, "M_UNKNOWN_TOKEN");
    acting(&server, &alice).get("users").await.refused(403, "M_FORBIDDEN");
    let role = async |role: Value| {
        operator.put(&format!("users/{}/role", alice.user_id), json!({ "role": role })).await.ok();
    };
    let lock = format!("users/{}/standing", bob.user_id);
    role(json!("auditor")).await;
    acting(&server, &alice).get("users").await.ok();
    acting(&server, &alice).put(&lock, json!({ "standing": "locked" })).await.refused(403, "M_FORBIDDEN");
    role(json!("moderator")).await;
    acting(&server, &alice).put(&lock, json!({ "standing": "locked" })).await.ok();
    bob.get("account/whoami").await.refused(401, "M_USER_LOCKED");
    acting(&server, &alice).post("registration_tokens", json!({})).await.refused(403, "M_FORBIDDEN");
    acting(&server, &alice)
        .put(&format!("users/{}/role", alice.user_id), json!({ "role": "admin" }))
        .await
        .refused(403, "M_FORBIDDEN");
    role(json!("admin")).await;
    acting(&server, &alice).post("registration_tokens", json!({})).await.ok();
    role(Value::Null).await;
    acting(&server, &alice).get("users").await.refused(403, "M_FORBIDDEN");
    operator
        .put(&format!("users/{}/role", alice.user_id), json!({ "role": "king" }))
        .await
        .refused(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn users_are_made_listed_and_closed() {
    let server = Server::start().await;
    let operator = operator(&server);
    operator.post("users", json!({ "username": "alice", "password": "secret" })).await.ok();
    operator.post("users", json!({ "username": "alice", "password": "secret" })).await.refused(400, "M_USER_IN_USE");
    operator.post("users", json!({ "username": "Bad Name" })).await.refused(400, "M_INVALID_USERNAME");
    operator.post("users", json!({ "username": "carol", "password": "" })).await.refused(400, "M_WEAK_PASSWORD");
    let login = |password: &str| json!({ "type": "m.login.password", "user": "alice", "password": password });
    let path = "/_matrix/client/v3/login";
    let alice = server.call("POST", path, None, Some(login("secret"))).await.ok();
    operator.put("users/@alice:localhost/password", json!({ "password": "new" })).await.ok();
    let whoami = "/_matrix/client/v3/account/whoami";
    server.call("GET", whoami, alice["access_token"].as_str(), None).await.refused(401, "M_UNKNOWN_TOKEN");
    server.call("POST", path, None, Some(login("new"))).await.ok();
    for number in 0..5 {
        server.person(&format!("user{number}")).await;
    }
    let page = operator.get("users?search=user&limit=3").await.ok();
    let names = |page: &Value| {
        let users = page["users"].as_array().unwrap().iter();
        users.map(|user| user["user_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&page), ["@user0:localhost", "@user1:localhost", "@user2:localhost"]);
    let next = page["next"].as_str().unwrap();
    let page = operator.get(&format!("users?search=user&limit=3&from={next}")).await.ok();
    assert_eq!((names(&page).len(), &page["next"]), (2, &Value::Null));
    operator.post("users/@alice:localhost/deactivate", json!({})).await.ok();
    let shown = operator.get("users/@alice:localhost").await.ok();
    assert_eq!((&shown["deactivated"], &shown["devices"]), (&json!(true), &json!([])));
    operator.put("users/@alice:localhost/password", json!({ "password": "x" })).await.refused(403, "M_FORBIDDEN");
    operator.get("users/@nobody:localhost").await.refused(404, "M_NOT_FOUND");
    operator.get("users/nobody").await.refused(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn a_room_is_closed_and_nobody_is_left_in_it() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let wish = json!({ "preset": "public_chat", "name": "Tea", "room_alias_name": "tea", "visibility": "public" });
    let room = alice.creates_room(wish).await;
    bob.joins(&room).await;
    let operator = operator(&server);
    let listed = operator.get("rooms").await.ok();
    assert_eq!((&listed["rooms"][0]["name"], &listed["rooms"][0]["joined_members"]), (&json!("Tea"), &json!(2)));
    assert_eq!(operator.get(&format!("rooms/{room}")).await.ok()["aliases"], json!(["#tea:localhost"]));
    let closed = operator.post(&format!("rooms/{room}/close"), json!({ "reason": "spam" })).await.ok();
    assert_eq!(closed["left"], 2);
    assert_eq!(bob.get("joined_rooms").await.ok()["joined_rooms"], json!([]));
    alice.get("directory/room/%23tea:localhost").await.refused(404, "M_NOT_FOUND");
    assert_eq!(operator.get(&format!("rooms/{room}")).await.ok()["published"], false);
    operator.get("rooms/!none:localhost").await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn lists_come_in_pages_and_a_page_begins_nowhere_impossible() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let operator = operator(&server);
    let mut ids = [alice.creates_room(json!({})).await, alice.creates_room(json!({})).await];
    ids.sort();
    let first = operator.get("rooms?limit=1").await.ok();
    assert_eq!((first["rooms"][0]["room_id"].as_str(), first["next"].as_str()), (Some(&*ids[0]), Some(&*ids[0])));
    let second = operator.get(&format!("rooms?from={}", ids[0])).await.ok();
    assert_eq!((second["rooms"][0]["room_id"].as_str(), &second["next"]), (Some(&*ids[1]), &Value::Null));
    for list in ["rooms", "users", "reports"] {
        operator.get(&format!("{list}?from=a%00b")).await.refused(400, "M_INVALID_PARAM");
        operator.get(&format!("{list}?limit=many")).await.refused(400, "M_INVALID_PARAM");
        assert_eq!(operator.get(&format!("{list}?limit=0")).await.status, 200, "{list}");
    }
}

#[tokio::test]
async fn application_services_come_and_go_while_the_server_runs() {
    let server = Server::start().await;
    let mut registration = irc_registration();
    registration.url = None;
    let text = registration.to_yaml().unwrap();
    let add = async |server: &Server, text: &str| {
        let operator = operator(server);
        let path = "/_landbridge/admin/v1/appservices";
        let mut request = crate::support::request("POST", path, Some(&operator.token), None);
        *request.body_mut() = axum::body::Body::from(text.to_owned());
        server.send(request).await
    };
    add(&server, "id: [").await.refused(400, "M_INVALID_PARAM");
    assert_eq!(add(&server, &text).await.ok(), json!({ "id": "irc" }));
    assert_eq!(add(&server, &text).await.status, 409);
    let whoami = "/_matrix/client/v3/account/whoami";
    server.call("GET", whoami, Some(AS_TOKEN), None).await.ok();
    let server = server.restart().await;
    server.hs.serve_added_appservices().await.unwrap();
    server.call("GET", whoami, Some(AS_TOKEN), None).await.ok();
    let operator = operator(&server);
    let listed = operator.get("appservices").await.ok();
    assert_eq!((&listed["appservices"][0]["id"], &listed["appservices"][0]["lag"]), (&json!("irc"), &json!(0)));
    assert!(!listed.to_string().contains(AS_TOKEN));
    let queues = operator.get("queues").await.ok();
    assert_eq!((&queues["appservices"], &queues["pushers"]["total"]), (&listed["appservices"], &json!(0)));
    operator.call("DELETE", "appservices/irc", None).await.ok();
    operator.call("DELETE", "appservices/irc", None).await.refused(404, "M_NOT_FOUND");
    server.call("GET", whoami, Some(AS_TOKEN), None).await.refused(401, "M_UNKNOWN_TOKEN");
    let server = server.restart().await;
    server.hs.serve_added_appservices().await.unwrap();
    server.call("GET", whoami, Some(AS_TOKEN), None).await.refused(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn registration_tokens_and_files_are_looked_after() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let operator = operator(&server);
    let made = operator.post("registration_tokens", json!({ "uses_allowed": 2 })).await.ok();
    let token = made["token"].as_str().unwrap().to_owned();
    operator.post("registration_tokens", json!({ "token": token })).await.refused(409, "M_INVALID_PARAM");
    operator.post("registration_tokens", json!({ "token": "a b" })).await.refused(400, "M_INVALID_PARAM");
    operator.put(&format!("registration_tokens/{token}"), json!({ "uses_allowed": 3 })).await.ok();
    let listed = operator.get("registration_tokens").await.ok();
    assert_eq!(listed["registration_tokens"][0]["uses_allowed"], 3);
    operator.call("DELETE", &format!("registration_tokens/{token}"), None).await.ok();
    operator.call("DELETE", &format!("registration_tokens/{token}"), None).await.refused(404, "M_NOT_FOUND");

    let mut upload = crate::support::request("POST", "/_matrix/media/v3/upload", Some(&alice.token), None);
    *upload.body_mut() = axum::body::Body::from("tea");
    let uri = server.send(upload).await.ok()["content_uri"].as_str().unwrap().to_owned();
    let id = uri.strip_prefix("mxc://localhost/").unwrap();
    assert_eq!(operator.get("media").await.ok(), json!({ "files": 1, "bytes": 3 }));
    let files = operator.get(&format!("users/{}/media", alice.user_id)).await.ok();
    assert_eq!(files["files"][0]["media_id"], json!(id));
    let path = format!("/_matrix/client/v1/media/download/localhost/{id}");
    operator.put(&format!("media/{id}/quarantine"), json!({ "quarantined": true })).await.ok();
    server.call("GET", &path, Some(&alice.token), None).await.refused(404, "M_NOT_FOUND");
    operator.put(&format!("media/{id}/quarantine"), json!({ "quarantined": false })).await.ok();
    server.call("GET", &path, Some(&alice.token), None).await.ok();
    operator.call("DELETE", &format!("media/{id}"), None).await.ok();
    operator.call("DELETE", &format!("media/{id}"), None).await.refused(404, "M_NOT_FOUND");
    operator.post("media/purge", json!({ "unused_since": 0 })).await.ok();
}

#[tokio::test]
async fn how_the_server_stands_to_others_is_told_to_operators() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    acting(&server, &alice).get("federation").await.refused(403, "M_FORBIDDEN");
    let federation = operator(&server).get("federation").await.ok();
    let about = (&federation["enabled"], &federation["server_name"], &federation["destinations"]);
    assert_eq!(about, (&json!(false), &json!("localhost"), &json!([])));
    let keys = federation["verify_keys"].as_object().unwrap();
    let (id, key) = keys.iter().next().unwrap();
    assert!(id.starts_with("ed25519:a_") && key["key"].as_str().is_some_and(|key| key.len() == 43), "{id} {key}");
    let server = server.restart().await;
    assert_eq!(operator(&server).get("federation").await.ok(), federation, "the key stays");
}

#[tokio::test]
async fn a_signing_key_moves_with_its_file() {
    use std::sync::Arc;

    use landbridge_homeserver::{Config, Homeserver, clock::SystemClock};
    use ruma::server_name;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("signing.key");
    let open = async |data: &str| {
        let mut config = Config::new(server_name!("localhost").to_owned(), folder.path().join(data));
        config.signing_key = Some(file.clone());
        let hs = Homeserver::open(config, Arc::new(SystemClock)).await?;
        hs.shutdown().await;
        Ok::<_, landbridge_homeserver::OpenError>(std::fs::read_to_string(&file).unwrap())
    };
    let written = open("one").await.unwrap();
    assert!(written.starts_with("ed25519 a_"), "the form of the file");
    assert_eq!(open("one").await.unwrap(), written);
    assert_eq!(open("two").await.unwrap(), written, "another database takes the key over");
    std::fs::write(&file, "nonsense").unwrap();
    assert!(open("one").await.is_err());
}

#[tokio::test]
async fn moderators_suspend_and_lock_with_their_own_clients() {
    let server = Server::start().await;
    let (alice, bob, carol) = (server.person("alice").await, server.person("bob").await, server.person("carol").await);
    let of = |what: &str, who: &str| format!("../v1/admin/{what}/{who}");
    let capability =
        async |who: &Person| who.get("capabilities").await.ok()["capabilities"].get("m.account_moderation").cloned();
    assert_eq!(capability(&alice).await, None);
    // Who may not is told nothing of who is there.
    for who in [&*bob.user_id, "@nobody:localhost", "@x:elsewhere.org"] {
        alice.put(&of("lock", who), json!({ "locked": true })).await.refused(403, "M_FORBIDDEN");
        alice.get(&of("suspend", who)).await.refused(403, "M_FORBIDDEN");
        alice.get(&format!("admin/whois/{who}")).await.refused(403, "M_FORBIDDEN");
    }
    operator(&server).put(&format!("users/{}/role", alice.user_id), json!({ "role": "moderator" })).await.ok();
    assert_eq!(capability(&alice).await, Some(json!({ "lock": true, "suspend": true })));

    assert_eq!(alice.get(&of("suspend", &bob.user_id)).await.ok(), json!({ "suspended": false }));
    let suspended = json!({ "suspended": true });
    assert_eq!(alice.put(&of("suspend", &bob.user_id), suspended.clone()).await.ok(), suspended);
    bob.post("createRoom", json!({})).await.refused(403, "M_USER_SUSPENDED");
    let locked = json!({ "locked": true });
    assert_eq!(alice.put(&of("lock", &bob.user_id), locked.clone()).await.ok(), locked);
    bob.get("account/whoami").await.refused(401, "M_USER_LOCKED");
    // The one does not end the other, also not over a restart.
    let server = server.restart().await;
    let (alice, bob, carol) = (alice.on(&server), bob.on(&server), carol.on(&server));
    assert_eq!(alice.get(&of("lock", &bob.user_id)).await.ok(), locked);
    assert_eq!(alice.get(&of("suspend", &bob.user_id)).await.ok(), suspended);
    alice.put(&of("lock", &bob.user_id), json!({ "locked": false })).await.ok();
    bob.get("account/whoami").await.ok();
    bob.post("createRoom", json!({})).await.refused(403, "M_USER_SUSPENDED");
    alice.put(&of("suspend", &bob.user_id), json!({ "suspended": false })).await.ok();
    bob.post("createRoom", json!({})).await.ok();

    alice.put(&of("lock", "@nobody:localhost"), locked.clone()).await.refused(404, "M_NOT_FOUND");
    alice.put(&of("lock", "@x:elsewhere.org"), locked.clone()).await.refused(400, "M_INVALID_PARAM");
    alice.put(&of("lock", "nobody"), locked.clone()).await.refused(400, "M_INVALID_PARAM");
    alice.put(&of("lock", &bob.user_id), json!({})).await.refused(400, "M_BAD_JSON");
    alice.put(&of("lock", &alice.user_id), locked.clone()).await.refused(403, "M_FORBIDDEN");
    operator(&server).put(&format!("users/{}/role", carol.user_id), json!({ "role": "auditor" })).await.ok();
    alice.put(&of("lock", &carol.user_id), locked.clone()).await.refused(403, "M_FORBIDDEN");
    carol.get(&of("lock", &bob.user_id)).await.ok();
    carol.put(&of("lock", &bob.user_id), locked).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn who_somebody_is_is_told_to_them_and_to_operators() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let path = format!("admin/whois/{}", bob.user_id);
    alice.get(&path).await.refused(403, "M_FORBIDDEN");
    let told = bob.get(&path).await.ok();
    let device = bob.get("account/whoami").await.ok()["device_id"].as_str().unwrap().to_owned();
    assert_eq!(told["user_id"], json!(bob.user_id));
    assert!(told["devices"][&device]["sessions"][0]["connections"][0]["last_seen"].is_number(), "{told}");
    operator(&server).put(&format!("users/{}/role", alice.user_id), json!({ "role": "auditor" })).await.ok();
    assert_eq!(alice.get(&path).await.ok(), told);
    alice.get("admin/whois/@nobody:localhost").await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn reports_are_listed_and_settled() {
    let server = Server::with(|config| config.rate_limits.reports = Rate::new(3, 1.0)).await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.creates_room(json!({ "preset": "public_chat" })).await;
    bob.joins(&room).await;
    let event = alice.says(&room, "bad").await;
    bob.post(&format!("rooms/{room}/report/{event}"), json!({ "reason": "rude" })).await.ok();
    bob.post(&format!("rooms/{room}/report"), json!({ "reason": "noisy" })).await.ok();
    bob.post(&format!("users/{}/report", alice.user_id), json!({ "reason": "" })).await.ok();
    bob.post(&format!("users/{}/report", alice.user_id), json!({ "reason": "" }))
        .await
        .refused(429, "M_LIMIT_EXCEEDED");
    // What was taken back since is what the report is about.
    alice.put(&format!("rooms/{room}/redact/{event}/r"), json!({})).await.ok();

    acting(&server, &bob).get("reports").await.refused(403, "M_FORBIDDEN");
    let operator = operator(&server);
    operator.put(&format!("users/{}/role", bob.user_id), json!({ "role": "auditor" })).await.ok();
    acting(&server, &bob).get("reports").await.refused(403, "M_FORBIDDEN");
    let first = operator.get("reports?limit=2").await.ok();
    let shown = first["reports"].as_array().unwrap();
    assert_eq!(shown.len(), 2);
    assert_eq!(
        (&shown[0]["reporter"], &shown[0]["user_id"], &shown[0]["event_id"], &shown[0]["reason"]),
        (&json!(bob.user_id), &json!(alice.user_id), &json!(event), &json!("rude"))
    );
    assert_eq!(
        shown[0]["event"],
        json!({ "type": "m.room.message", "content": { "msgtype": "m.text", "body": "bad" } })
    );
    assert_eq!((&shown[1]["room_id"], &shown[1]["event"]), (&json!(room), &Value::Null));
    let rest = operator.get(&format!("reports?limit=2&from={}", first["next"].as_str().unwrap())).await.ok();
    assert_eq!((rest["reports"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
    assert_eq!(rest["reports"][0]["user_id"], json!(alice.user_id));

    let settle = format!("reports/{}", shown[0]["id"]);
    acting(&server, &bob).call("DELETE", &settle, None).await.refused(403, "M_FORBIDDEN");
    operator.call("DELETE", &settle, None).await.ok();
    operator.call("DELETE", &settle, None).await.refused(404, "M_NOT_FOUND");
    operator.call("DELETE", "reports/x", None).await.refused(400, "M_INVALID_PARAM");
    operator.get("reports?from=x").await.refused(400, "M_INVALID_PARAM");
    assert_eq!(operator.get("reports").await.ok()["reports"].as_array().unwrap().len(), 2);
}
