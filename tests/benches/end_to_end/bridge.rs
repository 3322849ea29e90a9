//! The bridge's figures: homeserver and bridge in one process, a real InspIRCd without flood limits beside it.

use std::time::{Duration, Instant};

use landbridge_tests::{Deployment, On, Over, With};

use crate::{
    client::{Account, Api, all_say, out_of_order},
    irc::Irc,
    listener::Listener,
    report::{self, Limit, Report, median},
};

const CHANNEL: &str = "#bench";

/// How many puppets come before the measure begins.
const WARM_UP: usize = 50;

/// Measures it.
pub(crate) async fn measure(report: &mut Report, burst: usize) {
    let d = Deployment::start(On::Embedded, Over::Inspircd, With::Sqlite, &[CHANNEL]).await;
    let api = Api::new(d.url().as_str());
    let bob = Irc::join(d.irc.address(), "bob", CHANNEL).await;
    let mut people = Vec::new();
    for n in 0..8 {
        people.push(api.register(&format!("person{n}")).await);
    }
    let room = api.join(&people[0], &d.alias(CHANNEL)).await;
    for person in &people[1..] {
        api.join(person, &room).await;
    }
    // Everybody speaks once, so that their puppets are there.
    for (n, person) in people.iter().enumerate() {
        api.send(person, &room, "hello").await;
        bob.hears(n + 1).await;
    }
    let mut heard = Listener::start(&api, &people[0], &room, &d.ghost("bob")).await;

    use Limit::{AtLeast, AtMost};
    let latency = to_irc_latency(&api, &people[0], &room, &bob).await;
    report.ours("Matrix → IRC at 20/s, median", "ms", AtMost(5.0), latency);
    let latency = to_matrix_latency(&bob, &mut heard).await;
    report.ours("IRC → Matrix at 20/s, median", "ms", AtMost(5.0), latency);
    let (rate, wrong) = to_irc_burst(&api, &people, &room, &bob, burst).await;
    report.ours("Matrix → IRC, burst", "/s", AtLeast(1500.0), rate);
    report.ours("Matrix → IRC, burst, lost or reordered", "lines", AtMost(0.0), wrong);
    let (rate, wrong) = to_matrix_burst(&bob, &mut heard, burst).await;
    report.ours("IRC → Matrix, burst", "/s", AtLeast(1500.0), rate);
    report.ours("IRC → Matrix, burst, lost or reordered", "lines", AtMost(0.0), wrong);
}

/// Measures what a puppet takes: in a process of its own, for after a burst the allocator's free pages fill up again beside it.
pub(crate) async fn puppets(report: &mut Report, count: usize) {
    let mut d = Deployment::start(On::Embedded, Over::Inspircd, With::Sqlite, &[CHANNEL]).await;
    let api = Api::new(d.url().as_str());
    let bob = Irc::join(d.irc.address(), "bob", CHANNEL).await;
    // They are users of the homeserver before; what is counted is what comes with their first word. The first ones bring the
    // process to its working size.
    let (mut crowd, mut room) = (Vec::new(), String::new());
    for n in 0..count + WARM_UP {
        let person = api.register(&format!("puppet{n}")).await;
        room = api.join(&person, &d.alias(CHANNEL)).await;
        crowd.push(person);
    }
    let process = d.bridge.process().id();
    let mut before = 0.0;
    for (n, person) in crowd.iter().enumerate() {
        if n == WARM_UP {
            before = report::rss(process);
        }
        let said = bob.heard().len();
        api.send(person, &room, "hello").await;
        bob.hears(said + 1).await;
    }
    let each = (report::rss(process) - before) * 1024.0 / count.max(1) as f64;
    report.ours("memory per IRC puppet", "kB", Limit::AtMost(40.0), each);
}

async fn to_irc_latency(api: &Api, alice: &Account, room: &str, bob: &Irc) -> f64 {
    let mut times = Vec::new();
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    for n in 0..100 {
        tick.tick().await;
        let before = bob.heard().len();
        let began = Instant::now();
        api.send(alice, room, &format!("latency {n}")).await;
        bob.hears(before + 1).await;
        times.extend(bob.heard().last().map(|(_, _, at)| at.duration_since(began)));
    }
    median(&mut times)
}

async fn to_matrix_latency(bob: &Irc, heard: &mut Listener) -> f64 {
    let mut times = Vec::new();
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    for n in 0..100 {
        tick.tick().await;
        let began = Instant::now();
        bob.write(&format!("PRIVMSG {CHANNEL} :latency {n}\r\n")).await;
        let (_, at) = heard.next().await;
        times.push(at - began);
    }
    median(&mut times)
}

async fn to_irc_burst(api: &Api, people: &[Account], room: &str, bob: &Irc, burst: usize) -> (f64, f64) {
    let before = bob.heard().len();
    let began = Instant::now();
    let each = all_say(api, people, room, burst).await;
    let all = each * people.len();
    let complete = tokio::time::timeout(Duration::from_secs(60), bob.hears(before + all)).await.is_ok();
    let heard = bob.heard().split_off(before);
    let last = heard.last().map_or(began, |(_, _, at)| *at);
    let wrong = out_of_order(&heard) + if complete { 0 } else { all - heard.len() };
    (all as f64 / (last - began).as_secs_f64(), wrong as f64)
}

async fn to_matrix_burst(bob: &Irc, heard: &mut Listener, burst: usize) -> (f64, f64) {
    let began = Instant::now();
    let saying = bob.says_all(CHANNEL, (0..burst).map(|n| n.to_string()));
    let (counted, ()) = tokio::join!(heard.counts(burst, began), saying);
    counted
}
