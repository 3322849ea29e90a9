//! How fast rooms are, without HTTP: `cargo bench -p landbridge-homeserver --bench rooms`.
//!
//! Prints a line for each piece of work. `ROOMS_BENCH_SECONDS` (5) is how long each rate is measured.

#![expect(clippy::panic, reason = "a measurement that cannot go on says why")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use landbridge_homeserver::{
    Config, Homeserver,
    clock::SystemClock,
    rooms::{Membership, MembershipChange, NewRoom, Outgoing, Rooms},
};
use ruma::{OwnedRoomId, OwnedUserId, api::client::room::create_room::v3 as create_room};
use serde_json::{json, value::to_raw_value};

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap_or_else(|error| panic!("{error}"));
    runtime.block_on(run());
}

fn user(n: usize) -> OwnedUserId {
    let id = format!("@user{n}:bench.example");
    OwnedUserId::try_from(id).unwrap_or_else(|error| panic!("{error}"))
}

async fn room(rooms: &Rooms) -> OwnedRoomId {
    let mut request = create_room::Request::new();
    request.preset = Some(create_room::RoomPreset::PublicChat);
    rooms
        .create(NewRoom { creator: user(0), request: &request, profiles: Default::default() })
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Sends for a while, `in_flight` at a time, and prints how it went.
async fn sends(name: &str, rooms: &Rooms, ids: &[OwnedRoomId], in_flight: usize, senders: usize) -> f64 {
    let seconds = std::env::var("ROOMS_BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let until = Instant::now() + Duration::from_secs(seconds);
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let tasks: Vec<_> = (0..in_flight)
        .map(|_| {
            let (rooms, ids, next) = (rooms.clone(), ids.to_vec(), next.clone());
            let name = name.to_owned();
            tokio::spawn(async move {
                let mut times = Vec::new();
                while Instant::now() < until {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let body =
                        json!({ "msgtype": "m.text", "body": format!("message {n}, as long as people write them") });
                    let body = to_raw_value(&body).unwrap_or_else(|error| panic!("{error}"));
                    let outgoing = Outgoing::message(&*ids[n % ids.len()], user(n % senders), "m.room.message", body)
                        .under("BENCH", format!("{name} {n}"));
                    let at = Instant::now();
                    rooms.send(outgoing).await.unwrap_or_else(|error| panic!("{error}"));
                    times.push(at.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap_or_else(|error| panic!("{error}")));
    }
    let rate = times.len() as f64 / started.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    println!("{name}: {rate:.0}/s, median {:?}, p99 {:?}", at(50), at(99));
    rate
}

async fn run() {
    let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let name = "bench.example".try_into().unwrap_or_else(|error| panic!("{error}"));
    let hs = Homeserver::open(Config::new(name, dir.path()), Arc::new(SystemClock))
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let rooms = hs.rooms();
    let mut small = Vec::new();
    for _ in 0..10 {
        small.push(room(rooms).await);
    }
    sends("sends, 8 in flight, 10 rooms", rooms, &small, 8, 1).await;
    let few = sends("sends, 8 in flight, 1 room of 1", rooms, &small[..1], 8, 1).await;
    sends("sends, 1 in flight, 1 room", rooms, &small[..1], 1, 1).await;
    sends("sends, 64 in flight, 10 rooms", rooms, &small, 64, 1).await;

    let large = room(rooms).await;
    let started = Instant::now();
    let joins: Vec<_> = (1..1000)
        .map(|n| {
            let (rooms, large) = (rooms.clone(), large.clone());
            tokio::spawn(async move {
                let change = MembershipChange::new(large, user(n), user(n), Membership::Join);
                rooms.change_membership(change).await.unwrap_or_else(|error| panic!("{error}"))
            })
        })
        .collect();
    for join in joins {
        join.await.unwrap_or_else(|error| panic!("{error}"));
    }
    println!("joins of 999 users into one room: {:.0}/s", 999.0 / started.elapsed().as_secs_f64());
    let many = sends("sends, 8 in flight, 1 room of 1000", rooms, std::slice::from_ref(&large), 8, 1000).await;
    println!("a room of 1000 takes {:.0} % of what a room of 1 takes", many / few * 100.0);
    let started = Instant::now();
    let state = rooms.state(&large).await.unwrap_or_else(|error| panic!("{error}"));
    println!("state of {} events, warm: {:?}", state.len(), started.elapsed());
    hs.shutdown().await;
}
