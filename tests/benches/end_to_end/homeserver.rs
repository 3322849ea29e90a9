//! The homeserver's figures, taken the same way on ours and on Synapse.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use landbridge_tests::{Landbridge, Port, Synapse, Workdir};

use crate::{
    appservice::Appservice,
    client::{self, Account, Api},
    report::{self, Limit, Report, median},
    wire::Connection,
};

/// How much work to do: Synapse gets less of it, so that it ends.
#[derive(Debug, Clone, Copy)]
struct Amount {
    sends: usize,
    virtual_users: usize,
    polls: usize,
    /// Events to fill the store with before memory is read.
    fill: usize,
}

/// What was measured on one homeserver.
#[derive(Debug, Default)]
struct Figures {
    sends: f64,
    send_median: f64,
    sends_of_many: f64,
    many_median: f64,
    sends_in_big_room: f64,
    joins: f64,
    initial_sync: f64,
    long_poll: f64,
    transaction: f64,
    full_speed_lag: f64,
    lost_or_reordered: f64,
    idle: f64,
    filled: Option<f64>,
}

/// Measures ours.
pub(crate) async fn embedded(report: &mut Report) {
    let appservice = Appservice::start().await;
    let (dir, port) = (Workdir::new("bench"), Port::free());
    let began = Instant::now();
    let mut server = start(&dir, &port, &appservice, None);
    let api = Api::new(&format!("http://{}", port.address()));
    let mut starts = Vec::new();
    while !api.is_up().await {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    starts.push(began.elapsed());
    let amount = if cfg!(debug_assertions) {
        Amount { sends: 2_000, virtual_users: 200, polls: 50, fill: 0 }
    } else {
        Amount { sends: 20_000, virtual_users: 1_000, polls: 200, fill: 200_000 }
    };
    let process = server.process().id();
    let figures = measure(&api, &appservice, process, amount).await;
    // A later start, with everything in the store.
    server.stop().await;
    let began = Instant::now();
    server.start_again(&[]);
    while !api.is_up().await {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    starts.push(began.elapsed());

    use Limit::{AtLeast, AtMost};
    report.ours("start to first answer, empty folder", "ms", AtMost(300.0), millis(starts[0]));
    report.ours("start to first answer, after all this", "ms", AtMost(300.0), millis(starts[1]));
    report.ours("sends, 8 in flight, 10 rooms", "/s", AtLeast(2500.0), figures.sends);
    report.ours("send, median", "ms", AtMost(4.0), figures.send_median);
    report.ours("sends, 64 in flight, 10 rooms", "/s", AtLeast(5000.0), figures.sends_of_many);
    report.noted("send among 64, median", "ms", figures.many_median);
    report.ours("sends into a room of 1,000 members", "/s", AtLeast(0.9 * figures.sends), figures.sends_in_big_room);
    report.ours("virtual users registered and joined", "/s", AtLeast(500.0), figures.joins);
    report.ours("initial sync in that room", "ms", AtMost(30.0), figures.initial_sync);
    report.ours("send → long poll returns, median", "ms", AtMost(5.0), figures.long_poll);
    report.ours("send → transaction at 20/s, median", "ms", AtMost(4.0), figures.transaction);
    report.ours("lag of transactions at full speed", "ms", AtMost(1000.0), figures.full_speed_lag);
    report.ours("lost or reordered at full speed", "events", AtMost(0.0), figures.lost_or_reordered);
    report.ours("memory, idle", "MB", AtMost(40.0), figures.idle);
    report.ours("memory after 200,000 events", "MB", AtMost(120.0), figures.filled.unwrap_or_default());
}

/// Starts the homeserver, on the database at an address or on its own file.
pub(crate) fn start(dir: &Workdir, port: &Port, appservice: &Appservice, database: Option<&str>) -> Landbridge {
    let data = dir.path().join("data").display().to_string();
    let listen = port.address().to_string();
    let registration = appservice.registration.display().to_string();
    let mut arguments = vec!["up", "--data", &data, "--listen", &listen, "--appservice", &registration];
    let settings = dir.path().join("homeserver.yaml").display().to_string();
    if let Some(address) = database {
        std::fs::write(&settings, format!("database: {address}\n")).expect("the folder can be written");
        arguments.extend(["--homeserver-config", &settings]);
    }
    Landbridge::start(dir.path(), arguments)
}

/// Measures Synapse, with less work.
pub(crate) async fn synapse(report: &mut Report) {
    let appservice = Appservice::start().await;
    let began = Instant::now();
    let server = Synapse::start(&[&appservice.registration]).await;
    let start = began.elapsed();
    let amount = Amount { sends: 400, virtual_users: 1_000, polls: 30, fill: 0 };
    let figures = measure(&Api::new(server.url().as_str()), &appservice, server.id(), amount).await;

    report.synapse("start to first answer, empty folder", "ms", millis(start));
    report.synapse("sends, 8 in flight, 10 rooms", "/s", figures.sends);
    report.synapse("send, median", "ms", figures.send_median);
    report.synapse("sends, 64 in flight, 10 rooms", "/s", figures.sends_of_many);
    report.synapse("send among 64, median", "ms", figures.many_median);
    report.synapse("sends into a room of 1,000 members", "/s", figures.sends_in_big_room);
    report.synapse("virtual users registered and joined", "/s", figures.joins);
    report.synapse("initial sync in that room", "ms", figures.initial_sync);
    report.synapse("send → long poll returns, median", "ms", figures.long_poll);
    report.synapse("send → transaction at 20/s, median", "ms", figures.transaction);
    report.synapse("lag of transactions at full speed", "ms", figures.full_speed_lag);
    report.synapse("lost or reordered at full speed", "events", figures.lost_or_reordered);
    report.synapse("memory, idle", "MB", figures.idle);
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

async fn measure(api: &Api, appservice: &Appservice, process: u32, amount: Amount) -> Figures {
    let mut figures = Figures { idle: report::rss(process), ..Figures::default() };
    let mut senders = Vec::new();
    for n in 0..8 {
        senders.push(api.register(&format!("sender{n}")).await);
    }
    let mut rooms = Vec::new();
    for _ in 0..10 {
        let room = api.create_room(&senders[0]).await;
        for sender in senders.iter().skip(1) {
            api.join(sender, &room).await;
        }
        rooms.push(room);
    }
    (figures.sends, figures.send_median) = sends(api, &senders, &rooms, amount.sends).await;
    (figures.sends_of_many, figures.many_median) = sends(api, &on_devices(&senders), &rooms, amount.sends).await;

    let big = api.create_room(&senders[0]).await;
    for sender in senders.iter().skip(1) {
        api.join(sender, &big).await;
    }
    figures.joins = joins(api, appservice, &big, amount.virtual_users).await;
    let before = appservice.count();
    let began = Instant::now();
    (figures.sends_in_big_room, _) = sends(api, &senders, std::slice::from_ref(&big), amount.sends).await;
    eprintln!("  {} sends took {:?}", amount.sends, began.elapsed());
    (figures.full_speed_lag, figures.lost_or_reordered) = caught_up(appservice, before, amount.sends).await;

    figures.initial_sync = initial_sync(api, &senders[1], amount.polls.min(20)).await;
    figures.long_poll = long_poll(api, &senders, &rooms[0], amount.polls).await;
    figures.transaction = transactions(api, appservice, &senders[0], &big, amount.polls.min(100)).await;
    if amount.fill > 0 {
        let sent = amount.sends * 2;
        sends(api, &senders, &rooms, amount.fill.saturating_sub(sent)).await;
        figures.filled = Some(report::rss(process));
    }
    figures
}

/// The same people, each on eight devices.
pub(crate) fn on_devices(people: &[Account]) -> Vec<Account> {
    people.iter().flat_map(|account| std::iter::repeat_n(account.clone(), 8)).collect()
}

/// Sends with one request in flight per sender; events a second, and the median in milliseconds.
pub(crate) async fn sends(api: &Api, senders: &[Account], rooms: &[String], total: usize) -> (f64, f64) {
    let (each, rooms) = (total / senders.len(), Arc::new(rooms.to_vec()));
    let mut connections = Vec::new();
    for _ in senders {
        connections.push(Connection::open(api.base()).await);
    }
    let began = Instant::now();
    let tasks: Vec<_> = (senders.iter().cloned().zip(connections).enumerate())
        .map(|(n, (sender, mut connection))| {
            let rooms = rooms.clone();
            tokio::spawn(async move {
                let mut times = Vec::with_capacity(each);
                for sent in 0..each {
                    let began = Instant::now();
                    let room = &rooms[(sent + n) % rooms.len()];
                    connection.send(&sender, room, client::transaction(), &sent.to_string()).await;
                    times.push(began.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("a sender"));
    }
    (times.len() as f64 / began.elapsed().as_secs_f64(), median(&mut times))
}

/// Registers and joins virtual users, 8 at a time.
async fn joins(api: &Api, appservice: &Appservice, room: &str, count: usize) -> f64 {
    let began = Instant::now();
    let tasks: Vec<_> = (0..8)
        .map(|worker| {
            let (api, token, room) = (api.clone(), appservice.token.clone(), room.to_owned());
            tokio::spawn(async move {
                let mut connection = Connection::open(api.base()).await;
                for n in (worker..count).step_by(8) {
                    let user = connection.register_virtual(&token, &format!("bench_{n}")).await;
                    connection.join(&user, &room).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a worker");
    }
    count as f64 / began.elapsed().as_secs_f64()
}

/// Waits until the appservice has heard everything: how long that took after the last send, and what was lost or reordered.
async fn caught_up(appservice: &Appservice, before: usize, sent: usize) -> (f64, f64) {
    let began = Instant::now();
    let sent = sent / 8 * 8;
    while appservice.count() < before + sent && began.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let lag = millis(began.elapsed());
    let heard = appservice.heard().split_off(before);
    let mut next = std::collections::HashMap::<String, usize>::new();
    let mut wrong = sent.abs_diff(heard.len());
    for message in heard {
        let expected = next.entry(message.sender).or_default();
        if message.body != expected.to_string() {
            wrong += 1;
        }
        *expected += 1;
    }
    (lag, wrong as f64)
}

async fn initial_sync(api: &Api, account: &Account, times: usize) -> f64 {
    let mut taken = Vec::new();
    for _ in 0..times {
        let began = Instant::now();
        api.sync(account, None, 0).await;
        taken.push(began.elapsed());
    }
    median(&mut taken)
}

async fn long_poll(api: &Api, senders: &[Account], room: &str, times: usize) -> f64 {
    let (mut since, _) = api.sync(&senders[1], None, 0).await;
    let mut taken = Vec::new();
    for n in 0..times {
        let poll = tokio::spawn({
            let (api, account, since) = (api.clone(), senders[1].clone(), since.clone());
            async move { (api.sync(&account, Some(&since), 30_000).await.0, Instant::now()) }
        });
        // The poll must wait before the event comes; nothing tells when it does.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let began = Instant::now();
        api.send(&senders[0], room, &format!("poll {n}")).await;
        let (next, returned) = poll.await.expect("a poll");
        taken.push(returned - began);
        since = next;
    }
    median(&mut taken)
}

async fn transactions(api: &Api, appservice: &Appservice, sender: &Account, room: &str, times: usize) -> f64 {
    let mut taken = Vec::new();
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    for n in 0..times {
        tick.tick().await;
        let (before, body) = (appservice.count(), format!("transaction {n}"));
        let began = Instant::now();
        api.send(sender, room, &body).await;
        while appservice.count() == before && began.elapsed() < Duration::from_secs(10) {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        let heard = appservice.heard().split_off(before);
        taken.extend(heard.into_iter().find(|message| message.body == body).map(|message| message.at - began));
    }
    median(&mut taken)
}
