//! Reading rooms: state at any place, members, timelines, aliases, what the invited see.

use landbridge_homeserver::rooms::{
    ClientEventFormat, ClientEventOptions, Membership, MembershipChange, RoomError, Root,
};
use ruma::{UserId, api::client::room::create_room::v3 as create_room, room_alias_id, user_id};
use serde_json::{Value, json};

use crate::support::{Server, bodies, content, message, on_postgresql};

fn alice() -> &'static UserId {
    user_id!("@alice:test.example")
}

fn bob() -> &'static UserId {
    user_id!("@bob:test.example")
}

#[tokio::test]
async fn state_is_read_at_any_place_and_compared() {
    let server = Server::start().await;
    let room = server.public_room(alice(), "12").await;
    let rooms = server.rooms();
    let made = server.hs.stream().position();
    server.set(&room, alice(), "m.room.topic", "", json!({ "topic": "one" })).await.unwrap();
    let one = server.say(&room, alice(), "hi").await.unwrap().position;
    server.set(&room, alice(), "m.room.topic", "", json!({ "topic": "two" })).await.unwrap();
    server.join(&room, bob()).await.unwrap();
    let now = server.hs.stream().position();
    let topic = async |at| {
        let root = rooms.root_at(&room, at).await.unwrap();
        let event = rooms.state_event_at(&room, root, &"m.room.topic".into(), "").await.unwrap();
        event.map(|event| content(&event)["topic"].clone())
    };
    assert_eq!(topic(made).await, None);
    assert_eq!(topic(one).await, Some(json!("one")));
    assert_eq!(topic(now).await, Some(json!("two")));
    assert_eq!(rooms.root_at(&room, landbridge_homeserver::stream::Position::START).await.unwrap(), Root::EMPTY);
    let (from, to) = (rooms.root_at(&room, one).await.unwrap(), rooms.root_at(&room, now).await.unwrap());
    let mut changed: Vec<String> =
        rooms.state_changes(from, to).await.unwrap().iter().map(|event| event.kind.to_string()).collect();
    changed.sort_unstable();
    assert_eq!(changed, ["m.room.member", "m.room.topic"]);
    assert_eq!(rooms.members(&room, Some(one)).await.unwrap().len(), 1);
    assert_eq!(rooms.members(&room, None).await.unwrap().len(), 2);
    // A state event that changes nothing is the one that stands.
    let again = server.set(&room, alice(), "m.room.topic", "", json!({ "topic": "two" })).await.unwrap();
    assert_eq!(server.hs.stream().position(), now);
    assert!(again.position <= now);
    // Who left reads the room as it was on leaving.
    server.member(&room, bob(), bob(), Membership::Leave).await.unwrap();
    server.set(&room, alice(), "m.room.topic", "", json!({ "topic": "three" })).await.unwrap();
    let root = rooms.readable_state(&room, bob()).await.unwrap();
    let seen = rooms.state_event_at(&room, root, &"m.room.topic".into(), "").await.unwrap().unwrap();
    assert_eq!(content(&seen)["topic"], "two");
    let refused = rooms.readable_state(&room, user_id!("@carol:test.example")).await;
    assert!(matches!(refused, Err(RoomError::Forbidden(_))));
}

/// More state than one change is stored for, changed many times, and read from the database at every place.
async fn long_ago(mut server: Server) {
    let room = server.public_room(alice(), "12").await;
    let mut places = Vec::new();
    for part in 0..3 {
        for number in part * 100..(part + 1) * 100 {
            let key = format!("k{}", number * 7 % 90);
            let set = server.set(&room, alice(), "x.y", &key, json!({ "n": number })).await.unwrap();
            places.push((set.position, key, number));
        }
        server = server.restart().await;
    }
    let rooms = server.rooms();
    let mut roots = Vec::new();
    for (place, key, number) in &places {
        let root = rooms.root_at(&room, *place).await.unwrap();
        let found = rooms.state_event_at(&room, root, &"x.y".into(), key).await.unwrap().unwrap();
        assert_eq!(content(&found)["n"], *number);
        let count = rooms.state_at(root).await.unwrap().iter().filter(|event| event.kind.to_string() == "x.y").count();
        assert_eq!(count, (number + 1).min(90));
        roots.push(root);
    }
    server = server.restart().await;
    let changed = server.rooms().state_changes(roots[120], roots[290]).await.unwrap();
    assert_eq!(changed.len(), 90, "each key was set since");
    let changed = server.rooms().state_changes(roots[271], roots[290]).await.unwrap();
    let mut changed: Vec<i64> = changed.iter().map(|event| content(event)["n"].as_i64().unwrap()).collect();
    changed.sort_unstable();
    assert_eq!(changed, (272..=290).collect::<Vec<_>>());
    server.hs.shutdown().await;
}

#[tokio::test]
async fn a_state_of_long_ago_is_read_again_on_sqlite() {
    long_ago(Server::start().await).await;
}

#[tokio::test]
async fn a_state_of_long_ago_is_read_again_on_postgresql() {
    on_postgresql(long_ago).await;
}

