//! Drives a server as Element X does, by the crates that it stands on: `SyncService`, `RoomListService` and `Timeline` of
//! matrix-sdk-ui, with encryption.
//!
//! ```text
//! cargo run --manifest-path tests/drivers/element-x/Cargo.toml -- target/debug/landbridge /tmp/an-empty-folder
//! ```
//!
//! `RUST_LOG=matrix_sdk=error` shows what the crates say meanwhile. It ends with "all is well", or with what never came.

mod person;
mod server;
mod story;
mod timeline;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tracing_subscriber::EnvFilter;

use crate::{person::Person, server::Server};

/// Waits until something holds, and says so.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) -> Result<()> {
    let began = Instant::now();
    while !holds().await {
        ensure!(began.elapsed() < Duration::from_secs(40), "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("ok  {what}  ({} ms)", began.elapsed().as_millis());
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("off")))
        .init();
    let mut arguments = std::env::args().skip(1);
    let binary = PathBuf::from(arguments.next().context("which server? the path of landbridge comes first")?);
    let folder = PathBuf::from(arguments.next().context("where? an empty folder comes second")?);
    let listen = arguments.next().unwrap_or_else(|| "127.0.0.1:18208".to_owned());
    std::fs::create_dir_all(&folder)?;
    let (binary, folder) = (binary.canonicalize()?, folder.canonicalize()?);
    let mut server = Server::start(&binary, &folder, &listen)?;
    let url = format!("http://{listen}");
    let alice = Person::registers(&url, &folder, "alice").await?;
    let bob = Person::registers(&url, &folder, "bob").await?;
    println!("-- the list");
    let room_id = story::list(&alice, &bob).await?;
    println!("-- a timeline");
    story::talk(&alice, &bob, &room_id).await?;
    story::history(&Person::logs_in(&url, &folder, "bob", "tablet").await?, &room_id).await?;
    println!("-- coming and going");
    story::coming_and_going(&alice, &bob).await?;
    println!("-- encryption");
    let (room_id, key) = story::secrets(&alice, &bob).await?;
    let phone = Person::logs_in(&url, &folder, "alice", "phone").await?;
    story::recovery(&phone, &room_id, &key).await?;
    println!("-- a crash");
    story::crash(&mut server, [&alice, &bob, &phone], &room_id).await?;
    println!("-- the account");
    story::account(&bob).await?;
    for person in [&alice, &bob, &phone] {
        person.leaves().await?;
    }
    println!("all is well");
    drop(server);
    // What the crates still do in the background panics when its runtime ends.
    std::process::exit(0)
}
