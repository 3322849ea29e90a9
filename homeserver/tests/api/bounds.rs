//! What one user can pile up here has an end, and what is there can still be changed.

use futures_util::future::join_all;
use landbridge_homeserver::{
    devices::{
        MAX_BACKUP_KEYS, MAX_BACKUPS, MAX_DEVICES, MAX_FALLBACK_KEYS, MAX_KEYS_PER_UPLOAD, MAX_ONE_TIME_KEYS,
        MAX_TO_DEVICE_BYTES, MAX_TO_DEVICE_RECIPIENTS, MAX_TO_DEVICE_TOTAL, MAX_WAITING, MAX_WAITING_BYTES,
    },
    push::MAX_PUSHERS,
    rooms::MAX_ALIASES,
    users::{MAX_ACCOUNT_DATA_BYTES, MAX_ACCOUNT_DATA_TOTAL, MAX_FILTER_BYTES, MAX_FILTERS},
};
use landbridge_sql::{Db, DbOptions, Value as SqlValue};
use serde_json::{Map, Value, json};

use crate::support::{AS_TOKEN, Answer, Person, Server, Service, irc_registration, registers};

async fn nobody_has_more_pushers_than_some(server: Server) {
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let pusher = |number: i64| {
        json!({ "kind": "http", "app_id": "app", "pushkey": format!("k{number}"), "app_display_name": "a",
            "device_display_name": "d", "lang": "en", "append": true,
            "data": { "url": "https://push.example.org/_matrix/push/v1/notify" } })
    };
    for number in 0..MAX_PUSHERS {
        alice.post("pushers/set", pusher(number)).await.ok();
    }
    alice.post("pushers/set", pusher(MAX_PUSHERS)).await.refused(400, "M_INVALID_PARAM");
    alice.post("pushers/set", pusher(0)).await.ok();
    bob.post("pushers/set", pusher(0)).await.ok();
    let gone = json!({ "kind": null, "app_id": "app", "pushkey": "k0" });
    alice.post("pushers/set", gone).await.ok();
    alice.post("pushers/set", pusher(MAX_PUSHERS)).await.ok();
    let count = alice.get("pushers").await.ok()["pushers"].as_array().unwrap().len();
    assert_eq!(count, usize::try_from(MAX_PUSHERS).unwrap());
}

#[tokio::test]
async fn nobody_has_more_pushers_than_some_on_sqlite() {
    nobody_has_more_pushers_than_some(Server::start().await).await;
}

#[tokio::test]
async fn nobody_has_more_pushers_than_some_on_postgresql() {
    let Some(postgres) = crate::rooms_support::Postgres::start().await else { return };
    nobody_has_more_pushers_than_some(Server::start_on(Some(postgres.url.clone())).await).await;
}

#[tokio::test]
async fn people_make_so_many_aliases_and_services_any_number() {
    let server = Server::start().await;
    server.appservice(irc_registration(), &Service::default()).await;
    let alice = server.person("alice").await;
    let room = alice.creates_room(json!({ "preset": "public_chat" })).await;
    let alias = |number: i64| format!("directory/room/%23a{number}:localhost");
    let body = json!({ "room_id": room });
    for number in 0..MAX_ALIASES - 1 {
        alice.put(&alias(number), body.clone()).await.ok();
    }
    // One more is made, however many are asked for at once, with new rooms and for one that is there.
    let with_rooms =
        (0..8).map(async |number| alice.post("createRoom", json!({ "room_alias_name": format!("b{number}") })).await);
    let for_one =
        (0..8).map(async |number| alice.put(&format!("directory/room/%23c{number}:localhost"), body.clone()).await);
    let (with_rooms, for_one) = tokio::join!(join_all(with_rooms), join_all(for_one));
    let made: Vec<Answer> = with_rooms.into_iter().chain(for_one).filter(|answer| answer.status.is_success()).collect();
    assert_eq!(made.len(), 1, "{made:?}");
    alice.put(&alias(MAX_ALIASES), body.clone()).await.refused(400, "M_INVALID_PARAM");
    let new_room = json!({ "room_alias_name": "late" });
    alice.post("createRoom", new_room.clone()).await.refused(400, "M_INVALID_PARAM");
    alice.post("createRoom", json!({})).await.ok();
    alice.call("DELETE", &alias(0), None).await.ok();
    alice.post("createRoom", new_room).await.ok();
    alice.put(&alias(MAX_ALIASES), body.clone()).await.refused(400, "M_INVALID_PARAM");
    alice.call("DELETE", "directory/room/%23late:localhost", None).await.ok();
    alice.put(&alias(MAX_ALIASES), body.clone()).await.ok();
    for number in 0..=MAX_ALIASES {
        let path = format!("/_matrix/client/v3/directory/room/%23irc_{number}:localhost");
        server.call("PUT", &path, Some(AS_TOKEN), Some(body.clone())).await.ok();
    }
    let room = json!({ "room_alias_name": "irc_new" });
    server.call("POST", "/_matrix/client/v3/createRoom", Some(AS_TOKEN), Some(room)).await.ok();
}

