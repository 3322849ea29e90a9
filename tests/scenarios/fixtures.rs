//! The fixtures themselves, with no bridge between: what a failure here says is that the servers are not as expected.

use landbridge_tests::{Atheme, Inspircd, IrcUser, MatrixUser, Ngircd, Postgres, Sasl, Synapse};

#[tokio::test]
async fn two_people_talk_over_ngircd() {
    let server = Ngircd::start().await;
    let alice = IrcUser::connect(server.address(), "alice").await;
    let bob = IrcUser::connect(server.address(), "bob").await;
    alice.joins("#lobby").await;
    bob.joins("#lobby").await;
    alice.sees_join("#lobby", "bob").await;

    alice.says("#lobby", "hello");
    bob.sees("#lobby", "alice", "hello").await;
    bob.does("#lobby", "waves");
    alice.sees_action("#lobby", "bob", "waves").await;
    bob.is_now("robert").await;
    bob.says("alice", "in private");
    alice.sees("alice", "robert", "in private").await;
    assert_eq!(alice.names("#lobby").await, ["alice", "robert"]);
    assert_eq!(bob.heard("#lobby"), [("alice".to_owned(), "hello".to_owned())]);
}

#[tokio::test]
async fn a_restart_of_ngircd_breaks_every_connection() {
    let mut server = Ngircd::start().await;
    let alice = IrcUser::connect(server.address(), "alice").await;
    server.kill();
    alice.sees_line("the end", |line| line.command == "DISCONNECTED").await;
    server.start_again().await;
    IrcUser::connect(server.address(), "alice").await.joins("#lobby").await;
}

#[tokio::test]
async fn an_account_of_atheme_logs_in_with_sasl_on_inspircd() {
    let server = Inspircd::start().await;
    let _services = Atheme::start(&server).await;
    let alice = IrcUser::connect(server.address(), "alice").await;
    alice.says("NickServ", "REGISTER correct-horse alice@example.org");
    alice.sees_line("900, logged in", |line| line.command == "900").await;

    let account = Sasl { account: "alice".to_owned(), password: "correct-horse".to_owned() };
    let again = IrcUser::connect_with_account(server.address(), "alice2", account).await;
    again.sees_line("900, logged in", |line| line.command == "900").await;
}

#[tokio::test]
async fn inspircd_replays_history_to_who_joins() {
    let server = Inspircd::start().await;
    let alice = IrcUser::connect(server.address(), "alice").await;
    alice.joins("#lobby").await;
    alice.sets_mode("#lobby", &["+H", "50:1h"]).await;
    alice.says("#lobby", "said before");
    alice.says("alice", "a marker");
    alice.sees("alice", "alice", "a marker").await;

    let bob = IrcUser::connect(server.address(), "bob").await;
    bob.joins("#lobby").await;
    bob.sees("#lobby", "alice", "said before").await;
}

#[tokio::test]
async fn two_people_talk_over_synapse() {
    let server = Synapse::start(&[]).await;
    let alice = MatrixUser::register(&server.url(), "alice").await;
    let bob = MatrixUser::register(&server.url(), "bob").await;
    let hers = alice.creates_room(serde_json::json!({ "alias": "lobby", "name": "Lobby" })).await;
    hers.invites(&bob.id).await;
    let his = bob.accepts_invitation(&alice.id).await;
    assert_eq!(his.id, hers.id);

    let hello = hers.says("hello").await;
    his.sees(&alice.id, "hello").await;
    his.reacts(&hello, "👋").await;
    hers.sees_event("a reaction", |event| event.content()["m.relates_to"]["key"] == "👋").await;
    hers.redacts(&hello, "a slip").await;
    his.sees_redaction(&hello).await;
    hers.sets_topic("what we talk of").await;
    his.sees_topic("what we talk of").await;
    let file = alice.uploads("some text", "text/plain", "notes.txt").await;
    assert_eq!(bob.downloads(&file).await, "some text");
    assert_eq!(his.members().await.len(), 2);
    assert_eq!(his.heard(), [(alice.id.clone(), "hello".to_owned())]);
}

#[tokio::test]
async fn postgres_gives_each_test_a_database() {
    let server = Postgres::start().await;
    server.database("one");
    server.database("two");
    server.query("one", "CREATE TABLE t (n BIGINT); INSERT INTO t VALUES (7)");
    assert_eq!(server.query("one", "SELECT n FROM t"), "7");
    assert_eq!(server.query("two", "SELECT count(*) FROM pg_tables WHERE tablename = 't'"), "0");
}

#[tokio::test]
async fn two_inspircds_split_and_link_again() {
    let first = Inspircd::start().await;
    let second = first.start_second().await;
    let near = IrcUser::connect(first.address(), "near").await;
    let far = IrcUser::connect(second.address(), "far").await;
    near.joins("#lobby").await;
    far.joins("#lobby").await;
    near.sees_join("#lobby", "far").await;
    near.says("#lobby", "there?");
    far.sees("#lobby", "near", "there?").await;
    far.says("#lobby", "yes");
    near.sees("#lobby", "far", "yes").await;
    // Who cuts the link knows at once that it is gone; and the second is the one that makes it again.
    far.sends("OPER", &["admin", "admin"]);
    far.sees_line("381, an operator", |line| line.command == "381").await;
    far.sends("SQUIT", &["irc.insp.test", "a split"]);
    near.sees_quit("far").await;
    near.sees_join("#lobby", "far").await;
}
