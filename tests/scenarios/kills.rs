//! SIGKILL at every persisted step, under load in both directions: nothing is lost, nothing is doubled.
//!
//! InspIRCd keeps the channel's history (`+H`) and shows it to whoever joins, so even what is said on IRC while the bridge
//! is dead must cross. The person on Matrix repeats a send until the homeserver has answered, as every client does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use landbridge_tests::{Deployment, IrcUser, Landbridge, On, Over, PATIENCE, Process, Room, With, XmppDeployment};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::everywhere::LOBBY;

/// The steps at which the process can be made to kill itself, in the order a message passes them.
pub(crate) const POINTS: &[&str] = &landbridge::dispatch::KILL_POINTS;

#[tokio::test]
async fn kill_at_every_step_on_the_embedded_homeserver() {
    let plan = POINTS.iter().map(|point| Kill::At(point)).chain(Kill::randomly(12, 1));
    Box::pin(survives(On::Embedded, With::Sqlite, plan.collect())).await;
}

#[tokio::test]
async fn kill_at_every_step_beside_synapse() {
    let plan = POINTS.iter().map(|point| Kill::At(point)).chain(Kill::randomly(6, 2));
    Box::pin(survives(On::Synapse, With::Sqlite, plan.collect())).await;
}

#[tokio::test]
async fn kill_at_every_step_with_the_store_on_postgres() {
    let plan = POINTS.iter().map(|point| Kill::At(point)).chain(Kill::randomly(4, 3));
    Box::pin(survives(On::Synapse, With::Postgres, plan.collect())).await;
}

