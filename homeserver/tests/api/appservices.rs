use std::time::Duration;

use http::StatusCode;
use landbridge_homeserver::appservice::{Appservice, AppserviceTransport, TransportError};
use serde_json::{Value, json};

use crate::support::{AS_TOKEN, HS_TOKEN, Person, Server, Service, bodies, irc_registration, registers, virtual_user};

async fn bridged() -> (Server, Service) {
    let server = Server::start().await;
    let service = Service::default();
    server.appservice(irc_registration(), &service).await;
    (server, service)
}

/// A public room of a person with the virtual user `@irc_bob` in it.
async fn portal(server: &Server, alice: &Person) -> String {
    let room = alice.creates_room(json!({ "preset": "public_chat" })).await;
    registers(server, "irc_bob").await.joins(&room).await;
    room
}

/// Stops the clock, and keeps it from running ahead while the database is at work.
struct Frozen(Option<std::sync::mpsc::Sender<()>>);

impl Frozen {
    fn now() -> Self {
        let (guard, over) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || over.recv());
        tokio::time::pause();
        Self(Some(guard))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}

#[tokio::test]
async fn a_service_hears_what_interests_it_and_nothing_else() {
    let (server, service) = bridged().await;
    let alice = server.person("alice").await;
    let elsewhere = alice.creates_room(json!({})).await;
    alice.says(&elsewhere, "not for you").await;
    // Rooms with a virtual user in them.
    let room = portal(&server, &alice).await;
    alice.says(&room, "with bob").await;
    // Rooms with one of its aliases.
    let bot = virtual_user(&server, "ircbot");
    let named = alice.creates_room(json!({ "preset": "public_chat" })).await;
    let alias = "directory/room/%23irc_tea:localhost";
    bot.call("PUT", alias, Some(json!({ "room_id": named }))).await.ok();
    alice.says(&named, "by alias").await;
    // Its own user needs no namespace.
    let of_bot = alice.creates_room(json!({ "invite": ["@ircbot:localhost"] })).await;
    bot.joins(&of_bot).await;
    alice.says(&of_bot, "with the bot").await;
    assert_eq!(service.hears("with the bot").await, ["with bob", "by alias", "with the bot"]);
    let call = &service.transactions()[0];
    assert_eq!(call.token, format!("Bearer {HS_TOKEN}"));
    let invitation = service.events().into_iter().find(|event| event["content"]["membership"] == "invite").unwrap();
    assert!(invitation["unsigned"]["invite_room_state"].is_array(), "{invitation}");
    assert_eq!(invitation["room_id"], json!(of_bot));
    // After the last of its users has left, no more.
    let bob = virtual_user(&server, "irc_bob");
    bob.call("POST", &format!("rooms/{room}/leave"), Some(json!({}))).await.ok();
    alice.says(&room, "bob is gone").await;
    alice.says(&of_bot, "the end").await;
    assert!(!service.hears("the end").await.contains(&"bob is gone".to_owned()));
    let leaving = service.events().into_iter().any(|event| event["content"]["membership"] == "leave");
    assert!(leaving, "its own leaving is told");
}

#[tokio::test]
async fn users_of_other_servers_that_look_alike_are_not_its_own() {
    let (server, _service) = bridged().await;
    for name in ["@irc_bob:localhost.evil.example", "@irc_bob:evil.example", "@xirc_bob:localhost", "@alice:localhost"]
    {
        let path = format!("/_matrix/client/v3/account/whoami?user_id={name}");
        server.call("GET", &path, Some(AS_TOKEN), None).await.refused(403, "M_FORBIDDEN");
    }
}

