//! One story, on both engines: something is heard, decided, delivered, remembered, parked and brought back.

use std::process::Command;

use parking_lot::Mutex;

use super::*;
use crate::{bridge::dead_letters::Stage, network::Direction};

#[derive(Default)]
struct Listening(Mutex<Vec<String>>);

impl Listener for Listening {
    fn committed(&self, done: &Committed) {
        let mut heard = self.0.lock();
        heard.extend(done.inbox.iter().map(|row| format!("in {} {}", row.seq, row.mark)));
        heard.extend(done.outbox.iter().map(|row| format!("out {} {}", row.seq, row.idem)));
        heard.extend(done.closed.iter().map(|(row, name)| format!("closed {} {name:?}", row.idem)));
    }
}

fn inbox(mark: &str, at: i64) -> InboxRow {
    InboxRow {
        seq: 0,
        lane: "r:#a".to_owned(),
        direction: Direction::ToRemote,
        session: None,
        mark: mark.to_owned(),
        body: format!("{{\"text\":\"{mark}\\u0000\"}}"),
        at,
    }
}

fn outbox(idem: &str, direction: Direction) -> OutboxRow {
    let memory = Memory { author_name: "bob".to_owned(), sender: "@bob:b".to_owned(), ..Memory::default() };
    OutboxRow {
        seq: 0,
        lane: "r:#a".to_owned(),
        direction,
        session: "relay".to_owned(),
        idem: idem.to_owned(),
        room_id: "!r:b".to_owned(),
        op: "{}".to_owned(),
        source: (direction == Direction::ToRemote).then(|| format!("${idem}")),
        memory: serde_json::to_string(&memory).ok(),
        claimed: false,
        attempts: 0,
        last_error: None,
        at: 5,
        fresh: false,
    }
}

fn heard(together: Option<&str>, cursor: Option<(&str, i64)>, rows: Vec<InboxRow>) -> Change {
    let cursor = cursor.map(|(stream, position)| (stream.to_owned(), position));
    Change {
        heard: vec![Heard { together: together.map(str::to_owned), cursor, rows, ..Heard::default() }],
        ..Change::default()
    }
}

/// What is known to become something is kept as that, unless it was heard before.
#[tokio::test]
async fn what_is_decided_already_is_kept_as_what_it_becomes_and_only_once() {
    let dir = tempfile::tempdir().unwrap();
    let address = format!("sqlite:{}", dir.path().join("t.db").display());
    let listening = Arc::new(Listening::default());
    let (store, _writer) = Store::open(&address, Durability::Full, Arc::clone(&listening) as _).await.unwrap();
    let decided = |marks: &[&str], keys: &[(usize, &str)]| {
        let mut change = heard(Some(&marks.concat()), None, marks.iter().map(|mark| inbox(mark, 1)).collect());
        let decisions = keys.iter().map(|(index, key)| (*index, vec![outbox(key, Direction::ToMatrix)]));
        change.heard[0].decided = decisions.collect();
        change
    };
    let first = store.commit(decided(&["a", "b"], &[(0, "k1")])).await.unwrap();
    assert_eq!((first.fresh.as_slice(), first.inbox.len(), first.outbox.len()), (&[true][..], 1, 1));
    // Among others that are new, and in a transaction that was heard as a whole.
    let again = store.commit(decided(&["a", "c"], &[(0, "k2"), (1, "k3")])).await.unwrap();
    assert_eq!((again.inbox.len(), again.outbox[0].idem.as_str(), again.outbox.len()), (0, "k3", 1));
    let again = store.commit(decided(&["a", "b"], &[(0, "k4"), (1, "k5")])).await.unwrap();
    assert_eq!((again.inbox.len(), again.outbox.len()), (0, 0));
    let waits = store.inbox_of("r:#a", 0, 99).await.unwrap();
    assert_eq!(waits.iter().map(|row| row.mark.as_str()).collect::<Vec<_>>(), ["b"]);
    let waits = store.outbox_of(Direction::ToMatrix, "r:#a", 0, 99).await.unwrap();
    assert_eq!(waits.iter().map(|row| row.idem.as_str()).collect::<Vec<_>>(), ["k1", "k3"]);
}

