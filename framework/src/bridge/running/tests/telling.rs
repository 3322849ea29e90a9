//! What becomes of messages is told, remembered, and forgotten in time.

use serde_json::{Value, json};

use super::stage::{Stage, by};
use crate::{
    bridge::{DeadLetters, Retention},
    clock::Clock as _,
    dispatch::{Kill, StatusForm},
    http::{MediaSource, Operations},
    matrix::Client,
    network::{Reject, SendError},
    testing::SimRoom,
};

const BOT: &str = "@testbot:localhost";

async fn lobby(form: StatusForm) -> (Stage, crate::testing::SimUser, SimRoom) {
    let mut stage = Stage::dark();
    stage.status = form;
    stage.starts(Kill::default()).await;
    let (alice, room) = stage.enters("alice", "#lobby").await;
    (stage, alice, room)
}

async fn status_of(room: &SimRoom, event_id: &str) -> Value {
    let of = |event: &Value| {
        event["type"] == "com.beeper.message_send_status"
            && event["content"]["m.relates_to"] == json!({ "rel_type": "m.reference", "event_id": event_id })
    };
    room.sees(&format!("the status of {event_id}"), of).await["content"].clone()
}

#[tokio::test]
async fn programs_can_be_told_of_each_message_whether_it_crossed() {
    let (stage, alice, room) = lobby(StatusForm::Events).await;
    let crossed = alice.says(&room, "hi");
    let status = status_of(&room, &crossed).await;
    assert_eq!((&status["status"], &status["network"]), (&json!("SUCCESS"), &json!("test")));
    stage.script.refuses_next(SendError::Rejected(Reject::Forbidden("you are banned".to_owned())));
    let refused = alice.says(&room, "hello");
    let status = status_of(&room, &refused).await;
    assert_eq!((&status["status"], &status["reason"]), (&json!("FAIL_PERMANENT"), &json!("m.no_permission")));
    assert_eq!(status["message"], "Not delivered to Test: you are banned.");
    stage.script.can(|caps| caps.text_max_bytes = Some(5));
    let long = alice.says(&room, "far too long");
    assert_eq!(status_of(&room, &long).await["reason"], "m.event_not_handled");
    stage.settles().await;
    assert!(by(&room, BOT).is_empty(), "in words nothing is said");
}

#[tokio::test]
async fn both_forms_can_be_had() {
    let (stage, alice, room) = lobby(StatusForm::Both).await;
    stage.script.goes_down();
    let event_id = alice.says(&room, "old");
    stage.homeserver.all_taken().await;
    stage.clock.advance(std::time::Duration::from_mins(11));
    assert_eq!(status_of(&room, &event_id).await["status"], "FAIL_RETRIABLE");
    room.hears(BOT, "Not delivered to Test: not connected.").await;
}

#[tokio::test]
async fn a_conversion_that_panics_parks_its_message_and_the_lane_goes_on() {
    let (stage, alice, room) = Stage::lobby().await;
    stage.script.panics_at_conversions(true);
    let poison = alice.says(&room, "panic");
    alice.says(&room, "next");
    stage.script.expects("#lobby", "alice: next").await;
    let told = room.hears(BOT, "Not delivered: a fault in the bridge. Its operator can see it and try again.").await;
    assert_eq!(told["content"]["m.relates_to"]["m.in_reply_to"]["event_id"], poison.as_str());
    stage.script.hears("#lobby", "panic", "poison").await.unwrap();
    stage.script.hears("#lobby", "bob", "hello").await.unwrap();
    room.hears("@test_bob:localhost", "hello").await;
    stage.settles().await;
    let letters = DeadLetters::open(&stage.database()).await.unwrap();
    let parked = letters.list(10).await.unwrap();
    assert_eq!(parked.len(), 2, "{parked:?}");
    assert!(parked.iter().all(|letter| letter.error.contains("told to panic")), "{parked:?}");
    // Once it is mended, both can be delivered.
    stage.script.panics_at_conversions(false);
    assert_eq!(letters.retry(None).await.unwrap(), 2);
    stage.bridge().revive();
    stage.script.expects("#lobby", "alice: panic").await;
    room.hears("@test_panic:localhost", "poison").await;
}

#[tokio::test]
async fn a_file_is_stored_before_its_link_is_told_and_only_once() {
    let (stage, alice, room) = Stage::lobby().await;
    stage.homeserver.fail("/upload", crate::testing::Fault::BadGateway);
    stage.script.refuses_next(SendError::RetryAfter(std::time::Duration::from_millis(5)));
    let media = stage.homeserver.store_media("text/plain", b"long");
    let content = json!({ "msgtype": "m.file", "body": "upload", "filename": "upload", "url": media });
    alice.sends(&room, "m.room.message", content);
    stage.settles().await;
    let line = stage.expects_lines(1).await.remove(0);
    let link = line.strip_prefix("#lobby alice: see ").unwrap();
    assert!(link.starts_with("https://bridge.example/_landbridge/media/v1/") && link.ends_with("/long.txt"), "{link}");
    let uploads = stage.homeserver.requests().into_iter().filter(|request| request.contains("/upload")).count();
    assert_eq!(uploads, 2, "once in vain, once for good");
}

