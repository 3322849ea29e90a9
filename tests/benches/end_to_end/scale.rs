//! The homeserver's figures at scale: a room of 10,000 members with 1,000 clients that wait, a room of 1,000,000 events, and 50
//! people who are active at once.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use landbridge_homeserver::{
    Config, Homeserver,
    clock::SystemClock,
    rooms::{Membership, MembershipChange, NewRoom, Outgoing},
};
use landbridge_tests::{Landbridge, Port, Postgres, Workdir};
use ruma::{OwnedUserId, api::client::room::create_room::v3 as create_room, owned_user_id};
use serde_json::{Value, json, value::to_raw_value};

use crate::{
    appservice::Appservice,
    client::{Account, Api},
    homeserver::{millis, on_devices, sends, start},
    report::{self, Limit, Report, median, percentile},
    wire::Connection,
};

use Limit::{AtLeast, AtMost};

/// A filter as clients that load members lazily send it.
const LAZY: &str = "%7B%22room%22%3A%7B%22state%22%3A%7B%22lazy_load_members%22%3Atrue%7D%2C%22timeline%22%3A%7B%22limit%22%3A20%7D%7D%7D";

/// A release build does all of it; a debug build only shows that it runs.
pub(crate) fn scaled(amount: usize) -> usize {
    if cfg!(debug_assertions) { amount / 100 } else { amount }
}

/// Has the homeserver stand on a PostgreSQL cluster of its own (`=postgres`), or on an empty database at an address: the same figures,
/// each to be half at least.
const DATABASE: &str = "LANDBRIDGE_BENCH_DATABASE";

struct Running {
    server: Landbridge,
    api: Api,
    appservice: Appservice,
    dir: Workdir,
    _port: Port,
    _postgres: Option<Postgres>,
}

impl Running {
    async fn begin() -> Self {
        let appservice = Appservice::start().await;
        let (dir, port) = (Workdir::new("scale"), Port::free());
        let asked = std::env::var(DATABASE).ok();
        let postgres = match asked.as_deref() {
            Some("postgres") => Some(Postgres::start_durable().await),
            _ => None,
        };
        let database = postgres.as_ref().map(|postgres| postgres.database("bench")).or(asked);
        let server = start(&dir, &port, &appservice, database.as_deref());
        let api = Api::new(&format!("http://{}", port.address()));
        let running = Self { server, api, appservice, dir, _port: port, _postgres: postgres };
        running.is_up().await;
        running
    }

