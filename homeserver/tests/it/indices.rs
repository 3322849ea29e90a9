//! An event is found by its id, by its time and by the request that made it, wherever the indices of that are kept.

use landbridge_homeserver::rooms::{Direction, Outgoing, PurgeBefore, RoomError};
use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, UInt, UserId, user_id};

use crate::support::{START, Server, message, on_postgresql, open};

fn alice() -> &'static UserId {
    user_id!("@alice:test.example")
}

/// What alice says as number `n`, a second after what she said before.
fn said(room: &OwnedRoomId, n: u64) -> Outgoing {
    let mut outgoing = message(room, alice(), &n.to_string()).under("PHONE", n.to_string());
    outgoing.ts = Some(time(n));
    outgoing
}

fn time(n: u64) -> MilliSecondsSinceUnixEpoch {
    // The room was made before.
    MilliSecondsSinceUnixEpoch(UInt::new(START + 10_000 + n * 1000).unwrap())
}

/// Finds each of these, which alice said as number 0, 1, 2, …
async fn find_all(server: &Server, room: &OwnedRoomId, ids: &[OwnedEventId]) {
    let rooms = server.rooms();
    for (n, id) in (0..).zip(ids) {
        assert_eq!(rooms.event(id).await.unwrap().unwrap().event_id, *id);
        let forward = rooms.event_by_time(room, alice(), time(n), Direction::Forward).await.unwrap();
        let backward = rooms.event_by_time(room, alice(), time(n), Direction::Backward).await.unwrap();
        assert_eq!((&forward.event_id, &backward.event_id), (id, id), "number {n}");
        assert_eq!(rooms.send(said(room, n)).await.unwrap().event_id, *id, "it was said already");
    }
    let nobodys: OwnedEventId = format!("{}x", ids[0]).try_into().unwrap();
    assert!(rooms.event(&nobodys).await.unwrap().is_none(), "an id that only begins like one that is there");
}

async fn found(server: Server) {
    let room = server.public_room(alice(), "12").await;
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(server.rooms().send(said(&room, n)).await.unwrap().event_id);
    }
    find_all(&server, &room, &ids).await;
    // Stopped cleanly, everything is in the indices.
    let server = server.restart().await;
    find_all(&server, &room, &ids).await;
    for n in 20..30 {
        ids.push(server.rooms().send(said(&room, n)).await.unwrap().event_id);
    }
    find_all(&server, &room, &ids).await;
    // What is taken away is found nowhere, whether it was in the indices or not.
    let before = PurgeBefore::Event(ids[25].clone());
    assert_eq!(server.rooms().purge_history(&room, before).await.unwrap(), 25);
    let mut server = server;
    for again in [false, true] {
        if again {
            server = server.restart().await;
        }
        for id in &ids[..25] {
            assert!(server.rooms().event(id).await.unwrap().is_none());
        }
        let first = server.rooms().event_by_time(&room, alice(), time(0), Direction::Forward).await.unwrap();
        assert_eq!(first.event_id, ids[25]);
    }
}

#[tokio::test]
async fn what_was_said_is_found_by_id_time_and_request_on_sqlite() {
    found(Server::start().await).await;
}

#[tokio::test]
async fn what_was_said_is_found_by_id_time_and_request_on_postgresql() {
    on_postgresql(found).await;
}

#[tokio::test]
async fn what_was_said_before_a_crash_is_found_by_id_time_and_request() {
    let server = Server::start().await;
    let room = server.public_room(alice(), "12").await;
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(server.rooms().send(said(&room, n)).await.unwrap().event_id);
    }
    // The power goes: what is on the disk is all there is.
    let dir = tempfile::tempdir().unwrap();
    for file in ["homeserver.db", "homeserver.db-wal"] {
        std::fs::copy(server.dir.path().join(file), dir.path().join(file)).unwrap();
    }
    let hs = open(dir.path(), None).await;
    let server = Server { hs, dir, database: None };
    find_all(&server, &room, &ids).await;
    let refused = server.rooms().event_by_time(&room, alice(), time(20), Direction::Forward).await;
    assert!(matches!(refused, Err(RoomError::NotFound(_))));
}
