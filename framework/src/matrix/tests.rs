//! The client against a homeserver that fails when told to.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use ruma::{OwnedEventId, RoomId, event_id, room_alias_id, room_id, user_id};
use serde_json::{json, value::to_raw_value};

use super::*;
use crate::{
    clock::Millis,
    testing::{Fault, SimHomeserver, registration},
};

/// A homeserver and the bridge's client.
fn pair() -> (SimHomeserver, Client) {
    let homeserver = SimHomeserver::new("example.org");
    let registration = registration("test", "example.org");
    let client = Client::new(homeserver.transport(), registration.as_token.clone());
    homeserver.register(registration);
    (homeserver, client)
}

/// A virtual user in a room of alice's.
async fn in_a_room(
    homeserver: &SimHomeserver,
    client: &Client,
) -> (crate::testing::SimRoom, ruma::OwnedRoomId, Assertion) {
    let room = homeserver.user("alice").makes_room("Lobby");
    let room_id = ruma::RoomId::parse(&room.id).unwrap();
    client.register("test_bob").await.unwrap();
    let bob = Assertion::user(user_id!("@test_bob:example.org"));
    client.join(&bob, (&*room_id).into(), &[]).await.unwrap();
    (room, room_id, bob)
}

fn text(body: &str) -> Box<serde_json::value::RawValue> {
    to_raw_value(&json!({ "msgtype": "m.text", "body": body })).unwrap()
}

#[tokio::test]
async fn virtual_users_are_made_once_and_have_profiles() {
    let (homeserver, client) = pair();
    assert_eq!(client.register("test_bob").await, Ok(Registered::New));
    assert_eq!(client.register("test_bob").await, Ok(Registered::Existing));
    assert!(matches!(client.register("alice").await, Err(ClientError::Forbidden(_) | ClientError::Rejected { .. })));
    let bob = user_id!("@test_bob:example.org");
    client.set_display_name(bob, Some("Bob")).await.unwrap();
    client.set_avatar(bob, Some("mxc://example.org/bob".into())).await.unwrap();
    let profile = client.profile(bob).await.unwrap();
    assert_eq!((profile.name.as_deref(), profile.avatar.unwrap().as_str()), (Some("Bob"), "mxc://example.org/bob"));
    assert_eq!(client.profile(user_id!("@nobody:example.org")).await.unwrap().name, None);
    assert_eq!(client.whoami(&Assertion::BOT).await.unwrap(), "@testbot:example.org");
    assert_eq!(client.whoami(&Assertion::user(bob)).await.unwrap(), bob);
    assert!(homeserver.requests().iter().any(|request| request.contains("whoami?user_id=%40test_bob%3Aexample.org")));
}

#[tokio::test]
async fn an_unregistered_virtual_user_cannot_act() {
    let (homeserver, client) = pair();
    let room = homeserver.user("alice").makes_room("Lobby");
    let eve = Assertion::user(user_id!("@test_eve:example.org"));
    let room_id = ruma::RoomId::parse(&room.id).unwrap();
    assert!(matches!(client.join(&eve, (&*room_id).into(), &[]).await, Err(ClientError::Forbidden(_))));
}

async fn says_hi(
    client: &Client,
    who: &Assertion,
    room: &RoomId,
    at: Option<Millis>,
) -> Result<OwnedEventId, ClientError> {
    let (event_type, content) = ("m.room.message", &*text("hi"));
    client.send_event(who, &NewEvent { room, event_type, txn_id: "t1".into(), content, at, turn: None }).await
}

