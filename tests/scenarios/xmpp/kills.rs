//! SIGKILL at every persisted step, under load in both directions: nothing is lost, nothing is doubled.
//!
//! The room has an archive, so even what is said on XMPP while the bridge is dead must cross, and of what the bridge may have said
//! before it died, the archive tells.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use landbridge_tests::{On, Room, XmppDeployment, XmppUser};

use crate::kills::{Kill, POINTS, die_and_return, same};

#[tokio::test]
async fn kill_at_every_step_over_prosody() {
    let plan = POINTS.iter().map(|point| Kill::At(point)).chain(Kill::randomly(6, 3));
    Box::pin(survives(XmppDeployment::over_prosody(On::Embedded).await, plan.collect())).await;
}

#[tokio::test]
async fn kill_at_every_step_in_one_process_over_prosody() {
    let plan = POINTS.iter().map(|point| Kill::At(point)).chain(Kill::randomly(6, 5));
    Box::pin(survives(XmppDeployment::in_one_over_prosody().await, plan.collect())).await;
}

#[tokio::test]
async fn kill_at_every_step_over_ejabberd() {
    let plan = POINTS.iter().map(|point| Kill::At(point)).chain(Kill::randomly(3, 4));
    Box::pin(survives(XmppDeployment::over_ejabberd(On::Embedded).await, plan.collect())).await;
}

#[tokio::test]
async fn a_kill_with_much_on_its_way_over_prosody() {
    Box::pin(survives_a_backlog(XmppDeployment::over_prosody(On::Embedded).await)).await;
}

#[tokio::test]
async fn a_kill_with_much_on_its_way_over_ejabberd() {
    Box::pin(survives_a_backlog(XmppDeployment::over_ejabberd(On::Embedded).await)).await;
}

/// What is said while the bridge is dead goes out together when it is back, and then it dies again.
async fn survives_a_backlog(mut d: XmppDeployment) {
    let alice = d.matrix("alice").await;
    let (bob, tea, room, _) = d.in_tea(&alice).await;
    let mut said = vec!["hello".to_owned()];
    room.says("hello").await;
    bob.sees(&tea, "alice", "hello").await;
    for (point, pass) in
        [("remote.claimed", 2), ("remote.delivered", 3), ("remote.delivered", 70), ("remote.delivered", 110)]
    {
        d.bridge.kill();
        for n in 0..120 {
            said.push(format!("{n}, before it dies at {point} {pass}"));
            room.says(&said[said.len() - 1]).await;
        }
        die_and_return(&mut d, Kill::AtPass(point, pass)).await;
        let last = said[said.len() - 1].clone();
        bob.sees_some(&tea, "alice", "the last line", |stanza| stanza.body() == last).await;
    }
    let heard: Vec<_> = bob.heard(&tea).into_iter().filter(|(nick, _)| nick != "bob").map(|(_, text)| text).collect();
    same("Matrix → XMPP", &said, &heard);
}

async fn survives(mut d: XmppDeployment, plan: Vec<Kill>) {
    let alice = d.matrix("alice").await;
    let (bob, tea, room, ghost) = d.in_tea(&alice).await;
    room.says("hello").await;
    bob.sees(&tea, "alice", "hello").await;
    bob.says(&tea, "hello").await;
    room.sees(&ghost, "hello").await;

    let carol = d.xmpp("carol").await;
    let enough = AtomicBool::new(false);
    let murder = async {
        for kill in plan {
            die_and_return(&mut d, kill).await;
        }
        enough.store(true, Ordering::Relaxed);
    };
    let ((), from_xmpp, from_matrix, ()) = tokio::join!(
        murder,
        talk_on_xmpp(&bob, &tea, &enough),
        talk_on_matrix(&room, &enough),
        come_and_go(&carol, &tea, &enough)
    );

    room.sees(&ghost, "the end").await;
    bob.sees_some(&tea, "alice", "the end", |stanza| stanza.body() == "the end").await;
    let on_matrix: Vec<_> = room.heard().into_iter().filter(|(who, _)| *who == ghost).map(|(_, text)| text).collect();
    let on_xmpp: Vec<_> = bob.heard(&tea).into_iter().filter(|(nick, _)| nick != "bob").map(|(_, text)| text).collect();
    same("XMPP → Matrix", &from_xmpp, &on_matrix);
    same("Matrix → XMPP", &from_matrix, &on_xmpp);
    println!(
        "{} messages from XMPP and {} events from Matrix crossed once, in order",
        from_xmpp.len(),
        from_matrix.len()
    );
}

async fn talk_on_xmpp(bob: &XmppUser, room: &str, enough: &AtomicBool) -> Vec<String> {
    let mut said = vec!["hello".to_owned()];
    while !enough.load(Ordering::Relaxed) {
        let line = format!("from XMPP {}", said.len());
        bob.says(room, &line).await;
        said.push(line);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    bob.says(room, "the end").await;
    said.push("the end".to_owned());
    said
}

async fn talk_on_matrix(room: &Room<'_>, enough: &AtomicBool) -> Vec<String> {
    let mut said = vec!["hello".to_owned()];
    while !enough.load(Ordering::Relaxed) {
        let text = format!("from Matrix {}", said.len());
        room.says(&text).await;
        said.push(text);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    room.says("the end").await;
    said.push("the end".to_owned());
    said
}

/// Somebody comes and goes, so that memberships change under load too.
async fn come_and_go(carol: &XmppUser, room: &str, enough: &AtomicBool) {
    while !enough.load(Ordering::Relaxed) {
        carol.joins(room, "carol").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        carol.leaves(room, "carol").await;
        carol.sees_leave(room, "carol").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
