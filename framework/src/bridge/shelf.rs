//! What the framework keeps and finds for a network that asks.

use std::sync::Arc;

use async_trait::async_trait;
use ruma::UserId;

use super::{Homeserver, HomeserverError, existence::Existence};
use crate::{
    clock::Clock,
    network::{
        Library, PictureContent,
        host::{Busy, Closed},
    },
    store::{Change, NoteRow, Store},
};

/// The store and the homeserver, as far as networks may ask them.
pub(crate) struct Shelf {
    pub(crate) store: Store,
    pub(crate) homeserver: Arc<dyn Homeserver>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) existence: Arc<Existence>,
}

#[async_trait]
impl Library for Shelf {
    async fn note(&self, topic: &str, name: &str) -> Result<Option<String>, Closed> {
        self.store.note(topic, name).await.map_err(|error| unread(&error))
    }

    async fn notes(&self, topic: &str) -> Result<Vec<(String, String)>, Closed> {
        self.store.notes(topic).await.map_err(|error| unread(&error))
    }

    async fn set_note(&self, topic: &str, name: &str, text: &str) -> Result<(), Closed> {
        let (topic, name, text) = (topic.to_owned(), name.to_owned(), text.to_owned());
        let note = NoteRow { topic, name, text, at: self.clock.now().0 };
        let change = Change { notes: vec![note], ..Change::default() };
        match self.store.commit(change).await {
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::warn!(%error, "a note was not kept");
                Err(Closed)
            }
        }
    }

    async fn exists(&self, user_id: &UserId) -> Result<bool, Busy> {
        self.existence.of(user_id).await
    }

    async fn picture_of(&self, user_id: &UserId, most: usize) -> Result<Option<PictureContent>, Closed> {
        let found = async {
            let Some(mxc) = self.homeserver.avatar_of(user_id).await? else { return Ok(None) };
            self.homeserver.thumbnail(&mxc, most).await
        };
        match found.await {
            Ok(picture) => Ok(picture),
            Err(HomeserverError::Limited(_) | HomeserverError::Unavailable(_)) => Err(Closed),
            // Whose picture nobody may see has none.
            Err(error) => {
                tracing::debug!(%user_id, %error, "a picture cannot be had");
                Ok(None)
            }
        }
    }
}

fn unread(error: &landbridge_sql::SqlError) -> Closed {
    tracing::warn!(%error, "notes cannot be read");
    Closed
}