#[tokio::test]
async fn a_message_is_said_once_however_often_it_is_sent() {
    let (homeserver, client) = pair();
    let (room, room_id, bob) = in_a_room(&homeserver, &client).await;
    let send = async || says_hi(&client, &bob, &room_id, Some(Millis(1234))).await.unwrap();
    assert_eq!(send().await, send().await);
    let event = room.hears("@test_bob:example.org", "hi").await;
    assert_eq!(event["origin_server_ts"], 1234);
    assert_eq!(room.messages().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_asked_for_again() {
    let (homeserver, client) = pair();
    let (room, room_id, bob) = in_a_room(&homeserver, &client).await;
    homeserver.fail("/send/", Fault::AnswerLost);
    says_hi(&client, &bob, &room_id, None).await.unwrap();
    assert_eq!(room.messages(), [("@test_bob:example.org".to_owned(), "hi".to_owned())]);
    let sends = homeserver.requests().iter().filter(|request| request.contains("/send/")).count();
    assert_eq!(sends, 2);
}

#[tokio::test(start_paused = true)]
async fn a_room_is_never_made_twice_by_itself() {
    let (homeserver, client) = pair();
    let wanted = NewRoom { alias_localpart: Some("test_lobby".to_owned()), ..NewRoom::default() };
    homeserver.fail("createRoom", Fault::AnswerLost);
    assert!(matches!(client.create_room(&Assertion::BOT, wanted.clone()).await, Err(ClientError::Unavailable(_))));
    assert!(matches!(client.create_room(&Assertion::BOT, wanted).await, Err(ClientError::InUse(_))));
    let room = client.resolve_alias(room_alias_id!("#test_lobby:example.org")).await.unwrap().unwrap();
    assert_eq!(homeserver.rooms().len(), 1);
    assert_eq!(homeserver.rooms()[0].id, room);
}

#[tokio::test(start_paused = true)]
async fn what_certainly_did_not_happen_is_repeated_even_if_it_must_not_happen_twice() {
    let (homeserver, client) = pair();
    homeserver.fail("createRoom", Fault::Unreachable);
    client.create_room(&Assertion::BOT, NewRoom::default()).await.unwrap();
    assert_eq!(homeserver.rooms().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn waits_as_long_as_it_is_told_but_not_forever() {
    let (homeserver, client) = pair();
    homeserver.fail_times("register", Fault::RateLimited(Duration::from_secs(3)), 2);
    let before = tokio::time::Instant::now();
    client.register("test_bob").await.unwrap();
    assert!((6..8).contains(&before.elapsed().as_secs()), "{:?}", before.elapsed());

    homeserver.fail("register", Fault::RateLimited(Duration::from_secs(600)));
    let before = tokio::time::Instant::now();
    let error = client.register("test_carol").await.unwrap_err();
    assert_eq!(error, ClientError::LimitExceeded { after: Duration::from_secs(600) });
    assert!(before.elapsed() < Duration::from_secs(1) && error.is_temporary());
}

#[tokio::test(start_paused = true)]
async fn gives_up_when_the_homeserver_stays_away() {
    let (homeserver, client) = pair();
    homeserver.fail_times("register", Fault::BadGateway, 100);
    assert!(matches!(client.register("test_bob").await, Err(ClientError::Unavailable(_))));
    assert_eq!(homeserver.requests().len(), 4);
    let patient = Client::with_policy(homeserver.transport(), "x".into(), RetryPolicy::once());
    assert!(patient.register("test_bob").await.is_err());
    assert_eq!(homeserver.requests().len(), 5);
}

#[tokio::test]
async fn an_unknown_token_stops_at_once_and_says_what_to_do() {
    let (homeserver, _) = pair();
    let client = Client::new(homeserver.transport(), "wrong".into());
    let error = client.whoami(&Assertion::BOT).await.unwrap_err();
    assert_eq!(error, ClientError::UnknownToken);
    assert!(error.to_string().contains("same registration file"));
    assert_eq!(homeserver.requests().len(), 1);
    assert!(!error.is_temporary() && !error.is_final());
}

#[tokio::test]
async fn rooms_aliases_members_and_state() {
    let (homeserver, client) = pair();
    let wanted = NewRoom {
        alias_localpart: Some("test_lobby".to_owned()),
        name: Some("Lobby".to_owned()),
        topic: Some("Talk".to_owned()),
        public: true,
        listed: true,
        initial_state: vec![json!({ "type": "m.x", "state_key": "", "content": { "a": 1 } })],
        ..NewRoom::default()
    };
    let bot = Assertion::BOT;
    let room_id = client.create_room(&bot, wanted).await.unwrap();
    let room = homeserver.room("#test_lobby:example.org").unwrap();
    assert!(room.is_listed());
    client.set_directory_visibility(&room_id, false).await.unwrap();
    assert!(!room.is_listed());
    assert_eq!(client.state(&bot, &room_id, "m.room.topic", "").await.unwrap(), Some(json!({ "topic": "Talk" })));
    assert_eq!(client.state(&bot, &room_id, "m.x", "").await.unwrap(), Some(json!({ "a": 1 })));
    assert_eq!(client.state(&bot, &room_id, "m.y", "").await.unwrap(), None);
    let topic = to_raw_value(&json!({ "topic": "New" })).unwrap();
    client.send_state(&bot, &room_id, "m.room.topic", "", &topic, None).await.unwrap();
    assert_eq!(room.state("m.room.topic", "").unwrap()["topic"], "New");

    let alice = homeserver.user("alice");
    alice.joins("#test_lobby:example.org").await.unwrap();
    let alice_id = user_id!("@alice:example.org");
    let mut members = client.joined_members(&bot, &room_id).await.unwrap();
    members.sort_by(|one, other| one.user_id.cmp(&other.user_id));
    assert_eq!(members[0].profile.name.as_deref(), Some("alice"));
    assert_eq!(members.len(), 2);
    client.moderate(&bot, &room_id, alice_id, Act::Kick, Some("why")).await.unwrap();
    client.moderate(&bot, &room_id, alice_id, Act::Ban, None).await.unwrap();
    assert_eq!(room.membership("@alice:example.org"), "ban");
    let members = client.members(&bot, &room_id).await.unwrap();
    assert_eq!(members.iter().find(|member| member.user_id == alice_id).unwrap().membership, "ban");
    client.moderate(&bot, &room_id, alice_id, Act::Unban, None).await.unwrap();
    client.invite(&bot, &room_id, alice_id).await.unwrap();
    assert_eq!(room.membership("@alice:example.org"), "invite");

    let alias = room_alias_id!("#test_other:example.org");
    client.put_alias(alias, &room_id).await.unwrap();
    assert!(matches!(client.put_alias(alias, &room_id).await, Err(ClientError::InUse(_))));
    assert_eq!(client.resolve_alias(alias).await.unwrap().unwrap(), room_id);
    client.delete_alias(alias).await.unwrap();
    client.delete_alias(alias).await.unwrap();
    assert_eq!(client.resolve_alias(alias).await.unwrap(), None);
    assert_eq!(client.joined_rooms(&bot).await.unwrap(), std::slice::from_ref(&room_id));
    client.leave(&bot, &room_id, Some("bye")).await.unwrap();
    assert!(client.joined_rooms(&bot).await.unwrap().is_empty());
}

#[tokio::test]
async fn redactions_typing_receipts_and_account_data() {
    let (homeserver, client) = pair();
    let (room, room_id, bob) = in_a_room(&homeserver, &client).await;
    let bob_id = user_id!("@test_bob:example.org");
    let said = says_hi(&client, &bob, &room_id, None).await.unwrap();
    client.redact(&bob, &room_id, &said, "t2".into(), Some("typo")).await.unwrap();
    let redaction = room.sees("a redaction", |event| event["type"] == "m.room.redaction").await;
    assert_eq!(redaction["content"]["reason"], "typo");
    client.typing(bob_id, &room_id, Some(Duration::from_secs(5))).await.unwrap();
    assert_eq!(room.typing(), [bob_id.as_str()]);
    client.typing(bob_id, &room_id, None).await.unwrap();
    assert!(room.typing().is_empty());
    client.read_receipt(&bob, &room_id, &said).await.unwrap();
    assert_eq!(client.account_data(bob_id, "x.y").await.unwrap(), None);
    let data = to_raw_value(&json!({ "a": 1 })).unwrap();
    client.set_account_data(bob_id, "x.y", &data).await.unwrap();
    assert_eq!(client.account_data(bob_id, "x.y").await.unwrap(), Some(json!({ "a": 1 })));
}

#[tokio::test]
async fn an_event_of_another_room_is_none() {
    let (homeserver, client) = pair();
    let (_, room_id, bob) = in_a_room(&homeserver, &client).await;
    let alice = homeserver.user("alice");
    let other = alice.makes_room("Other");
    let secret = ruma::EventId::parse(alice.says(&other, "secret")).unwrap();
    assert_eq!(client.event(&bob, &room_id, &secret).await.unwrap(), None);
    assert_eq!(client.event(&bob, &room_id, event_id!("$nothing")).await.unwrap(), None);
    let said = says_hi(&client, &bob, &room_id, None).await.unwrap();
    assert_eq!(client.event(&bob, &room_id, &said).await.unwrap().unwrap()["content"]["body"], "hi");
}

#[tokio::test]
async fn media_goes_both_ways_within_bounds() {
    let (homeserver, client) = pair();
    let content = Bytes::from_static(b"0123456789");
    let mxc = client.upload(&Assertion::BOT, "a b.txt", "text/plain", content.clone()).await.unwrap();
    let file = client.download(&mxc, 10).await.unwrap();
    assert_eq!(file.mime.as_deref(), Some("text/plain"));
    assert_eq!(file.bytes().await.unwrap(), content);
    assert!(matches!(client.download(&mxc, 9).await, Err(ClientError::TooLarge(_))));
    assert!(matches!(client.download("mxc://example.org/none".into(), 9).await, Err(ClientError::NotFound(_))));
    assert!(matches!(client.download("https://x".into(), 9).await, Err(ClientError::NotFound(_))));

    let stream = |parts: u32| {
        let parts = (0..parts).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"12345")));
        axum::body::Body::from_stream(futures_util::stream::iter(parts))
    };
    let mxc = client.upload_stream(&Assertion::BOT, "x", "image/png", stream(2), 10).await.unwrap();
    assert_eq!(client.download(&mxc, 100).await.unwrap().bytes().await.unwrap().len(), 10);
    assert!(client.upload_stream(&Assertion::BOT, "x", "image/png", stream(3), 10).await.is_err());
    homeserver.fail("/media/", Fault::Refused(StatusCode::PAYLOAD_TOO_LARGE, "M_TOO_LARGE"));
    let refused = client.upload(&Assertion::BOT, "x", "bad\nmime", content).await;
    assert!(matches!(refused, Err(ClientError::TooLarge(_))));
}

#[tokio::test]
async fn a_ping_says_what_is_wrong() {
    let (_homeserver, client) = pair();
    let error = client.ping("test", Some("x")).await.unwrap_err();
    assert!(error.to_string().contains("M_CONNECTION_FAILED"), "{error}");
    assert!(matches!(client.ping("other", None).await, Err(ClientError::Forbidden(_))));
}

#[tokio::test]
async fn over_a_socket_it_is_the_same() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (homeserver, _) = pair();
    let registration = registration("test", "example.org");
    homeserver.register(registration.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(axum::serve(listener, homeserver.router()).into_future());
    let transport = HttpTransport::new(format!("http://{address}/").parse().unwrap()).unwrap();
    let client = Client::with_policy(std::sync::Arc::new(transport), registration.as_token, RetryPolicy::once());
    let (room, room_id, bob) = in_a_room(&homeserver, &client).await;
    says_hi(&client, &bob, &room_id, None).await.unwrap();
    room.hears("@test_bob:example.org", "hi").await;
    let big = Bytes::from(vec![7; 3_000_000]);
    let mxc = client.upload(&bob, "big", "image/png", big.clone()).await.unwrap();
    assert_eq!(client.download(&mxc, 3_000_000).await.unwrap().bytes().await.unwrap(), big);
    assert_eq!(client.versions().await.unwrap(), ["v1.11"]);
    served.abort();
    let _ = served.await;
    assert!(matches!(client.whoami(&Assertion::BOT).await, Err(ClientError::Unavailable(_))));
    assert!(matches!(client.join(&bob, room_id!("!x:y").into(), &[]).await, Err(ClientError::Unavailable(_))));
}
