//! Stops and starts of every part, in the middle of talk.

use landbridge_tests::{Deployment, On, Over, With, eventually};

use crate::everywhere::{LOBBY, everywhere, on, said, start};

everywhere! {
    a_restart_in_the_middle_loses_and_doubles_nothing,
    the_irc_server_restarts,
    after_a_restart_everybody_is_heard_at_once_p6,
}
on!(budget_synapse_inspircd, Synapse, Inspircd, Sqlite, who_is_over_the_budget_is_relayed_and_nobody_is_cycled_p6,);
on!(bridge_synapse_inspircd, Synapse, Inspircd, Sqlite, matrix_talks_while_the_bridge_is_down, the_homeserver_restarts,);
on!(
    bridge_synapse_ngircd_postgres,
    Synapse,
    Ngircd,
    Postgres,
    matrix_talks_while_the_bridge_is_down,
    the_homeserver_restarts,
);

async fn a_restart_in_the_middle_loses_and_doubles_nothing(mut d: Deployment) {
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    let ghost = d.ghost("bob");
    // Some lines each time: what is said after a restart must not be taken for what was said before it.
    let lines = |when: &str| (1..=5).map(|n| format!("{n} {when}")).collect::<Vec<_>>();
    let (before, after) = (lines("before"), lines("after"));
    lobby.says("before").await;
    bob.sees(LOBBY, "alice", "before").await;
    for line in &before {
        bob.says(LOBBY, line);
        lobby.sees(&ghost, line).await;
    }

    let status = d.bridge.stop().await;
    assert!(status.success(), "it stops cleanly: {status}");
    bob.sees_quit("alice").await;
    d.start_again().await;

    lobby.says("after").await;
    bob.sees_line("after", |line| line.params.get(1).is_some_and(|text| text == "after")).await;
    // Whoever is heard hears what is answered.
    for line in &after {
        bob.says(LOBBY, line);
        lobby.sees(&ghost, line).await;
    }
    assert_eq!(bob.heard(LOBBY), said([("alice", "before"), ("alice", "after")]));
    let his: Vec<_> = lobby.heard().into_iter().filter(|(sender, _)| *sender == ghost).collect();
    let expected: Vec<_> = before.into_iter().chain(after).map(|line| (ghost.clone(), line)).collect();
    assert_eq!(his, expected);
}

async fn the_irc_server_restarts(mut d: Deployment) {
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    lobby.says("before").await;
    bob.sees(LOBBY, "alice", "before").await;

    d.irc.kill();
    bob.sees_line("the end", |line| line.command == "DISCONNECTED").await;
    d.irc.start_again().await;
    let bob = d.irc_in(LOBBY, "bob").await;
    // Said before or after the bridge is back: it waits for the connection.
    lobby.says("after").await;
    bob.sees_line("after", |line| line.params.get(1).is_some_and(|text| text == "after")).await;
    eventually("the bridge is back", || async { (bob.names(LOBBY).await.len() >= 3).then_some(()) }).await;
    bob.says(LOBBY, "welcome back");
    lobby.sees(&d.ghost("bob"), "welcome back").await;
    assert_eq!(bob.heard(LOBBY).len(), 1);
}

