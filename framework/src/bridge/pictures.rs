//! Pictures of virtual users: each content is stored in Matrix once.

use std::sync::Arc;

use super::{HomeserverError, parts::Parts, stripes::Stripes, virtual_users::VirtualUsers};
use crate::{
    network::{Network, Picture, PictureContent, Pictured},
    store::{Change, PictureRow},
};

/// Shows pictures.
pub(crate) struct Pictures<N: Network> {
    parts: Arc<Parts<N>>,
    users: Arc<VirtualUsers<N>>,
    locks: Stripes,
}

impl<N: Network> Pictures<N> {
    pub(crate) fn new(parts: &Arc<Parts<N>>, users: &Arc<VirtualUsers<N>>) -> Self {
        Self { parts: Arc::clone(parts), users: Arc::clone(users), locks: Stripes::default() }
    }

    /// Gives a virtual user a picture, or takes it away.
    pub(crate) async fn show(&self, who: &N::User, picture: Option<Picture>) -> Pictured {
        match self.try_show(who, picture).await {
            Ok(pictured) => pictured,
            Err(error @ (HomeserverError::Unavailable(_) | HomeserverError::Limited(_))) => {
                tracing::debug!(%error, "a picture is not shown yet");
                Pictured::NotNow
            }
            Err(error) => {
                tracing::info!(%error, "a picture was refused");
                Pictured::Refused
            }
        }
    }

    async fn try_show(&self, who: &N::User, picture: Option<Picture>) -> Result<Pictured, HomeserverError> {
        let Some(Picture { hash, content }) = picture else {
            self.users.picture(who, None).await?;
            return Ok(Pictured::Shown);
        };
        let mxc = match self.known(&hash).await? {
            Some(mxc) => mxc,
            None => match content {
                None => return Ok(Pictured::ContentWanted),
                Some(content) if content.bytes.len() > PictureContent::MOST => return Ok(Pictured::Refused),
                Some(content) => self.keep(hash, content).await?,
            },
        };
        self.users.picture(who, Some(mxc.as_str().into())).await?;
        Ok(Pictured::Shown)
    }

    async fn known(&self, hash: &str) -> Result<Option<String>, HomeserverError> {
        self.parts.store.picture(hash).await.map_err(|error| HomeserverError::Unavailable(error.to_string()))
    }

    /// Stores a content. A crash before the commit stores it again.
    async fn keep(&self, hash: String, content: PictureContent) -> Result<String, HomeserverError> {
        let _one_at_a_time = self.locks.lock(&hash).await;
        if let Some(mxc) = self.known(&hash).await? {
            return Ok(mxc);
        }
        let PictureContent { mime, bytes } = content;
        let mxc = self.parts.homeserver.upload(&self.parts.names.bot, "avatar", &mime, bytes).await?;
        let row = PictureRow { hash, mxc: mxc.to_string(), at: self.parts.clock.now().0 };
        let change = Change { pictures: vec![row], ..Change::default() };
        let kept = self.parts.store.commit(change).await;
        kept.map_err(|error| HomeserverError::Unavailable(error.to_string()))?;
        Ok(mxc.to_string())
    }
}