/// Fetches what a link leads to.
async fn fetch(stage: &Stage, link: &str) -> http::StatusCode {
    use tower::ServiceExt as _;
    let client = Client::new(stage.homeserver.transport(), stage.registration.as_token.clone());
    let revoked = Some(stage.bridge().revoked().clone());
    let source = MediaSource { links: stage.links.clone(), client, max: 1000, revoked };
    let operations = Operations {
        metrics: crate::metrics::Metrics::new(),
        intake: stage.bridge().intake(),
        sessions: std::sync::Arc::new(Default::default),
    };
    let path = link.strip_prefix("https://bridge.example").unwrap();
    let request = http::Request::get(path).body(axum::body::Body::empty()).unwrap();
    crate::http::open_routes(operations, Some(source)).oneshot(request).await.unwrap().status()
}

#[tokio::test]
async fn a_link_ends_with_its_message_or_when_an_admin_says_so() {
    let mut stage = Stage::dark();
    stage.permissions.admins = vec![ruma::user_id!("@alice:localhost").to_owned()];
    stage.starts(Kill::default()).await;
    let (alice, room) = stage.enters("alice", "#lobby").await;
    let files = ["one", "two"].map(|text| stage.homeserver.store_media("text/plain", text.as_bytes()));
    let send = |file: &str| {
        alice.sends(
            &room,
            "m.room.message",
            json!({ "msgtype": "m.file", "body": "cat.txt", "filename": "cat.txt", "url": file }),
        )
    };
    let (first, again) = (send(&files[0]), send(&files[0]));
    send(&files[1]);
    let lines = stage.expects_lines(3).await;
    let links: Vec<_> = lines.iter().map(|line| line.strip_prefix("#lobby alice: ").unwrap()).collect();
    stage.settles().await;
    assert_eq!(fetch(&stage, links[0]).await, http::StatusCode::OK);
    alice.redacts(&room, &first, None);
    stage.settles().await;
    assert_eq!(fetch(&stage, links[0]).await, http::StatusCode::OK, "another message still brings it");
    alice.redacts(&room, &again, None);
    stage.settles().await;
    assert_eq!(fetch(&stage, links[0]).await, http::StatusCode::NOT_FOUND);
    assert_eq!(fetch(&stage, links[2]).await, http::StatusCode::OK);
    alice.says(&room, &format!("!test revoke {}", links[2]));
    room.hears(BOT, "Links to that file lead nowhere any more.").await;
    assert_eq!(fetch(&stage, links[2]).await, http::StatusCode::NOT_FOUND);
    stage.crashes().await;
    stage.starts(Kill::default()).await;
    assert_eq!(fetch(&stage, links[0]).await, http::StatusCode::NOT_FOUND, "for good");
}

#[tokio::test]
async fn messages_are_forgotten_when_they_are_too_old_or_too_many() {
    let mut stage = Stage::dark();
    let day = std::time::Duration::from_hours(24);
    stage.retention = Retention { keep_for: day * 2, keep_most: 3 };
    stage.starts(Kill::default()).await;
    let (alice, room) = stage.enters("alice", "#lobby").await;
    let mut events = Vec::new();
    for n in 0..6 {
        events.push(alice.says(&room, &n.to_string()));
        stage.expects_lines(n + 1).await;
        stage.settles().await;
        stage.clock.advance(std::time::Duration::from_mins(1));
    }
    let known = async |stage: &Stage| {
        let mut known = Vec::new();
        for event_id in &events {
            known.push(!stage.bridge().parts.store.message_by_event(&room.id, event_id).await.unwrap().is_empty());
        }
        known
    };
    assert_eq!(known(&stage).await, [true; 6]);
    while crate::bridge::retention::prune_once(&stage.bridge().parts.store, stage.clock.now(), stage.retention)
        .await
        .unwrap()
        > 0
    {}
    assert_eq!(known(&stage).await, [false, false, false, true, true, true], "the newest three");
    stage.clock.advance(day * 2 - std::time::Duration::from_mins(2));
    while crate::bridge::retention::prune_once(&stage.bridge().parts.store, stage.clock.now(), stage.retention)
        .await
        .unwrap()
        > 0
    {}
    assert_eq!(known(&stage).await, [false, false, false, false, true, true], "younger than two days");
}