    async fn is_up(&self) {
        while !self.api.is_up().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn memory(&mut self) -> f64 {
        report::rss(self.server.process().id())
    }

    async fn accounts(&self, count: usize) -> Vec<Account> {
        let mut accounts = Vec::with_capacity(count);
        for n in 0..count {
            accounts.push(self.api.register(&format!("sender{n}")).await);
        }
        accounts
    }

    async fn room_of(&self, members: &[Account]) -> String {
        let (creator, others) = members.split_first().expect("somebody");
        let room = self.api.create_room(creator).await;
        for member in others {
            self.api.join(member, &room).await;
        }
        room
    }
}

/// How many members the large room has.
pub(crate) const CROWD: usize = 10_000;

/// A room of 10,000 members, and 1,000 clients that wait for news.
pub(crate) async fn crowd(report: &mut Report, members: usize) {
    let mut running = Running::begin().await;
    let senders = running.accounts(8).await;
    let mut rooms = Vec::new();
    for _ in 0..10 {
        rooms.push(running.room_of(&senders).await);
    }
    let members = scaled(members);
    let total = 4 * members;
    let (small, _) = sends(&running.api, &senders, &rooms, total).await;
    report.ours("sends, 8 in flight, 10 rooms, on the way to 5,000", "/s", AtLeast(5000.0), small);
    let (many, _) = sends(&running.api, &on_devices(&senders), &rooms, total).await;
    report.ours("sends, 64 in flight, 10 rooms", "/s", AtLeast(5000.0), many);

    let big = running.room_of(&senders).await;
    let (registered, users) = register(&running, members).await;
    report.ours("virtual users registered", "/s", AtLeast(2000.0), registered);
    report.ours("joins into one room", "/s", AtLeast(2000.0), join_all(&running, &big, &users).await);
    settle(&running, 0).await;
    let (small, crowded) = in_turn(&running, &senders, &rooms, &big, total).await;
    report.noted("sends, 8 in flight, 10 rooms, in turn with those into that room", "/s", small);
    report.ours("sends into a room of 10,000 members", "/s", AtLeast(0.9 * small), crowded);

    let path = format!("/_matrix/client/v3/sync?timeout=0&set_presence=offline&filter={LAZY}");
    let lazy = ask_often(&running, &senders[1], 20, |_| path.clone()).await;
    report.ours("initial sync, lazy members, in that room", "ms", AtMost(15.0), lazy);

    // Once more before anybody waits: by now the database is larger than it was.
    let (alone, _) = sends(&running.api, &senders, &rooms, total).await;
    report.noted("sends, 8 in flight, before anybody waits", "/s", alone);
    // The database's connections keep pages in memory, up to a bound: that is nobody's who waits.
    let (waiting, others) = users.split_at(members / 10);
    look_around(&running, &others[..members / 20]).await;
    let idle = running.memory();
    let waiting = wait_for_news(&running, waiting).await;
    let kilobytes = (running.memory() - idle) * 1000.0 / waiting.len() as f64;
    report.ours("memory of a client that waits", "kB", AtMost(20.0), kilobytes);
    let poll = long_poll(&running, &senders, &rooms[0], scaled(20_000)).await;
    report.ours("send → long poll returns, 1,000 others waiting, median", "ms", AtMost(3.0), poll);
    let (beside, _) = sends(&running.api, &senders, &rooms, total).await;
    report.ours("sends, 8 in flight, 1,000 clients waiting elsewhere", "/s", AtLeast(0.9 * alone), beside);
    report.ours("memory after all this", "MB", AtMost(120.0), running.memory());
    drop(waiting);
}

/// Sends as much into small rooms and into a large one, in turn, so that the machine's moods and the size of the database are the same for
/// both: how many a second, the medians of the turns.
async fn in_turn(running: &Running, senders: &[Account], small: &[String], big: &String, total: usize) -> (f64, f64) {
    const TURNS: usize = 5;
    let each = total / TURNS / senders.len() * senders.len();
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        few.push(sends(&running.api, senders, small, each).await.0);
        // The application service hears of the large room alone.
        let before = running.appservice.count();
        many.push(sends(&running.api, senders, std::slice::from_ref(big), each).await.0);
        settle(running, before + each).await;
    }
    few.sort_by(f64::total_cmp);
    many.sort_by(f64::total_cmp);
    (few[TURNS / 2], many[TURNS / 2])
}

async fn register(running: &Running, count: usize) -> (f64, Vec<Account>) {
    let began = Instant::now();
    let tasks: Vec<_> = (0..8)
        .map(|worker| {
            let (base, token) = (running.api.base().to_owned(), running.appservice.token.clone());
            tokio::spawn(async move {
                let mut connection = Connection::open(&base).await;
                let mut users = Vec::new();
                for n in (worker..count).step_by(8) {
                    users.push(connection.register_virtual(&token, &format!("bench_{n}")).await);
                }
                users
            })
        })
        .collect();
    let mut users = Vec::with_capacity(count);
    for task in tasks {
        users.extend(task.await.expect("a worker"));
    }
    (count as f64 / began.elapsed().as_secs_f64(), users)
}

