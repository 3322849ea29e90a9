//! Those whom an operator suspended or locked, and those whose account is closed, with more power than others have: operators,
//! application services, moderators of rooms.

use landbridge_homeserver::users::Standing;
use ruma::{UserId, user_id};
use serde_json::{Value, json};

use crate::support::{AS_TOKEN, Person, Server, Virtual, bridged, registers};

async fn is_made(server: &Server, user_id: &UserId, standing: Standing) {
    server.hs.users().set_standing(user_id, standing).await.unwrap();
}

#[tokio::test]
async fn an_operator_who_is_suspended_operates_nothing() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let alice_id = user_id!("@alice:localhost");
    server.hs.users().set_role(alice_id, Some("admin")).await.unwrap();
    let lock = format!("../v1/admin/lock/{}", bob.user_id);
    let users = "/_landbridge/admin/v1/users";
    let token = Some(&*alice.token);
    let standing = format!("{users}/{}/standing", bob.user_id);
    server.call("GET", users, token, None).await.ok();
    is_made(&server, alice_id, Standing::Suspended).await;
    alice.put(&lock, json!({ "locked": true })).await.refused(403, "M_USER_SUSPENDED");
    let locked = Some(json!({ "standing": "locked" }));
    server.call("PUT", &standing, token, locked).await.refused(403, "M_USER_SUSPENDED");
    // Nor do they free themselves.
    let good = Some(json!({ "standing": "good" }));
    let own = format!("{users}/{}/standing", alice.user_id);
    server.call("PUT", &own, token, good).await.refused(403, "M_USER_SUSPENDED");
    server.call("GET", users, token, None).await.refused(403, "M_FORBIDDEN");
    alice.get(&format!("admin/whois/{}", bob.user_id)).await.refused(403, "M_FORBIDDEN");
    assert_eq!(alice.get("capabilities").await.ok()["capabilities"].get("m.account_moderation"), None);
    is_made(&server, alice_id, Standing::Locked).await;
    let logout = format!("{users}/{}/logout", bob.user_id);
    server.call("POST", &logout, token, None).await.refused(401, "M_USER_LOCKED");
    is_made(&server, alice_id, Standing::Good).await;
    alice.put(&lock, json!({ "locked": true })).await.ok();
    bob.get("account/whoami").await.refused(401, "M_USER_LOCKED");
}

/// What a virtual user does in a room, and as whom its service logs in.
async fn is_refused(server: &Server, ghost: &Virtual, room: &str, status: u16, errcode: &str) {
    let name = format!("profile/{}/displayname", ghost.user_id);
    for (method, path, body) in [
        ("PUT", format!("rooms/{room}/send/m.room.message/1"), json!({ "msgtype": "m.text", "body": "hello" })),
        ("PUT", name, json!({ "displayname": "Ghost" })),
        ("POST", format!("join/{room}"), json!({})),
    ] {
        ghost.call(method, &path, Some(body)).await.refused(status, errcode);
    }
    ghost.call("GET", "account/whoami", None).await.refused(status, errcode);
    let identifier = json!({ "type": "m.id.user", "user": ghost.user_id });
    let login = json!({ "type": "m.login.application_service", "identifier": identifier });
    server.call("POST", "/_matrix/client/v3/login", Some(AS_TOKEN), Some(login)).await.refused(status, errcode);
}

#[tokio::test]
async fn a_virtual_user_that_is_locked_or_closed_does_nothing() {
    let (server, _service) = bridged().await;
    let alice = server.person("alice").await;
    let room = alice.creates_room(json!({ "preset": "public_chat" })).await;
    let (bob, carol) = (registers(&server, "irc_bob").await, registers(&server, "irc_carol").await);
    bob.joins(&room).await;
    let bob_id = user_id!("@irc_bob:localhost");
    is_made(&server, bob_id, Standing::Locked).await;
    is_refused(&server, &bob, &room, 401, "M_USER_LOCKED").await;
    // Others of the service go on.
    carol.joins(&room).await;
    is_made(&server, bob_id, Standing::Good).await;
    bob.call("GET", "account/whoami", None).await.ok();
    bob.call("POST", "account/deactivate", Some(json!({}))).await.ok();
    is_refused(&server, &bob, &room, 403, "M_USER_DEACTIVATED").await;
    let server = server.restart().await;
    server.appservice(crate::support::irc_registration(), &crate::support::Service::default()).await;
    let bob = crate::support::virtual_user(&server, "irc_bob");
    is_refused(&server, &bob, &room, 403, "M_USER_DEACTIVATED").await;
    crate::support::virtual_user(&server, "irc_carol").call("GET", "account/whoami", None).await.ok();
}

#[tokio::test]
async fn who_is_suspended_takes_back_what_they_said_and_nothing_else() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.creates_room(json!({ "preset": "public_chat" })).await;
    bob.joins(&room).await;
    let (own, others) = (alice.says(&room, "mine").await, bob.says(&room, "yours").await);
    let mine = alice.says(&room, "mine, too").await;
    let redact = async |who: &Person, event: &str, txn: &str| {
        who.put(&format!("rooms/{room}/redact/{event}/{txn}"), json!({})).await
    };
    is_made(&server, user_id!("@alice:localhost"), Standing::Suspended).await;
    redact(&alice, &others, "1").await.refused(403, "M_USER_SUSPENDED");
    redact(&alice, "$nothing", "2").await.refused(403, "M_USER_SUSPENDED");
    // In whichever way they ask for it.
    let send = async |content: Value, txn: &str| {
        alice.put(&format!("rooms/{room}/send/m.room.redaction/{txn}"), content).await
    };
    for (content, txn) in
        [(json!({ "redacts": others }), "3"), (json!({}), "6"), (json!({ "redacts": "$nothing" }), "7")]
    {
        send(content, txn).await.refused(403, "M_USER_SUSPENDED");
    }
    alice
        .put(&format!("rooms/{room}/send/m.room.message/8"), json!({ "msgtype": "m.text", "body": "m.room.redaction" }))
        .await
        .refused(403, "M_USER_SUSPENDED");
    send(json!({ "redacts": mine }), "9").await.ok();
    assert_eq!(bob.get(&format!("rooms/{room}/event/{mine}")).await.ok()["content"], json!({}));
    let first = redact(&alice, &own, "4").await.ok();
    assert_eq!(redact(&alice, &own, "4").await.ok(), first, "asked again, it is done once");
    assert_eq!(bob.get(&format!("rooms/{room}/event/{others}")).await.ok()["content"]["body"], "yours");
    is_made(&server, user_id!("@alice:localhost"), Standing::Good).await;
    redact(&alice, &others, "5").await.ok();
}