#[tokio::test]
async fn filters_and_account_data_have_a_bound() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let filters = format!("user/{}/filter", alice.user_id);
    let filter = |limit: i64| json!({ "room": { "timeline": { "limit": limit } } });
    for limit in 0..MAX_FILTERS {
        alice.post(&filters, filter(limit)).await.ok();
    }
    alice.post(&filters, filter(MAX_FILTERS)).await.refused(400, "M_INVALID_PARAM");
    alice.post(&filters, filter(1)).await.ok();
    let large = json!({ "event_fields": ["x".repeat(MAX_FILTER_BYTES)] });
    alice.post(&filters, large).await.refused(413, "M_TOO_LARGE");

    let of = |number: i64| format!("user/{}/account_data/x.{number}", alice.user_id);
    let large = json!({ "x": "x".repeat(MAX_ACCOUNT_DATA_BYTES - 8) });
    let fit = MAX_ACCOUNT_DATA_TOTAL / i64::try_from(MAX_ACCOUNT_DATA_BYTES).unwrap();
    for number in 0..fit {
        alice.put(&of(number), large.clone()).await.ok();
    }
    alice.put(&of(fit), large.clone()).await.refused(400, "M_INVALID_PARAM");
    // What is replaced does not count, and what shrinks makes room.
    alice.put(&of(0), large.clone()).await.ok();
    alice.put(&of(0), json!({})).await.ok();
    alice.put(&of(fit), json!({ "x": "x" })).await.ok();
}

#[tokio::test]
async fn keys_and_backups_have_a_bound() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let many = |kind: &str, from: usize, count: usize| {
        let key = |number: usize| (format!("a{kind}{number}:k{number}"), json!({ "key": "k", "signatures": {} }));
        (from..from + count).map(key).collect::<Map<String, Value>>()
    };
    let uploads = usize::try_from(MAX_ONE_TIME_KEYS).unwrap() / MAX_KEYS_PER_UPLOAD;
    for upload in 0..uploads {
        let keys = many("o", upload * MAX_KEYS_PER_UPLOAD, MAX_KEYS_PER_UPLOAD);
        alice.post("keys/upload", json!({ "one_time_keys": keys })).await.ok();
    }
    let one = json!({ "one_time_keys": many("o", uploads * MAX_KEYS_PER_UPLOAD, 1) });
    alice.post("keys/upload", one.clone()).await.refused(400, "M_INVALID_PARAM");
    let fallback = usize::try_from(MAX_FALLBACK_KEYS).unwrap();
    alice.post("keys/upload", json!({ "fallback_keys": many("f", 0, fallback) })).await.ok();
    alice.post("keys/upload", json!({ "fallback_keys": many("f", fallback, 1) })).await.refused(400, "M_INVALID_PARAM");
    let device = alice.get("account/whoami").await.ok()["device_id"].as_str().unwrap().to_owned();
    let wanted = json!({ "one_time_keys": { &alice.user_id: { &device: "ao7" } } });
    assert!(alice.post("keys/claim", wanted).await.ok()["one_time_keys"][&alice.user_id][&device].is_object());
    alice.post("keys/upload", one).await.ok();

    let backup = json!({ "algorithm": "m.megolm_backup.v1", "auth_data": {} });
    for _ in 0..MAX_BACKUPS {
        alice.post("room_keys/version", backup.clone()).await.ok();
    }
    alice.post("room_keys/version", backup.clone()).await.refused(400, "M_INVALID_PARAM");
    alice.call("DELETE", "room_keys/version/1", None).await.ok();
    let next = alice.post("room_keys/version", backup).await.ok();
    assert_eq!(next["version"], json!((MAX_BACKUPS + 1).to_string()));
}