/// Rows go when they are done, their places do not come back.
#[tokio::test]
async fn no_place_in_the_order_is_given_out_twice() {
    let dir = tempfile::tempdir().unwrap();
    let address = format!("sqlite:{}", dir.path().join("t.db").display());
    let mut newest = 0;
    for _ in 0..3 {
        let (store, writer) = Store::open(&address, Durability::Full, Arc::new(Listening::default())).await.unwrap();
        let done = store.commit(heard(None, None, vec![inbox("", 1), inbox("", 1)])).await.unwrap();
        let outbox = vec![outbox("k", Direction::ToMatrix)];
        let inbox_done = done.inbox.iter().map(|row| row.seq).collect();
        let decided = store.commit(Change { inbox_done, outbox, ..Change::default() }).await.unwrap();
        let places: Vec<i64> =
            done.inbox.iter().map(|row| row.seq).chain(decided.outbox.iter().map(|row| row.seq)).collect();
        assert!(places[0] > newest && places.is_sorted(), "{places:?} after {newest}");
        newest = places[2];
        store.commit(Change { outbox_done: vec![newest], ..Change::default() }).await.unwrap();
        drop(store);
        writer.await.unwrap();
    }
}

/// What is heard for the first time is not asked for before it is written; what is heard again is found out by that.
#[tokio::test]
async fn what_is_heard_again_among_what_is_new_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let address = format!("sqlite:{}", dir.path().join("t.db").display());
    let (store, _writer) = Store::open(&address, Durability::Full, Arc::new(Listening::default())).await.unwrap();
    let of = |marks: &[&str]| heard(None, None, marks.iter().map(|mark| inbox(mark, 1)).collect());
    for marks in [&["a", "b"][..], &["b", "c"], &["c", "d", "d"], &["e"]] {
        store.commit(of(marks)).await.unwrap();
    }
    // In one round, with one that was heard and one that was not.
    let (known, new) = tokio::join!(store.commit(of(&["a", "e"])), store.commit(of(&["f"])));
    assert_eq!([known.unwrap().fresh, new.unwrap().fresh], [[false], [true]]);
    let rows = store.inbox_of("r:#a", 0, 99).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.mark.as_str()).collect::<Vec<_>>(), ["a", "b", "c", "d", "e", "f"]);
}

