//! What an operator lets a service do, and what not: pausing, skipping, limits, having others join.

use landbridge_homeserver::http::{Rate, RateLimits};
use serde_json::{Value, json};

use crate::support::{
    AS_TOKEN, Answer, Server, Service, Talk, Virtual, bodies, irc_registration, pings, registers, request, talking,
    virtual_user,
};

async fn operator(server: &Server, method: &str, path: &str, body: Value) -> Answer {
    let token = std::fs::read_to_string(server.folder().join("operator-token")).unwrap();
    server.call(method, &format!("/_landbridge/admin/v1/{path}"), Some(token.trim()), Some(body)).await
}

async fn pause(server: &Server, paused: bool) {
    operator(server, "PUT", "appservices/irc/paused", json!({ "paused": paused })).await.ok();
}

async fn shown(server: &Server) -> Value {
    let token = std::fs::read_to_string(server.folder().join("operator-token")).unwrap();
    let all = server.call("GET", "/_landbridge/admin/v1/appservices", Some(token.trim()), None).await.ok();
    all["appservices"][0].clone()
}

#[tokio::test]
async fn what_happens_while_a_service_is_paused_waits_also_over_a_restart() {
    let Talk { server, service, alice, room, before } = talking().await;
    pause(&server, true).await;
    pause(&server, true).await;
    alice.says(&room, "while paused").await;
    let head = server.hs.stream().position();
    assert_eq!(shown(&server).await["paused"], true);
    let server = server.restart().await;
    server.appservice(irc_registration(), &service).await;
    assert_eq!(shown(&server).await["paused"], true);
    let alice = alice.on(&server);
    alice.says(&room, "still paused").await;
    assert!(shown(&server).await["lag"].as_i64().unwrap() > 0, "{head:?}");
    assert_eq!(service.transactions().len(), before);
    pause(&server, false).await;
    let mut heard = service.hears("still paused").await;
    // What was acknowledged just before the stop may be repeated, under the same id.
    heard.dedup();
    assert_eq!(heard, ["before", "while paused", "still paused"]);
    operator(&server, "PUT", "appservices/other/paused", json!({ "paused": true })).await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn a_transaction_that_is_never_taken_can_be_skipped() {
    let Talk { server, service, alice, room, before } = talking().await;
    operator(&server, "POST", "appservices/irc/skip", json!({})).await.refused(409, "M_UNKNOWN");
    service.always(500);
    alice.says(&room, "poison").await;
    service.until(|service| service.transactions().len() > before).await;
    alice.says(&room, "after").await;
    // The failure is noted just after the answer.
    while shown(&server).await["failures"] == 0 {
        tokio::task::yield_now().await;
    }
    operator(&server, "POST", "appservices/irc/skip", json!({})).await.ok();
    service
        .until(|service| service.calls().iter().any(|call| String::from_utf8_lossy(&call.body).contains("after")))
        .await;
    service.always(200);
    pings(&server).await;
    assert_eq!(service.hears("after").await, ["before", "after"]);
    assert_eq!(shown(&server).await["refused"], 1);
}

async fn uploads(server: &Server, user: &str) -> u16 {
    let path = format!("/_matrix/media/v3/upload?user_id={user}");
    server.send(request("POST", &path, Some(AS_TOKEN), Some(json!("x")))).await.status.as_u16()
}

#[tokio::test]
async fn a_service_that_is_to_be_limited_is_but_for_its_bot() {
    let limits = RateLimits { uploads: Rate::new(2, 0.01), ..RateLimits::default() };
    for (limited, expected) in [(None, [200, 200, 200]), (Some(false), [200, 200, 200]), (Some(true), [200, 200, 429])]
    {
        let server = Server::with(|config| config.rate_limits = limits).await;
        let mut registration = irc_registration();
        registration.rate_limited = limited;
        server.appservice(registration, &Service::default()).await;
        registers(&server, "irc_bob").await;
        let mut got = [0; 3];
        for status in &mut got {
            *status = uploads(&server, "@irc_bob:localhost").await;
        }
        assert_eq!(got, expected, "{limited:?}");
        for _ in 0..3 {
            assert_eq!(uploads(&server, "@ircbot:localhost").await, 200);
        }
    }
}

async fn creates(bot: &Virtual, body: Value) -> String {
    bot.call("POST", "createRoom", Some(body)).await.ok()["room_id"].as_str().unwrap().to_owned()
}

async fn members(bot: &Virtual, room: &str) -> Vec<(String, String)> {
    let all = bot.call("GET", &format!("rooms/{room}/members"), None).await.ok();
    let member = |event: &Value| {
        let of = |value: &Value| value.as_str().unwrap().to_owned();
        (of(&event["state_key"]), of(&event["content"]["membership"]))
    };
    let mut all: Vec<_> = all["chunk"].as_array().unwrap().iter().map(member).collect();
    all.sort();
    all
}

#[tokio::test]
async fn users_are_in_a_room_from_the_start_where_bridges_may_do_that() {
    let features = async |server: &Server| {
        server.call("GET", "/_matrix/client/versions", None, None).await.ok()["unstable_features"].clone()
    };
    for allowed in [true, false] {
        let server = Server::with(|config| config.bridge_extensions = allowed).await;
        let service = Service::default();
        server.appservice(irc_registration(), &service).await;
        let alice = server.person("alice").await;
        registers(&server, "irc_bob").await;
        registers(&server, "irc_carol").await;
        let bot = virtual_user(&server, "ircbot");
        let told = features(&server).await;
        assert_eq!(told["com.beeper.room_create_autojoin_invites"] == true, allowed);
        assert_eq!(told["com.beeper.arbitrary_member_change"] == true, allowed);
        assert_eq!(told["com.beeper.batch_sending"] == true, allowed);
        let body = json!({ "preset": "private_chat", "invite": [alice.user_id, "@irc_bob:localhost"],
            "com.beeper.auto_join_invites": true, "com.beeper.initial_members": ["@irc_carol:localhost"] });
        let room = creates(&bot, body.clone()).await;
        let word = if allowed { "join" } else { "invite" };
        let mut expected =
            vec![(alice.user_id.clone(), word.to_owned()), ("@irc_bob:localhost".to_owned(), word.to_owned())];
        if allowed {
            expected.push(("@irc_carol:localhost".to_owned(), word.to_owned()));
        }
        expected.push((bot.user_id.clone(), "join".to_owned()));
        assert_eq!(members(&bot, &room).await, expected);
        // People cannot do that to each other.
        let other =
            alice.creates_room(json!({ "invite": ["@irc_bob:localhost"], "com.beeper.auto_join_invites": true })).await;
        let joined = alice.get(&format!("rooms/{other}/joined_members")).await.ok();
        assert_eq!(joined["joined"].as_object().unwrap().len(), 1);
        // Coming and going by a member event that the bot sends.
        registers(&server, "irc_dave").await;
        let member = format!("rooms/{room}/state/m.room.member/@irc_dave:localhost?ts=1234");
        let joining = json!({ "membership": "join", "displayname": "Dave" });
        let joined = bot.call("PUT", &member, Some(joining.clone())).await;
        let path = member.split('?').next().unwrap();
        alice.put(path, joining).await.refused(403, "M_FORBIDDEN");
        if allowed {
            let event = joined.ok()["event_id"].as_str().unwrap().to_owned();
            let event = bot.call("GET", &format!("rooms/{room}/event/{event}"), None).await.ok();
            assert_eq!((&event["sender"], &event["origin_server_ts"]), (&json!("@irc_dave:localhost"), &json!(1234)));
            assert_eq!(event["content"]["displayname"], "Dave");
            bot.call("PUT", path, Some(json!({ "membership": "leave" }))).await.ok();
            assert!(members(&bot, &room).await.contains(&("@irc_dave:localhost".to_owned(), "leave".to_owned())));
        } else {
            joined.refused(403, "M_FORBIDDEN");
        }
        alice.joins(&room).await;
        alice.says(&room, "hello").await;
        assert_eq!(service.hears("hello").await, bodies(&json!([{ "content": { "body": "hello" } }])));
    }
}
