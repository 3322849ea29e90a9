//! Matrix users who ask people into channels.

use landbridge::network::Landed;

use super::*;

/// What the bot, or a puppet, is to do so that somebody comes.
fn invitation(scene: &Scene, nick: &str) -> RemoteOp<IrcNetwork> {
    let on = IrcUser::new(nick, crate::casemapping::Casemapping::Ascii);
    scene.ops(MatrixKind::Act { on, membership: Membership::Invite, reason: None }).remove(0)
}

async fn invites(scene: &Scene, session: &IrcSession, nick: &str) -> Result<(), SendError> {
    session.deliver(&invitation(scene, nick), &IdempotencyKey([7; 16]), 1).await.map(drop)
}

fn members_told(scene: &Scene) -> Vec<String> {
    let events = scene.told.events.lock();
    let told = events.iter().filter_map(|(_, event, _)| match event {
        RemoteEvent::<IrcNetwork>::Member { who, membership, .. } => Some(format!("{who:?} {membership:?}")),
        _ => None,
    });
    told.collect()
}

#[tokio::test]
async fn who_is_invited_in_matrix_is_invited_by_the_puppet() {
    let scene = Scene::start().await;
    let alice = scene.puppet("alice").await;
    let carol = scene.ircd.person("Carol", "carol");
    // She comes into the channel to invite.
    invites(&scene, &alice, "carol").await.unwrap();
    carol.hears(":alice!~alice@127.0.0.1 INVITE carol #lobby").await;
    assert_eq!(scene.ircd.count_lines("alice: JOIN #lobby"), 1);
    scene.caught_up().await;
    assert_eq!(members_told(&scene), Vec::<String>::new(), "what all hear of an invitation brings nobody in");
    carol.send("JOIN #lobby");
    scene.caught_up().await;
    assert_eq!(members_told(&scene), ["carol Join"]);
    // For whom the bot speaks, it invites.
    let dora = scene.ircd.person("dora", "dora");
    invites(&scene, &scene.bot, "dora").await.unwrap();
    dora.hears(":landbridge!~landbrdge@127.0.0.1 INVITE dora #lobby").await;
}

#[tokio::test]
async fn whom_a_puppet_may_not_invite_the_bot_invites() {
    let scene = Scene::start().await;
    let alice = scene.puppet("alice").await;
    let carol = scene.ircd.person("carol", "carol");
    scene.ircd.has_host("#lobby", "landbridge");
    invites(&scene, &alice, "carol").await.unwrap();
    carol.hears(":landbridge!~landbrdge@127.0.0.1 INVITE carol #lobby").await;
    scene.ircd.has_host("#lobby", "Bob");
    let refused = invites(&scene, &alice, "carol").await;
    let Err(SendError::Rejected(reject)) = refused else { panic!("{refused:?}") };
    assert_eq!(reject.to_string(), "You're not channel operator");
}

#[tokio::test]
async fn who_is_not_there_is_told_of_and_who_is_in_the_channel_is_in_the_room() {
    let scene = Scene::start().await;
    let alice = scene.puppet("alice").await;
    let refused = invites(&scene, &alice, "nobody").await;
    let Err(SendError::Rejected(reject)) = refused else { panic!("{refused:?}") };
    assert_eq!(reject.to_string(), "No such nick");
    invites(&scene, &alice, "bob").await.unwrap();
    assert_eq!(members_told(&scene), ["bob Join"]);
}

#[tokio::test]
async fn an_invitation_that_may_have_been_made_is_not_made_again() {
    let scene = Scene::start().await;
    let alice = scene.puppet("alice").await;
    let op = invitation(&scene, "carol");
    // The server has repeated everything that was said: of an invitation, that says nothing.
    scene.network.0.with_channel("#lobby", |state| {
        state.history.reaches_back();
        state.history.has_read();
    });
    assert_eq!(alice.reconcile(&op, &IdempotencyKey([7; 16]), Millis(0)).await, Landed::CannotTell);
}
