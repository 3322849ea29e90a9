//! Encrypted rooms, between real clients with a real implementation of the encryption. The homeserver hands keys and messages
//! on and can read none of it.

use landbridge_tests::{Homeserver, MatrixUser, On, http};
use serde_json::{Value, json};

#[tokio::test]
async fn embedded_two_people_talk_in_private() {
    Box::pin(two_people_talk_in_private(On::Embedded)).await;
}

#[tokio::test]
async fn synapse_two_people_talk_in_private() {
    Box::pin(two_people_talk_in_private(On::Synapse)).await;
}

async fn two_people_talk_in_private(on: On) {
    let mut homeserver = Homeserver::start(on).await;
    let alice = MatrixUser::register_with_encryption(&homeserver.url(), "alice").await;
    let bob = MatrixUser::register_with_encryption(&homeserver.url(), "bob").await;
    let encryption =
        json!({ "type": "m.room.encryption", "state_key": "", "content": { "algorithm": "m.megolm.v1.aes-sha2" } });
    let room = alice.creates_room(json!({ "initial_state": [encryption], "invite": [bob.id] })).await;
    let of_bob = bob.accepts_invitation(&alice.id).await;
    room.sees_membership(&bob.id, "join").await;

    let sent = room.says("the tea is in the cupboard").await;
    of_bob.sees(&alice.id, "the tea is in the cupboard").await;
    of_bob.says("and the sugar?").await;
    room.sees(&bob.id, "and the sugar?").await;

    // What the homeserver has of it.
    let path = homeserver.path(&format!("/_matrix/client/v3/rooms/{}/event/{sent}", room.id));
    let raw: Value =
        http().get(path).bearer_auth(&alice.token).send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(raw["type"], "m.room.encrypted", "{raw}");
    assert!(!raw.to_string().contains("cupboard"), "{raw}");

    // A second device of bob hears what is said from now on.
    let second = MatrixUser::log_in_with_encryption(&homeserver.url(), "bob").await;
    room.says("beside the tea").await;
    of_bob.sees(&alice.id, "beside the tea").await;
    second.in_room(&room.id).sees(&alice.id, "beside the tea").await;

    // Keys, and messages on their way, outlive the homeserver.
    homeserver.killed_and_started_again().await;
    room.says("found it").await;
    of_bob.sees(&alice.id, "found it").await;
    second.in_room(&room.id).sees(&alice.id, "found it").await;
}
