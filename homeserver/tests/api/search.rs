use landbridge_sql::{Db, DbOptions, Migration};
use serde_json::{Value, json};

use crate::support::{Person, Server};

async fn finds(person: &Person, criteria: Value) -> Value {
    let body = json!({ "search_categories": { "room_events": criteria } });
    person.post("search", body).await.ok()["search_categories"]["room_events"].clone()
}

fn texts(found: &Value) -> Vec<String> {
    let results = found["results"].as_array().unwrap();
    let text = |result: &Value| {
        let content = &result["result"]["content"];
        let text = content["body"].as_str().or(content["topic"].as_str()).or(content["name"].as_str());
        text.unwrap().to_owned()
    };
    results.iter().map(text).collect()
}

/// What is searched by its words, on either engine.
pub(crate) async fn messages_are_found_by_their_words(server: Server) {
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.creates_room(json!({ "preset": "public_chat", "topic": "All about tea" })).await;
    alice.says(&room, "A cup of tea, please").await;
    bob.joins(&room).await;
    let gone = alice.says(&room, "tea with salt").await;
    alice.says(&room, "Teapots are not tea").await;
    alice.says(&room, "the year 1979; \"quoted\" AND (odd) NEAR* -words").await;
    alice.says(&room, "Straße, señor").await;
    alice.put(&format!("rooms/{room}/redact/{gone}/r"), json!({})).await.ok();
    let other = alice.creates_room(json!({ "name": "Tea of others" })).await;
    alice.says(&other, "secret tea").await;

    let recent = json!({ "search_term": "TEA", "order_by": "recent" });
    assert_eq!(
        texts(&finds(&bob, recent.clone()).await),
        ["Teapots are not tea", "A cup of tea, please", "All about tea"]
    );
    let all = finds(&alice, recent).await;
    assert_eq!(
        (all["results"].as_array().unwrap().len(), &all["count"], &all["highlights"]),
        (5, &json!(5), &json!(["tea"]))
    );
    let ranked = finds(&bob, json!({ "search_term": "tea" })).await;
    assert_eq!(ranked["results"].as_array().unwrap().len(), 3);
    for (term, expected) in [
        ("cup please", vec!["A cup of tea, please"]),
        ("cup salt", vec![]),
        ("straße", vec!["Straße, señor"]),
        ("odd near words quoted", vec!["the year 1979; \"quoted\" AND (odd) NEAR* -words"]),
        ("\"odd\" OR tea*", vec![]),
        ("1979", vec!["the year 1979; \"quoted\" AND (odd) NEAR* -words"]),
        ("salt", vec![]),
        ("...", vec![]),
    ] {
        assert_eq!(texts(&finds(&bob, json!({ "search_term": term })).await), expected, "{term}");
    }
    let keys = json!({ "search_term": "tea", "keys": ["content.topic", "content.name"], "order_by": "recent" });
    assert_eq!(texts(&finds(&alice, keys).await), ["Tea of others", "All about tea"]);
    let filter = json!({ "search_term": "tea", "order_by": "recent", "filter": { "rooms": [other], "types": ["m.room.message"] } });
    assert_eq!(texts(&finds(&alice, filter).await), ["secret tea"]);

    // Pages, what is around, groups and state.
    let page = json!({
        "search_term": "tea", "order_by": "recent", "filter": { "limit": 2 }, "include_state": true,
        "event_context": { "before_limit": 1, "after_limit": 1, "include_profile": true },
        "groupings": { "group_by": [{ "key": "room_id" }, { "key": "sender" }] },
    });
    let body = json!({ "search_categories": { "room_events": page } });
    let found = bob.post("search", body.clone()).await.ok()["search_categories"]["room_events"].clone();
    assert_eq!(texts(&found), ["Teapots are not tea", "A cup of tea, please"]);
    let context = &found["results"][0]["context"];
    assert_eq!(
        (context["events_before"].as_array().unwrap().len(), context["events_after"].as_array().unwrap().len()),
        (1, 1)
    );
    assert!(context["profile_info"].get(&alice.user_id).is_some());
    assert_eq!(found["groups"]["room_id"][&room]["results"].as_array().unwrap().len(), 2);
    assert!(found["groups"]["sender"].get(&alice.user_id).is_some());
    assert!(!found["state"][&room].as_array().unwrap().is_empty());
    let next = format!("search?next_batch={}", found["next_batch"].as_str().unwrap());
    let found = bob.post(&next, body).await.ok()["search_categories"]["room_events"].clone();
    assert_eq!((texts(&found), &found["next_batch"]), (vec!["All about tea".to_owned()], &Value::Null));

    // Who leaves finds what was said until then.
    bob.post(&format!("rooms/{room}/leave"), json!({})).await.ok();
    alice.says(&room, "tea after").await;
    let recent = json!({ "search_term": "tea", "order_by": "recent" });
    assert_eq!(texts(&finds(&bob, recent.clone()).await).len(), 3);
    // Words are found after a restart, and no event twice.
    let server = server.restart().await;
    assert_eq!(texts(&finds(&alice.on(&server), recent).await).len(), 6);
    alice
        .on(&server)
        .post("search?next_batch=x", json!({ "search_categories": { "room_events": { "search_term": "a" } } }))
        .await
        .refused(400, "M_INVALID_PARAM");
    alice
        .on(&server)
        .post("search", json!({ "search_categories": { "room_events": {} } }))
        .await
        .refused(400, "M_BAD_JSON");
}

