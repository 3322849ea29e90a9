//! The door that a stopping bridge closes: what the endpoints hold may outlive it.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::RwLock;
use ruma::{RoomAliasId, UserId};
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use crate::dispatch::{AcceptError, Backlog, Intake, Transaction};

/// An intake until it is closed.
pub(super) struct Gate {
    intake: RwLock<Option<Arc<dyn Intake>>>,
    /// What is under way ends, too: nobody is there any more who could finish it.
    gone: CancellationToken,
}

impl Gate {
    pub(super) fn new(intake: Arc<dyn Intake>) -> Self {
        Self { intake: RwLock::new(Some(intake)), gone: CancellationToken::new() }
    }

    /// Lets nothing more in.
    pub(super) fn close(&self) {
        *self.intake.write() = None;
    }

    /// As [`Gate::close`], and breaks off what is under way.
    pub(super) fn slam(&self) {
        self.close();
        self.gone.cancel();
    }

    fn open(&self) -> Option<Arc<dyn Intake>> {
        self.intake.read().clone()
    }
}

#[async_trait]
impl Intake for Gate {
    async fn accept(&self, transaction: Transaction) -> Result<(), AcceptError> {
        let intake = self.open().ok_or(AcceptError::Stopping)?;
        let accepted = self.gone.run_until_cancelled(intake.accept(transaction)).await;
        accepted.unwrap_or(Err(AcceptError::Stopping))
    }

    fn ephemeral(&self, events: Vec<Box<RawValue>>) {
        if let Some(intake) = self.open() {
            intake.ephemeral(events);
        }
    }

    async fn user_exists(&self, user_id: &UserId) -> bool {
        match self.open() {
            Some(intake) => self.gone.run_until_cancelled(intake.user_exists(user_id)).await.unwrap_or(false),
            None => false,
        }
    }

    async fn alias_exists(&self, alias: &RoomAliasId) -> bool {
        match self.open() {
            Some(intake) => self.gone.run_until_cancelled(intake.alias_exists(alias)).await.unwrap_or(false),
            None => false,
        }
    }

    fn backlog(&self) -> Backlog {
        self.open().map_or_else(Backlog::default, |intake| intake.backlog())
    }
}
