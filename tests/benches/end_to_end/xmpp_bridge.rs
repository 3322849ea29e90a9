//! The XMPP bridge's figures, over Prosody on the same machine: homeserver and bridge in one process, and in two over HTTP; beside them,
//! two bare components in a room, of which one only echoes.

use std::time::{Duration, Instant};

use landbridge_tests::{On, Prosody, XmppDeployment, Xmppd};
use serde_json::json;

use crate::{
    client::{Account, Api, all_say, out_of_order},
    listener::Listener,
    report::{Limit, Report, median},
    xmpp::Component,
};

/// How many Matrix users have a seat in the room of many.
const CROWD: usize = 8;

/// Measures it, with homeserver and bridge in one process.
pub(crate) async fn in_one(report: &mut Report, burst: usize) {
    let d = Box::pin(XmppDeployment::in_one_beside(server().await, json!({}))).await;
    measure(report, "", &d, burst).await;
}

/// Measures it, with homeserver and bridge in two processes.
pub(crate) async fn in_two(report: &mut Report, burst: usize) {
    let d = Box::pin(XmppDeployment::beside(server().await, On::Embedded, json!({}))).await;
    measure(report, "two processes: ", &d, burst).await;
}

async fn server() -> Xmppd {
    Prosody::start_with_components(&["bare", "echo"]).await
}

async fn measure(report: &mut Report, shape: &str, d: &XmppDeployment, burst: usize) {
    use Limit::{AtLeast, AtMost};
    let bare = Bare::measure(d, burst).await;
    let mut noted = |what: &str, unit, value| report.noted(&format!("{shape}{what}"), unit, value);
    noted("a bare echo, median", "ms", bare.latency);
    noted("bare echoes, burst", "/s", bare.echoes);
    noted("messages in a bare room of 3, burst", "/s", bare.few);
    noted("messages in a bare room of 10, burst", "/s", bare.many);

    let mut ours = |what: &str, unit, limit, value| report.ours(&format!("{shape}{what}"), unit, limit, value);
    let api = Api::new(d.url().as_str());
    let mut people = Vec::new();
    for n in 0..CROWD {
        people.push(api.register(&format!("person{n}")).await);
    }
    let mut two = Room::enter(&api, d, "two", &people[..1]).await;
    ours("Matrix → MUC at 20/s, median", "ms", AtMost(5.0), two.latency_to_muc(&api).await);
    ours("MUC → Matrix at 20/s, median", "ms", AtMost(5.0), two.latency_to_matrix().await);
    let devices = vec![people[0].clone(); CROWD];
    let (rate, wrong) = two.burst_to_muc(&api, &devices, burst).await;
    ours("Matrix → MUC, burst by eight devices of one person", "/s", AtLeast(1000.0), rate);
    ours("Matrix → MUC, burst by eight devices of one person, lost or reordered", "messages", AtMost(0.0), wrong);
    let (rate, wrong) = two.burst_to_matrix(burst).await;
    ours("MUC → Matrix, burst, one Matrix user seated", "/s", AtLeast(1000.0), rate);
    ours("MUC → Matrix, burst, one Matrix user seated, lost or reordered", "messages", AtMost(0.0), wrong);
    drop(two);
    let mut many = Room::enter(&api, d, "many", &people).await;
    let (rate, wrong) = many.burst_to_muc(&api, &people, burst).await;
    ours("Matrix → MUC, burst by eight people", "/s", AtLeast(1000.0), rate);
    ours("Matrix → MUC, burst by eight people, lost or reordered", "messages", AtMost(0.0), wrong);
    let (rate, wrong) = many.burst_to_matrix(burst).await;
    ours("MUC → Matrix, burst, eight Matrix users seated", "/s", AtLeast(1000.0), rate);
    ours("MUC → Matrix, burst, eight Matrix users seated, lost or reordered", "messages", AtMost(0.0), wrong);
}

/// What the XMPP server does where nobody does anything but answer.
struct Bare {
    /// Until what was said was said again, in milliseconds.
    latency: f64,
    /// Echoes in a second: of each message there are two, and each goes to two.
    echoes: f64,
    /// Messages in a second, each to three occupants.
    few: f64,
    /// Messages in a second, each to ten occupants.
    many: f64,
}