/// No queue of hours at the start, nobody put out because their turn did not come, nobody who comes and goes.
async fn after_a_restart_everybody_is_heard_at_once_p6(mut d: Deployment) {
    const PEOPLE: [&str; 4] = ["alice", "carol", "dora", "erin"];
    let bob = d.irc_in(LOBBY, "bob").await;
    let mut users = Vec::new();
    for name in PEOPLE {
        users.push(d.matrix(name).await);
    }
    let mut rooms = Vec::new();
    for user in &users {
        let room = d.join(user, LOBBY).await;
        room.says("before").await;
        bob.sees(LOBBY, user.id[1..].split(':').next().unwrap_or_default(), "before").await;
        rooms.push(room);
    }
    d.bridge.kill();
    for name in PEOPLE {
        bob.sees_quit(name).await;
    }
    let began = std::time::Instant::now();
    d.start_again().await;
    for room in &rooms {
        room.says("after").await;
    }
    for name in PEOPLE {
        bob.sees(LOBBY, name, "after").await;
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
    for name in PEOPLE {
        let joins = bob.lines().iter().filter(|line| line.command == "JOIN" && line.nick == name).count();
        assert_eq!(joins, 2, "{name} came once before and once after");
    }
    let members = rooms[0].members().await;
    assert!(users.iter().all(|user| members.contains_key(&user.id)), "nobody was put out: {members:?}");
}

async fn who_is_over_the_budget_is_relayed_and_nobody_is_cycled_p6(mut d: Deployment) {
    d.reconfigure(|config| config["bridge"] = serde_json::json!({ "puppets": { "max": 1 } })).await;
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let carol = d.matrix("carol").await;
    let (hers, carols) = (d.join(&alice, LOBBY).await, d.join(&carol, LOBBY).await);
    hers.says("I am first").await;
    bob.sees(LOBBY, "alice", "I am first").await;
    for n in 0..3 {
        carols.says(&format!("relayed {n}")).await;
        bob.sees(LOBBY, "landbridge", &format!("<carol> relayed {n}")).await;
        hers.says(&format!("still me {n}")).await;
        bob.sees(LOBBY, "alice", &format!("still me {n}")).await;
    }
    let gone = bob.lines().into_iter().filter(|line| ["QUIT", "PART"].contains(&line.command.as_str()));
    assert_eq!(gone.collect::<Vec<_>>(), [], "nobody gave way to another");
}

async fn matrix_talks_while_the_bridge_is_down(mut d: Deployment) {
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    lobby.says("before").await;
    bob.sees(LOBBY, "alice", "before").await;

    d.bridge.kill();
    bob.sees_quit("alice").await;
    let wanted: Vec<_> = (0..5).map(|n| format!("nobody hears {n}")).collect();
    for line in &wanted {
        lobby.says(line).await;
    }
    d.start_again().await;
    for line in &wanted {
        bob.sees_line(line, |seen| seen.params.get(1) == Some(line)).await;
    }
    let heard: Vec<_> = bob.heard(LOBBY).into_iter().map(|(_, text)| text).skip(1).collect();
    assert_eq!(heard, wanted, "in order, once");
}

async fn the_homeserver_restarts(mut d: Deployment) {
    let bob = d.irc_in(LOBBY, "bob").await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    let ghost = d.ghost("bob");
    bob.says(LOBBY, "before");
    lobby.sees(&ghost, "before").await;

    let synapse = d.synapse.as_mut().expect("a Synapse");
    synapse.kill();
    for n in 0..5 {
        bob.says(LOBBY, &format!("nobody hears {n}"));
    }
    synapse.start_again().await;
    bob.says(LOBBY, "after");
    lobby.sees(&ghost, "after").await;
    let heard: Vec<_> = lobby.heard().into_iter().map(|(_, text)| text).collect();
    let missed = (0..5).map(|n| format!("nobody hears {n}"));
    let wanted: Vec<_> = ["before".to_owned()].into_iter().chain(missed).chain(["after".to_owned()]).collect();
    assert_eq!(heard, wanted, "in order, once");
}

/// What everybody else does at the first start: nothing is there yet.
#[tokio::test]
async fn up_starts_in_an_empty_folder_and_says_what_to_do() {
    let mut d = start(On::Embedded, Over::Ngircd, With::Sqlite).await;
    // The first answer may come before the last line is written.
    let bridge = &mut d.bridge;
    let log = eventually("everything is said", || {
        let log = bridge.log();
        async move { log.contains("Ctrl-C").then_some(log) }
    })
    .await;
    for wanted in [d.url().as_str().trim_end_matches('/'), d.alias(LOBBY).as_str()] {
        assert!(log.contains(wanted), "{wanted} is said:\n{log}");
    }
    assert!(d.bridge.stop().await.success());
}