#[tokio::test]
async fn backups_hold_so_many_keys() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let backup = json!({ "algorithm": "m.megolm_backup.v1", "auth_data": {} });
    for version in ["1", "2"] {
        assert_eq!(alice.post("room_keys/version", backup.clone()).await.ok()["version"], version);
    }
    bob.post("room_keys/version", backup).await.ok();
    // As many as that, in the one before.
    let address = format!("sqlite:{}", server.folder().join("homeserver.db").display());
    let options = DbOptions { migrations_table: "_filled", ..DbOptions::default() };
    let mut tx = Db::open(&address, &[], options).await.unwrap().begin().await.unwrap();
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $2) \
                INSERT INTO key_backup_session SELECT $1, 1, '!r', i, 0, 0, 0, '{}' FROM n";
    tx.execute(fill, &[SqlValue::from(&alice.user_id), SqlValue::from(MAX_BACKUP_KEYS - 1)]).await.unwrap();
    tx.commit().await.unwrap();
    let key = json!({ "first_message_index": 0, "forwarded_count": 0, "is_verified": false, "session_data": {} });
    let one = async |who: &Person, version: &str| {
        who.put(&format!("room_keys/keys/!r:localhost/one?version={version}"), key.clone()).await
    };
    // One more is taken, however many come at once.
    let at_once = join_all((0..8).map(|_| one(&alice, "2"))).await;
    assert_eq!(at_once.iter().filter(|answer| answer.status.is_success()).count(), 1);
    one(&alice, "2").await.refused(400, "M_INVALID_PARAM");
    one(&bob, "1").await.ok();
    alice.call("DELETE", "room_keys/version/1", None).await.ok();
    assert_eq!(one(&alice, "2").await.ok()["count"], 1);
}

#[tokio::test]
async fn who_logs_in_once_too_often_is_logged_out_where_they_were_longest_ago() {
    let server = Server::start().await;
    server.appservice(irc_registration(), &Service::default()).await;
    let bob = registers(&server, "irc_bob").await;
    let login = async |device: &str| {
        let body = json!({ "type": "m.login.application_service", "device_id": device,
            "identifier": { "type": "m.id.user", "user": "irc_bob" } });
        let path = "/_matrix/client/v3/login";
        let entered = server.call("POST", path, Some(AS_TOKEN), Some(body)).await.ok();
        entered["access_token"].as_str().unwrap().to_owned()
    };
    let who = async |token: &str| server.call("GET", "/_matrix/client/v3/account/whoami", Some(token), None).await;
    let (first, last) = (login("FIRST").await, MAX_DEVICES - 2);
    let mut token = String::new();
    for number in 0..=last {
        token = login(&format!("D{number}")).await;
    }
    who(&first).await.ok();
    // A service makes no device beyond that, but still logs in.
    bob.call("PUT", "devices/BRIDGE", Some(json!({}))).await.refused(400, "M_INVALID_PARAM");
    login("ONE_MORE").await;
    let devices = bob.call("GET", "devices", None).await.ok()["devices"].as_array().unwrap().len();
    assert_eq!(devices, usize::try_from(MAX_DEVICES).unwrap());
    who(&token).await.ok();
    who(&first).await.refused(401, "M_UNKNOWN_TOKEN");
}

/// The database of a server, for what would take too long over HTTP.
async fn database_of(server: &Server) -> Db {
    let file = format!("sqlite:{}", server.folder().join("homeserver.db").display());
    let options = DbOptions { migrations_table: "_filled", ..DbOptions::default() };
    Db::open(server.database().unwrap_or(&file), &[], options).await.unwrap()
}

async fn device_of(who: &Person) -> String {
    who.get("account/whoami").await.ok()["device_id"].as_str().unwrap().to_owned()
}

/// Messages of some length wait for a device.
async fn fill(db: &Db, (user_id, device_id): (&str, &str), count: i64, length: usize, service: Option<&str>) {
    let sql = "WITH RECURSIVE n(i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < $3) \
               INSERT INTO to_device (user_id, device_id, pos, number, body, appservice_id) \
               SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), 1, i, \
               '{\"type\":\"x.n\",\"content\":{\"n\":' || CAST(i AS TEXT) || ',\"x\":\"' || CAST($4 AS TEXT) || '\"}}', \
               CAST($5 AS TEXT) FROM n";
    let x = "x".repeat(length);
    let values = [
        SqlValue::from(user_id),
        SqlValue::from(device_id),
        SqlValue::from(count),
        SqlValue::from(&x),
        SqlValue::from(service),
    ];
    let mut tx = db.begin().await.unwrap();
    tx.execute(sql, &values).await.unwrap();
    tx.commit().await.unwrap();
}

async fn waiting(db: &Db, who: &str) -> i64 {
    let row = db.fetch_optional("SELECT COUNT(*) FROM to_device WHERE user_id = $1", &[SqlValue::from(who)]).await;
    row.unwrap().unwrap().int(0).unwrap()
}

