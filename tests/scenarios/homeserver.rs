//! The homeserver alone, as a Matrix client meets it. The same scenarios run on Synapse, which proves that they ask for what
//! is usual.

use landbridge_tests::{Homeserver, MatrixUser, http};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

macro_rules! on_both {
    ($($scenario:ident,)+) => {
        on_both!(@ embedded, Embedded, $($scenario,)+);
        on_both!(@ synapse, Synapse, $($scenario,)+);
    };
    (@ $name:ident, $on:ident, $($scenario:ident,)+) => {
        mod $name {
            $(
                #[tokio::test]
                async fn $scenario() {
                    let homeserver = landbridge_tests::Homeserver::start(landbridge_tests::On::$on).await;
                    Box::pin(super::$scenario(homeserver)).await;
                }
            )+
        }
    };
}

on_both! {
    accounts_are_made_and_entered,
    people_meet_in_a_room,
    a_room_has_rules,
    a_send_repeated_is_one_event,
    state_is_set_and_read_with_and_without_a_slash,
    history_is_paged,
    media_is_for_members_only,
    small_things_of_a_client,
    a_gap_in_the_timeline_is_said,
    a_kill_loses_nothing_that_was_answered,
}

/// A request of a user; the status and the answer come back.
async fn ask(
    hs: &Homeserver,
    user: &MatrixUser,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> (StatusCode, Value) {
    let request = http().request(method, hs.path(path)).bearer_auth(&user.token);
    let request = match body {
        Some(body) => request.json(&body),
        None => request,
    };
    let answer = request.send().await.expect("an answer");
    (answer.status(), answer.json().await.unwrap_or_default())
}

/// A request of nobody.
async fn ask_unnamed(hs: &Homeserver, path: &str, body: Value) -> (StatusCode, Value) {
    let answer = http().post(hs.path(path)).json(&body).send().await.expect("an answer");
    (answer.status(), answer.json().await.unwrap_or_default())
}

async fn accounts_are_made_and_entered(hs: Homeserver) {
    let alice = MatrixUser::register(&hs.url(), "alice").await;
    assert_eq!(alice.id, "@alice:localhost");
    let again = MatrixUser::log_in(&hs.url(), "alice").await;
    assert_ne!(alice.token, again.token, "a device of its own");
    let (status, whoami) = ask(&hs, &again, Method::GET, "/_matrix/client/v3/account/whoami", None).await;
    assert_eq!((status, &whoami["user_id"]), (StatusCode::OK, &json!("@alice:localhost")));

    let (status, error) = ask(&hs, &again, Method::POST, "/_matrix/client/v3/logout", Some(json!({}))).await;
    assert_eq!(status, StatusCode::OK, "{error}");
    let (status, error) = ask(&hs, &again, Method::GET, "/_matrix/client/v3/account/whoami", None).await;
    assert_eq!((status, &error["errcode"]), (StatusCode::UNAUTHORIZED, &json!("M_UNKNOWN_TOKEN")));

    let register = |name: &str| json!({ "username": name, "password": "x", "auth": { "type": "m.login.dummy" } });
    for (name, errcode) in [("alice", "M_USER_IN_USE"), ("not a name", "M_INVALID_USERNAME")] {
        let (status, error) = ask_unnamed(&hs, "/_matrix/client/v3/register", register(name)).await;
        assert_eq!((status, &error["errcode"]), (StatusCode::BAD_REQUEST, &json!(errcode)), "{error}");
    }
    let login = |password: &str| json!({ "type": "m.login.password", "identifier": { "type": "m.id.user", "user": "alice" }, "password": password });
    let (status, error) = ask_unnamed(&hs, "/_matrix/client/v3/login", login("wrong")).await;
    assert_eq!((status, &error["errcode"]), (StatusCode::FORBIDDEN, &json!("M_FORBIDDEN")));
}

async fn people_meet_in_a_room(hs: Homeserver) {
    let alice = MatrixUser::register(&hs.url(), "alice").await;
    let bob = MatrixUser::register(&hs.url(), "bob").await;
    let carol = MatrixUser::register(&hs.url(), "carol").await;
    alice.is_called("Alice in Chains").await;
    let hers = alice.creates_room(json!({ "alias": "lobby", "name": "Lobby", "topic": "first" })).await;
    hers.invites(&bob.id).await;
    let his = bob.accepts_invitation(&alice.id).await;
    assert_eq!(his.id, hers.id);
    assert_eq!(bob.resolves("#lobby:localhost").await.as_deref(), Ok(hers.id.as_str()));
    assert!(carol.tries_to_join("#lobby:localhost").await.is_err(), "she was not invited");

    let hello = hers.says("hello").await;
    his.sees(&alice.id, "hello").await;
    let reaction = his.reacts(&hello, "👋").await;
    hers.sees_event("the reaction", |event| event.id() == reaction).await;
    his.replies(&hello, "hello yourself").await;
    hers.sees(&bob.id, "hello yourself").await;
    hers.edits(&hello, "hello, bob").await;
    his.sees_event("the edit", |event| event.content()["m.new_content"]["body"] == "hello, bob").await;
    hers.redacts(&hello, "a slip").await;
    his.sees_redaction(&hello).await;
    hers.sets_topic("second").await;
    his.sees_topic("second").await;
    let members = his.members().await;
    assert_eq!(members.len(), 2);
    assert_eq!(members[&alice.id].as_deref(), Some("Alice in Chains"));

    his.leaves().await;
    hers.sees_membership(&bob.id, "leave").await;
    hers.invites(&bob.id).await;
    let his = bob.accepts_invitation(&alice.id).await;
    hers.kicks(&bob.id, "enough").await;
    his.sees_membership(&bob.id, "leave").await;
    hers.bans(&bob.id, "for good").await;
    assert!(bob.tries_to_join(&hers.id).await.is_err(), "he is banned");
}

async fn a_room_has_rules(hs: Homeserver) {
    let alice = MatrixUser::register(&hs.url(), "alice").await;
    let bob = MatrixUser::register(&hs.url(), "bob").await;
    let hers = alice.creates_room(json!({ "preset": "public_chat" })).await;
    bob.joins(&hers.id).await;
    let room = &hers.id;
    let path = |rest: &str| format!("/_matrix/client/v3/rooms/{room}/{rest}");
    let kick = json!({ "user_id": alice.id });
    let power = json!({ "users": { &bob.id: 100 } });
    let refused = [
        (Method::POST, path("kick"), kick.clone()),
        (Method::POST, path("ban"), kick),
        (Method::PUT, path("state/m.room.power_levels/"), power),
        (Method::PUT, path("state/m.room.topic/"), json!({ "topic": "his" })),
        (Method::PUT, path("state/m.room.member/@carol:localhost"), json!({ "membership": "join" })),
        (Method::PUT, path("state/org.example/@alice:localhost"), json!({})),
    ];
    for (method, path, body) in refused {
        let (status, error) = ask(&hs, &bob, method, &path, Some(body)).await;
        assert_eq!((status, &error["errcode"]), (StatusCode::FORBIDDEN, &json!("M_FORBIDDEN")), "{path}: {error}");
    }
    let carol = MatrixUser::register(&hs.url(), "carol").await;
    for path in [path("messages?dir=b"), path("state"), path("members")] {
        let (status, error) = ask(&hs, &carol, Method::GET, &path, None).await;
        assert_eq!((status, &error["errcode"]), (StatusCode::FORBIDDEN, &json!("M_FORBIDDEN")), "{path}: {error}");
    }
    let message = Some(json!({ "msgtype": "m.text", "body": "x" }));
    let (status, _) = ask(&hs, &carol, Method::PUT, &path("send/m.room.message/1"), message).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "she is not in the room");
}

