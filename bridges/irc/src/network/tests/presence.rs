//! Who types, and who is away.

use super::*;

#[tokio::test]
async fn who_types_is_shown_where_tags_reach_others_and_nowhere_else() {
    let typing = |scene: &Scene, typing| Ephemeral::<IrcNetwork> {
        user_id: user_id!("@alice:here").to_owned(),
        own_session: true,
        kind: EphemeralKind::Typing { room: scene.lobby.clone(), typing },
    };
    let scene = Scene::over(Ircd::start_with("message-tags").await, "{}").await;
    let alice = scene.puppet("alice").await;
    alice.ephemeral(&typing(&scene, true)).await;
    scene.say(&alice, "hello").await.unwrap();
    assert_eq!(scene.ircd.count_lines("TAGMSG"), 0, "nobody enters a channel by typing");
    assert_eq!(alice.caps(&scene.lobby).typing, Level::Full);
    for on in [true, true, false, false] {
        alice.ephemeral(&typing(&scene, on)).await;
    }
    scene.ircd.until("alice: @+typing=active TAGMSG #lobby").await;
    scene.ircd.until("alice: @+typing=done TAGMSG #lobby").await;
    scene.say(&alice, "that was it").await.unwrap();
    assert_eq!(scene.ircd.count_lines("TAGMSG"), 2);
    scene.bob.send("@+typing=active TAGMSG #lobby");
    scene
        .told
        .until("typing", |told| told.ephemeral.lock().contains(&"bob types: true".to_owned()).then_some(()))
        .await;

    let scene = Scene::start().await;
    assert_eq!(scene.bot.caps(&scene.lobby).typing, Level::Drop);
}

#[tokio::test]
async fn who_is_away_is_so_on_both_sides() {
    let presence = |presence, status: Option<&str>| Ephemeral::<IrcNetwork> {
        user_id: user_id!("@alice:here").to_owned(),
        own_session: true,
        kind: EphemeralKind::Presence { presence, status: status.map(str::to_owned) },
    };
    let scene = Scene::over(Ircd::start_with("away-notify").await, "{}").await;
    let alice = scene.puppet("alice").await;
    alice.ephemeral(&presence(Presence::Online, None)).await;
    alice.ephemeral(&presence(Presence::Unavailable, Some("at\nlunch"))).await;
    scene.ircd.until("alice: AWAY :at lunch").await;
    alice.ephemeral(&presence(Presence::Online, None)).await;
    scene.say(&alice, "hello").await.unwrap();
    assert_eq!(scene.ircd.count_lines("alice: AWAY"), 1, "the next change comes later");
    scene.ircd.announce("#lobby", ":Bob!~bob@127.0.0.1 AWAY :gone");
    scene.ircd.announce("#lobby", ":alice!~alice@127.0.0.1 AWAY :not news");
    scene.ircd.announce("#lobby", ":Bob!~bob@127.0.0.1 AWAY");
    scene.caught_up().await;
    assert_eq!(*scene.told.ephemeral.lock(), ["bob is Unavailable: gone", "bob is Online"]);
}

#[tokio::test]
async fn who_is_away_is_told_once_in_the_private_conversation() {
    let scene = Scene::start().await;
    let _alice = scene.puppet("alice").await;
    for _ in 0..3 {
        scene.ircd.tell("alice", ":irc.test 301 alice bob :at lunch");
    }
    scene.ircd.tell("alice", ":irc.test 301 alice bob :at dinner");
    scene.bob.send("PRIVMSG alice :back");
    scene.told.until("the private message", |_| (!scene.said().is_empty()).then_some(())).await;
    let events = scene.told.events.lock();
    let notices = events.iter().filter_map(|(_, event, _)| match event {
        RemoteEvent::<IrcNetwork>::Notice { room, text } => Some(format!("{room:?}: {text}")),
        _ => None,
    });
    let words = ["at lunch", "at dinner"].map(|words| format!("pm bob @alice:here: bob is away: {words}"));
    assert_eq!(notices.collect::<Vec<_>>(), words);
}
