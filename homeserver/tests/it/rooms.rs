use landbridge_homeserver::{
    rooms::{
        ClientEventFormat, ClientEventOptions, Direction, Membership, MessagesQuery, RoomError, SUPPORTED_ROOM_VERSIONS,
    },
    stream::Position,
};
use ruma::{UserId, api::client::room::create_room::v3 as create_room, user_id};
use serde_json::json;

use crate::support::{Server, bodies, message, on_postgresql};

fn alice() -> &'static UserId {
    user_id!("@alice:test.example")
}

fn bob() -> &'static UserId {
    user_id!("@bob:test.example")
}

fn carol() -> &'static UserId {
    user_id!("@carol:test.example")
}

#[tokio::test]
async fn a_room_of_every_version_lives() {
    for version in SUPPORTED_ROOM_VERSIONS {
        println!("version {version}");
        let server = Server::start().await;
        let room = server.public_room(alice(), version.as_str()).await;
        server.join(&room, bob()).await.unwrap();
        server.say(&room, bob(), "hello").await.unwrap();
        server.say(&room, carol(), "let me in").await.unwrap_err();
        let forbidden = server.set(&room, bob(), "m.room.topic", "", json!({ "topic": "mine" })).await;
        assert!(matches!(forbidden, Err(RoomError::Forbidden(_))), "{forbidden:?}");
        server.set(&room, alice(), "m.room.topic", "", json!({ "topic": "ours" })).await.unwrap();
        assert_eq!(server.state(&room, "m.room.topic", "").await, Some(json!({ "topic": "ours" })));
        server.member(&room, alice(), bob(), Membership::Ban).await.unwrap();
        server.say(&room, bob(), "still here?").await.unwrap_err();
        server.join(&room, bob()).await.unwrap_err();
        assert_eq!(server.rooms().joined_users(&room).await.unwrap(), [alice()]);
        let event = server.rooms().state_event(&room, &"m.room.create".into(), "").await.unwrap().unwrap();
        if version.as_str() == "12" {
            assert_eq!(room.as_str()[1..], event.event_id.as_str()[1..], "the room is named after its create event");
            assert!(!event.json.contains("room_id"));
        } else {
            assert_eq!(room.server_name().unwrap(), "test.example");
        }
    }
}

async fn story(mut server: Server) {
    let room = server.public_room(alice(), "12").await;
    let sent = server.rooms().send(message(&room, alice(), "one").under("DEVICE", "txn\u{0}1")).await.unwrap();
    server.join(&room, bob()).await.unwrap();
    server.say(&room, bob(), "two").await.unwrap();
    // A repeated request has the same answer, now and after a restart.
    let again = server.rooms().send(message(&room, alice(), "one").under("DEVICE", "txn\u{0}1")).await.unwrap();
    assert_eq!(again, sent);
    let before = server.hs.stream().position();
    server = server.restart().await;
    let again = server.rooms().send(message(&room, alice(), "one").under("DEVICE", "txn\u{0}1")).await.unwrap();
    assert_eq!(again, sent);
    // Nothing is forgotten and the log goes on after where it was.
    let three = server.say(&room, bob(), "three").await.unwrap();
    assert!(three.position > before);
    let log = server.hs.stream().read(Position::START, Position::END, 100).await.unwrap();
    assert_eq!(bodies(&log), ["one", "two", "three"]);
    assert!(log.windows(2).all(|pair| pair[0].position() < pair[1].position()));
    let tail = server.hs.stream().read(before, Position::END, 100).await.unwrap();
    assert_eq!(bodies(&tail), ["three"]);
    let joined = server.rooms().joined_rooms(bob()).await.unwrap();
    assert_eq!(joined, std::slice::from_ref(&room));
    // A page of what was said, backward.
    let query = MessagesQuery {
        room_id: room.clone(),
        user: bob().to_owned(),
        from: None,
        to: None,
        direction: Direction::Backward,
        limit: 2,
    };
    let page = server.rooms().messages(query.clone()).await.unwrap();
    assert_eq!(bodies(&page.events), ["three", "two"]);
    let page = server.rooms().messages(MessagesQuery { from: page.end, limit: 100, ..query }).await.unwrap();
    assert_eq!(bodies(&page.events), ["one"]);
    assert_eq!(page.end, None);
    // A name with everything that a text can hold.
    let odd = json!({ "topic": "nul \u{0}, quote \", é, 𝄞" });
    server.set(&room, alice(), "odd\u{0}type", "key\u{0}\u{1}'", odd.clone()).await.unwrap();
    assert_eq!(server.state(&room, "odd\u{0}type", "key\u{0}\u{1}'").await, Some(odd));
    server.member(&room, bob(), bob(), Membership::Leave).await.unwrap();
    server.rooms().forget(&room, bob()).await.unwrap();
    assert!(server.rooms().membership(&room, bob()).await.unwrap().unwrap().forgotten);
    server.rooms().set_published(&room, None, true).await.unwrap();
    assert_eq!(server.rooms().public_rooms(None).await.unwrap()[0].joined_members, 1);
    let server = server.restart().await;
    assert!(server.state(&room, "odd\u{0}type", "key\u{0}\u{1}'").await.is_some());
    server.hs.shutdown().await;
}

