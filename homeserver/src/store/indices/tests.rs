use std::path::Path;

use futures_util::future::join_all;
use ruma::{OwnedEventId, api::client::room::create_room::v3 as create_room, event_id, user_id};

use super::*;
use crate::{
    Config, Homeserver,
    clock::ManualClock,
    rooms::{NewRoom, Outgoing},
};

#[test]
fn an_id_is_found_by_what_follows_its_first_character() {
    assert_eq!(prefix(event_id!("$hcZTbP0OSUxDyFDZ0cpRB3sB2MIr0PVfA9dzVQ2xJHM")), "hcZTbP0OSUxD");
    assert_eq!(prefix(event_id!("$short")), "short");
    assert_eq!(prefix(<&EventId>::try_from("$ünïcödë-ünïcödë").unwrap()), "ünïcödë-ünïc");
}

async fn open(dir: &Path) -> Homeserver {
    let config = Config::new("test.example".try_into().unwrap(), dir);
    Homeserver::open(config, Arc::new(ManualClock::at(1_700_000_000_000))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_moved_while_it_is_written_is_found_and_nothing_is_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let hs = open(dir.path()).await;
    let alice = user_id!("@alice:test.example");
    let request = create_room::Request::new();
    let new = NewRoom { creator: alice.to_owned(), request: &request, profiles: Default::default() };
    let room = hs.rooms().create(new).await.unwrap();
    hs.store().log.unindexed.every.store(10, Ordering::Relaxed);
    let send = |hs: &Homeserver, n: usize| {
        let content = serde_json::value::to_raw_value(&serde_json::json!({ "body": n.to_string() })).unwrap();
        let outgoing = Outgoing::message(&*room, alice, "m.room.message", content).under("PHONE", n.to_string());
        let rooms = hs.rooms().clone();
        async move { rooms.send(outgoing).await.unwrap().event_id }
    };
    let all = |hs: &Homeserver| join_all((0..300).map(|n| send(hs, n)));
    let ids: Vec<OwnedEventId> = all(&hs).await;
    // The power goes while some of it waits and some does not.
    let crashed = tempfile::tempdir().unwrap();
    let still = hs.store().log.unindexed.stand_still().await;
    for file in ["homeserver.db", "homeserver.db-wal"] {
        std::fs::copy(dir.path().join(file), crashed.path().join(file)).unwrap();
    }
    drop(still);
    assert_ne!(indexed(hs.store().db()).await.unwrap(), Position::START, "some of it was moved");
    let again = open(crashed.path()).await;
    assert!(again.store().log.unindexed.waiting.read().newer.ids.len() < 300, "what was moved does not wait");
    let new = |said: Vec<OwnedEventId>| said.iter().zip(&ids).filter(|(said, id)| said != id).count();
    assert_eq!(new(all(&hs).await), 0, "everything was said already");
    assert_eq!(new(all(&again).await), 0, "everything was said already, before the crash");
    again.store().index().await.unwrap();
    assert!(again.store().log.unindexed.waiting.read().both().iter().all(|entries| entries.is_empty()));
    assert_eq!(new(all(&again).await), 0);
    let read = again.store().db();
    for table in ["event_ref", "event_time"] {
        let sql = match table {
            "event_ref" => {
                "SELECT COUNT(*) FROM event e WHERE NOT EXISTS (SELECT 1 FROM event_ref x WHERE x.nid = e.nid)"
            }
            _ => "SELECT COUNT(*) FROM event e WHERE NOT EXISTS (SELECT 1 FROM event_time t WHERE t.nid = e.nid)",
        };
        let missing = read.fetch_optional(sql, &[]).await.unwrap().unwrap().int(0).unwrap();
        assert_eq!(missing, 0, "{table}");
    }
    // Nothing is read from memory now.
    again.shutdown().await;
    let again = open(crashed.path()).await;
    for id in &ids {
        assert_eq!(again.store().event(id).await.unwrap().unwrap().event_id, *id);
    }
}
