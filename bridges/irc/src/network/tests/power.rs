//! Ranks there, power here.

use super::*;

async fn told_power(scene: &Scene, level: i64) {
    let last = |told: &Recorder| {
        let events = told.events.lock();
        events.iter().rev().find_map(|(_, event, _)| match event {
            RemoteEvent::<IrcNetwork>::Power { level, .. } => Some(*level),
            _ => None,
        })
    };
    scene.told.until(&format!("power {level}"), |told| (last(told) == Some(level)).then_some(())).await;
}

#[tokio::test]
async fn p7_who_loses_op_and_keeps_voice_has_the_power_of_voice() {
    let scene = Scene::start().await;
    scene.ircd.announce("#lobby", ":x!x@x MODE #lobby +ov Bob Bob");
    told_power(&scene, 50).await;
    scene.ircd.announce("#lobby", ":x!x@x MODE #lobby -o Bob");
    told_power(&scene, 1).await;
    scene.ircd.announce("#lobby", ":x!x@x MODE #lobby -v Bob");
    told_power(&scene, 0).await;
}

#[tokio::test]
async fn p7_power_is_told_once_and_what_matrix_says_does_not_come_back() {
    let scene = Scene::start().await;
    let bob = || Whom::Remote(IrcUser::new("bob", crate::casemapping::Casemapping::Ascii));
    let set = async |before, level| {
        for op in scene.ops(MatrixKind::Power(vec![Power { who: bob(), before, level }])) {
            scene.bot.deliver(&op, &IdempotencyKey([6; 16]), 1).await.unwrap();
        }
    };
    set(0, 60).await;
    scene.bob.hears(":landbridge!~landbrdge@127.0.0.1 MODE #lobby +o Bob").await;
    set(60, 50).await;
    set(50, 1).await;
    scene.bob.hears(":landbridge!~landbrdge@127.0.0.1 MODE #lobby -o+v Bob Bob").await;
    scene.caught_up().await;
    let told = |told: &Recorder| {
        let events = told.events.lock();
        events.iter().filter(|(_, event, _)| matches!(event, RemoteEvent::<IrcNetwork>::Power { .. })).count()
    };
    assert_eq!(told(&scene.told), 0, "it came from Matrix");
    scene.ircd.announce("#lobby", ":x!x@x MODE #lobby +o-o+o Bob Bob Bob");
    told_power(&scene, 50).await;
    // Everything in force is told again whenever the bot enters; what is known is not news.
    scene.bot.enter(&scene.lobby).await.unwrap();
    scene.caught_up().await;
    assert_eq!(told(&scene.told), 1);
}

#[tokio::test]
async fn p7_who_was_given_a_rank_from_matrix_can_lose_it_on_irc() {
    let scene = Scene::start().await;
    let bob = Whom::Remote(IrcUser::new("bob", crate::casemapping::Casemapping::Ascii));
    for op in scene.ops(MatrixKind::Power(vec![Power { who: bob, before: 0, level: 50 }])) {
        scene.bot.deliver(&op, &IdempotencyKey([6; 16]), 1).await.unwrap();
    }
    scene.bob.hears(":landbridge!~landbrdge@127.0.0.1 MODE #lobby +o Bob").await;
    scene.caught_up().await;
    scene.ircd.announce("#lobby", ":x!x@x MODE #lobby -o Bob");
    told_power(&scene, 0).await;
}
