//! Pushers: each follows the log from a durable place of its own and sends what its user is to be told of ([spec])
//!
//! A gateway that does not answer is asked again, ever later, for a day; then the event is given up. A crash repeats at most the
//! notification that was being sent.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3pushersset

use std::{collections::HashMap, sync::Arc, time::Duration};

use landbridge_sql::{Row, SqlError};
use parking_lot::{Mutex, RwLock};
use ruma::{OwnedUserId, UserId};
use serde_json::{Map, Value};
use tokio::{sync::watch, task::JoinHandle, time::Instant};

use super::{
    Judge, PushGateway, Unread, Verdict,
    failing::{Failing, Trouble},
    notification,
};
use crate::{
    clock::Clock,
    http::error::ApiError,
    rooms::{Event, Membership, Rooms},
    store::{
        KeepError, StoreError,
        local::{Local, first_number},
        pushers::{self as table, PusherRow},
    },
    stream::{Position, Stream},
};

/// How many pushers a user has at most: each follows the log, and calls an address that its user chose.
pub const MAX_PUSHERS: i64 = 50;

/// How many events of the log are looked at at once.
const LOOKED_AT: usize = 500;

/// How far a pusher may be ahead of the place that is stored without having sent anything.
const AHEAD: i64 = 10_000;

/// The first wait after a failure, the longest, and how long one event is tried.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(600);
const TRIED_FOR: Duration = Duration::from_secs(24 * 3600);

/// All pushers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pushers {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    parts: Arc<Parts>,
    tasks: Mutex<HashMap<Key, Task>>,
}

/// A pusher at work, and what it last met with.
#[derive(Debug)]
struct Task {
    task: JoinHandle<()>,
    trouble: Trouble,
}

/// A pusher that cannot reach its gateway.
#[derive(Clone, Debug)]
pub struct FailingPusher {
    /// Whose it is.
    pub user_id: String,
    /// The application.
    pub app_id: String,
    /// What is wrong.
    pub failing: Failing,
}

/// User, application, push key.
type Key = (String, String, String);

#[derive(Debug)]
struct Parts {
    local: Local,
    stream: Stream,
    rooms: Rooms,
    judge: Judge,
    unread: Unread,
    clock: Arc<dyn Clock>,
    gateway: RwLock<Option<Arc<dyn PushGateway>>>,
    /// Wakes pushers that wait before they try again.
    now: watch::Sender<u64>,
}

/// A pusher as its user asks for it.
#[derive(Clone, Debug)]
pub struct NewPusher {
    /// Whose it is.
    pub user_id: OwnedUserId,
    /// The device that made it; empty where there is none.
    pub device_id: String,
    /// The application.
    pub app_id: String,
    /// The device, as the application's gateway knows it.
    pub pushkey: String,
    /// The pusher as `GET /pushers` shows it, a JSON object.
    pub body: String,
    /// Whether others may have pushers with the same key.
    pub append: bool,
}

/// Where notifications of a pusher go.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) user_id: OwnedUserId,
    pub(super) app_id: String,
    pub(super) pushkey: String,
    pub(super) created_at: i64,
    pub(super) event_id_only: bool,
    pub(super) data: Map<String, Value>,
    url: String,
}

impl Target {
    fn of(row: &PusherRow) -> Option<Self> {
        let body: Value = serde_json::from_str(&row.body).ok()?;
        let mut data = body.get("data")?.as_object()?.clone();
        let url = data.remove("url")?.as_str()?.to_owned();
        Some(Self {
            user_id: UserId::parse(row.user_id.as_str()).ok()?,
            app_id: row.app_id.clone(),
            pushkey: row.pushkey.clone(),
            created_at: row.created_at,
            event_id_only: data.get("format").and_then(Value::as_str) == Some("event_id_only"),
            data,
            url,
        })
    }
}

impl Pushers {
    pub(crate) fn new(
        local: Local,
        stream: Stream,
        rooms: Rooms,
        judge: Judge,
        unread: Unread,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (gateway, now) = (RwLock::default(), watch::Sender::new(0));
        let parts = Arc::new(Parts { local, stream, rooms, judge, unread, clock, gateway, now });
        Self { inner: Arc::new(Inner { parts, tasks: Mutex::default() }) }
    }