async fn dropped(server: &Server) -> i64 {
    let metrics = server.call("GET", "/metrics", None, None).await;
    let text = String::from_utf8(metrics.bytes.to_vec()).unwrap();
    let line = text.lines().find(|line| line.starts_with("landbridge_homeserver_to_device_dropped_total")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

async fn the_newest_messages_wait_for_a_device_that_does_not_come(server: Server) {
    let (alice, bob, carol) = (server.person("alice").await, server.person("bob").await, server.person("carol").await);
    let (of_bob, of_carol) = (device_of(&bob).await, device_of(&carol).await);
    let (excess, long) = (2_500, 60_000);
    let db = database_of(&server).await;
    fill(&db, (&bob.user_id, &of_bob), MAX_WAITING + excess, 1, None).await;
    fill(&db, (&carol.user_id, &of_carol), 600, long, None).await;
    fill(&db, ("@irc_bob:localhost", "BRIDGE"), MAX_WAITING + excess, 1, Some("irc")).await;
    let fit = MAX_WAITING_BYTES / i64::try_from(long).unwrap();
    drop(db);

    // What piled up before is cut short after a start.
    let server = server.restart().await;
    let (alice, bob, carol) = (alice.on(&server), bob.on(&server), carol.on(&server));
    while dropped(&server).await < excess + 600 - fit {
        tokio::task::yield_now().await;
    }
    let db = database_of(&server).await;
    assert_eq!(dropped(&server).await, excess + 600 - waiting(&db, &carol.user_id).await);
    assert!((fit - 1..=fit).contains(&waiting(&db, &carol.user_id).await));
    assert_eq!(waiting(&db, "@irc_bob:localhost").await, MAX_WAITING + excess, "services take what is theirs");
    let came = bob.syncs(None, "").await["to_device"]["events"].as_array().unwrap().clone();
    assert_eq!(i64::try_from(came.len()).unwrap(), MAX_WAITING);
    assert_eq!((&came[0]["content"]["n"], &came.last().unwrap()["content"]["n"]), (&json!(2501), &json!(12_500)));

    // And what comes while it runs, before it is a tenth more.
    let before = dropped(&server).await;
    let long = json!({ "messages": { &bob.user_id: { "*": { "x": "x".repeat(long) } } } });
    let mut sent = 0;
    while dropped(&server).await == before {
        assert!(sent < MAX_WAITING / 10);
        alice.put(&format!("sendToDevice/x.n/{sent}"), long.clone()).await.ok();
        sent += 1;
    }
    assert_eq!((dropped(&server).await - before, waiting(&db, &bob.user_id).await), (sent, MAX_WAITING));
    drop((carol, db));
}

#[tokio::test]
async fn the_newest_messages_wait_for_a_device_that_does_not_come_on_sqlite() {
    the_newest_messages_wait_for_a_device_that_does_not_come(Server::start().await).await;
}

#[tokio::test]
async fn the_newest_messages_wait_for_a_device_that_does_not_come_on_postgresql() {
    let Some(postgres) = crate::rooms_support::Postgres::start().await else { return };
    let server = Server::start_on(Some(postgres.url.clone())).await;
    the_newest_messages_wait_for_a_device_that_does_not_come(server).await;
}

#[tokio::test]
async fn one_request_sends_so_much_to_devices() {
    let server = Server::start().await;
    server.appservice(irc_registration(), &Service::default()).await;
    let (alice, bob) = (server.person("alice").await, registers(&server, "irc_bob").await);
    let nobody = |count: usize| {
        let targets = (0..count).map(|number| (format!("D{number}"), json!({}))).collect::<Map<String, Value>>();
        json!({ "messages": { "@nobody:localhost": targets } })
    };
    alice.put("sendToDevice/x.n/1", nobody(MAX_TO_DEVICE_RECIPIENTS)).await.ok();
    alice.put("sendToDevice/x.n/2", nobody(MAX_TO_DEVICE_RECIPIENTS + 1)).await.refused(400, "M_INVALID_PARAM");
    let users = (0..=MAX_TO_DEVICE_RECIPIENTS).map(|number| (format!("@u{number}:localhost"), json!({})));
    let users = json!({ "messages": users.collect::<Map<String, Value>>() });
    alice.put("sendToDevice/x.n/3", users).await.refused(400, "M_INVALID_PARAM");

    let to_all = |length: usize| json!({ "messages": { "@irc_bob:localhost": { "*": { "x": "x".repeat(length) } } } });
    alice.put("sendToDevice/x.n/4", to_all(MAX_TO_DEVICE_BYTES)).await.refused(413, "M_TOO_LARGE");
    let length = MAX_TO_DEVICE_BYTES - 1024;
    for number in 0..=MAX_TO_DEVICE_TOTAL / length {
        bob.call("PUT", &format!("devices/D{number}"), Some(json!({}))).await.ok();
    }
    alice.put("sendToDevice/x.n/5", to_all(length)).await.refused(413, "M_TOO_LARGE");
    alice.put("sendToDevice/x.n/6", to_all(length / 2)).await.ok();
}
