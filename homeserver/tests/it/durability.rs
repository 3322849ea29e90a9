//! What is acknowledged stays, and what fails leaves nothing behind.

use futures_util::future::join_all;
use landbridge_axum_ruma::{Turn, Turns};
use landbridge_homeserver::{rooms::RoomError, store::StoreError, stream::Position};
use ruma::{UserId, user_id};

use crate::support::{Server, bodies, message, open};

fn alice() -> &'static UserId {
    user_id!("@alice:test.example")
}

/// Lets the database grow to `pages` and no further.
async fn limit(server: &Server, pages: &'static str) {
    let mut tx = server.hs.store().db().begin().await.unwrap();
    tx.fetch_all(pages, &[]).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_and_nothing_is_half_done() {
    let server = Server::start().await;
    let room = server.public_room(alice(), "12").await;
    let other = server.public_room(alice(), "12").await;
    server.say(&room, alice(), "before").await.unwrap();
    limit(&server, "PRAGMA max_page_count = 1").await;
    // Many at once, in two rooms: each is built on the one before, and all of them fall.
    let body = "x".repeat(30_000);
    let sends = (0..40).map(|n| server.say(if n % 2 == 0 { &room } else { &other }, alice(), &body));
    for result in join_all(sends).await {
        let Err(RoomError::Unavailable(error)) = result else { continue };
        assert!(matches!(error, StoreError::Full | StoreError::Superseded), "{error}");
    }
    let refused = server.say(&room, alice(), &body).await;
    assert!(matches!(refused, Err(RoomError::Unavailable(StoreError::Full))), "{refused:?}");
    // Reading goes on.
    assert_eq!(server.rooms().joined_users(&room).await.unwrap(), [alice()]);
    limit(&server, "PRAGMA max_page_count = 1000000").await;
    let sent = server.say(&room, alice(), "after").await.unwrap();
    server.say(&other, alice(), "after").await.unwrap();
    let server = server.restart().await;
    let log = server.hs.stream().read(Position::START, Position::END, 1000).await.unwrap();
    let in_room: Vec<_> = log.into_iter().filter(|event| event.room_id == room).collect();
    // Each event follows the one before: no hole where the failed ones were.
    assert!(in_room.windows(2).all(|pair| pair[1].prev_events == [pair[0].event_id.clone()]));
    assert_eq!(in_room.last().unwrap().event_id, sent.event_id);
}

#[tokio::test]
async fn what_was_acknowledged_is_in_the_file_though_nobody_closed_it() {
    let server = Server::start().await;
    let room = server.public_room(alice(), "12").await;
    let sends = (0..50).map(|n| {
        let (server, room) = (&server, &room);
        async move { server.say(room, alice(), &n.to_string()).await.unwrap() }
    });
    join_all(sends).await;
    // The power goes: what is on the disk is all there is.
    let dir = tempfile::tempdir().unwrap();
    for file in ["homeserver.db", "homeserver.db-wal"] {
        std::fs::copy(server.dir.path().join(file), dir.path().join(file)).unwrap();
    }
    let hs = open(dir.path(), None).await;
    let log = hs.stream().read(Position::START, Position::END, 1000).await.unwrap();
    let mut said = bodies(&log);
    said.sort_by_key(|body| body.parse::<u32>().unwrap());
    assert_eq!(said, (0..50).map(|n: u32| n.to_string()).collect::<Vec<_>>());
    assert!(hs.stream().position() >= server.hs.stream().position(), "no token of before is from the future");
    hs.rooms().send(message(&room, alice(), "on")).await.unwrap();
}

#[tokio::test]
async fn a_request_repeated_at_once_makes_one_event() {
    let server = Server::start().await;
    let room = server.public_room(alice(), "12").await;
    let sends = (0..30).map(|_| server.rooms().send(message(&room, alice(), "once").under("D", "t")));
    let answers: Vec<_> = join_all(sends).await.into_iter().map(|sent| sent.unwrap().event_id).collect();
    assert!(answers.iter().all(|id| *id == answers[0]));
    // Another device's transaction is another.
    let other = server.rooms().send(message(&room, alice(), "twice").under("E", "t")).await.unwrap();
    assert_ne!(other.event_id, answers[0]);
    let log = server.hs.stream().read(Position::START, Position::END, 1000).await.unwrap();
    assert_eq!(bodies(&log), ["once", "twice"]);
}

#[tokio::test]
async fn events_of_one_room_are_in_order_and_readers_miss_none() {
    let server = Server::start().await;
    let rooms = [server.public_room(alice(), "12").await, server.public_room(alice(), "11").await];
    let start = server.hs.stream().position();
    let stream = server.hs.stream().clone();
    let reader = tokio::spawn(async move {
        let (mut at, mut seen) = (start, Vec::new());
        while seen.len() < 400 {
            let end = stream.wait_past(at).await;
            let events = stream.read(at, end, 1000).await.unwrap();
            seen.extend(events);
            at = end;
        }
        seen
    });
    let senders = (0..4).map(|sender: usize| {
        let (server, room) = (&server, &rooms[sender % 2]);
        async move {
            for n in 0..100 {
                server.say(room, alice(), &format!("{sender} {n}")).await.unwrap();
            }
        }
    });
    join_all(senders).await;
    let seen = reader.await.unwrap();
    assert!(seen.windows(2).all(|pair| pair[0].position() < pair[1].position()));
    for sender in 0..4 {
        let prefix = format!("{sender} ");
        let said: Vec<_> = bodies(&seen).into_iter().filter(|body| body.starts_with(&prefix)).collect();
        assert_eq!(said, (0..100).map(|n| format!("{sender} {n}")).collect::<Vec<_>>());
    }
    for room in &rooms {
        let depths: Vec<_> = seen.iter().filter(|event| event.room_id == *room).map(|event| event.depth).collect();
        assert!(depths.windows(2).all(|pair| pair[1] == pair[0] + 1));
    }
}

#[tokio::test]
async fn sizes_at_the_limit_pass_and_above_it_are_refused() {
    let server = Server::start().await;
    let room = server.public_room(alice(), "12").await;
    let set = async |kind: &str, key: &str| server.set(&room, alice(), kind, key, serde_json::json!({})).await;
    set(&"t".repeat(255), &"k".repeat(255)).await.unwrap();
    assert!(matches!(set(&"t".repeat(256), "").await, Err(RoomError::TooLarge(_))));
    assert!(matches!(set("t", &"k".repeat(256)).await, Err(RoomError::TooLarge(_))));
    server.say(&room, alice(), &"x".repeat(64_000)).await.unwrap();
    assert!(matches!(server.say(&room, alice(), &"x".repeat(65_500)).await, Err(RoomError::TooLarge(_))));
    let float = serde_json::json!({ "body": 1.5 });
    let refused = server.set(&room, alice(), "t", "", float).await;
    assert!(matches!(refused, Err(RoomError::BadJson(_))), "{refused:?}");
    server.say(&room, alice(), "still fine").await.unwrap();
}

#[tokio::test]
async fn a_room_left_alone_for_long_goes_on_where_it_was() {
    let server = Server::start().await;
    let room = server.public_room(alice(), "12").await;
    let first = server.rooms().send(message(&room, alice(), "first").under("D", "t")).await.unwrap();
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(600)).await;
    tokio::time::resume();
    let again = server.rooms().send(message(&room, alice(), "first").under("D", "t")).await.unwrap();
    assert_eq!(again.event_id, first.event_id);
    let second = server.say(&room, alice(), "second").await.unwrap();
    let second = server.rooms().event(&second.event_id).await.unwrap().unwrap();
    assert_eq!(second.prev_events, [first.event_id]);
}

