//! Whom a service may act as.

use serde_json::json;

use crate::support::{AS_TOKEN, bridged, registers, virtual_user};

#[tokio::test]
async fn users_of_other_servers_that_look_alike_are_not_its_own() {
    let (server, _service) = bridged().await;
    for name in ["@irc_bob:localhost.evil.example", "@irc_bob:evil.example", "@xirc_bob:localhost", "@alice:localhost"]
    {
        let path = format!("/_matrix/client/v3/account/whoami?user_id={name}");
        server.call("GET", &path, Some(AS_TOKEN), None).await.refused(403, "M_FORBIDDEN");
    }
}

#[tokio::test]
async fn it_acts_as_registered_users_of_its_namespace() {
    let (server, _service) = bridged().await;
    let alice = server.person("alice").await;
    let room = alice.creates_room(json!({ "preset": "public_chat" })).await;
    let bob = virtual_user(&server, "irc_bob");
    bob.call("GET", "account/whoami", None).await.refused(403, "M_FORBIDDEN");
    registers(&server, "irc_bob").await;
    assert_eq!(bob.call("GET", "account/whoami", None).await.ok()["user_id"], "@irc_bob:localhost");
    let bot = server.call("GET", "/_matrix/client/v3/account/whoami", Some(AS_TOKEN), None).await.ok();
    assert_eq!(bot["user_id"], "@ircbot:localhost");
    bob.joins(&room).await;
    // It says when things happened; others do not.
    let path = format!("rooms/{room}/send/m.room.message/t1?ts=1234");
    let sent = bob.call("PUT", &path, Some(json!({ "msgtype": "m.text", "body": "long ago" }))).await.ok();
    let event = alice.get(&format!("rooms/{room}/event/{}", sent["event_id"].as_str().unwrap())).await.ok();
    assert_eq!(event["origin_server_ts"], 1234);
    let sent = alice.put(&path, json!({ "msgtype": "m.text", "body": "now" })).await.ok();
    let event = alice.get(&format!("rooms/{room}/event/{}", sent["event_id"].as_str().unwrap())).await.ok();
    assert_ne!(event["origin_server_ts"], 1234);
    // Two virtual users may use the same transaction id.
    registers(&server, "irc_carol").await.joins(&room).await;
    let path = format!("rooms/{room}/send/m.room.message/same");
    let one = bob.call("PUT", &path, Some(json!({ "msgtype": "m.text", "body": "one" }))).await.ok();
    let carol = virtual_user(&server, "irc_carol");
    let other = carol.call("PUT", &path, Some(json!({ "msgtype": "m.text", "body": "other" }))).await.ok();
    assert_ne!(one, other);
    assert_eq!(bob.call("PUT", &path, Some(json!({ "msgtype": "m.text", "body": "one" }))).await.ok(), one);
    // Membership through state, with a time of its own.
    let member = format!("rooms/{room}/state/m.room.member/{}?ts=77", carol.user_id);
    carol.call("PUT", &member, Some(json!({ "membership": "leave" }))).await.ok();
}
