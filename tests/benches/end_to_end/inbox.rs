//! How fast transactions are taken, while the network takes nothing at all: its server is gone, so everything is stored and waits.

use std::time::{Duration, Instant};

use landbridge_tests::{IrcUser, LoneBridge, Ngircd, transaction};
use serde_json::json;

use crate::report::{Limit, Report, percentile};

const TRANSACTIONS: usize = 500;
const EVENTS: usize = 100;

/// Measures it: transactions of 100 events, 50 of them a second.
pub(crate) async fn measure(report: &mut Report) {
    let mut server = Ngircd::start().await;
    let bridge = LoneBridge::start(server.address(), "#bench", json!({}), drop).await;
    let somebody = IrcUser::connect(server.address(), "somebody").await;
    somebody.joins("#bench").await;
    bridge.joins(&somebody, "#bench").await;
    server.kill();
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let mut times = Vec::with_capacity(TRANSACTIONS);
    let all = Instant::now();
    for n in 0..TRANSACTIONS {
        let body = transaction((0..EVENTS).map(|e| message(n, e)));
        tick.tick().await;
        let began = Instant::now();
        let status = bridge.pushes(&n.to_string(), body).await;
        assert!(status.is_success(), "{status}");
        times.push(began.elapsed());
    }
    let rate = (TRANSACTIONS * EVENTS) as f64 / all.elapsed().as_secs_f64();
    report.ours("inbox, accepted", "events/s", Limit::AtLeast(4_900.0), rate);
    report.ours("inbox, 5,000 events/s in hundreds, p99", "ms", Limit::AtMost(20.0), percentile(&mut times, 99));
    report.ours("inbox, median", "ms", Limit::AtMost(20.0), percentile(&mut times, 50));
}

fn message(n: usize, e: usize) -> (String, String, String) {
    let (sender, event_id) =
        (format!("@person{}:localhost", e % 10), format!("$event_{n}_{e}_of_the_benchmark_of_the_inbox"));
    (sender, event_id, format!("message {e} of transaction {n}, as long as messages are"))
}