#[tokio::test]
async fn what_has_a_turn_waits_for_it_and_nothing_overtakes_what_was_refused() {
    let server = Server::start().await;
    let room = server.public_room(alice(), "12").await;
    let say = |who: &UserId, text: &str, turn| {
        let outgoing = message(&room, who, text);
        let rooms = server.rooms().clone();
        async move { rooms.send_in_turn(outgoing, Some(turn)).await }
    };
    let mut turns = Turns::default();
    let turns: Vec<Turn> = (0..3).map(|_| turns.next_turn()).collect();
    let texts = ["one", "two", "three"];
    // Asked for in the wrong order, all at once.
    let sends = turns.into_iter().zip(texts).rev().map(|(turn, text)| say(alice(), text, turn));
    assert!(join_all(sends).await.iter().all(Result::is_ok));
    let mut turns = Turns::default();
    let (first, second, third) = (turns.next_turn(), turns.next_turn(), turns.next_turn());
    let stranger = user_id!("@stranger:test.example");
    let (first, second, third) =
        tokio::join!(say(alice(), "four", first), say(stranger, "let me in", second), say(alice(), "five", third));
    assert!(first.is_ok());
    assert!(matches!(second, Err(RoomError::Forbidden(_))), "{second:?}");
    assert!(matches!(third, Err(RoomError::Unavailable(_))), "{third:?}");
    let log = server.hs.stream().read(Position::START, Position::END, 1000).await.unwrap();
    assert_eq!(bodies(&log), ["one", "two", "three", "four"]);
}