#[tokio::test]
async fn it_acts_as_registered_users_of_its_namespace() {
    let (server, _service) = bridged().await;
    let alice = server.person("alice").await;
    let room = alice.creates_room(json!({ "preset": "public_chat" })).await;
    let bob = virtual_user(&server, "irc_bob");
    bob.call("GET", "account/whoami", None).await.refused(403, "M_FORBIDDEN");
    registers(&server, "irc_bob").await;
    assert_eq!(bob.call("GET", "account/whoami", None).await.ok()["user_id"], "@irc_bob:localhost");
    let bot = server.call("GET", "/_matrix/client/v3/account/whoami", Some(AS_TOKEN), None).await.ok();
    assert_eq!(bot["user_id"], "@ircbot:localhost");
    bob.joins(&room).await;
    // It says when things happened; others do not.
    let path = format!("rooms/{room}/send/m.room.message/t1?ts=1234");
    let sent = bob.call("PUT", &path, Some(json!({ "body": "long ago" }))).await.ok();
    let event = alice.get(&format!("rooms/{room}/event/{}", sent["event_id"].as_str().unwrap())).await.ok();
    assert_eq!(event["origin_server_ts"], 1234);
    let sent = alice.put(&path, json!({ "body": "now" })).await.ok();
    let event = alice.get(&format!("rooms/{room}/event/{}", sent["event_id"].as_str().unwrap())).await.ok();
    assert_ne!(event["origin_server_ts"], 1234);
    // Two virtual users may use the same transaction id.
    registers(&server, "irc_carol").await.joins(&room).await;
    let path = format!("rooms/{room}/send/m.room.message/same");
    let one = bob.call("PUT", &path, Some(json!({ "body": "one" }))).await.ok();
    let carol = virtual_user(&server, "irc_carol");
    let other = carol.call("PUT", &path, Some(json!({ "body": "other" }))).await.ok();
    assert_ne!(one, other);
    assert_eq!(bob.call("PUT", &path, Some(json!({ "body": "one" }))).await.ok(), one);
    // Membership through state, with a time of its own.
    let member = format!("rooms/{room}/state/m.room.member/{}?ts=77", carol.user_id);
    carol.call("PUT", &member, Some(json!({ "membership": "leave" }))).await.ok();
}

#[tokio::test]
async fn a_retry_repeats_the_same_bytes_and_what_follows_waits() {
    let (server, service) = bridged().await;
    let alice = server.person("alice").await;
    let room = portal(&server, &alice).await;
    alice.says(&room, "before").await;
    service.hears("before").await;
    let before = service.transactions().len();
    let frozen = Frozen::now();
    service.answers(&[500, 503]);
    alice.says(&room, "first").await;
    service.until(|service| service.transactions().len() == before + 1).await;
    alice.says(&room, "second").await;
    tokio::time::advance(Duration::from_millis(500)).await;
    service.until(|service| service.transactions().len() == before + 2).await;
    tokio::time::advance(Duration::from_millis(1000)).await;
    service.until(|service| service.transactions().len() >= before + 3).await;
    let tries: Vec<_> = service.transactions().split_off(before);
    assert_eq!((&tries[0].path, &tries[0].body), (&tries[1].path, &tries[1].body));
    assert_eq!((&tries[0].path, &tries[0].body), (&tries[2].path, &tries[2].body));
    assert_eq!(bodies(&tries[0].json()["events"]), ["first"]);
    assert_eq!(service.hears("second").await, ["before", "first", "second"]);
    assert_ne!(service.transactions().last().unwrap().path, tries[0].path);
    drop(frozen);
}

#[tokio::test]
async fn a_restart_repeats_the_same_bytes_under_the_same_id() {
    let (server, service) = bridged().await;
    let alice = server.person("alice").await;
    let room = portal(&server, &alice).await;
    alice.says(&room, "before").await;
    service.hears("before").await;
    let before = service.transactions().len();
    service.always(500);
    alice.says(&room, "in flight").await;
    service.until(|service| service.transactions().len() > before).await;
    // Bob leaves while nobody listens: what was said when he was there is still for him.
    alice.says(&room, "waiting").await;
    virtual_user(&server, "irc_bob").call("POST", &format!("rooms/{room}/leave"), Some(json!({}))).await.ok();
    alice.says(&room, "not for bob").await;
    let tried = service.transactions()[before].clone();
    let server = server.restart().await;
    service.always(200);
    server.appservice(irc_registration(), &service).await;
    service.hears("waiting").await;
    let repeated =
        service.transactions().into_iter().find(|call| call.answered.is_success() && call.path == tried.path);
    let repeated = repeated.filter(|call| call.at > tried.at).unwrap();
    assert_eq!(repeated.body, tried.body);
    let room_two = Person::again(&server, &alice).creates_room(json!({ "invite": ["@ircbot:localhost"] })).await;
    virtual_user(&server, "ircbot").joins(&room_two).await;
    Person::again(&server, &alice).says(&room_two, "the end").await;
    assert_eq!(service.hears("the end").await, ["before", "in flight", "waiting", "the end"]);
}