#[tokio::test]
async fn messages_are_found_by_their_words_on_sqlite() {
    messages_are_found_by_their_words(Server::start().await).await;
}

#[tokio::test]
async fn messages_are_found_by_their_words_on_postgresql() {
    let Some(postgres) = crate::rooms_support::Postgres::start().await else { return };
    messages_are_found_by_their_words(Server::start_on(Some(postgres.url.clone())).await).await;
}

/// The words of the index of a database, read beside the server.
struct Words(Db);

impl Words {
    const STEPS: &[Migration] = &[Migration {
        version: 1,
        name: "words",
        sqlite: "CREATE VIRTUAL TABLE words USING fts5vocab(search_text, row)",
        postgres: "CREATE VIEW words AS SELECT word AS term FROM ts_stat('SELECT words FROM search_text')",
    }];

    async fn of(server: &Server) -> Self {
        let file = format!("sqlite:{}", server.folder().join("homeserver.db").display());
        let options = DbOptions { migrations_table: "_words", ..DbOptions::default() };
        Self(Db::open(server.database().unwrap_or(&file), Self::STEPS, options).await.unwrap())
    }

    async fn all(&self) -> Vec<String> {
        let rows = self.0.fetch_all("SELECT term FROM words ORDER BY term", &[]).await.unwrap();
        rows.iter().map(|row| row.text(0).unwrap()).collect()
    }
}

/// What is taken back or purged is in the index no more, and what has the same words still is.
pub(crate) async fn words_leave_with_what_said_them(server: Server) {
    let alice = server.person("alice").await;
    let room = alice.creates_room(json!({})).await;
    let search = async || texts(&finds(&alice, json!({ "search_term": "tea", "order_by": "recent" })).await);
    let words = Words::of(&server).await;
    alice.says(&room, "old tea with Lemon").await;
    let mistaken = alice.says(&room, "tea with vinegar").await;
    let at_once = alice.says(&room, "tea with mustard").await;
    alice.put(&format!("rooms/{room}/redact/{at_once}/r1"), json!({})).await.ok();
    let first_new = alice.says(&room, "new tea with milk").await;
    assert_eq!(search().await, ["new tea with milk", "tea with vinegar", "old tea with Lemon"]);
    assert_eq!(words.all().await, ["lemon", "milk", "new", "old", "tea", "vinegar", "with"]);

    alice.put(&format!("rooms/{room}/redact/{mistaken}/r2"), json!({})).await.ok();
    assert_eq!(search().await, ["new tea with milk", "old tea with Lemon"]);
    assert_eq!(words.all().await, ["lemon", "milk", "new", "old", "tea", "with"]);

    // Also what the index has not read yet when it is purged.
    let last = alice.says(&room, "the very last tea").await;
    let purge = async |before: &str| {
        let token = std::fs::read_to_string(server.folder().join("operator-token")).unwrap();
        let path = format!("/_landbridge/admin/v1/rooms/{room}/purge");
        server.call("POST", &path, Some(token.trim()), Some(json!({ "before_event": before }))).await.ok()
    };
    assert_eq!(purge(&first_new).await["purged"], 3);
    assert_eq!(words.all().await.iter().filter(|word| ["lemon", "old"].contains(&word.as_str())).count(), 0);
    purge(&last).await;
    assert_eq!(search().await, ["the very last tea"]);
    assert_eq!(words.all().await, ["last", "tea", "the", "very"]);
    let server = server.restart().await;
    let alice = alice.on(&server);
    alice.says(&room, "more tea").await;
    let found = finds(&alice, json!({ "search_term": "tea", "order_by": "recent" })).await;
    assert_eq!(texts(&found), ["more tea", "the very last tea"]);
}

