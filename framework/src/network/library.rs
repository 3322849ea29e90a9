//! What the framework keeps and finds for a network that asks.

use async_trait::async_trait;
use ruma::UserId;

use super::{
    PictureContent,
    host::{Busy, Closed},
};

/// What stands behind [`Host`](super::Host)'s answers: the store and the homeserver.
#[async_trait]
pub trait Library: Send + Sync + 'static {
    /// See [`Host::note`](super::Host::note).
    async fn note(&self, topic: &str, name: &str) -> Result<Option<String>, Closed>;
    /// See [`Host::notes`](super::Host::notes).
    async fn notes(&self, topic: &str) -> Result<Vec<(String, String)>, Closed>;
    /// See [`Host::set_note`](super::Host::set_note).
    async fn set_note(&self, topic: &str, name: &str, text: &str) -> Result<(), Closed>;
    /// See [`Host::exists`](super::Host::exists).
    async fn exists(&self, user_id: &UserId) -> Result<bool, Busy> {
        let _ = user_id;
        Ok(true)
    }
    /// See [`Host::picture_of`](super::Host::picture_of).
    async fn picture_of(&self, user_id: &UserId, most: usize) -> Result<Option<PictureContent>, Closed>;
}