#[tokio::test]
async fn after_an_outage_everything_comes_in_order_and_in_batches() {
    let (server, service) = bridged().await;
    let alice = server.person("alice").await;
    let room = portal(&server, &alice).await;
    service.always(502);
    let expected: Vec<String> = (0..250).map(|number| format!("message {number}")).collect();
    for text in &expected {
        alice.says(&room, text).await;
    }
    service.always(200);
    let ping = "/_matrix/client/v1/appservice/irc/ping";
    server.call("POST", ping, Some(AS_TOKEN), Some(json!({}))).await.ok();
    assert_eq!(service.hears("message 249").await, expected);
    let sizes: Vec<usize> =
        service.transactions().iter().map(|call| call.json()["events"].as_array().unwrap().len()).collect();
    assert!(sizes.iter().all(|size| *size <= 100), "{sizes:?}");
    assert!(sizes.contains(&100), "{sizes:?}");
    assert_eq!(service.most_in_flight(), 1);
    let mut ids: Vec<String> = service.transactions().iter().map(|call| call.path.clone()).collect();
    ids.dedup();
    let unique: std::collections::HashSet<&String> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len(), "an id is used for one body, and not again later");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_full_speed_everything_comes_once_and_in_the_order_of_the_log() {
    let (server, service) = bridged().await;
    let alice = server.person("alice").await;
    let rooms = [portal(&server, &alice).await, alice.creates_room(json!({ "invite": ["@ircbot:localhost"] })).await];
    virtual_user(&server, "ircbot").joins(&rooms[1]).await;
    let mut tasks = Vec::new();
    for sender in 0..4 {
        let (alice, room) = (alice.clone(), rooms[sender % 2].clone());
        tasks.push(tokio::spawn(async move {
            for number in 0..100 {
                alice.says(&room, &format!("{sender} {number}")).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    for room in &rooms {
        alice.says(room, &format!("the end of {room}")).await;
    }
    service.hears(&format!("the end of {}", rooms[1])).await;
    let heard = service.events();
    assert_eq!(bodies(&Value::Array(heard.clone())).len(), 402);
    for room in &rooms {
        let of_room = |events: Vec<Value>| -> Vec<String> {
            let of_room = events.into_iter().filter(|event| event["room_id"] == json!(room));
            of_room.filter_map(|event| event["content"]["body"].as_str().map(str::to_owned)).collect()
        };
        let page = alice.get(&format!("rooms/{room}/messages?dir=f&limit=1000")).await.ok();
        let said = of_room(page["chunk"].as_array().unwrap().clone());
        assert_eq!(of_room(heard.clone()), said);
    }
}

#[tokio::test]
async fn a_ping_ends_the_waiting() {
    let (server, service) = bridged().await;
    let alice = server.person("alice").await;
    let room = portal(&server, &alice).await;
    alice.says(&room, "before").await;
    service.hears("before").await;
    let before = service.transactions().len();
    let frozen = Frozen::now();
    service.always(500);
    alice.says(&room, "down").await;
    for (tries, wait) in [(1, 500), (2, 1000), (3, 2000), (4, 4000)] {
        service.until(|service| service.transactions().len() == before + tries).await;
        tokio::time::advance(Duration::from_millis(wait)).await;
    }
    service.until(|service| service.transactions().len() == before + 5).await;
    service.always(200);
    // No time passes from here on.
    let ping = "/_matrix/client/v1/appservice/irc/ping";
    let answer = server.call("POST", ping, Some(AS_TOKEN), Some(json!({ "transaction_id": "mine" }))).await.ok();
    assert!(answer["duration_ms"].is_u64());
    service.hears("down").await;
    let pinged = service.calls().into_iter().find(|call| call.path == "/_matrix/app/v1/ping").unwrap();
    assert_eq!(pinged.json(), json!({ "transaction_id": "mine" }));
    drop(frozen);
}

#[tokio::test]
async fn what_is_too_large_is_split() {
    let (server, service) = bridged().await;
    let alice = server.person("alice").await;
    let room = portal(&server, &alice).await;
    alice.says(&room, "before").await;
    service.hears("before").await;
    service.always(500);
    for number in 0..8 {
        alice.says(&room, &format!("message {number}")).await;
    }
    let before = service.transactions().len();
    service.answers(&[200, 413, 413]);
    server.call("POST", "/_matrix/client/v1/appservice/irc/ping", Some(AS_TOKEN), Some(json!({}))).await.ok();
    service.until(|service| service.transactions().len() >= before + 3).await;
    service.always(200);
    server.call("POST", "/_matrix/client/v1/appservice/irc/ping", Some(AS_TOKEN), Some(json!({}))).await.ok();
    let heard = service.hears("message 7").await;
    let expected: Vec<String> = (0..8).map(|number| format!("message {number}")).collect();
    assert_eq!(heard[1..], expected);
    let too_large: Vec<_> = service.transactions().into_iter().filter(|call| call.answered == 413).collect();
    assert!(!too_large.is_empty());
    for refused in too_large {
        let again =
            service.transactions().into_iter().any(|call| call.path == refused.path && call.body != refused.body);
        assert!(!again, "an id stands for one body");
    }
}

#[tokio::test]
async fn an_event_that_is_always_too_large_blocks_nothing() {
    let (server, service) = bridged().await;
    let alice = server.person("alice").await;
    let room = portal(&server, &alice).await;
    alice.says(&room, "before").await;
    service.hears("before").await;
    service.answers(&[413, 413]);
    alice.says(&room, "huge").await;
    service.until(|service| service.transactions().iter().filter(|call| call.answered == 413).count() == 2).await;
    alice.says(&room, "after").await;
    assert_eq!(service.hears("after").await, ["before", "after"]);
    let metrics = server.call("GET", "/metrics", None, None).await;
    let metrics = String::from_utf8_lossy(&metrics.bytes).into_owned();
    assert!(metrics.contains("appservice_refused_total{appservice=\"irc\"} 1"), "{metrics}");
}

#[tokio::test]
async fn it_is_asked_for_users_before_it_hears_of_them() {
    let (server, service) = bridged().await;
    let alice = server.person("alice").await;
    let router = server.router.clone();
    service.makes(move |path| {
        let router = router.clone();
        async move {
            assert_eq!(path, "/_matrix/app/v1/users/%40irc_dave%3Alocalhost");
            let body = json!({ "type": "m.login.application_service", "username": "irc_dave" });
            let request = crate::support::request("POST", "/_matrix/client/v3/register", Some(AS_TOKEN), Some(body));
            tower::ServiceExt::oneshot(router, request).await.unwrap().status()
        }
    });
    let room = alice.creates_room(json!({})).await;
    alice.post(&format!("rooms/{room}/invite"), json!({ "user_id": "@irc_dave:localhost" })).await.ok();
    service.until(|service| !service.events().is_empty()).await;
    let calls: Vec<String> = service.calls().into_iter().map(|call| call.path).collect();
    assert!(calls[0].contains("/users/") && calls[1].contains("/transactions/"), "{calls:?}");
    virtual_user(&server, "irc_dave").joins(&room).await;
}

#[tokio::test]
async fn it_makes_rooms_when_somebody_looks_for_them() {
    let (server, service) = bridged().await;
    let alice = server.person("alice").await;
    let router = server.router.clone();
    service.makes(move |path| {
        let router = router.clone();
        async move {
            if path != "/_matrix/app/v1/rooms/%23irc_lobby%3Alocalhost" {
                return StatusCode::NOT_FOUND;
            }
            let body = json!({ "preset": "public_chat", "room_alias_name": "irc_lobby" });
            let request = crate::support::request("POST", "/_matrix/client/v3/createRoom", Some(AS_TOKEN), Some(body));
            tower::ServiceExt::oneshot(router, request).await.unwrap().status()
        }
    });
    alice.joins("#irc_lobby:localhost").await;
    alice.post("join/%23irc_nowhere:localhost", json!({})).await.refused(404, "M_NOT_FOUND");
    alice.get("directory/room/%23tea:localhost").await.refused(404, "M_NOT_FOUND");
    let asked: Vec<String> =
        service.calls().into_iter().map(|call| call.path).filter(|path| path.contains("/rooms/")).collect();
    assert_eq!(asked.len(), 2, "it is not asked for aliases of others: {asked:?}");
    // The room is its own by the alias: it hears what is said there.
    let room = alice.get("joined_rooms").await.ok()["joined_rooms"][0].as_str().unwrap().to_owned();
    alice.says(&room, "hello lobby").await;
    service.hears("hello lobby").await;
}

#[tokio::test]
async fn its_aliases_are_kept_for_it() {
    let (server, _service) = bridged().await;
    let alice = server.person("alice").await;
    let room = alice.creates_room(json!({})).await;
    let alias = "directory/room/%23irc_tea:localhost";
    alice.put(alias, json!({ "room_id": room })).await.refused(400, "M_EXCLUSIVE");
    alice.post("createRoom", json!({ "room_alias_name": "irc_tea" })).await.refused(400, "M_EXCLUSIVE");
    virtual_user(&server, "ircbot").call("PUT", alias, Some(json!({ "room_id": room }))).await.ok();
    alice.call("DELETE", alias, None).await.refused(400, "M_EXCLUSIVE");
    virtual_user(&server, "ircbot").call("DELETE", alias, None).await.ok();
}

#[tokio::test]
async fn typing_and_receipts_come_under_both_names() {
    let (server, service) = bridged().await;
    let alice = server.person("alice").await;
    let elsewhere = alice.creates_room(json!({})).await;
    let room = portal(&server, &alice).await;
    let event = alice.says(&room, "hello").await;
    service.hears("hello").await;
    for room in [&elsewhere, &room] {
        alice.put(&format!("rooms/{room}/typing/{}", alice.user_id), json!({ "typing": true })).await.ok();
        alice.post(&format!("rooms/{room}/receipt/m.read.private/{event}"), json!({})).await.ok();
        alice.post(&format!("rooms/{room}/receipt/m.read/{event}"), json!({})).await.ok();
    }
    let all = |service: &Service, key: &str| -> Vec<Value> {
        let calls = service.transactions();
        calls.iter().flat_map(|call| call.json()[key].as_array().cloned().unwrap_or_default()).collect()
    };
    service.until(|service| all(service, "ephemeral").iter().any(|event| event["type"] == "m.receipt")).await;
    service.until(|service| all(service, "ephemeral").iter().any(|event| event["type"] == "m.typing")).await;
    let told = all(&service, "ephemeral");
    assert_eq!(told, all(&service, "de.sorunome.msc2409.ephemeral"));
    assert!(told.iter().all(|event| event["room_id"] == json!(room)), "{told:?}");
    let typing = told.iter().find(|event| event["type"] == "m.typing").unwrap();
    assert_eq!(typing["content"], json!({ "user_ids": [alice.user_id] }));
    assert!(!Value::from(told).to_string().contains("m.read.private"));
}

#[derive(Debug)]
struct Broken(fn() -> TransportError);

#[async_trait::async_trait]
impl AppserviceTransport for Broken {
    async fn call(
        &self,
        _: http::Request<bytes::Bytes>,
        _: Duration,
    ) -> Result<http::Response<bytes::Bytes>, TransportError> {
        Err(self.0())
    }
}

#[tokio::test]
async fn a_ping_says_what_is_wrong() {
    let ping = "/_matrix/client/v1/appservice/irc/ping";
    let wish = || Some(json!({}));
    for (error, status, errcode) in [
        ((|| TransportError::Timeout) as fn() -> TransportError, 504, "M_CONNECTION_TIMEOUT"),
        (|| TransportError::Connection("refused".to_owned()), 502, "M_CONNECTION_FAILED"),
    ] {
        let server = Server::start().await;
        let transport = std::sync::Arc::new(Broken(error));
        server.hs.add_appservice_over(irc_registration(), transport).await.unwrap();
        server.call("POST", ping, Some(AS_TOKEN), wish()).await.refused(status, errcode);
    }
    let server = Server::start().await;
    let mut silent = irc_registration();
    silent.url = None;
    let client = reqwest_client();
    server.hs.add_appservice(silent, &client).await.unwrap();
    server.call("POST", ping, Some(AS_TOKEN), wish()).await.refused(400, "M_URL_NOT_SET");
    let alice = server.person("alice").await;
    server.call("POST", ping, Some(&alice.token), wish()).await.refused(403, "M_FORBIDDEN");
    let other = "/_matrix/client/v1/appservice/other/ping";
    server.call("POST", other, Some(AS_TOKEN), wish()).await.refused(403, "M_FORBIDDEN");
    let server = Server::start().await;
    let teapot = axum::Router::new().fallback(|| async { (StatusCode::IM_A_TEAPOT, "short and stout") });
    let transport = std::sync::Arc::new(landbridge_homeserver::appservice::InProcess::new(teapot));
    server.hs.add_appservice_over(irc_registration(), transport).await.unwrap();
    let body = server.call("POST", ping, Some(AS_TOKEN), wish()).await.refused(502, "M_BAD_STATUS");
    assert_eq!((&body["status"], &body["body"]), (&json!(418), &json!("short and stout")));
}

fn reqwest_client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().build().unwrap()
}

#[tokio::test]
async fn two_services_with_one_name_or_token_are_refused() {
    let (server, service) = bridged().await;
    let transport = || std::sync::Arc::new(landbridge_homeserver::appservice::InProcess::new(service.router()));
    let again = server.hs.add_appservice_over(irc_registration(), transport()).await;
    assert!(again.unwrap_err().to_string().contains("id"));
    let mut other = irc_registration();
    other.id = "other".to_owned();
    let again = server.hs.add_appservice_over(other, transport()).await;
    assert!(again.unwrap_err().to_string().contains("as_token"));
}

#[tokio::test]
async fn a_service_is_reached_over_http_too() {
    let server = Server::start().await;
    let service = Service::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut registration = irc_registration();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    registration.url = Some(landbridge_registration::ServiceUrl::parse(url).unwrap());
    tokio::spawn(axum::serve(listener, service.router()).into_future());
    let added: std::sync::Arc<Appservice> = server.hs.add_appservice(registration, &reqwest_client()).await.unwrap();
    assert_eq!(added.sender().as_str(), "@ircbot:localhost");
    let alice = server.person("alice").await;
    let room = portal(&server, &alice).await;
    alice.says(&room, "over a socket").await;
    service.hears("over a socket").await;
    server.call("POST", "/_matrix/client/v1/appservice/irc/ping", Some(AS_TOKEN), Some(json!({}))).await.ok();
}

#[tokio::test]
async fn third_party_networks_are_described_by_their_services() {
    let server = Server::start().await;
    let mut registration = irc_registration();
    registration.protocols = vec!["irc".to_owned(), "broken".to_owned()];
    let protocol = json!({ "user_fields": ["nick"], "location_fields": ["channel"], "icon": "mxc://localhost/i",
        "field_types": {}, "instances": [{ "desc": "Libera", "network_id": "libera", "fields": {} }] });
    let answer = {
        let protocol = protocol.clone();
        move |uri: http::Uri| {
            let protocol = protocol.clone();
            async move {
                axum::Json(match uri.path() {
                    "/_matrix/app/v1/thirdparty/protocol/irc" => protocol,
                    "/_matrix/app/v1/thirdparty/location/irc" => {
                        assert_eq!(uri.query(), Some("channel=%23tea"));
                        json!([{ "alias": "#irc_tea:localhost", "protocol": "irc", "fields": {} }, { "nonsense": 1 }])
                    }
                    _ => json!({ "nonsense": true }),
                })
            }
        }
    };
    let router = axum::Router::new().fallback(answer);
    let transport = std::sync::Arc::new(landbridge_homeserver::appservice::InProcess::new(router));
    server.hs.add_appservice_over(registration, transport).await.unwrap();
    let alice = server.person("alice").await;
    let all = alice.get("thirdparty/protocols").await.ok();
    assert_eq!(all.as_object().unwrap().keys().collect::<Vec<_>>(), ["irc"]);
    assert_eq!(all["irc"]["instances"][0]["instance_id"], "irc|libera");
    alice.get("thirdparty/protocol/broken").await.refused(404, "M_NOT_FOUND");
    let found = alice.get("thirdparty/location/irc?channel=%23tea").await.ok();
    assert_eq!(found.as_array().unwrap().len(), 1);
}

/// A registration that asks for all that encryption needs.
fn encrypting() -> landbridge_registration::Registration {
    let mut registration = irc_registration();
    registration.msc3202 = true;
    registration
}

/// What all acknowledged transactions hold under a name, in order.
fn all_of(service: &Service, name: &str) -> Vec<Value> {
    let acknowledged = service.transactions().into_iter().filter(|call| call.answered.is_success());
    acknowledged.flat_map(|call| call.json()[name].as_array().cloned().unwrap_or_default()).collect()
}

#[tokio::test]
async fn messages_to_devices_of_virtual_users_wait_until_the_service_has_them() {
    let server = Server::start().await;
    let service = Service::default();
    server.appservice(encrypting(), &service).await;
    let alice = server.person("alice").await;
    let bob = registers(&server, "irc_bob").await;
    bob.call("PUT", "devices/BRIDGE", Some(json!({}))).await.ok();
    service.always(500);
    let numbers: Vec<u64> = (0..250).collect();
    for number in &numbers {
        let body = json!({ "messages": { &bob.user_id: { "BRIDGE": { "n": number } } } });
        alice.put(&format!("sendToDevice/x.n/{number}"), body).await.ok();
    }
    service.until(|service| !service.transactions().is_empty()).await;
    let server = server.restart().await;
    service.always(200);
    server.appservice(encrypting(), &service).await;
    let came = |service: &Service| {
        let came = all_of(service, "to_device");
        came.iter().map(|event| event["content"]["n"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    service.until(|service| came(service).len() >= numbers.len()).await;
    assert_eq!(came(&service), numbers, "all, once, in order");
    let first = &all_of(&service, "de.sorunome.msc2409.to_device")[0];
    assert_eq!((&first["to_user_id"], &first["to_device_id"]), (&json!(bob.user_id), &json!("BRIDGE")));
    assert_eq!(first["sender"], json!(alice.user_id));
    let most = service.transactions().iter().map(|call| call.json()["to_device"].as_array().map_or(0, Vec::len)).max();
    assert!(most.unwrap() <= 100, "{most:?}");
}

#[tokio::test]
async fn a_service_hears_whose_devices_changed_and_how_many_keys_are_left() {
    let server = Server::start().await;
    let service = Service::default();
    server.appservice(encrypting(), &service).await;
    let (alice, carol) = (server.person("alice").await, server.person("carol").await);
    let room = portal(&server, &alice).await;
    let bob = virtual_user(&server, "irc_bob");
    bob.call("PUT", "devices/BRIDGE", Some(json!({}))).await.ok();
    let keys = json!({ "user_id": bob.user_id, "device_id": "BRIDGE", "algorithms": [], "keys": {}, "signatures": {} });
    let upload = json!({ "device_keys": keys,
        "one_time_keys": { "signed_curve25519:A": { "key": "a", "signatures": {} }, "signed_curve25519:B": { "key": "b", "signatures": {} } },
        "fallback_keys": { "signed_curve25519:F": { "key": "f", "signatures": {} } } });
    bob.call("POST", "keys/upload?device_id=BRIDGE", Some(upload)).await.ok();
    // Of somebody in the room, of somebody elsewhere.
    for person in [&alice, &carol] {
        let master = json!({ "user_id": person.user_id, "usage": ["master"], "keys": { "ed25519:m": "m" } });
        person.post("keys/device_signing/upload", json!({ "master_key": master })).await.ok();
    }
    let lists = |service: &Service, which: &str| {
        let all = service.transactions();
        let mut users: Vec<String> = all
            .iter()
            .flat_map(|call| call.json()["device_lists"][which].as_array().cloned().unwrap_or_default())
            .map(|user| user.as_str().unwrap().to_owned())
            .collect();
        users.dedup();
        users
    };
    let wanted = json!({ "one_time_keys": { &bob.user_id: { "BRIDGE": "signed_curve25519" } } });
    alice.post("keys/claim", wanted.clone()).await.ok();
    let left = |count: u64| {
        let user = bob.user_id.clone();
        move |service: &Service| {
            service.transactions().iter().any(|call| {
                let counts = &call.json()["device_one_time_keys_count"][&user]["BRIDGE"]["signed_curve25519"];
                counts.as_u64() == Some(count)
            })
        }
    };
    service.until(left(2)).await;
    service.until(left(1)).await;
    alice.post("keys/claim", wanted.clone()).await.ok();
    alice.post("keys/claim", wanted).await.ok();
    service.until(left(0)).await;
    service
        .until(|service| {
            service
                .transactions()
                .iter()
                .any(|call| call.json()["device_unused_fallback_key_types"][&bob.user_id]["BRIDGE"] == json!([]))
        })
        .await;
    service.until(|service| lists(service, "changed").contains(&alice.user_id)).await;
    carol.joins(&room).await;
    service.until(|service| lists(service, "changed").contains(&carol.user_id)).await;
    alice.post(&format!("rooms/{room}/leave"), json!({})).await.ok();
    service.until(|service| lists(service, "left").contains(&alice.user_id)).await;
}

#[tokio::test]
async fn presence_of_those_in_its_rooms_is_told_to_a_service() {
    let (server, service) = bridged().await;
    let (alice, carol) = (server.person("alice").await, server.person("carol").await);
    portal(&server, &alice).await;
    for person in [&carol, &alice] {
        let path = format!("presence/{}/status", person.user_id);
        person.put(&path, json!({ "presence": "online", "status_msg": "tea" })).await.ok();
    }
    let told = |service: &Service| {
        let all = all_of(service, "ephemeral");
        all.into_iter().filter(|event| event["type"] == "m.presence").collect::<Vec<_>>()
    };
    service.until(|service| !told(service).is_empty()).await;
    let told = told(&service);
    assert_eq!((&told[0]["sender"], &told[0]["content"]["status_msg"]), (&json!(alice.user_id), &json!("tea")));
    assert!(told.iter().all(|event| event["sender"] != json!(carol.user_id)));
}

/// Knows only the paths from before they had versions.
#[derive(Debug, Clone)]
struct Old(std::sync::Arc<parking_lot::Mutex<Vec<String>>>);

#[async_trait::async_trait]
impl AppserviceTransport for Old {
    async fn call(
        &self,
        request: http::Request<bytes::Bytes>,
        _timeout: Duration,
    ) -> Result<http::Response<bytes::Bytes>, TransportError> {
        let path = request.uri().to_string();
        let known = path.starts_with("/transactions/") && path.ends_with(&format!("?access_token={HS_TOKEN}"));
        self.0.lock().push(path.clone());
        let mut answer = http::Response::new(bytes::Bytes::from_static(if known { b"{}" } else { b"Cannot PUT" }));
        *answer.status_mut() = if known { StatusCode::OK } else { StatusCode::NOT_FOUND };
        Ok(answer)
    }
}

#[tokio::test]
async fn a_service_of_old_is_found_on_its_old_paths() {
    let server = Server::start().await;
    let old = Old(std::sync::Arc::default());
    let added = server.hs.add_appservice_over(irc_registration(), std::sync::Arc::new(old.clone())).await.unwrap();
    let alice = server.person("alice").await;
    let room = portal(&server, &alice).await;
    alice.says(&room, "one").await;
    let head = server.hs.stream().position().0;
    while added.status().acknowledged.load(std::sync::atomic::Ordering::Relaxed) < head {
        tokio::task::yield_now().await;
    }
    let asked = old.0.lock().clone();
    let versioned = asked.iter().filter(|path| path.starts_with("/_matrix/app/v1/transactions/")).count();
    assert_eq!(versioned, 1, "it is asked on the new path once: {asked:?}");
    assert!(asked.iter().any(|path| path.starts_with("/transactions/")));
}

#[tokio::test]
async fn registrations_in_a_folder_are_served_as_they_come_change_and_go() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    server.hs.watch_appservices(folder.path(), client).await.unwrap();
    let whoami = async || {
        let path = "/_matrix/client/v3/account/whoami";
        server.call("GET", path, Some(AS_TOKEN), None).await
    };
    whoami().await.refused(401, "M_UNKNOWN_TOKEN");
    let until = async |sender: Option<&str>| {
        let wait = async {
            loop {
                let who = whoami().await.body["user_id"].as_str().map(str::to_owned);
                if who.as_deref() == sender {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
    };
    let file = folder.path().join("irc.yaml");
    let mut registration = irc_registration();
    registration.url = None;
    std::fs::write(&file, registration.to_yaml().unwrap()).unwrap();
    until(Some("@ircbot:localhost")).await;
    registration.sender_localpart = "otherbot".to_owned();
    std::fs::write(&file, registration.to_yaml().unwrap()).unwrap();
    until(Some("@otherbot:localhost")).await;
    // A broken file changes nothing, and a good one beside it is served.
    std::fs::write(&file, "id: [").unwrap();
    let mut second = irc_registration();
    second.id = "second".to_owned();
    second.url = None;
    second.as_token = "second-token".into();
    std::fs::write(folder.path().join("second.yml"), second.to_yaml().unwrap()).unwrap();
    while server.hs.appservices().by_id("second").is_none() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    until(Some("@otherbot:localhost")).await;
    std::fs::remove_file(&file).unwrap();
    until(None).await;
}