#[tokio::test]
async fn words_leave_with_what_said_them_on_sqlite() {
    words_leave_with_what_said_them(Server::start().await).await;
}

#[tokio::test]
async fn words_leave_with_what_said_them_on_postgresql() {
    let Some(postgres) = crate::rooms_support::Postgres::start().await else { return };
    words_leave_with_what_said_them(Server::start_on(Some(postgres.url.clone())).await).await;
}

/// What may not be seen is neither counted nor paged over, on either engine.
async fn what_may_not_be_seen_is_not_counted(server: Server) {
    let (alice, carol) = (server.person("alice").await, server.person("carol").await);
    let joined = json!([{ "type": "m.room.history_visibility", "state_key": "",
        "content": { "history_visibility": "joined" } }]);
    let room = alice.creates_room(json!({ "preset": "public_chat", "initial_state": joined })).await;
    for text in ["secret one", "secret two"] {
        alice.says(&room, text).await;
    }
    carol.joins(&room).await;
    for text in ["open one", "open secret", "open three"] {
        alice.says(&room, text).await;
    }
    carol.post(&format!("rooms/{room}/leave"), json!({})).await.ok();
    alice.says(&room, "open afterwards, secret too").await;
    let page =
        |term: &str, limit: u8| json!({ "search_term": term, "order_by": "recent", "filter": { "limit": limit } });
    for (term, texts_shown) in [
        ("two", vec![]),
        ("nonsense", vec![]),
        ("afterwards", vec![]),
        ("secret", vec!["open secret"]),
        ("open", vec!["open three", "open secret", "open one"]),
    ] {
        let found = finds(&carol, page(term, 10)).await;
        assert_eq!(texts(&found), texts_shown, "{term}");
        assert_eq!(found["count"], texts_shown.len(), "{term}");
        assert_eq!(found["next_batch"], Value::Null, "{term}");
    }
    // A page that is full says that there is more only where there is something to be seen, and not how much was passed over.
    assert_eq!(finds(&carol, page("secret", 1)).await["next_batch"], Value::Null);
    let body = json!({ "search_categories": { "room_events": page("open", 2) } });
    let first = carol.post("search", body.clone()).await.ok()["search_categories"]["room_events"].clone();
    assert_eq!((&first["count"], &first["next_batch"]), (&json!(3), &json!("2")));
    let next = carol.post("search?next_batch=2", body).await.ok()["search_categories"]["room_events"].clone();
    assert_eq!((texts(&next), &next["count"]), (vec!["open one".to_owned()], &json!(3)));
    assert_eq!(finds(&alice, page("secret", 10)).await["count"], 4);
}

#[tokio::test]
async fn what_may_not_be_seen_is_not_counted_on_sqlite() {
    what_may_not_be_seen_is_not_counted(Server::start().await).await;
}

#[tokio::test]
async fn what_may_not_be_seen_is_not_counted_on_postgresql() {
    let Some(postgres) = crate::rooms_support::Postgres::start().await else { return };
    what_may_not_be_seen_is_not_counted(Server::start_on(Some(postgres.url.clone())).await).await;
}

#[tokio::test]
async fn what_was_said_to_the_world_is_found_by_who_declined_to_come_in() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.creates_room(json!({})).await;
    let other = bob.creates_room(json!({})).await;
    let visibility = format!("rooms/{room}/state/m.room.history_visibility");
    alice.put(&visibility, json!({ "history_visibility": "world_readable" })).await.ok();
    alice.says(&room, "tea for all").await;
    alice.put(&visibility, json!({ "history_visibility": "joined" })).await.ok();
    alice.says(&room, "tea for me").await;
    alice.post(&format!("rooms/{room}/invite"), json!({ "user_id": bob.user_id })).await.ok();
    bob.post(&format!("rooms/{room}/leave"), json!({})).await.ok();
    bob.says(&other, "tea for bob").await;
    let context = json!({ "before_limit": 2, "after_limit": 2 });
    let criteria =
        json!({ "search_term": "tea", "order_by": "recent", "event_context": context, "include_state": true });
    let found = finds(&bob, criteria).await;
    assert_eq!(texts(&found), ["tea for bob", "tea for all"]);
    let around = &found["results"][1]["context"];
    assert_eq!((&around["events_before"], &around["events_after"]), (&json!([]), &json!([])));
    assert!(found["state"][&other].is_array() && found["state"].get(&room).is_none(), "{}", found["state"]);
}
