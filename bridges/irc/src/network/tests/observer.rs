//! Puppets wait for the bot: what is answered where it is not is heard by nobody.

use std::time::Duration;

use super::*;
use crate::{message::Channel, network::observer::Observer};

/// Alice's puppet says something in the lobby, in its own time.
fn says(scene: &Scene, alice: &Arc<IrcSession>, text: &str) -> JoinHandle<Result<(), SendError>> {
    let [op] = scene.ops(MatrixKind::Message { body: Body::plain(text), reply_to: None }).try_into().unwrap();
    let alice = Arc::clone(alice);
    tokio::spawn(async move { alice.deliver(&op, &IdempotencyKey([8; 16]), 1).await.map(drop) })
}

/// Bob is in the lobby, Alice's puppet is connected, and the bot is not.
async fn without_bot() -> (Scene, Arc<IrcSession>) {
    let scene = Scene::prepared(Ircd::start().await, "{}").await;
    scene.bob.send("JOIN #lobby");
    let alice = scene.puppet("alice").await;
    (scene, alice)
}

#[tokio::test]
async fn nobody_speaks_before_the_bot_hears_what_is_answered() {
    let (mut scene, alice) = without_bot().await;
    let saying = says(&scene, &alice, "hello");
    scene.bot_enters().await.unwrap();
    scene.bob.hears(":alice!~alice@127.0.0.1 PRIVMSG #lobby :hello").await;
    scene.bob.send("PRIVMSG #lobby :hello yourself");
    saying.await.unwrap().unwrap();
    scene.caught_up().await;
    assert_eq!(scene.said()[0], "#lobby bob: hello yourself");
    let joins: Vec<String> = scene.ircd.lines_with(": JOIN #lobby");
    assert_eq!(joins, ["Bob: JOIN #lobby", "landbridge: JOIN #lobby", "alice: JOIN #lobby"]);
}

#[tokio::test]
async fn a_bot_that_lost_its_connection_is_waited_for() {
    let mut scene = Scene::start().await;
    let alice = scene.puppet("alice").await;
    scene.say(&alice, "before").await.unwrap();
    scene.bob.hears(":alice!~alice@127.0.0.1 PRIVMSG #lobby :before").await;
    scene.bot_quits().await;
    let saying = says(&scene, &alice, "after");
    scene.bot_enters().await.unwrap();
    saying.await.unwrap().unwrap();
    scene.bob.hears(":alice!~alice@127.0.0.1 PRIVMSG #lobby :after").await;
    let lines = scene.bob.lines();
    let at = |part: &str| lines.iter().rposition(|line| line.contains(part)).unwrap();
    assert!(at("landbridge!~landbrdge@127.0.0.1 JOIN") < at(":after"), "{lines:#?}");
}

#[tokio::test]
async fn a_bot_that_is_not_let_in_is_not_waited_for() {
    let (mut scene, alice) = without_bot().await;
    scene.ircd.shut("#lobby", true);
    let saying = says(&scene, &alice, "hello");
    let bot = scene.bot_enters().await;
    assert!(matches!(bot, Err(SendError::Rejected(_))), "{bot:?}");
    let refused = saying.await.unwrap();
    assert!(matches!(refused, Err(SendError::Rejected(_))), "alice hears it from the channel itself: {refused:?}");
    scene.ircd.shut("#lobby", false);
    scene.say(&alice, "open at last").await.unwrap();
    scene.bob.hears(":alice!~alice@127.0.0.1 PRIVMSG #lobby :open at last").await;
}

#[tokio::test(start_paused = true)]
async fn a_bot_that_does_not_come_is_not_waited_for_for_ever() {
    let (network, _told) = recorder::network("{}").await;
    let lobby = Channel::new("#lobby").unwrap();
    let began = tokio::time::Instant::now();
    network.0.observed(&lobby).await;
    assert_eq!(began.elapsed().as_secs(), 30);
    network.0.observed(&lobby).await;
    assert_eq!(began.elapsed().as_secs(), 30, "who was waited for in vain is not waited for again");
    tokio::time::sleep(Duration::from_secs(5)).await;
    network.0.observer_is(&lobby, Observer::Here);
    network.0.observed(&lobby).await;
    network.0.with_channel("#lobby", |state| state.observer.gone());
    network.0.observed(&lobby).await;
    assert_eq!(began.elapsed().as_secs(), 65, "it was there in between");
}
