//! The XMPP bridge's figures: homeserver and bridge, a process each, over Prosody on the same machine; beside them, two bare components
//! in a room, of which one only echoes.

use std::time::{Duration, Instant};

use landbridge_tests::{On, Prosody, XmppDeployment};
use serde_json::json;

use crate::{
    client::{Account, Api, all_say, out_of_order},
    listener::Listener,
    report::{Limit, Report, median},
    xmpp::Component,
};

const BURST: usize = 5_000;

/// Measures it.
pub(crate) async fn measure(report: &mut Report) {
    use Limit::{AtLeast, AtMost};
    let d = XmppDeployment::beside(Prosody::start_with_components(&["bare", "echo"]).await, On::Embedded, json!({}));
    let d = Box::pin(d).await;
    let (bare_latency, bare_rate) = echo(&d).await;

    let api = Api::new(d.url().as_str());
    let room = d.room("bench");
    let bob = Component::join(d.xmpp.component(), "bare.xmpp.test", &room, "bob", false).await;
    let mut people = Vec::new();
    for n in 0..8 {
        people.push(api.register(&format!("person{n}")).await);
    }
    let portal = api.join(&people[0], &d.alias("bench")).await;
    for person in &people[1..] {
        api.join(person, &portal).await;
    }
    // Everybody speaks once, so that their seats are taken.
    for person in &people {
        let before = bob.count();
        api.send(person, &portal, "hello").await;
        assert!(bob.hears(before + 1).await, "a seat is taken");
    }
    let ghost = api.member_called(&people[0], &portal, "bob").await;
    let mut heard = Listener::start(&api, &people[0], &portal, &ghost).await;

    let latency = to_muc_latency(&api, &people[0], &portal, &bob).await;
    report.ours("Matrix → MUC at 20/s, median", "ms", AtMost(5.0), latency);
    report.noted("Matrix → MUC, median, of a bare echo's", "times", latency / bare_latency);
    let latency = to_matrix_latency(&bob, &mut heard).await;
    report.ours("MUC → Matrix at 20/s, median", "ms", AtMost(5.0), latency);
    report.noted("MUC → Matrix, median, of a bare echo's", "times", latency / bare_latency);
    let (rate, wrong) = to_muc_burst(&api, &people[..1], &portal, &bob).await;
    report.ours("Matrix → MUC, burst of one", "/s", AtLeast(1000.0), rate);
    report.ours("Matrix → MUC, burst of one, lost or reordered", "messages", AtMost(0.0), wrong);
    let (rate, wrong) = to_muc_burst(&api, &people, &portal, &bob).await;
    report.ours("Matrix → MUC, burst of eight", "/s", AtLeast(1000.0), rate);
    report.noted("Matrix → MUC, burst of eight, part of a bare echo's", "%", rate / bare_rate * 100.0);
    report.ours("Matrix → MUC, burst of eight, lost or reordered", "messages", AtMost(0.0), wrong);
    let began = Instant::now();
    for n in 0..BURST {
        bob.says(&n.to_string()).await;
    }
    let (rate, wrong) = heard.counts(BURST, began).await;
    report.ours("MUC → Matrix, burst", "/s", AtLeast(1000.0), rate);
    report.noted("MUC → Matrix, burst, part of a bare echo's", "%", rate / bare_rate * 100.0);
    report.ours("MUC → Matrix, burst, lost or reordered", "messages", AtMost(0.0), wrong);
}

/// How long it takes until what somebody says was said again by an echo, and how much comes back in a second.
async fn echo(d: &XmppDeployment) -> (f64, f64) {
    let room = d.room("echo");
    let server = d.xmpp.component();
    let bob = Component::join(server, "bare.xmpp.test", &room, "bob", false).await;
    let _echo = Component::join(server, "echo.xmpp.test", &room, "echo", true).await;
    let mut times = Vec::new();
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    for n in 0..100 {
        tick.tick().await;
        let (before, began) = (bob.count(), Instant::now());
        bob.says(&n.to_string()).await;
        // His own words come back, too.
        assert!(bob.hears(before + 2).await, "an echo");
        times.extend(bob.heard(before + 1).last().map(|(_, _, at)| at.duration_since(began)));
    }
    let (before, began) = (bob.count(), Instant::now());
    for n in 0..BURST {
        bob.says(&n.to_string()).await;
    }
    assert!(bob.hears(before + 2 * BURST).await, "all echoes");
    let last = bob.heard(before).last().map_or(began, |(_, _, at)| *at);
    (median(&mut times), BURST as f64 / (last - began).as_secs_f64())
}

async fn to_muc_latency(api: &Api, alice: &Account, room: &str, bob: &Component) -> f64 {
    let mut times = Vec::new();
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    for n in 0..100 {
        tick.tick().await;
        let (before, began) = (bob.count(), Instant::now());
        api.send(alice, room, &format!("latency {n}")).await;
        assert!(bob.hears(before + 1).await, "it arrives");
        times.extend(bob.heard(before).last().map(|(_, _, at)| at.duration_since(began)));
    }
    median(&mut times)
}

async fn to_matrix_latency(bob: &Component, heard: &mut Listener) -> f64 {
    let mut times = Vec::new();
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    for n in 0..100 {
        tick.tick().await;
        let began = Instant::now();
        bob.says(&format!("latency {n}")).await;
        let (_, at) = heard.next().await;
        times.push(at - began);
    }
    median(&mut times)
}

async fn to_muc_burst(api: &Api, people: &[Account], room: &str, bob: &Component) -> (f64, f64) {
    let (before, began) = (bob.count(), Instant::now());
    let all = all_say(api, people, room, BURST).await * people.len();
    let complete = bob.hears(before + all).await;
    let heard = bob.heard(before);
    let last = heard.last().map_or(began, |(_, _, at)| *at);
    let wrong = out_of_order(&heard) + if complete { 0 } else { all - heard.len() };
    (all as f64 / (last - began).as_secs_f64(), wrong as f64)
}
