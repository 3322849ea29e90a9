//! The figures of `docs/performance.md`, each beside its limit, and beside Synapse where the same work can be done there.
//!
//! ```text
//! cargo build --release && cargo bench -p landbridge-tests --bench end_to_end            # everything
//! cargo bench -p landbridge-tests --bench end_to_end -- homeserver synapse bridge        # some of it
//! cargo bench -p landbridge-tests --bench end_to_end -- crowd million active             # the homeserver at scale
//! cargo bench -p landbridge-tests --bench end_to_end -- million=300000 crowd=2000        # less of it, for less time
//! cargo bench -p landbridge-tests --bench end_to_end -- bridge burst=1000 puppets=50     # less of it
//! cargo bench -p landbridge-tests --bench end_to_end -- xmpp xmpp-http                   # homeserver and bridge in one process, in two
//! ```
//!
//! The load generator runs beside the server on the same machine.

#![expect(clippy::expect_used, reason = "what fails here fails the run")]

mod appservice;
mod bridge;
mod client;
mod homeserver;
mod inbox;
mod irc;
mod listener;
mod machine;
mod report;
mod scale;
mod state;
mod wire;
mod xmpp;
mod xmpp_bridge;

use report::Report;

fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let size =
        |name: &str| wanted.iter().find_map(|argument| argument.strip_prefix(name)?.strip_prefix('=')?.parse().ok());
    let is_size = |name: &str| ["burst", "puppets"].contains(&name);
    let parts: Vec<&str> =
        wanted.iter().filter_map(|argument| argument.split('=').next()).filter(|name| !is_size(name)).collect();
    let wants = |name: &str| parts.is_empty() || parts.contains(&name);
    let (burst, puppets) = (size("burst").unwrap_or(5_000), size("puppets").unwrap_or(200));
    // `cargo test --benches` and `cargo nextest` run this too: then there is nothing to measure.
    if (cfg!(debug_assertions) && std::env::var_os("LANDBRIDGE_BENCH_DEBUG").is_none())
        || std::env::args().any(|argument| argument == "--test" || argument == "--list")
    {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut report = Report::new();
        machine::measure(&mut report, "before");
        if wants("homeserver") {
            homeserver::embedded(&mut report).await;
        }
        if wants("crowd") {
            scale::crowd(&mut report, size("crowd").unwrap_or(scale::CROWD)).await;
        }
        if wants("million") {
            scale::million(&mut report, size("million").unwrap_or(scale::MILLION)).await;
        }
        if wants("state") {
            state::share(&mut report).await;
        }
        if wants("active") {
            scale::active(&mut report).await;
        }
        if wants("synapse") {
            homeserver::synapse(&mut report).await;
        }
        if wants("inbox") {
            inbox::measure(&mut report).await;
        }
        if wants("bridge") {
            bridge::puppets(&mut report, puppets).await;
            bridge::measure(&mut report, burst).await;
        }
        if wants("xmpp") {
            xmpp_bridge::in_one(&mut report, burst).await;
        }
        if wants("xmpp-http") {
            xmpp_bridge::in_two(&mut report, burst).await;
        }
        machine::measure(&mut report, "after");
        println!("{report}");
    });
}