async fn story(address: &str) {
    let listening = Arc::new(Listening::default());
    let (store, writer) = Store::open(address, Durability::Full, Arc::clone(&listening) as _).await.unwrap();

    // Heard once, however often it is said: together, alone, and by position.
    let first = heard(Some("t1"), None, vec![inbox("e1", 1), inbox("e2", 2), inbox("e2", 2)]);
    let (one, two) = tokio::join!(store.commit(first.clone()), store.commit(first));
    assert_eq!([one.unwrap().fresh, two.unwrap().fresh], [[true], [false]]);
    assert_eq!(store.commit(heard(Some("t2"), None, vec![inbox("e2", 2)])).await.unwrap().fresh, [false]);
    assert_eq!(store.commit(heard(None, Some(("s", 7)), vec![inbox("", 3)])).await.unwrap().fresh, [true]);
    assert_eq!(store.commit(heard(None, Some(("s", 7)), vec![inbox("", 3)])).await.unwrap().fresh, [false]);
    assert_eq!(store.commit(heard(None, Some(("s", 8)), vec![inbox("e\0", 3)])).await.unwrap().fresh, [true]);
    let rows = store.inbox_of("r:#a", 1, 2).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.mark.as_str()).collect::<Vec<_>>(), ["e2", ""]);
    assert_eq!(rows[0].body, "{\"text\":\"e2\\u0000\"}", "JSON is kept as it came");
    let lanes = store.inbox_lanes().await.unwrap();
    let [(lane, last)] = lanes.as_slice() else { panic!("one lane: {lanes:?}") };
    assert_eq!((lane.as_str(), store.inbox_of("r:#a", 0, 9).await.unwrap().len()), ("r:#a", 4));

    // Decided: the inbox row goes in the commit in which the outbox rows come.
    let out = vec![outbox("k1", Direction::ToRemote), outbox("k2", Direction::ToMatrix)];
    let change = Change { inbox_done: (1..=*last).collect(), outbox: out, ..Change::default() };
    let done = store.commit(change).await.unwrap();
    let seqs: Vec<i64> = done.outbox.iter().map(|row| row.seq).collect();
    assert_eq!(store.inbox_backlog().await.unwrap(), (0, None));
    assert_eq!(store.outbox_backlog().await.unwrap(), (2, Some(5)));

    // Claimed, released, claimed in one round: the claim is the last word.
    let release =
        store.enqueue(Change { release: vec![(seqs[0], 3, "down".to_owned())], ..Change::default() }).await.unwrap();
    let claim = store.enqueue(Change {
        claim: vec![seqs[0]],
        rewrite: vec![(seqs[0], "[]".to_owned(), None)],
        ..Change::default()
    });
    let claim = claim.await.unwrap();
    release.await.unwrap().unwrap();
    claim.await.unwrap().unwrap();
    let row = store.outbox_of(Direction::ToRemote, "r:#a", 0, 9).await.unwrap().remove(0);
    assert!(row.claimed && row.attempts == 3 && row.op == "[]" && row.last_error.as_deref() == Some("down"));

    // Our own message comes back: its row closes, and both names are remembered.
    let echoes = vec![
        Echo { direction: Direction::ToMatrix, idem: "k2".to_owned(), name: Some("$event".to_owned()) },
        Echo { direction: Direction::ToRemote, idem: "k1".to_owned(), name: Some("m1".to_owned()) },
        Echo { direction: Direction::ToMatrix, idem: "unknown".to_owned(), name: None },
    ];
    store.commit(Change { echoes, ..Change::default() }).await.unwrap();
    assert!(store.outbox_lanes(Direction::ToRemote).await.unwrap().is_empty());
    let known = store.message_by_remote("!r:b", "m1").await.unwrap();
    assert_eq!(known[0].event_id, "$k1");
    assert_eq!(store.message_by_event("!r:b", "$event").await.unwrap()[0].memory.author_name, "bob");
    assert!(store.message_by_event("!other:b", "$event").await.unwrap().is_empty(), "only from the same room");

    // Withdrawn where it stands aside, unless it is just being said.
    let aside = |name: &str, lane: &str| OutboxRow { lane: lane.to_owned(), ..outbox(name, Direction::ToRemote) };
    let rows = vec![aside("w1", "r:#a|x"), aside("w2", "r:#a|x"), aside("w3", "r:#a|xy"), aside("w4", "r:#a")];
    let done = store.commit(Change { outbox: rows, ..Change::default() }).await.unwrap();
    let seqs: Vec<i64> = done.outbox.iter().map(|row| row.seq).collect();
    let withdraw = |lanes: Standing, source: Option<&str>| Change {
        withdraw: vec![Withdrawal { lanes, source: source.map(str::to_owned) }],
        ..Change::default()
    };
    store.commit(withdraw(Standing::Only("r:#a|x".into()), Some("$other"))).await.unwrap();
    assert_eq!(store.outbox_count("r:#a|x").await.unwrap(), 2);
    store.commit(Change { claim: vec![seqs[0]], ..Change::default() }).await.unwrap();
    store.commit(withdraw(Standing::Only("r:#a|x".into()), None)).await.unwrap();
    assert_eq!((store.outbox_holds(seqs[0]).await.unwrap(), store.outbox_holds(seqs[1]).await.unwrap()), (true, false));
    store.commit(Change { release: vec![(seqs[0], 1, String::new())], ..Change::default() }).await.unwrap();
    let source = done.outbox[0].source.as_deref();
    store.commit(withdraw(Standing::From("r:#a|".into()), source)).await.unwrap();
    assert_eq!(store.outbox_count("r:#a|x").await.unwrap(), 0);
    store.commit(withdraw(Standing::From("r:#a|".into()), None)).await.unwrap();
    assert_eq!((store.outbox_count("r:#a|xy").await.unwrap(), store.outbox_count("r:#a").await.unwrap()), (0, 1));
    store.commit(Change { outbox_done: seqs, ..Change::default() }).await.unwrap();

    // Parked, and brought back.
    let letter = DeadLetterRow {
        number: 99,
        lane: "r:#a".to_owned(),
        direction: Direction::ToRemote,
        stage: Stage::Convert,
        input: serde_json::to_string(&inbox("e9", 9)).unwrap(),
        error: "poison".to_owned(),
        attempts: 1,
        at: 9,
    };
    store.commit(Change { park: vec![letter], ..Change::default() }).await.unwrap();
    assert_eq!(dead_letters::list(&store.db, 10).await.unwrap()[0].error, "poison");
    assert_eq!(dead_letters::retry(&store.db, Some(1)).await.unwrap(), 0);
    assert_eq!(dead_letters::retry(&store.db, None).await.unwrap(), 1);
    assert_eq!(store.dead_letters_to_retry().await.unwrap()[0].id, 99);
    assert_eq!(dead_letters::drop(&store.db, Some(99)).await.unwrap(), 0, "it is on its way back");

    // Rooms and people.
    let mapping = MappingRow {
        room_id: "!r:b".into(),
        remote: "#a".into(),
        kind: "portal".into(),
        owner: None,
        at: 1,
        deserted: false,
    };
    let (wanted, actual) = (MemberState::Banned, MemberState::Joined);
    let member = MemberRow { room_id: "!r:b".into(), remote: "bob".into(), wanted, actual, ..MemberRow::default() };
    let user = UserRow { remote: "bob".into(), name: Some("Bob".into()), avatar: None };
    let job = JobRow { name: "j".into(), data: "{}".into(), at: 1 };
    let change = Change {
        mappings: vec![mapping.clone()],
        members: vec![member.clone()],
        users: vec![user.clone()],
        jobs: vec![job.clone()],
        ..Change::default()
    };
    store.commit(change).await.unwrap();
    assert_eq!(store.mappings().await.unwrap(), std::slice::from_ref(&mapping));
    let deserted = vec![("!r:b".into(), false), ("!r:b".into(), true), ("!other:b".into(), true)];
    store.commit(Change { deserted, ..Change::default() }).await.unwrap();
    assert_eq!(store.mappings().await.unwrap(), [MappingRow { deserted: true, ..mapping }]);
    assert_eq!(store.members().await.unwrap(), [member]);
    assert_eq!(store.user("bob").await.unwrap(), Some(user));
    assert_eq!(store.jobs().await.unwrap(), [job]);
    let gone = Change {
        unmap: vec!["!r:b".into()],
        members_gone: vec![("!r:b".into(), "bob".into())],
        jobs_done: vec!["j".into()],
        ..Change::default()
    };
    store.commit(gone).await.unwrap();
    assert!(store.mappings().await.unwrap().is_empty() && store.members().await.unwrap().is_empty());
    assert_eq!(store.forget_seen(3, 100).await.unwrap(), 4, "t1, e1, e2 and t2");
    pictures_and_links(&store).await;

    let heard = listening.0.lock().clone();
    assert_eq!(heard[..2], ["in 1 e1", "in 2 e2"]);
    assert!(heard.contains(&"closed k2 Some(\"$event\")".to_owned()), "{heard:?}");
    drop(store);
    writer.await.unwrap();
}