#[tokio::test]
async fn the_story_of_a_room_on_sqlite() {
    story(Server::start().await).await;
}

#[tokio::test]
async fn the_story_of_a_room_on_postgresql() {
    on_postgresql(story).await;
}

#[tokio::test]
async fn presets_and_requests_make_the_state_they_say() {
    let server = Server::start().await;
    let mut request = create_room::Request::new();
    request.preset = Some(create_room::RoomPreset::TrustedPrivateChat);
    request.name = Some("Den".into());
    request.topic = Some("quiet".into());
    request.room_alias_name = Some("den".into());
    request.invite = vec![bob().to_owned()];
    request.is_direct = true;
    let room = server.create(alice(), &request).await.unwrap();
    let state = async |kind: &str| server.state(&room, kind, "").await.unwrap();
    assert_eq!(state("m.room.name").await, json!({ "name": "Den" }));
    assert_eq!(state("m.room.topic").await["topic"], "quiet");
    assert_eq!(state("m.room.join_rules").await, json!({ "join_rule": "invite" }));
    assert_eq!(state("m.room.canonical_alias").await, json!({ "alias": "#den:test.example" }));
    assert_eq!(state("m.room.create").await["additional_creators"], json!(["@bob:test.example"]));
    assert_eq!(state("m.room.create").await["room_version"], "12");
    let invite = server.state(&room, "m.room.member", bob().as_str()).await.unwrap();
    assert_eq!(invite, json!({ "membership": "invite", "is_direct": true }));
    // The alias is taken now, and nothing of the second room is left behind.
    let before = server.rooms().joined_rooms(alice()).await.unwrap();
    assert!(matches!(server.create(alice(), &request).await, Err(RoomError::AliasTaken)));
    assert_eq!(server.rooms().joined_rooms(alice()).await.unwrap(), before);
    // The same request twice in one millisecond makes two rooms.
    let request = create_room::Request::new();
    assert_ne!(server.create(alice(), &request).await.unwrap(), server.create(alice(), &request).await.unwrap());
    // A bridge that names itself in the power levels still gets its room.
    let mut request = create_room::Request::new();
    let levels = json!({ "users": { "@alice:test.example": 100, "@bob:test.example": 50 } });
    request.power_level_content_override = Some(serde_json::from_value(levels).unwrap());
    let room = server.create(alice(), &request).await.unwrap();
    let levels = server.state(&room, "m.room.power_levels", "").await.unwrap();
    assert_eq!(levels["users"], json!({ "@bob:test.example": 50 }));
}