impl Bare {
    async fn measure(d: &XmppDeployment, burst: usize) -> Self {
        let server = d.xmpp.component();
        let room = d.room("echo");
        let bob = Component::join(server, "bare.xmpp.test", &room, "bob", false).await;
        let echo = Component::join(server, "echo.xmpp.test", &room, "echo", true).await;
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
        let echoes = says_all(&bob, burst, 2).await;
        drop((bob, echo));
        let (mut few, mut many) = (0.0, 0.0);
        for (size, rate) in [(3, &mut few), (10, &mut many)] {
            let bob = Component::join(server, "bare.xmpp.test", &d.room(&format!("bare{size}")), "bob", false).await;
            let others =
                Component::join(server, "echo.xmpp.test", &d.room(&format!("bare{size}")), "listener", false).await;
            for n in 2..size {
                others.sits(&format!("silent{n}")).await;
            }
            *rate = says_all(&bob, burst, 1).await;
        }
        Self { latency: median(&mut times), echoes, few, many }
    }
}

/// About so many messages wait at Prosody at most, however large a burst is.
const STEP: usize = 256;

/// Says so much as fast as the room takes it, where each comes back to Bob so often.
async fn says_in_steps(bob: &Component, burst: usize, each: usize) {
    let before = bob.count();
    for n in 0..burst {
        if n % STEP == 0 && n > STEP {
            assert!(bob.hears(before + each * (n - STEP)).await, "all of it");
        }
        bob.says(&n.to_string()).await;
    }
}

/// Says so much at once; how many of it came back in a second, when each comes back so often.
async fn says_all(bob: &Component, burst: usize, each: usize) -> f64 {
    let (before, began) = (bob.count(), Instant::now());
    says_in_steps(bob, burst, each).await;
    assert!(bob.hears(before + each * burst).await, "all of it");
    let last = bob.heard(before).last().map_or(began, |(_, _, at)| *at);
    burst as f64 / (last - began).as_secs_f64()
}

/// A room with Bob and some Matrix users who sit in it.
struct Room<'a> {
    bob: Component,
    people: &'a [Account],
    portal: String,
    heard: Listener,
}

impl<'a> Room<'a> {
    async fn enter(api: &Api, d: &XmppDeployment, name: &str, people: &'a [Account]) -> Self {
        let bob = Component::join(d.xmpp.component(), "bare.xmpp.test", &d.room(name), "bob", false).await;
        let portal = api.join(&people[0], &d.alias(name)).await;
        for person in &people[1..] {
            api.join(person, &portal).await;
        }
        // Everybody speaks once, so that their seats are taken.
        for person in people {
            let before = bob.count();
            api.send(person, &portal, "hello").await;
            assert!(bob.hears(before + 1).await, "a seat is taken");
        }
        let ghost = api.member_called(&people[0], &portal, "bob").await;
        let heard = Listener::start(api, &people[0], &portal, &ghost).await;
        Self { bob, people, portal, heard }
    }

    async fn latency_to_muc(&self, api: &Api) -> f64 {
        let mut times = Vec::new();
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        for n in 0..100 {
            tick.tick().await;
            let (before, began) = (self.bob.count(), Instant::now());
            api.send(&self.people[0], &self.portal, &format!("latency {n}")).await;
            assert!(self.bob.hears(before + 1).await, "it arrives");
            times.extend(self.bob.heard(before).last().map(|(_, _, at)| at.duration_since(began)));
        }
        median(&mut times)
    }

    async fn latency_to_matrix(&mut self) -> f64 {
        let mut times = Vec::new();
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        for n in 0..100 {
            tick.tick().await;
            let began = Instant::now();
            self.bob.says(&format!("latency {n}")).await;
            let (_, at) = self.heard.next().await;
            times.push(at - began);
        }
        median(&mut times)
    }

    async fn burst_to_muc(&self, api: &Api, speakers: &[Account], burst: usize) -> (f64, f64) {
        let (before, began) = (self.bob.count(), Instant::now());
        let all = all_say(api, speakers, &self.portal, burst).await * speakers.len();
        let complete = self.bob.hears(before + all).await;
        let heard = self.bob.heard(before);
        let last = heard.last().map_or(began, |(_, _, at)| *at);
        let wrong = out_of_order(&heard) + if complete { 0 } else { all - heard.len() };
        (all as f64 / (last - began).as_secs_f64(), wrong as f64)
    }

    async fn burst_to_matrix(&mut self, burst: usize) -> (f64, f64) {
        let began = Instant::now();
        says_in_steps(&self.bob, burst, 1).await;
        self.heard.counts(burst, began).await
    }
}