/// Pictures are found by their hash; links end with the last message that brought the file; rooms move; messages are forgotten.
async fn pictures_and_links(store: &Store) {
    let picture = PictureRow { hash: "h".into(), mxc: "mxc://b/p".into(), at: 1 };
    store.commit(Change { pictures: vec![picture.clone(), picture], ..Change::default() }).await.unwrap();
    assert_eq!(store.picture("h").await.unwrap().as_deref(), Some("mxc://b/p"));
    assert_eq!(store.picture("i").await.unwrap(), None);

    let message = |event_id: &str, media: &str, at: i64| MessageRow {
        event_id: event_id.to_owned(),
        room_id: "!files:b".to_owned(),
        memory: Memory { media: Some(media.to_owned()), ..Memory::default() },
        at,
    };
    let messages =
        vec![message("$f1", "mxc://b/1", 11), message("$f2", "mxc://b/1", 12), message("$f3", "mxc://b/3", 13)];
    store.commit(Change { messages, ..Change::default() }).await.unwrap();
    let back = |events: &[&str]| {
        let taken_back = events.iter().map(|event_id| ((*event_id).to_owned(), 20)).collect();
        store.commit(Change { taken_back, ..Change::default() })
    };
    back(&["$f1", "$unknown"]).await.unwrap();
    assert!(!store.is_revoked("mxc://b/1").await.unwrap(), "$f2 brought it, too");
    back(&["$f2", "$f2"]).await.unwrap();
    assert!(store.is_revoked("mxc://b/1").await.unwrap() && !store.is_revoked("mxc://b/3").await.unwrap());
    store.commit(Change { revoke: vec![("mxc://b/3".into(), 1)], ..Change::default() }).await.unwrap();
    assert!(store.is_revoked("mxc://b/3").await.unwrap());

    let rows = vec![outbox("k8", Direction::ToMatrix), outbox("k9", Direction::ToRemote)];
    store.commit(Change { outbox: rows, ..Change::default() }).await.unwrap();
    store.commit(Change { moves: vec![("!r:b".into(), "!new:b".into())], ..Change::default() }).await.unwrap();
    let room = async |way| store.outbox_of(way, "r:#a", 0, 9).await.unwrap().remove(0).room_id;
    assert_eq!(room(Direction::ToMatrix).await, "!new:b");
    assert_eq!(room(Direction::ToRemote).await, "!r:b", "what it is about was said in the old room");

    assert_eq!(store.message_behind(2).await.unwrap(), Some(11));
    assert_eq!(store.message_behind(100).await.unwrap(), None);
    assert_eq!(store.forget_messages(13, 1).await.unwrap(), 1, "a batch at a time");
    while store.forget_messages(13, 1).await.unwrap() > 0 {}
    assert!(store.message_by_event("!files:b", "$f2").await.unwrap().is_empty());
    assert!(!store.message_by_event("!files:b", "$f3").await.unwrap().is_empty());
}

