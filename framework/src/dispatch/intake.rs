//! What the homeserver's requests reach: transactions and queries.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ruma::{OwnedTransactionId, RoomAliasId, UserId, events::AnyTimelineEvent, serde::Raw};
use serde_json::value::RawValue;

/// One transaction of the homeserver ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/application-service-api/#put_matrixappv1transactionstxnid
#[derive(Debug, Clone)]
pub struct Transaction {
    /// Its id. Ids may restart from 1 when the homeserver's database is made anew, so an id alone recognises nothing.
    pub txn_id: OwnedTransactionId,
    /// The request's body as it came; its hash tells a repetition from another transaction of the same id.
    pub body: Bytes,
    /// The events, in order.
    pub events: Vec<Raw<AnyTimelineEvent>>,
}

/// Why a transaction was not taken. Nothing of it was kept, and the homeserver must send it again: answer 5xx.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// The disk is full.
    #[error("the database has no room left")]
    Full,
    /// The database failed.
    #[error("the database failed: {0}")]
    Failed(String),
    /// The homeserver left one behind, which must come first.
    #[error("transaction {0} has not come yet")]
    Overtakes(u64),
    /// The bridge is stopping.
    #[error("the bridge is stopping")]
    Stopping,
}

/// What stands behind the appservice endpoints.
#[async_trait]
pub trait Intake: Send + Sync + 'static {
    /// Takes a transaction and returns **after it is durable**: only now may it be answered with 200. A transaction that was
    /// taken before is taken again without effect, and so is each event that was.
    ///
    /// # Errors
    /// [`AcceptError`]; then nothing was kept.
    async fn accept(&self, transaction: Transaction) -> Result<(), AcceptError>;

    /// Takes what is kept nowhere: typing, receipts, presence. Never waits; what cannot be passed on at once is left out.
    fn ephemeral(&self, events: Vec<Box<RawValue>>) {
        let _ = events;
    }

    /// Whether there is, or can be, a virtual user of this id; registers it if so.
    async fn user_exists(&self, user_id: &UserId) -> bool;

    /// Whether there is, or can be, a portal of this alias; makes the room if so.
    async fn alias_exists(&self, alias: &RoomAliasId) -> bool;

    /// How long the oldest thing that is not yet done has been waiting, and how many there are.
    fn backlog(&self) -> Backlog;
}

/// How much waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Things heard and not yet converted.
    pub inbox: u64,
    /// Things decided and not yet delivered.
    pub outbox: u64,
    /// Lanes that have something to do.
    pub lanes: u64,
    /// The age of the oldest of them.
    pub oldest: Duration,
}
