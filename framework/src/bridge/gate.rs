//! The door that a stopping bridge closes: what the endpoints hold may outlive it.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::RwLock;
use ruma::{RoomAliasId, UserId};

use crate::dispatch::{AcceptError, Backlog, Intake, Transaction};

/// An intake until it is closed.
pub(super) struct Gate(RwLock<Option<Arc<dyn Intake>>>);

impl Gate {
    pub(super) fn new(intake: Arc<dyn Intake>) -> Self {
        Self(RwLock::new(Some(intake)))
    }

    /// Lets nothing more in.
    pub(super) fn close(&self) {
        *self.0.write() = None;
    }

    fn open(&self) -> Option<Arc<dyn Intake>> {
        self.0.read().clone()
    }
}

#[async_trait]
impl Intake for Gate {
    async fn accept(&self, transaction: Transaction) -> Result<(), AcceptError> {
        self.open().ok_or(AcceptError::Stopping)?.accept(transaction).await
    }

    async fn user_exists(&self, user_id: &UserId) -> bool {
        match self.open() {
            Some(intake) => intake.user_exists(user_id).await,
            None => false,
        }
    }

    async fn alias_exists(&self, alias: &RoomAliasId) -> bool {
        match self.open() {
            Some(intake) => intake.alias_exists(alias).await,
            None => false,
        }
    }

    fn backlog(&self) -> Backlog {
        self.open().map_or_else(Backlog::default, |intake| intake.backlog())
    }
}