async fn a_send_repeated_is_one_event(hs: Homeserver) {
    let alice = MatrixUser::register(&hs.url(), "alice").await;
    let room = alice.creates_room(json!({})).await;
    let path = format!("/_matrix/client/v3/rooms/{}/send/m.room.message/same", room.id);
    let body = json!({ "msgtype": "m.text", "body": "once" });
    let (_, first) = ask(&hs, &alice, Method::PUT, &path, Some(body.clone())).await;
    let (_, second) = ask(&hs, &alice, Method::PUT, &path, Some(body.clone())).await;
    assert_eq!(first["event_id"], second["event_id"]);
    assert!(first["event_id"].as_str().is_some_and(|id| id.starts_with('$')));
    // Another device, the same transaction id: another event.
    let again = MatrixUser::log_in(&hs.url(), "alice").await;
    let (_, third) = ask(&hs, &again, Method::PUT, &path, Some(body)).await;
    assert_ne!(first["event_id"], third["event_id"]);
    room.says("the end").await;
    room.sees(&alice.id, "the end").await;
    assert_eq!(room.heard().len(), 3);
}

async fn state_is_set_and_read_with_and_without_a_slash(hs: Homeserver) {
    let alice = MatrixUser::register(&hs.url(), "alice").await;
    let room = alice.creates_room(json!({ "name": "Before" })).await.id;
    let path = |rest: &str| format!("/_matrix/client/v3/rooms/{room}/state/{rest}");
    for (set, read) in [("m.room.name", "m.room.name/"), ("m.room.name/", "m.room.name")] {
        let name = Some(json!({ "name": set }));
        let (status, answer) = ask(&hs, &alice, Method::PUT, &path(set), name).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let (status, answer) = ask(&hs, &alice, Method::GET, &path(read), None).await;
        assert_eq!((status, answer), (StatusCode::OK, json!({ "name": set })));
    }
    let (status, _) = ask(&hs, &alice, Method::PUT, &path("org.example/a%2Fb"), Some(json!({ "n": 1 }))).await;
    assert_eq!(status, StatusCode::OK);
    let (_, all) = ask(&hs, &alice, Method::GET, path("").trim_end_matches('/'), None).await;
    let ours = all.as_array().into_iter().flatten().find(|event| event["type"] == "org.example");
    assert_eq!(ours.map(|event| &event["state_key"]), Some(&json!("a/b")));
    let (status, error) = ask(&hs, &alice, Method::GET, &path("org.example/nothing"), None).await;
    assert_eq!((status, &error["errcode"]), (StatusCode::NOT_FOUND, &json!("M_NOT_FOUND")));
}

