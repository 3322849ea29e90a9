//! Takes transactions: one commit each, before the 200.

use std::{borrow::Cow, sync::Arc};

use async_trait::async_trait;
use landbridge_sql::{SqlError, WriteError};
use parking_lot::Mutex;
use ruma::{RoomAliasId, RoomId, UserId, events::AnyTimelineEvent, serde::Raw};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::{
    decide::Decider,
    ephemeral::Ephemerals,
    intake::{AcceptError, Backlog, Intake, Transaction},
    numbers::{self, Numbers},
};
use crate::{
    bridge::{content::Keyed, parts::Parts, rooms::Rooms, virtual_users::VirtualUsers},
    clock::{Clock, Millis},
    network::{Direction, Network},
    store::{Change, Echo, Heard, InboxRow, Store},
};

/// What stands behind the appservice endpoints.
pub(crate) struct Inbox<N: Network> {
    pub(crate) parts: Arc<Parts<N>>,
    pub(crate) rooms: Arc<Rooms<N>>,
    pub(crate) users: Arc<VirtualUsers<N>>,
    pub(crate) decider: Arc<Decider<N>>,
    /// Tells transactions of one registration from those of another: ids restart with it.
    pub(crate) epoch: String,
    /// Finds the transaction that the homeserver left behind.
    pub(crate) numbers: Numbers,
    /// Where goes what is kept nowhere.
    pub(crate) ephemerals: Arc<Ephemerals<N>>,
    /// How much waits, counted now and then.
    pub(crate) backlog: Arc<Mutex<Backlog>>,
}

/// What must be known of an event before it is stored.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    event_id: Cow<'a, str>,
    #[serde(borrow)]
    room_id: Cow<'a, str>,
    #[serde(borrow)]
    sender: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Keyed<'a>,
}

impl<N: Network> Inbox<N> {
    /// Takes up the numbers of the transactions where an earlier life left them.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn resume(
        parts: &Arc<Parts<N>>,
        users: &Arc<VirtualUsers<N>>,
        rooms: &Arc<Rooms<N>>,
        decider: Arc<Decider<N>>,
        ephemerals: Arc<Ephemerals<N>>,
        registration: &str,
    ) -> Result<Self, SqlError> {
        let epoch = epoch(registration);
        let numbers = Numbers::resume(parts.store.position(&stream(&epoch)).await?);
        Ok(Self {
            parts: Arc::clone(parts),
            rooms: Arc::clone(rooms),
            users: Arc::clone(users),
            decider,
            epoch,
            numbers,
            ephemerals,
            backlog: Arc::default(),
        })
    }

    /// What a transaction becomes: rows for what others did, echoes of what we did.
    fn change(&self, transaction: &Transaction) -> Change {
        let now = self.parts.clock.now();
        let mut change = Change::default();
        let mut rows = Vec::with_capacity(transaction.events.len());
        for event in &transaction.events {
            match self.read(event, now) {
                Some(Read::Row(row)) => rows.push(row),
                Some(Read::Echo(echo)) => change.echoes.push(echo),
                Some(Read::Ours) => {}
                None => tracing::warn!(txn.id = %transaction.txn_id, "an event without id, room or sender is left out"),
            }
        }
        let hash = Sha256::digest(&transaction.body);
        let mark = format!("t:{}\u{1f}{}\u{1f}{}", self.epoch, transaction.txn_id, hex(&hash[..16]));
        change.heard.push(Heard { together: Some(mark), rows, ..Heard::default() });
        if let Some(number) = numbers::number(transaction.txn_id.as_str()).and_then(|number| i64::try_from(number).ok())
        {
            let cursor = Some((stream(&self.epoch), number));
            change.heard.push(Heard { cursor, ..Heard::default() });
        }
        change
    }

    fn read(&self, event: &Raw<AnyTimelineEvent>, now: Millis) -> Option<Read> {
        let json = event.json().get();
        let head: Head<'_> = serde_json::from_str(json).ok()?;
        let sender = <&UserId>::try_from(&*head.sender).ok()?;
        if self.parts.names.is_ours(sender) {
            let Some(idem) = head.content.key() else { return Some(Read::Ours) };
            let (direction, name) = (Direction::ToMatrix, Some(head.event_id.into_owned()));
            return Some(Read::Echo(Echo { direction, idem, name }));
        }
        let room_id = <&RoomId>::try_from(&*head.room_id).ok()?;
        Some(Read::Row(InboxRow {
            seq: 0,
            lane: self.parts.mappings.lane(room_id),
            direction: Direction::ToRemote,
            session: None,
            mark: format!("e:{}", head.event_id),
            body: json.to_owned(),
            at: now.0,
        }))
    }
}