    /// Begins to send, with what was left when the server stopped.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn start(&self, gateway: Arc<dyn PushGateway>) -> Result<(), SqlError> {
        *self.inner.parts.gateway.write() = Some(gateway);
        for row in table::all(self.inner.parts.local.db()).await? {
            self.follow(&row);
        }
        Ok(())
    }

    /// Stops sending.
    pub(crate) fn stop(&self) {
        for (_, Task { task, .. }) in self.inner.tasks.lock().drain() {
            task.abort();
        }
    }

    /// How many pushers there are at work, and those of them that cannot reach their gateways.
    pub(crate) fn state(&self) -> (usize, Vec<FailingPusher>) {
        let mut tasks = self.inner.tasks.lock();
        tasks.retain(|_, task| !task.task.is_finished());
        let failing = tasks.iter().filter_map(|((user_id, app_id, _), task)| {
            let failing = task.trouble.now()?;
            Some(FailingPusher { user_id: user_id.clone(), app_id: app_id.clone(), failing })
        });
        let mut failing: Vec<_> = failing.collect();
        failing.sort_by(|one, other| (&one.user_id, &one.app_id).cmp(&(&other.user_id, &other.app_id)));
        (tasks.len(), failing)
    }

    /// Has pushers whose gateways failed try again at once.
    pub fn retry_now(&self) {
        self.inner.parts.now.send_modify(|times| *times += 1);
    }

    /// Adds or changes a pusher.
    ///
    /// # Errors
    /// When the store fails, and where the user has too many.
    pub async fn set(&self, new: NewPusher) -> Result<(), KeepError> {
        let parts = &self.inner.parts;
        let row = PusherRow {
            user_id: new.user_id.to_string(),
            app_id: new.app_id,
            pushkey: new.pushkey,
            device_id: new.device_id,
            body: new.body,
            created_at: i64::from(parts.clock.now().0),
            pos: parts.stream.position().0,
        };
        let mut statements = vec![table::put(&row)];
        if !new.append {
            statements.push(table::drop_others(&row.user_id, &row.app_id, &row.pushkey));
        }
        let put = move |found: &[Vec<Row>]| {
            if first_number(found)? >= MAX_PUSHERS {
                return Err(KeepError::TooMany("There are too many pushers"));
            }
            Ok((statements.clone(), ()))
        };
        let reads = vec![table::ask_others(&row.user_id, &row.app_id, &row.pushkey)];
        parts.local.change_quietly(reads, put).await?;
        if parts.gateway.read().is_some() {
            self.follow(&row);
        }
        Ok(())
    }

    /// Removes a pusher, if there is one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delete(&self, user_id: &UserId, app_id: &str, pushkey: &str) -> Result<(), StoreError> {
        self.inner.parts.local.write(vec![table::delete(user_id.as_str(), app_id, pushkey)]).await.map(drop)
    }

    /// The pushers of a user, each a JSON object.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn of_user(&self, user_id: &UserId) -> Result<Vec<Value>, SqlError> {
        let rows = table::of_user(self.inner.parts.local.db(), user_id.as_str()).await?;
        Ok(rows.iter().filter_map(|row| serde_json::from_str(&row.body).ok()).collect())
    }

    fn follow(&self, row: &PusherRow) {
        let key = (row.user_id.clone(), row.app_id.clone(), row.pushkey.clone());
        let mut tasks = self.inner.tasks.lock();
        tasks.retain(|_, task| !task.task.is_finished());
        let trouble = Trouble::default();
        let follower = Follower { parts: self.inner.parts.clone(), key: key.clone(), trouble: trouble.clone() };
        tasks.entry(key).or_insert_with(|| Task { task: tokio::spawn(follower.run()), trouble });
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for Task { task, .. } in self.tasks.get_mut().values() {
            task.abort();
        }
    }
}

/// One pusher at work.
struct Follower {
    parts: Arc<Parts>,
    key: Key,
    trouble: Trouble,
}

/// What is over for good: the pusher is gone, or the store is closed.
struct Over;

