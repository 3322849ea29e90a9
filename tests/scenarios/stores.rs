//! What the bridge keeps: dead letters, as its operator settles them, and a disk that is full.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

use http::StatusCode;
use landbridge_tests::{IrcUser, LoneBridge, Ngircd, eventually, transaction};
use serde_json::json;

const LOBBY: &str = "#lobby";
const ALICE: &str = "@alice:localhost";

fn said(number: usize, text: &str) -> String {
    transaction([(ALICE.to_owned(), format!("$event{number}"), text.to_owned())])
}

fn printed(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits until the room is mapped: what is said in it before concerns nobody.
async fn is_mapped(lone: &LoneBridge, bob: &IrcUser) {
    lone.joins(bob, LOBBY).await;
    let hello = AtomicUsize::new(1_000_000);
    eventually("the room is mapped", || async {
        let n = hello.fetch_add(1, Ordering::Relaxed);
        assert_eq!(lone.pushes(&format!("hello{n}"), said(n, "hello")).await, StatusCode::OK);
        bob.heard(LOBBY).iter().any(|(_, text)| text.contains("hello")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn dead_letters_are_listed_shown_tried_again_and_dropped() {
    let mut irc = Ngircd::start().await;
    let section = json!({ "mode": "relay", "give_up_after": "1s" });
    let lone = LoneBridge::start(irc.address(), LOBBY, section, drop).await;
    let bob = IrcUser::connect(irc.address(), "bob").await;
    bob.joins(LOBBY).await;
    is_mapped(&lone, &bob).await;
    assert_eq!(lone.pushes("1", said(1, "before")).await, StatusCode::OK);
    bob.sees_line("before", |line| line.params.get(1).is_some_and(|text| text.contains("before"))).await;
    assert_eq!(printed(&lone.dead_letters(&["list"])).trim(), "Everything was delivered.");

    irc.kill();
    assert_eq!(lone.pushes("2", said(2, "poison")).await, StatusCode::OK);
    let listed = async || {
        eventually("a dead letter", || async {
            let list = printed(&lone.dead_letters(&["list"]));
            list.contains("Matrix → network").then_some(list)
        })
        .await
    };
    let list = listed().await;
    assert!(list.contains("r:#lobby") || list.contains(LOBBY), "{list}");
    let number = list.split_whitespace().next().expect("a number").to_owned();
    let shown = printed(&lone.dead_letters(&["show", &number]));
    assert!(shown.contains("poison") && shown.contains("delivered"), "{shown}");
    let missing = lone.dead_letters(&["show", "999999"]);
    assert!(!missing.status.success());

    irc.start_again().await;
    let bob = IrcUser::connect(irc.address(), "bob").await;
    bob.joins(LOBBY).await;
    is_mapped(&lone, &bob).await;
    let retried = lone.dead_letters(&["retry", &number]);
    assert!(retried.status.success() && printed(&retried).starts_with("1 tried again"), "{retried:?}");
    bob.sees_line("poison", |line| line.params.get(1).is_some_and(|text| text.contains("poison"))).await;
    assert_eq!(printed(&lone.dead_letters(&["list"])).trim(), "Everything was delivered.");

    irc.kill();
    assert_eq!(lone.pushes("3", said(3, "never mind")).await, StatusCode::OK);
    listed().await;
    let dropped = lone.dead_letters(&["drop", "--all"]);
    assert_eq!(printed(&dropped).trim(), "1 dropped.");
    assert_eq!(printed(&lone.dead_letters(&["list"])).trim(), "Everything was delivered.");
}

/// A small disk of its own, as a folder.
struct SmallDisk(Option<PathBuf>);

impl SmallDisk {
    fn mount(&mut self, folder: PathBuf) {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(&folder);
        self.0 = mount.status().is_ok_and(|status| status.success()).then_some(folder);
    }

    /// Nothing more fits.
    fn fill(&self) {
        let path = self.0.as_ref().expect("mounted").join("filler");
        let mut filler = fs::File::create(path).expect("a file");
        let mut size = 4096;
        while size > 0 {
            if std::io::Write::write_all(&mut filler, &vec![0; size]).is_err() {
                size /= 2;
            }
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.0.as_ref().expect("mounted").join("filler")).expect("the filler is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Some(folder) = &self.0 {
            let _ = Command::new("umount").arg("-l").arg(folder).status();
        }
    }
}

#[tokio::test]
async fn a_full_disk_is_answered_with_5xx_and_loses_nothing() {
    let mut irc = Ngircd::start().await;
    let mut disk = SmallDisk(None);
    let lone = LoneBridge::start(irc.address(), LOBBY, json!({ "mode": "relay" }), |folder| disk.mount(folder)).await;
    if disk.0.is_none() {
        eprintln!("a file system cannot be mounted here: not tested");
        return;
    }
    let bob = IrcUser::connect(irc.address(), "bob").await;
    bob.joins(LOBBY).await;
    is_mapped(&lone, &bob).await;
    irc.kill();
    disk.fill();
    let text = |n: usize| format!("{n} {}", "x".repeat(300));
    let (mut taken, mut refused) = (0, 0);
    while refused < 5 {
        let n = taken + 1;
        match lone.pushes(&n.to_string(), said(n, &text(n))).await {
            StatusCode::OK => taken += 1,
            status => {
                assert!(status.is_server_error(), "{status}");
                refused += 1;
            }
        }
        assert!(taken < 10_000, "the disk is full");
    }
    disk.make_room();
    // What was refused is sent again, as a homeserver does; it is taken once.
    eventually("a disk with room takes it", || async {
        let again = lone.pushes(&(taken + 1).to_string(), said(taken + 1, &text(taken + 1))).await;
        again.is_success().then_some(())
    })
    .await;
    irc.start_again().await;
    let bob = IrcUser::connect(irc.address(), "bob").await;
    bob.joins(LOBBY).await;
    assert_eq!(lone.pushes("999999", said(999_999, "the end")).await, StatusCode::OK);
    bob.sees_line("the end", |line| line.params.get(1).is_some_and(|text| text.contains("the end"))).await;
}
