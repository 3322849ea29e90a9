//! Transactions: in order, once, in batches, the same at every try.

use std::{sync::Arc, time::Duration};

use landbridge_homeserver::appservice::InProcess;
use landbridge_sql::{Db, DbOptions};
use serde_json::{Value, json};

use crate::support::{
    AS_TOKEN, Frozen, Person, Server, Service, Talk, bodies, bridged, irc_registration, pings, portal, talking,
    virtual_user,
};

#[tokio::test]
async fn a_retry_repeats_the_same_bytes_and_what_follows_waits() {
    let Talk { server: _server, service, alice, room, before } = talking().await;
    let frozen = Frozen::now();
    Frozen::until_the_next_transaction().await;
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
    Frozen::until_the_next_transaction().await;
    assert_eq!(service.hears("second").await, ["before", "first", "second"]);
    assert_ne!(service.transactions().last().unwrap().path, tries[0].path);
    drop(frozen);
}

#[tokio::test]
async fn a_restart_repeats_the_same_bytes_under_the_same_id() {
    let Talk { server, service, alice, room, before } = talking().await;
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

/// What the server has stored, seen from beside it.
async fn tables(server: &Server) -> Db {
    let file = format!("sqlite:{}", server.folder().join("homeserver.db").display());
    let options = DbOptions { migrations_table: "_obstacle", ..DbOptions::default() };
    Db::open(&file, &[], options).await.unwrap()
}

/// Waits until a query finds something.
async fn finds(tables: &Db, query: &'static str) {
    let found = async {
        while tables.fetch_optional(query, &[]).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), found).await.is_ok(), "never found: {query}");
}

/// Keeps the server from storing transactions, and how far they were taken.
struct Obstacle(Db);

impl Obstacle {
    async fn put(server: &Server) -> Self {
        let obstacle = Self(tables(server).await);
        obstacle
            .run("CREATE TRIGGER no_txn BEFORE INSERT ON appservice_txn BEGIN SELECT RAISE(ABORT, 'not now'); END")
            .await;
        obstacle
            .run("CREATE TRIGGER no_step BEFORE INSERT ON appservice_cursor BEGIN SELECT RAISE(ABORT, 'not now'); END")
            .await;
        obstacle
    }

    async fn is_taken_away(&self) {
        self.run("DROP TRIGGER no_txn").await;
        self.run("DROP TRIGGER no_step").await;
    }

    async fn run(&self, statement: &'static str) {
        let mut tx = self.0.begin().await.unwrap();
        tx.execute(statement, &[]).await.unwrap();
        tx.commit().await.unwrap();
    }
}

async fn adds_one_that_knows_events(server: &Server, service: &Service) {
    let transport = Arc::new(InProcess::new(service.router()).knowing_events());
    server.hs.add_appservice_over(irc_registration(), transport).await.unwrap();
}

#[tokio::test]
async fn nothing_is_told_before_it_is_stored() {
    let Talk { server, service, alice, room, before } = talking().await;
    let obstacle = Obstacle::put(&server).await;
    let frozen = Frozen::now();
    alice.says(&room, "first").await;
    tokio::time::advance(Duration::from_millis(1500)).await;
    alice.says(&room, "second").await;
    assert_eq!(service.transactions().len(), before);
    obstacle.is_taken_away().await;
    drop(frozen);
    tokio::time::resume();
    assert_eq!(service.hears("second").await, ["before", "first", "second"]);
}

#[tokio::test]
async fn a_service_that_knows_events_is_told_before_they_are_stored_and_again_after_a_crash() {
    let server = Server::start().await;
    let service = Service::default();
    adds_one_that_knows_events(&server, &service).await;
    let alice = server.person("alice").await;
    let room = portal(&server, &alice).await;
    alice.says(&room, "before").await;
    service.hears("before").await;
    let obstacle = Obstacle::put(&server).await;
    alice.says(&room, "first").await;
    service.hears("first").await;
    // A refusal is tried again, stored or not.
    service.answers(&[500]);
    alice.says(&room, "second").await;
    pings(&server).await;
    assert_eq!(service.hears("second").await, ["before", "first", "second"]);
    // What was told and is not known to have been is told again, with the same ids.
    let server = server.restart().await;
    obstacle.is_taken_away().await;
    let again = Service::default();
    adds_one_that_knows_events(&server, &again).await;
    Person::again(&server, &alice).says(&room, "third").await;
    assert_eq!(
        again.hears("third").await.into_iter().filter(|body| body != "before").collect::<Vec<_>>(),
        ["first", "second", "third"]
    );
    let told = |service: &Service, text: &str| {
        service.events().iter().find(|event| event["content"]["body"] == text).unwrap()["event_id"].clone()
    };
    assert_eq!(told(&again, "first"), told(&service, "first"));
}

#[tokio::test]
async fn what_a_service_that_knows_events_took_is_noted_a_little_later_and_not_told_again() {
    let server = Server::start().await;
    let service = Service::default();
    adds_one_that_knows_events(&server, &service).await;
    let alice = server.person("alice").await;
    let room = portal(&server, &alice).await;
    alice.says(&room, "first").await;
    service.hears("first").await;
    let tables = tables(&server).await;
    finds(&tables, "SELECT 1 FROM appservice_cursor WHERE pos >= (SELECT MAX(position) FROM event)").await;
    // What is not taken is stored, and the same after a restart.
    service.always(500);
    alice.says(&room, "second").await;
    service.until(|service| service.transactions().iter().any(|call| !call.answered.is_success())).await;
    finds(&tables, "SELECT 1 FROM appservice_txn").await;
    let refused = service.transactions().pop().unwrap();
    let server = server.restart().await;
    let again = Service::default();
    adds_one_that_knows_events(&server, &again).await;
    assert_eq!(again.hears("second").await, ["second"]);
    let repeated = again.transactions().remove(0);
    assert_eq!((repeated.path, repeated.body), (refused.path, refused.body));
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
    pings(&server).await;
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
async fn what_is_too_large_is_split() {
    let Talk { server, service, alice, room, .. } = talking().await;
    service.always(500);
    for number in 0..8 {
        alice.says(&room, &format!("message {number}")).await;
    }
    let before = service.transactions().len();
    service.answers(&[200, 413, 413]);
    pings(&server).await;
    service.until(|service| service.transactions().len() >= before + 3).await;
    service.always(200);
    pings(&server).await;
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
    let Talk { server, service, alice, room, .. } = talking().await;
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
async fn a_ping_ends_the_waiting() {
    let Talk { server, service, alice, room, before } = talking().await;
    let frozen = Frozen::now();
    Frozen::until_the_next_transaction().await;
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
async fn the_server_says_who_it_is() {
    let Talk { service, .. } = talking().await;
    assert!(
        service.calls().iter().all(|call| call.agent.starts_with("landbridge-homeserver/")),
        "{:?}",
        service.calls()
    );
}