async fn join_all(running: &Running, room: &str, users: &[Account]) -> f64 {
    let began = Instant::now();
    let tasks: Vec<_> = users
        .chunks(users.len().div_ceil(8))
        .map(|users| {
            let (base, users, room) = (running.api.base().to_owned(), users.to_vec(), room.to_owned());
            tokio::spawn(async move {
                let mut connection = Connection::open(&base).await;
                for user in &users {
                    connection.join(user, &room).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a worker");
    }
    users.len() as f64 / began.elapsed().as_secs_f64()
}

/// Waits until the appservice has heard this many messages, and some time passes in which it hears nothing.
async fn settle(running: &Running, messages: usize) {
    let began = Instant::now();
    while running.appservice.count() < messages && began.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// The median of as many requests, each with a path of its own.
async fn ask_often(running: &Running, account: &Account, times: usize, path: impl Fn(usize) -> String) -> f64 {
    let mut connection = Connection::open(running.api.base()).await;
    let mut taken = Vec::with_capacity(times);
    for n in 0..times {
        let path = path(n);
        let began = Instant::now();
        connection.ask("GET", account, &path, "").await;
        taken.push(began.elapsed());
    }
    median(&mut taken)
}

/// Each of these syncs once, 8 at a time.
async fn look_around(running: &Running, users: &[Account]) {
    let tasks: Vec<_> = users
        .chunks(users.len().div_ceil(8).max(1))
        .map(|users| {
            let (base, users) = (running.api.base().to_owned(), users.to_vec());
            tokio::spawn(async move {
                let mut connection = Connection::open(&base).await;
                let path = format!("/_matrix/client/v3/sync?timeout=0&set_presence=offline&filter={LAZY}");
                for user in &users {
                    connection.ask("GET", user, &path, "").await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a worker");
    }
}

/// Each of these clients syncs and waits; the connections that wait come back.
async fn wait_for_news(running: &Running, users: &[Account]) -> Vec<Connection> {
    let mut waiting = Vec::with_capacity(users.len());
    for user in users {
        let mut connection = Connection::open(running.api.base()).await;
        let first = format!("/_matrix/client/v3/sync?timeout=0&set_presence=offline&filter={LAZY}");
        let first: Value = serde_json::from_slice(&connection.ask("GET", user, &first, "").await).expect("JSON");
        let since = first["next_batch"].as_str().unwrap_or_default();
        let wait = format!("/_matrix/client/v3/sync?timeout=120000&set_presence=offline&since={since}");
        connection.write("GET", user, &wait, "").await;
        waiting.push(connection);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    waiting
}

/// How long a search takes: it waits until the index has read the log, but not forever.
async fn search(running: &Running, account: &Account) -> Duration {
    let began = Instant::now();
    let mut connection = Connection::open(running.api.base()).await;
    let body = r#"{"search_categories":{"room_events":{"search_term":"nobody said this"}}}"#;
    connection.ask("POST", account, "/_matrix/client/v3/search", body).await;
    began.elapsed()
}

async fn long_poll(running: &Running, senders: &[Account], room: &str, times: usize) -> f64 {
    let (mut since, _) = running.api.sync(&senders[1], None, 0).await;
    let mut sending = Connection::open(running.api.base()).await;
    let mut polling = Connection::open(running.api.base()).await;
    let mut taken = Vec::new();
    for n in 0..times.min(200) {
        let path = format!("/_matrix/client/v3/sync?timeout=30000&set_presence=offline&since={since}");
        polling.write("GET", &senders[1], &path, "").await;
        // The poll must wait before the event comes; nothing tells when it does.
        tokio::time::sleep(Duration::from_millis(10)).await;
        let began = Instant::now();
        sending
            .write(
                "PUT",
                &senders[0],
                &format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/poll{n}"),
                r#"{"msgtype":"m.text","body":"news"}"#,
            )
            .await;
        let news: Value = serde_json::from_slice(&polling.read().await).expect("JSON");
        taken.push(began.elapsed());
        sending.read().await;
        since = news["next_batch"].as_str().unwrap_or_default().to_owned();
    }
    median(&mut taken)
}

/// How many events the large database holds.
pub(crate) const MILLION: usize = 1_000_000;

/// A database of very many events in one room: how large, how soon open, how fast to read anywhere.
pub(crate) async fn million(report: &mut Report, events: usize) {
    let mut running = Running::begin().await;
    let reader = running.api.register("reader").await;
    running.server.stop().await;
    let events = scaled(events);
    let data = running.dir.path().join("data");
    let began = Instant::now();
    let (room, first, last) = fill(&data, 10, events).await;
    report.ours("events in the large database", "", AtLeast(MILLION as f64), events as f64);
    eprintln!("  filled without HTTP, 64 in flight: {:.0}/s", events as f64 / began.elapsed().as_secs_f64());
    let bytes = size(&data);
    report.ours("disk of a message event", "kB", AtMost(1.3), bytes / 1000.0 / events as f64);

    let began = Instant::now();
    running.server.start_again(&[]);
    running.is_up().await;
    report.ours("start on the large database", "ms", AtMost(500.0), millis(began.elapsed()));
    running.api.join(&reader, &room).await;
    // What fills it writes faster than the index of words reads, which would now read all of it beside what is measured.
    while search(&running, &reader).await > Duration::from_secs(1) {}
    let place = |n: usize| first + (last - first) * ((n * 7919) % 1000) as i64 / 1000;
    let mut taken = Vec::new();
    let mut connection = Connection::open(running.api.base()).await;
    for n in 0..400 {
        let (from, direction) = (place(n), if n % 2 == 0 { 'b' } else { 'f' });
        let path = format!("/_matrix/client/v3/rooms/{room}/messages?dir={direction}&from=s{from}&limit=50");
        let began = Instant::now();
        connection.ask("GET", &reader, &path, "").await;
        taken.push(began.elapsed());
    }
    report.ours("/messages, 50 events anywhere in it, median", "ms", AtMost(5.0), median(&mut taken));
    report.ours("/messages, the same, 99 of 100", "ms", AtMost(5.0), percentile(&mut taken, 99));
    let state =
        ask_often(&running, &reader, 200, |n| format!("/_matrix/client/v3/rooms/{room}/members?at=s{}", place(n)));
    report.ours("state at any of its events (/members?at=), median", "ms", AtMost(2.0), state.await);
    report.ours("memory after reading all over them", "MB", AtMost(120.0), running.memory());
}

/// Fills a room without HTTP, which takes longer; the room and the span of the log that its messages take come back.
pub(crate) async fn fill(data: &Path, members: usize, events: usize) -> (String, i64, i64) {
    let config = Config::new("localhost".try_into().expect("a name"), data);
    let homeserver = Homeserver::open(config, Arc::new(SystemClock)).await.expect("a homeserver");
    let rooms = homeserver.rooms();
    let mut request = create_room::Request::new();
    request.preset = Some(create_room::RoomPreset::PublicChat);
    let creator: OwnedUserId = owned_user_id!("@filler0:localhost");
    let room = rooms.create(NewRoom { creator: creator.clone(), request: &request, profiles: Default::default() });
    let room = room.await.expect("a room");
    for n in 1..members {
        let user = filler(n);
        let join = MembershipChange::new(&*room, &*user, &*user, Membership::Join);
        rooms.change_membership(join).await.expect("a join");
    }
    let first = homeserver.stream().position().0;
    let tasks: Vec<_> = (0..64)
        .map(|worker| {
            let (rooms, room) = (rooms.clone(), room.clone());
            tokio::spawn(async move {
                for n in (worker..events).step_by(64) {
                    let body = json!({ "msgtype": "m.text", "body": format!("message {n} of very many, as people write them") });
                    let body = to_raw_value(&body).expect("JSON");
                    let message = Outgoing::message(&*room, &*filler(n % members), "m.room.message", body);
                    rooms.send(message.under("FILLER", format!("m{n}"))).await.expect("a message");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a worker");
    }
    let last = homeserver.stream().position().0;
    homeserver.shutdown().await;
    (room.to_string(), first, last)
}

fn filler(n: usize) -> OwnedUserId {
    format!("@filler{n}:localhost").try_into().expect("a user id")
}

/// The bytes of the files in a folder.
fn size(folder: &Path) -> f64 {
    let files = std::fs::read_dir(folder).expect("a folder").flatten();
    files.filter_map(|file| file.metadata().ok()).filter(std::fs::Metadata::is_file).map(|file| file.len() as f64).sum()
}

/// 50 people who each wait for news and speak once a second.
pub(crate) async fn active(report: &mut Report) {
    let mut running = Running::begin().await;
    // Users of the appservice, whom no limit on registrations holds back.
    let (_, people) = register(&running, 50).await;
    let mut rooms = Vec::new();
    for members in people.chunks(10) {
        rooms.push(running.room_of(members).await);
    }
    rooms.push(running.room_of(&people).await);
    let until = Instant::now() + Duration::from_secs(if cfg!(debug_assertions) { 3 } else { 30 });
    let mut tasks = Vec::new();
    for (n, person) in people.iter().enumerate() {
        let (api, account) = (running.api.clone(), person.clone());
        tasks.push(tokio::spawn(async move {
            let (mut since, _) = api.sync(&account, None, 0).await;
            while Instant::now() < until {
                since = api.sync(&account, Some(&since), 1_000).await.0;
            }
        }));
        let (api, account, rooms) = (running.api.clone(), person.clone(), [rooms[n / 10].clone(), rooms[5].clone()]);
        tasks.push(tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_secs(1));
            for said in 0.. {
                tick.tick().await;
                if Instant::now() >= until {
                    break;
                }
                api.send(&account, &rooms[said % 2], "something to talk about").await;
            }
        }));
    }
    for task in tasks {
        task.await.expect("somebody");
    }
    report.ours("memory with 50 people active", "MB", AtMost(100.0), running.memory());
}