enum Read {
    Row(InboxRow),
    Echo(Echo),
    /// Something of ours that closes nothing, such as a membership.
    Ours,
}

/// The stream whose position is the number of the latest transaction.
pub(crate) fn stream(epoch: &str) -> String {
    format!("t:{epoch}")
}

/// A short name for a registration's tokens, which themselves are stored nowhere.
pub(crate) fn epoch(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes())[..8])
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[async_trait]
impl<N: Network> Intake for Inbox<N> {
    async fn accept(&self, transaction: Transaction) -> Result<(), AcceptError> {
        self.parts.kill.pass("transaction.received").await;
        self.numbers.look(transaction.txn_id.as_str(), self.parts.clock.now()).map_err(AcceptError::Overtakes)?;
        let mut change = self.change(&transaction);
        if change.echoes.is_empty() && change.heard.iter().all(|heard| heard.rows.is_empty()) {
            // Nothing to keep, and nobody needs to wait until its number is.
            let heard = change.heard.into_iter().filter(|heard| heard.cursor.is_some()).collect();
            self.parts.alive.notify_waiters();
            let queued = self.parts.store.enqueue(Change { heard, ..Change::default() }).await;
            return queued.map(drop).map_err(|_| AcceptError::Stopping);
        }
        self.decider.decide(&mut change.heard);
        self.parts.store.commit(change).await.map_err(|error| match error {
            WriteError::Full => AcceptError::Full,
            WriteError::Closed => AcceptError::Stopping,
            error => {
                tracing::error!(txn.id = %transaction.txn_id, %error, "a transaction could not be stored");
                AcceptError::Failed(error.to_string())
            }
        })?;
        self.parts.kill.pass("transaction.committed").await;
        self.parts.alive.notify_waiters();
        Ok(())
    }

    fn ephemeral(&self, events: Vec<Box<RawValue>>) {
        self.ephemerals.take(&events);
    }

    async fn user_exists(&self, user_id: &UserId) -> bool {
        let Some(user) = self.parts.names.user(&*self.parts.network, user_id) else { return false };
        match self.users.ensure(&user, None).await {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(user.id = %user_id, %error, "a virtual user could not be made");
                false
            }
        }
    }

    async fn alias_exists(&self, alias: &RoomAliasId) -> bool {
        let Some(room) = self.parts.names.room(&*self.parts.network, alias) else { return false };
        match self.rooms.portal(&room).await {
            Ok(_) => true,
            Err(error) => {
                tracing::info!(room.alias = %alias, %error, "a portal was not made");
                false
            }
        }
    }

    fn backlog(&self) -> Backlog {
        Backlog { lanes: self.parts.lanes.len(), ..*self.backlog.lock() }
    }
}

/// Counts what waits, every second.
pub(crate) async fn count(store: Store, clock: Arc<dyn Clock>, backlog: Arc<Mutex<Backlog>>) {
    loop {
        let (inbox, outbox) = (store.inbox_backlog().await, store.outbox_backlog().await);
        let ((inbox, first), (outbox, second)) = (inbox.unwrap_or_default(), outbox.unwrap_or_default());
        let oldest = [first, second].into_iter().flatten().min();
        *backlog.lock() = Backlog {
            inbox: u64::try_from(inbox).unwrap_or(0),
            outbox: u64::try_from(outbox).unwrap_or(0),
            lanes: 0,
            oldest: oldest.map_or_else(Default::default, |at| clock.now().since(Millis(at))),
        };
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}
