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