#[tokio::test]
async fn membership_follows_the_rules() {
    let server = Server::start().await;
    let room = server.create(alice(), &create_room::Request::new()).await.unwrap();
    server.join(&room, bob()).await.unwrap_err();
    server.member(&room, alice(), bob(), Membership::Leave).await.unwrap_err();
    server.member(&room, alice(), bob(), Membership::Invite).await.unwrap();
    let join = server.join(&room, bob()).await.unwrap();
    // A second join changes nothing.
    assert_eq!(server.join(&room, bob()).await.unwrap(), join);
    server.member(&room, bob(), alice(), Membership::Leave).await.unwrap_err();
    server.member(&room, alice(), bob(), Membership::Leave).await.unwrap();
    let known = server.rooms().membership(&room, bob()).await.unwrap().unwrap();
    assert_eq!((known.membership, &*known.sender), (Membership::Leave, alice()));
    server.member(&room, alice(), bob(), Membership::Ban).await.unwrap();
    let mut unban = landbridge_homeserver::rooms::MembershipChange::new(&*room, alice(), bob(), Membership::Leave);
    server.rooms().change_membership(unban.clone()).await.unwrap_err();
    unban.unban = true;
    server.rooms().change_membership(unban.clone()).await.unwrap();
    server.rooms().change_membership(unban).await.unwrap_err();
}

#[tokio::test]
async fn a_redaction_takes_the_content_away_wherever_it_is_read() {
    for version in ["10", "12"] {
        let server = Server::start().await;
        let room = server.public_room(alice(), version).await;
        server.join(&room, bob()).await.unwrap();
        let sent = server.say(&room, alice(), "secret").await.unwrap();
        let redaction = |sender: &UserId| landbridge_homeserver::rooms::Redaction {
            room_id: room.clone(),
            sender: sender.to_owned(),
            event_id: sent.event_id.clone(),
            reason: Some("oops".into()),
            ts: None,
            txn: None,
        };
        let refused = server.rooms().redact(redaction(bob())).await;
        assert!(matches!(refused, Err(RoomError::Forbidden(_))), "{refused:?}");
        server.rooms().redact(redaction(alice())).await.unwrap();
        for server in [server.restart().await] {
            let event = server.rooms().visible_event(&room, &sent.event_id, bob()).await.unwrap();
            let options = ClientEventOptions { format: ClientEventFormat::Full, reader: None };
            let shown = server.rooms().client_events(&[event], options).await.unwrap();
            let shown: serde_json::Value = serde_json::from_str(shown[0].get()).unwrap();
            assert_eq!(shown["content"], json!({}));
            assert_eq!(shown["unsigned"]["redacted_because"]["content"]["reason"], "oops");
        }
    }
}

#[tokio::test]
async fn history_is_seen_by_whom_it_was_meant_for() {
    let server = Server::start().await;
    let room = server.public_room(alice(), "12").await;
    let set = async |visibility: &str| {
        let content = json!({ "history_visibility": visibility });
        server.set(&room, alice(), "m.room.history_visibility", "", content).await.unwrap();
    };
    server.say(&room, alice(), "shared").await.unwrap();
    set("joined").await;
    server.say(&room, alice(), "joined").await.unwrap();
    set("world_readable").await;
    server.say(&room, alice(), "world").await.unwrap();
    let read = async |user: &UserId| {
        let query = MessagesQuery {
            room_id: room.clone(),
            user: user.to_owned(),
            from: None,
            to: None,
            direction: Direction::Forward,
            limit: 100,
        };
        server.rooms().messages(query).await.map(|page| bodies(&page.events))
    };
    assert_eq!(read(bob()).await.unwrap(), ["world"]);
    set("shared").await;
    assert!(matches!(read(bob()).await, Err(RoomError::Forbidden(_))));
    server.join(&room, bob()).await.unwrap();
    assert_eq!(read(bob()).await.unwrap(), ["shared", "world"]);
    server.say(&room, alice(), "to bob").await.unwrap();
    server.member(&room, bob(), bob(), Membership::Leave).await.unwrap();
    server.say(&room, alice(), "behind bob's back").await.unwrap();
    assert_eq!(read(bob()).await.unwrap(), ["shared", "world", "to bob"]);
    assert_eq!(read(alice()).await.unwrap().len(), 5);
}