async fn history_is_paged(hs: Homeserver) {
    let alice = MatrixUser::register(&hs.url(), "alice").await;
    let room = alice.creates_room(json!({})).await;
    for n in 0..25 {
        room.says(&n.to_string()).await;
    }
    let (mut found, mut from) = (Vec::new(), String::new());
    for _ in 0..20 {
        let path = format!("/_matrix/client/v3/rooms/{}/messages?dir=b&limit=7{from}", room.id);
        let (status, page) = ask(&hs, &alice, Method::GET, &path, None).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        found.extend(page["chunk"].as_array().cloned().unwrap_or_default());
        match page["end"].as_str() {
            Some(end) => from = format!("&from={end}"),
            None => break,
        }
    }
    let bodies = |events: &[Value]| -> Vec<_> {
        let bodies = events.iter().filter(|event| event["type"] == "m.room.message");
        bodies.map(|event| event["content"]["body"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let mut back = bodies(&found);
    back.reverse();
    assert_eq!(back, (0..25).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(found.last().map(|event| &event["type"]), Some(&json!("m.room.create")), "to the beginning");
    let path = format!("/_matrix/client/v3/rooms/{}/messages?dir=f&limit=100", room.id);
    let (_, page) = ask(&hs, &alice, Method::GET, &path, None).await;
    assert_eq!(bodies(page["chunk"].as_array().expect("events")), back, "the other way");
}

async fn media_is_for_members_only(hs: Homeserver) {
    let alice = MatrixUser::register(&hs.url(), "alice").await;
    let bob = MatrixUser::register(&hs.url(), "bob").await;
    let file = alice.uploads("what the file says", "text/plain", "notes.txt").await;
    assert!(file.starts_with("mxc://localhost/"), "{file}");
    assert_eq!(bob.downloads(&file).await, "what the file says");
    let id = file.trim_start_matches("mxc://");
    let download = hs.path(&format!("/_matrix/client/v1/media/download/{id}"));
    let answer = http().get(&download).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let answer = http().get(&download).bearer_auth(&bob.token).send().await.expect("an answer");
    assert!(answer.headers()["content-type"].to_str().is_ok_and(|kind| kind.starts_with("text/plain")));
    let missing = hs.path("/_matrix/client/v1/media/download/localhost/nothing");
    let answer = http().get(missing).bearer_auth(&bob.token).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}

async fn small_things_of_a_client(hs: Homeserver) {
    let alice = MatrixUser::register(&hs.url(), "alice").await;
    let bob = MatrixUser::register(&hs.url(), "bob").await;
    let hers = alice.creates_room(json!({ "preset": "public_chat" })).await;
    let his = bob.joins(&hers.id).await;
    let hello = hers.says("hello").await;
    his.sees(&alice.id, "hello").await;
    his.types().await;
    hers.sees_event("that he types", |event| {
        event.kind() == "m.typing" && event.content()["user_ids"] == json!([bob.id])
    })
    .await;
    his.has_read(&hello).await;
    hers.sees_event("that he has read it", |event| {
        event.kind() == "m.receipt" && event.content()["users"] == json!([bob.id])
    })
    .await;

    alice.is_called("Alice").await;
    assert_eq!(bob.display_name_of(&alice.id).await.as_deref(), Some("Alice"));
    let path = format!("/_matrix/client/v3/user/{}/account_data/org.example", alice.id);
    let (status, _) = ask(&hs, &alice, Method::PUT, &path, Some(json!({ "n": 1 }))).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(ask(&hs, &alice, Method::GET, &path, None).await, (StatusCode::OK, json!({ "n": 1 })));
    let (status, _) = ask(&hs, &bob, Method::GET, &path, None).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "not his");
    let (_, flows) = ask(&hs, &alice, Method::GET, "/_matrix/client/v3/login", None).await;
    let flows = flows["flows"].as_array().cloned().unwrap_or_default();
    assert!(flows.iter().any(|flow| flow["type"] == "m.login.password"), "{flows:?}");
    let (status, rules) = ask(&hs, &alice, Method::GET, "/_matrix/client/v3/pushrules/", None).await;
    assert_eq!((status, rules["global"].is_object()), (StatusCode::OK, true));
    let (status, _) = ask(&hs, &alice, Method::GET, "/_matrix/client/v3/capabilities", None).await;
    assert_eq!(status, StatusCode::OK);
    let (_, rooms) = ask(&hs, &alice, Method::GET, "/_matrix/client/v3/joined_rooms", None).await;
    assert_eq!(rooms["joined_rooms"], json!([hers.id]));
}

async fn a_gap_in_the_timeline_is_said(hs: Homeserver) {
    let alice = MatrixUser::register(&hs.url(), "alice").await;
    let room = alice.creates_room(json!({})).await;
    let (_, first) = ask(&hs, &alice, Method::GET, "/_matrix/client/v3/sync", None).await;
    let since = first["next_batch"].as_str().expect("a token").to_owned();
    for n in 0..30 {
        room.says(&n.to_string()).await;
    }
    let filter = "%7B%22room%22%3A%7B%22timeline%22%3A%7B%22limit%22%3A5%7D%7D%7D";
    let path = format!("/_matrix/client/v3/sync?since={since}&filter={filter}");
    let (_, second) = ask(&hs, &alice, Method::GET, &path, None).await;
    let timeline = &second["rooms"]["join"][&room.id]["timeline"];
    assert_eq!(timeline["limited"], true);
    assert_eq!(timeline["events"].as_array().map(Vec::len), Some(5));
    let (from, to) = (timeline["prev_batch"].as_str().expect("a token"), since);
    let path = format!("/_matrix/client/v3/rooms/{}/messages?dir=b&limit=100&from={from}&to={to}", room.id);
    let (_, page) = ask(&hs, &alice, Method::GET, &path, None).await;
    assert_eq!(page["chunk"].as_array().map(Vec::len), Some(25), "what was left out, and nothing else");
}

async fn a_kill_loses_nothing_that_was_answered(mut hs: Homeserver) {
    let alice = MatrixUser::register(&hs.url(), "alice").await;
    let room = alice.creates_room(json!({})).await.id;
    let mut sent = Vec::new();
    for round in 0..3 {
        for n in 0..10 {
            let text = format!("{round}.{n}");
            alice.in_room(&room).says(&text).await;
            sent.push(text);
        }
        hs.killed_and_started_again().await;
    }
    let room = alice.in_room(&room);
    let past = room.past().await;
    let bodies = past.iter().filter_map(|event| event["content"]["body"].as_str().map(str::to_owned));
    assert_eq!(bodies.collect::<Vec<_>>(), sent);
    room.says("the end").await;
    room.sees(&alice.id, "the end").await;
    assert_eq!(room.heard().len(), sent.len() + 1, "the sync brought each once");
}