#[tokio::test]
async fn a_timeline_says_where_to_go_on() {
    let server = Server::start().await;
    let room = server.public_room(alice(), "12").await;
    let start = server.hs.stream().position();
    for n in 0..5 {
        server.say(&room, alice(), &n.to_string()).await.unwrap();
    }
    let end = server.hs.stream().position();
    let slice = server.rooms().timeline(&room, start, end, 3).await.unwrap();
    assert_eq!((bodies(&slice.events), slice.limited), (vec!["2".into(), "3".into(), "4".into()], true));
    let slice = server.rooms().timeline(&room, start, slice.prev_batch, 3).await.unwrap();
    assert_eq!((bodies(&slice.events), slice.limited), (vec!["0".into(), "1".into()], false));
}

#[tokio::test]
async fn a_client_sees_its_own_transaction_and_what_was_before() {
    let server = Server::start().await;
    let room = server.public_room(alice(), "12").await;
    server.set(&room, alice(), "m.room.topic", "", json!({ "topic": "one" })).await.unwrap();
    let topic = server.set(&room, alice(), "m.room.topic", "", json!({ "topic": "two" })).await.unwrap();
    let said = server.rooms().send(message(&room, alice(), "hi").under("PHONE", "t1")).await.unwrap();
    let server = server.restart().await;
    let show = async |id: &ruma::EventId, device: &'static str| -> Value {
        let event = server.rooms().event(id).await.unwrap().unwrap();
        let options = ClientEventOptions { format: ClientEventFormat::Sync, reader: Some((alice(), device)) };
        serde_json::from_str(server.rooms().client_events(&[event], options).await.unwrap()[0].get()).unwrap()
    };
    assert_eq!(show(&said.event_id, "PHONE").await["unsigned"]["transaction_id"], "t1");
    assert_eq!(show(&said.event_id, "LAPTOP").await["unsigned"].get("transaction_id"), None);
    let shown = show(&topic.event_id, "PHONE").await;
    assert_eq!(shown["unsigned"]["prev_content"], json!({ "topic": "one" }));
    assert_eq!(shown.get("room_id"), None);
    assert_eq!(shown["state_key"], "");
}

#[tokio::test]
async fn aliases_lead_to_rooms_until_they_are_removed() {
    let server = Server::start().await;
    let rooms = server.rooms();
    let room = server.public_room(alice(), "12").await;
    let alias = room_alias_id!("#den:test.example");
    rooms.create_alias(alias, &room, bob(), None).await.unwrap();
    assert!(matches!(rooms.create_alias(alias, &room, alice(), None).await, Err(RoomError::AliasTaken)));
    let foreign = rooms.create_alias(room_alias_id!("#den:other.example"), &room, alice(), None).await;
    assert!(matches!(foreign, Err(RoomError::InvalidParam(_))));
    assert_eq!(rooms.resolve_alias(alias).await.unwrap().unwrap(), room);
    assert_eq!(rooms.aliases(&room).await.unwrap(), [alias]);
    let refused = rooms.delete_alias(alias, user_id!("@carol:test.example"), false).await;
    assert!(matches!(refused, Err(RoomError::Forbidden(_))));
    rooms.delete_alias(alias, alice(), false).await.unwrap();
    assert_eq!(rooms.resolve_alias(alias).await.unwrap(), None);
    assert!(matches!(rooms.delete_alias(alias, alice(), false).await, Err(RoomError::NotFound(_))));
}

#[tokio::test]
async fn a_restricted_room_lets_in_who_is_in_the_other() {
    let server = Server::start().await;
    let club = server.public_room(alice(), "12").await;
    let room = server.create(alice(), &create_room::Request::new()).await.unwrap();
    let rule = json!({ "join_rule": "restricted", "allow": [{ "type": "m.room_membership", "room_id": club }] });
    server.set(&room, alice(), "m.room.join_rules", "", rule).await.unwrap();
    assert!(matches!(server.join(&room, bob()).await, Err(RoomError::Forbidden(_))));
    server.join(&club, bob()).await.unwrap();
    server.join(&room, bob()).await.unwrap();
    let member = server.state(&room, "m.room.member", bob().as_str()).await.unwrap();
    assert_eq!(member["join_authorised_via_users_server"], alice().as_str());
}

#[tokio::test]
async fn one_who_knocks_may_be_let_in_and_the_invited_see_the_door() {
    let server = Server::start().await;
    let mut request = create_room::Request::new();
    request.name = Some("Den".into());
    let room = server.create(alice(), &request).await.unwrap();
    server.member(&room, bob(), bob(), Membership::Knock).await.unwrap_err();
    server.set(&room, alice(), "m.room.join_rules", "", json!({ "join_rule": "knock" })).await.unwrap();
    server.member(&room, bob(), bob(), Membership::Knock).await.unwrap();
    let mut invite = MembershipChange::new(&*room, alice(), bob(), Membership::Invite);
    invite.reason = Some("come in".into());
    server.rooms().change_membership(invite).await.unwrap();
    let stripped = server.rooms().stripped_state(&room, bob()).await.unwrap();
    let stripped: Vec<Value> = stripped.iter().map(|event| serde_json::from_str(event.get()).unwrap()).collect();
    let kinds: Vec<_> = stripped.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        ["m.room.create", "m.room.name", "m.room.join_rules", "m.room.member", "m.room.member"],
        "the room, the invitation and who sent it"
    );
    server.join(&room, bob()).await.unwrap();
    assert!(server.rooms().share_a_room(alice(), bob()).await.unwrap());
}
