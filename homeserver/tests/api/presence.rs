//! Who is there, as those see who share a room with them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    support::{AS_TOKEN, Frozen, Person, Server, Service, irc_registration, registers},
    sync::{next, two_in_a_room},
};

#[tokio::test]
async fn presence_is_told_to_those_who_share_a_room() {
    let server = Server::start().await;
    let (alice, bob, _) = two_in_a_room(&server).await;
    let carol = server.person("carol").await;
    let (with_bob, alone) = (next(&bob.syncs(None, "").await), next(&carol.syncs(None, "").await));
    let status = json!({ "presence": "unavailable", "status_msg": "tea" });
    alice.put(&format!("presence/{}/status", alice.user_id), status).await.ok();
    let sync = bob.syncs(Some(&with_bob), "").await;
    assert_eq!(sync["presence"]["events"][0]["content"]["status_msg"], "tea");
    assert_eq!(carol.syncs(Some(&alone), "").await["presence"], Value::Null);
    carol.get(&format!("presence/{}/status", alice.user_id)).await.refused(403, "M_FORBIDDEN");
    assert_eq!(bob.get(&format!("presence/{}/status", alice.user_id)).await.ok()["presence"], "unavailable");
}

#[tokio::test]
async fn a_client_says_with_its_sync_whether_somebody_is_there() {
    let server = Server::start().await;
    let (alice, bob, _room) = two_in_a_room(&server).await;
    let status = async || bob.get(&format!("presence/{}/status", alice.user_id)).await.ok();
    alice
        .put(&format!("presence/{}/status", alice.user_id), json!({ "presence": "unavailable", "status_msg": "tea" }))
        .await
        .ok();
    for (asked, then) in
        [("&set_presence=offline", "unavailable"), ("", "online"), ("&set_presence=unavailable", "unavailable")]
    {
        alice.syncs(None, asked).await;
        assert_eq!(status().await["presence"], then, "{asked}");
    }
    alice.syncs(None, "&set_presence=online").await;
    assert_eq!((&status().await["presence"], &status().await["status_msg"]), (&json!("online"), &json!("tea")));
    // One client in the background says nothing of the others.
    alice.syncs(None, "&set_presence=offline").await;
    assert_eq!(status().await["presence"], "online");
    alice.get("sync?set_presence=asleep").await.refused(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn who_syncs_is_there_unless_a_service_does_it_for_them() {
    let server = Server::start().await;
    server.appservice(irc_registration(), &Service::default()).await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let ghost = registers(&server, "irc_bob").await;
    let room = alice.creates_room(json!({ "preset": "public_chat" })).await;
    bob.joins(&room).await;
    ghost.call("POST", &format!("join/{room}"), Some(json!({}))).await.ok();
    let presence = async |user: &str| {
        let status = alice.get(&format!("presence/{user}/status")).await.ok();
        status["presence"].as_str().unwrap().to_owned()
    };
    let sliding = "../unstable/org.matrix.simplified_msc3575/sync?timeout=0";
    bob.post(&format!("{sliding}&set_presence=offline"), json!({})).await.ok();
    assert_eq!(presence(&bob.user_id).await, "offline");
    bob.post(sliding, json!({})).await.ok();
    assert_eq!(presence(&bob.user_id).await, "online");
    bob.post(&format!("{sliding}&set_presence=unavailable"), json!({})).await.ok();
    assert_eq!(presence(&bob.user_id).await, "unavailable");

    ghost.call("GET", "sync?timeout=0", None).await.ok();
    let login =
        json!({ "type": "m.login.application_service", "identifier": { "type": "m.id.user", "user": "irc_bob" } });
    let entered = server.call("POST", "/_matrix/client/v3/login", Some(AS_TOKEN), Some(login)).await.ok();
    let own = Person::of(&server, entered["access_token"].as_str().unwrap(), "@irc_bob:localhost");
    own.syncs(None, "").await;
    own.post(sliding, json!({})).await.ok();
    assert_eq!(presence(&own.user_id).await, "offline");
    // Its own client may still say so.
    own.syncs(None, "&set_presence=online").await;
    assert_eq!(presence(&own.user_id).await, "online");
}

#[tokio::test]
async fn who_syncs_no_more_is_offline_after_a_while() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.creates_room(json!({ "preset": "public_chat" })).await;
    bob.joins(&room).await;
    alice.syncs(None, "&set_presence=online").await;
    bob.put(&format!("presence/{}/status", bob.user_id), json!({ "presence": "online" })).await.ok();
    let presence = async |who: &Person| {
        alice.get(&format!("presence/{}/status", who.user_id)).await.ok()["presence"].as_str().unwrap().to_owned()
    };
    assert_eq!((&*presence(&alice).await, &*presence(&bob).await), ("online", "online"));
    let frozen = Frozen::now();
    tokio::time::advance(Duration::from_secs(170)).await;
    alice.syncs(None, "&set_presence=online").await;
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(presence(&alice).await, "online", "it still syncs");
    tokio::time::advance(Duration::from_secs(200)).await;
    let gone = async {
        while presence(&alice).await != "offline" {
            tokio::task::yield_now().await;
        }
    };
    gone.await;
    assert_eq!(presence(&bob).await, "online", "who says so otherwise stays");
    drop(frozen);
}

#[tokio::test]
async fn who_comes_into_a_room_sees_who_is_there() {
    let server = Server::start().await;
    let (alice, _, room) = two_in_a_room(&server).await;
    let carol = server.person("carol").await;
    let of = |user: &str| format!("presence/{user}/status");
    alice.put(&of(&alice.user_id), json!({ "presence": "nonsense" })).await.refused(400, "M_INVALID_PARAM");
    alice.put(&of(&alice.user_id), json!({ "presence": "unavailable", "status_msg": "tea" })).await.ok();
    let since = next(&carol.syncs(None, "").await);
    carol.joins(&room).await;
    let sync = carol.syncs(Some(&since), "").await;
    let told = sync["presence"]["events"].as_array().unwrap();
    assert_eq!(told.len(), 1, "of bob nothing is known: {told:?}");
    assert_eq!((&told[0]["sender"], &told[0]["content"]["status_msg"]), (&json!(alice.user_id), &json!("tea")));
    // That was that.
    let name = format!("profile/{}/displayname", carol.user_id);
    carol.put(&name, json!({ "displayname": "Carol" })).await.ok();
    assert_eq!(carol.syncs(Some(&next(&sync)), "").await["presence"], Value::Null);
}

#[tokio::test]
async fn of_several_clients_the_most_present_one_counts() {
    let server = Server::start().await;
    let (phone, bob, _) = two_in_a_room(&server).await;
    let laptop = Person::of(&server, &server.logs_in("alice").await, &phone.user_id);
    let of_alice = format!("presence/{}/status", phone.user_id);
    let presence = async || bob.get(&of_alice).await.ok()["presence"].as_str().unwrap().to_owned();
    let syncs = async |client: &Person, state: &str| client.syncs(None, &format!("&set_presence={state}")).await;

    syncs(&phone, "online").await;
    syncs(&laptop, "unavailable").await;
    assert_eq!(presence().await, "online", "not as the last to sync says");
    syncs(&phone, "unavailable").await;
    assert_eq!(presence().await, "unavailable");
    syncs(&laptop, "online").await;
    syncs(&phone, "unavailable").await;
    assert_eq!(presence().await, "online");

    // What somebody says holds until a client asks for something else.
    phone.put(&of_alice, json!({ "presence": "unavailable", "status_msg": "tea" })).await.ok();
    assert_eq!(presence().await, "unavailable");
    syncs(&phone, "unavailable").await;
    assert_eq!(presence().await, "unavailable");
    syncs(&laptop, "online").await;
    assert_eq!(presence().await, "online");

    // A client that syncs no more counts for nothing, and with the last of them goes what was said.
    let frozen = Frozen::now();
    let becomes = async |state: &str| {
        while presence().await != state {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::advance(Duration::from_secs(170)).await;
    syncs(&phone, "unavailable").await;
    assert_eq!(presence().await, "online");
    tokio::time::advance(Duration::from_secs(60)).await;
    becomes("unavailable").await;
    phone.put(&of_alice, json!({ "presence": "online", "status_msg": "tea" })).await.ok();
    syncs(&phone, "online").await;
    tokio::time::advance(Duration::from_secs(250)).await;
    becomes("offline").await;
    assert_eq!(bob.get(&of_alice).await.ok()["status_msg"], "tea");
    drop(frozen);
}