#[tokio::test]
async fn the_story_of_a_message_on_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    story(&format!("sqlite:{}", dir.path().join("story.db").display())).await;
}

#[tokio::test]
async fn the_story_of_a_message_on_postgres() {
    if let Ok(address) = std::env::var("TEST_POSTGRES_URL") {
        return story(&address).await;
    }
    let Some(postgres) = Postgres::start() else {
        eprintln!("PostgreSQL is not installed and TEST_POSTGRES_URL is not set: not tested");
        return;
    };
    story(&postgres.address).await;
}

/// A cluster in a temporary folder, reached through a socket in it.
struct Postgres {
    address: String,
    data: std::path::PathBuf,
    bin: std::path::PathBuf,
    _dir: tempfile::TempDir,
}

impl Postgres {
    fn start() -> Option<Self> {
        let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
        let bin =
            versions.flatten().map(|version| version.path().join("bin")).find(|bin| bin.join("initdb").exists())?;
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        run(Command::new("chmod").arg("755").arg(dir.path()));
        run(Command::new("chown").args(["postgres"]).arg(&data));
        let options = format!("-c listen_addresses='' -k {} -c fsync=off", data.display());
        run(as_postgres(&bin.join("initdb"))
            .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-sync", "-D"])
            .arg(&data));
        run(as_postgres(&bin.join("pg_ctl"))
            .args(["-w", "-o", &options, "-l"])
            .arg(data.join("log"))
            .arg("-D")
            .arg(&data)
            .arg("start"));
        let address = format!("postgres://postgres@localhost/postgres?host={}", data.display());
        Some(Self { address, data, bin, _dir: dir })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        run(as_postgres(&self.bin.join("pg_ctl")).args(["-m", "immediate", "-D"]).arg(&self.data).arg("stop"));
    }
}

fn as_postgres(program: &std::path::Path) -> Command {
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program).current_dir("/");
    command
}

fn run(command: &mut Command) {
    let status = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}");
}