impl Follower {
    async fn run(self) {
        let mut wait = FIRST_WAIT;
        loop {
            match self.follow().await {
                Ok(Over) => return,
                // The store failed: nothing was moved, so it begins again where it was.
                Err(error) => tracing::warn!(%error, "a pusher stumbled"),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn row(&self) -> Result<Option<PusherRow>, SqlError> {
        let (user_id, app_id, pushkey) = &self.key;
        table::one(self.parts.local.db(), user_id, app_id, pushkey).await
    }

    async fn moved(&self, position: Position) -> Result<(), StoreError> {
        let (user_id, app_id, pushkey) = &self.key;
        self.parts.local.write(vec![table::moved(user_id, app_id, pushkey, position.0)]).await.map(drop)
    }

    async fn follow(&self) -> Result<Over, ApiError> {
        let Some(row) = self.row().await? else { return Ok(Over) };
        let Some(user) = Target::of(&row).map(|target| target.user_id) else { return Ok(Over) };
        let (mut stored, mut position) = (Position(row.pos), Position(row.pos));
        let mut reads = self.parts.unread.times_read(&user);
        loop {
            let head = self.parts.stream.wait_past(position).await;
            while position < head {
                let events = self.parts.stream.read(position, head, LOOKED_AT).await?;
                let last = events.last().map(|event| event.position());
                for event in &events {
                    if self.concerns(&user, event).await?
                        && let Some(verdict) = self.parts.judge.verdict(&user, event).await?
                    {
                        // What is read from here on may not be in the counts that are told now.
                        reads = self.parts.unread.times_read(&user);
                        let Some(()) = self.tell(event, &verdict).await? else { return Ok(Over) };
                        self.moved(event.position()).await?;
                        stored = event.position();
                    }
                }
                position = last.filter(|_| events.len() == LOOKED_AT).unwrap_or(head);
            }
            let now = self.parts.unread.times_read(&user);
            if now != reads {
                let Some(()) = self.tell_counts(&user).await? else { return Ok(Over) };
            }
            reads = now;
            if position.0 - stored.0 > AHEAD {
                self.moved(position).await?;
                stored = position;
            }
        }
    }

    /// Whether the user is in the room of an event, or is invited by it.
    async fn concerns(&self, user: &UserId, event: &Event) -> Result<bool, ApiError> {
        if event.state_key.as_deref() == Some(user.as_str()) && event.membership() == Some(Membership::Invite) {
            return Ok(true);
        }
        let known = self.parts.rooms.membership(&event.room_id, user).await?;
        Ok(known.is_some_and(|known| known.membership == Membership::Join))
    }

    /// Sends a notification of an event, however long it takes; `None` where the pusher is gone.
    async fn tell(&self, event: &Event, verdict: &Verdict) -> Result<Option<()>, ApiError> {
        let (began, mut wait) = (Instant::now(), FIRST_WAIT);
        loop {
            let Some(target) = self.row().await?.as_ref().and_then(Target::of) else { return Ok(None) };
            let thread = self.parts.rooms.thread_of(event).await?;
            let (user, room_id) = (&target.user_id, &event.room_id);
            if self.parts.unread.is_read(user, room_id, thread, event.position()).await? {
                return Ok(Some(()));
            }
            let unread = self.unread(user, Some(event)).await?;
            let body = notification::of_event(&self.parts.rooms, &target, event, verdict, unread).await?;
            match self.send(&target, body).await {
                Ok(rejected) => return self.unless(rejected).await,
                Err(why) if began.elapsed() < TRIED_FOR => tracing::debug!(why, "a notification will be sent again"),
                Err(why) => {
                    tracing::info!(why, event.id = %event.event_id, "a notification was given up");
                    return Ok(Some(()));
                }
            }
            self.pause(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Tells how much is unread, once: if that does not arrive, the next notification will say it.
    async fn tell_counts(&self, user: &UserId) -> Result<Option<()>, ApiError> {
        let Some(target) = self.row().await?.as_ref().and_then(Target::of) else { return Ok(None) };
        let unread = self.unread(user, None).await?;
        match self.send(&target, notification::of_counts(&target, unread)).await {
            Ok(rejected) => self.unless(rejected).await,
            Err(_) => Ok(Some(())),
        }
    }

    async fn send(&self, target: &Target, body: String) -> Result<bool, String> {
        let gateway = self.parts.gateway.read().clone();
        let gateway = gateway.ok_or_else(|| "nobody carries notifications".to_owned())?;
        match gateway.notify(&target.url, body).await {
            Ok(rejected) => {
                self.trouble.is_over();
                Ok(rejected.contains(&target.pushkey))
            }
            Err(error) => {
                let why = error.to_string();
                self.trouble.failed(&target.url, self.parts.clock.now(), &why);
                Err(why)
            }
        }
    }

    /// Removes the pusher if its key was rejected.
    async fn unless(&self, rejected: bool) -> Result<Option<()>, ApiError> {
        if !rejected {
            return Ok(Some(()));
        }
        let (user_id, app_id, pushkey) = &self.key;
        self.parts.local.write(vec![table::delete(user_id, app_id, pushkey)]).await?;
        tracing::info!("a push key was rejected; its pusher is gone");
        Ok(None)
    }

    async fn pause(&self, wait: Duration) {
        let mut now = self.parts.now.subscribe();
        now.mark_unchanged();
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = now.changed() => {}
        }
    }

    /// How many notifications the user has not read in all rooms. Only the room of the event is counted on: the others are,
    /// when their events come by.
    async fn unread(&self, user: &UserId, event: Option<&Event>) -> Result<u64, ApiError> {
        let mut sum = 0;
        for room_id in self.parts.rooms.joined_rooms(user).await? {
            let until = match event {
                Some(event) if event.room_id == room_id => event.position(),
                _ => Position::START,
            };
            sum += self.parts.unread.of_room(user, &room_id, until).await?.total().notifications;
        }
        Ok(sum)
    }
}
