//! A homeserver on a temporary database, and short words for what tests do with it.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use landbridge_homeserver::{
    Config, Homeserver,
    clock::ManualClock,
    rooms::{Event, Membership, MembershipChange, NewRoom, Outgoing, RoomError, Rooms, Sent},
};
use ruma::{OwnedEventId, OwnedRoomId, RoomId, UserId, api::client::room::create_room::v3 as create_room};
use serde_json::{Value, value::RawValue};

/// What tests say at the start.
pub(crate) const START: u64 = 1_700_000_000_000;

/// A homeserver for one test.
pub(crate) struct Server {
    pub(crate) hs: Homeserver,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) database: Option<String>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_on(None).await
    }

    pub(crate) async fn start_on(database: Option<String>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let hs = open(dir.path(), database.clone()).await;
        Self { hs, dir, database }
    }

    /// Stops cleanly and starts again on the same database.
    pub(crate) async fn restart(self) -> Self {
        self.hs.shutdown().await;
        let hs = open(self.dir.path(), self.database.clone()).await;
        Self { hs, ..self }
    }

    pub(crate) fn rooms(&self) -> &Rooms {
        self.hs.rooms()
    }

    pub(crate) async fn create(
        &self,
        creator: &UserId,
        request: &create_room::Request,
    ) -> Result<OwnedRoomId, RoomError> {
        self.rooms().create(NewRoom { creator: creator.to_owned(), request, profiles: Default::default() }).await
    }

    /// A room that anyone may join.
    pub(crate) async fn public_room(&self, creator: &UserId, version: &str) -> OwnedRoomId {
        let mut request = create_room::Request::new();
        request.preset = Some(create_room::RoomPreset::PublicChat);
        request.room_version = Some(version.try_into().unwrap());
        self.create(creator, &request).await.unwrap()
    }

    pub(crate) async fn join(&self, room: &RoomId, user: &UserId) -> Result<OwnedEventId, RoomError> {
        self.member(room, user, user, Membership::Join).await
    }

    pub(crate) async fn member(
        &self,
        room: &RoomId,
        sender: &UserId,
        target: &UserId,
        membership: Membership,
    ) -> Result<OwnedEventId, RoomError> {
        self.rooms().change_membership(MembershipChange::new(room, sender, target, membership)).await
    }

    pub(crate) async fn say(&self, room: &RoomId, sender: &UserId, body: &str) -> Result<Sent, RoomError> {
        self.rooms().send(message(room, sender, body)).await
    }

    pub(crate) async fn set(
        &self,
        room: &RoomId,
        sender: &UserId,
        kind: &str,
        state_key: &str,
        content: Value,
    ) -> Result<Sent, RoomError> {
        self.rooms().send(Outgoing::state(room, sender, kind, state_key, raw(content))).await
    }

    /// The content of a state event, now.
    pub(crate) async fn state(&self, room: &RoomId, kind: &str, state_key: &str) -> Option<Value> {
        let event = self.rooms().state_event(room, &kind.into(), state_key).await.unwrap()?;
        Some(content(&event))
    }
}

pub(crate) async fn open(dir: &Path, database: Option<String>) -> Homeserver {
    let mut config = Config::new("test.example".try_into().unwrap(), dir);
    config.database = database;
    Homeserver::open(config, Arc::new(ManualClock::at(START))).await.unwrap()
}

pub(crate) fn raw(value: Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(&value).unwrap()
}

pub(crate) fn message(room: &RoomId, sender: &UserId, body: &str) -> Outgoing {
    let content = serde_json::json!({ "msgtype": "m.text", "body": body });
    Outgoing::message(room, sender, "m.room.message", raw(content))
}

pub(crate) fn content(event: &Event) -> Value {
    serde_json::from_str(event.content.get()).unwrap()
}

/// The bodies of messages, in order.
pub(crate) fn bodies(events: &[Arc<Event>]) -> Vec<String> {
    events.iter().filter_map(|event| Some(content(event).get("body")?.as_str()?.to_owned())).collect()
}

/// Has a story happen on PostgreSQL, where there is one.
pub(crate) async fn on_postgresql(story: impl AsyncFnOnce(Server)) {
    let Some(postgres) = Postgres::start().await else {
        println!("no PostgreSQL here");
        return;
    };
    story(Server::start_on(Some(postgres.url.clone())).await).await;
}

/// A PostgreSQL of its own in a temporary directory, or the one that `TEST_POSTGRES_URL` names. `None` where there is none.
pub(crate) struct Postgres {
    pub(crate) url: String,
    server: Option<(Child, PathBuf)>,
}

impl Postgres {
    /// Starts a server on a socket of its own, as another user where we are root, because PostgreSQL refuses root.
    pub(crate) async fn start() -> Option<Self> {
        if let Ok(url) = std::env::var("TEST_POSTGRES_URL") {
            return Some(Self { url, server: None });
        }
        let bin = postgres_bin()?;
        let dir = std::env::temp_dir().join(format!("landbridge-pg-{}", std::process::id()));
        let script = format!(
            "set -e; rm -rf {d}; mkdir -m 755 {d}; cd {d}; {b}/initdb -D {d}/data -A trust -U test >/dev/null",
            d = dir.display(),
            b = bin.display()
        );
        assert!(as_postgres(&script).status().ok()?.success(), "initdb");
        let run = format!(
            "exec {b}/postgres -D {d}/data -k {d} -c listen_addresses= -c fsync=off",
            d = dir.display(),
            b = bin.display()
        );
        let child = as_postgres(&run).stderr(Stdio::null()).spawn().ok()?;
        let url = format!("postgres://test@localhost/postgres?host={}", dir.display());
        let ready = format!("{b}/pg_isready -q -h {d}", d = dir.display(), b = bin.display());
        while !as_postgres(&ready).status().ok()?.success() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        Some(Self { url, server: Some((child, dir)) })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some((child, dir)) = &mut self.server {
            let stop = format!("kill -INT $(head -1 {d}/data/postmaster.pid); true", d = dir.display());
            let _ = as_postgres(&stop).status();
            let _ = child.wait();
            let _ = as_postgres(&format!("rm -rf {}", dir.display())).status();
        }
    }
}

fn postgres_bin() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    versions.flatten().map(|version| version.path().join("bin")).find(|bin| bin.join("initdb").exists())
}

fn as_postgres(script: &str) -> Command {
    let root = std::fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
    let mut command = if root { Command::new("runuser") } else { Command::new("sh") };
    if root {
        command.args(["-u", "postgres", "--", "sh"]);
    }
    command.arg("-c").arg(script).current_dir("/");
    command
}