/// One death of the process.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kill {
    /// When it passes a step for the second time.
    At(&'static str),
    /// When it passes a step for so many times.
    AtPass(&'static str, u64),
    /// After a time.
    After(Duration),
}

impl Kill {
    /// Kills at random times, the same for every run.
    pub(crate) fn randomly(count: usize, seed: u64) -> impl Iterator<Item = Self> {
        let mut random = SmallRng::seed_from_u64(seed);
        std::iter::repeat_with(move || Self::After(Duration::from_millis(random.random_range(0..700)))).take(count)
    }
}

/// A deployment whose bridge can die.
pub(crate) trait Mortal {
    /// The process that dies.
    fn bridge(&mut self) -> &mut Landbridge;
    /// Starts it again, and waits until it answers.
    async fn start_again(&mut self);
}

impl Mortal for Deployment {
    fn bridge(&mut self) -> &mut Landbridge {
        &mut self.bridge
    }

    async fn start_again(&mut self) {
        Self::start_again(self).await;
    }
}

impl Mortal for XmppDeployment {
    fn bridge(&mut self) -> &mut Landbridge {
        &mut self.bridge
    }

    async fn start_again(&mut self) {
        Self::start_again(self).await;
    }
}

async fn survives(on: On, with: With, plan: Vec<Kill>) {
    let mut d = Deployment::start(on, Over::Inspircd, with, &[LOBBY]).await;
    let bob = d.irc_in(LOBBY, "bob").await;
    // The channel's operator is who came first; an IRC operator may set the mode all the same.
    bob.sends("OPER", &["admin", "admin"]);
    bob.sees_line("381, an operator", |line| line.command == "381").await;
    bob.sends("SAMODE", &[LOBBY, "+H", "1000:1h"]);
    bob.sees_line("the mode", |line| line.command == "MODE" && line.params.get(1).is_some_and(|m| m == "+H")).await;
    let alice = d.matrix("alice").await;
    let lobby = d.join(&alice, LOBBY).await;
    lobby.says("hello").await;
    bob.sees_line("hello", |line| line.params.get(1).is_some_and(|text| text == "hello")).await;
    bob.says(LOBBY, "hello");
    lobby.sees(&d.ghost("bob"), "hello").await;

    let carol = d.irc("carol").await;
    let enough = Arc::new(AtomicBool::new(false));
    let murder = async {
        for kill in plan {
            die_and_return(&mut d, kill).await;
        }
        enough.store(true, Ordering::Relaxed);
    };
    let ((), from_irc, from_matrix, ()) =
        tokio::join!(murder, talk_on_irc(&bob, &enough), talk_on_matrix(&lobby, &enough), come_and_go(&carol, &enough));

    // Whatever Synapse left behind shows by what follows it.
    lobby.says("and nothing more").await;
    bob.says(LOBBY, "and nothing more");
    lobby.sees(&d.ghost("bob"), "the end").await;
    bob.sees_line("the end", |line| line.params.get(1).is_some_and(|text| text == "the end")).await;
    let on_matrix: Vec<_> =
        lobby.heard().into_iter().filter(|(who, _)| *who == d.ghost("bob")).map(|(_, t)| t).collect();
    let on_irc: Vec<_> = bob.heard(LOBBY).into_iter().map(|(_, text)| text).collect();
    let counted = |heard: Vec<String>| heard.into_iter().filter(|text| text != "and nothing more").collect::<Vec<_>>();
    let (on_matrix, on_irc) = (counted(on_matrix), counted(on_irc));
    same("IRC → Matrix", &from_irc, &on_matrix);
    same("Matrix → IRC", &from_matrix, &on_irc);
    println!("{} lines from IRC and {} events from Matrix crossed once, in order", from_irc.len(), from_matrix.len());
}

/// Starts the process anew so that it dies as planned, and waits for its death; then starts it to live.
pub(crate) async fn die_and_return(d: &mut impl Mortal, kill: Kill) {
    match kill {
        Kill::At(point) => Box::pin(die_and_return(d, Kill::AtPass(point, 2))).await,
        Kill::AtPass(point, pass) => {
            d.bridge().kill();
            d.bridge().start_again(&[("LANDBRIDGE_KILL_POINT", &format!("{point}:{pass}"))]);
            let ended = tokio::time::timeout(PATIENCE, d.bridge().process().end()).await;
            let status = ended.unwrap_or_else(|_| panic!("{point} is never passed"));
            assert!(Process::was_killed(status), "it died at {point}, not otherwise: {status}");
            d.start_again().await;
        }
        Kill::After(time) => {
            d.start_again().await;
            // The time of death is the point here, not something to wait for.
            tokio::time::sleep(time).await;
            d.bridge().kill();
            d.start_again().await;
        }
    }
}

async fn talk_on_irc(bob: &IrcUser, enough: &AtomicBool) -> Vec<String> {
    let mut said = vec!["hello".to_owned()];
    while !enough.load(Ordering::Relaxed) {
        let line = format!("from IRC {}", said.len());
        bob.says(LOBBY, &line);
        said.push(line);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    bob.says(LOBBY, "the end");
    said.push("the end".to_owned());
    said
}

async fn talk_on_matrix(lobby: &Room<'_>, enough: &AtomicBool) -> Vec<String> {
    let mut said = vec!["hello".to_owned()];
    while !enough.load(Ordering::Relaxed) {
        let text = format!("from Matrix {}", said.len());
        lobby.says(&text).await;
        said.push(text);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    lobby.says("the end").await;
    said.push("the end".to_owned());
    said
}

/// Somebody joins and leaves, so that memberships change under load too.
pub(crate) async fn come_and_go(somebody: &IrcUser, enough: &AtomicBool) {
    while !enough.load(Ordering::Relaxed) {
        somebody.joins(LOBBY).await;
        tokio::time::sleep(Duration::from_millis(60)).await;
        somebody.parts(LOBBY, "back soon");
        somebody.sees_part(LOBBY, &somebody.nick()).await;
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
}

/// Fails with what is lost, doubled or out of order.
pub(crate) fn same(way: &str, said: &[String], heard: &[String]) {
    let lost: Vec<_> = said.iter().filter(|text| !heard.contains(text)).collect();
    let doubled: Vec<_> = said.iter().filter(|text| heard.iter().filter(|heard| heard == text).count() > 1).collect();
    let strange: Vec<_> = heard.iter().filter(|text| !said.contains(text)).collect();
    assert!(
        lost.is_empty() && doubled.is_empty(),
        "{way}: lost {lost:?}, doubled {doubled:?}, heard and never said {strange:?}"
    );
    assert_eq!(said, heard, "{way}: in order");
}
