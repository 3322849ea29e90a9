//! `/sync`: what changed for one user since a place in the log ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#syncing

mod build;
mod device_lists;
mod fields;
mod filter;
mod lazy;
mod presence;
mod receipts;
mod room;
mod sliding;
mod summary;
mod token;
mod typing;
mod typists;

use std::{sync::Arc, time::Duration};

use ruma::{
    OwnedDeviceId, OwnedUserId, UserId,
    api::client::{filter::FilterDefinition, sync::sync_events::v3::Response},
};
use tokio::time::Instant;

use self::build::Built;
pub(crate) use self::{device_lists::device_changes, filter::everything};
pub use self::{
    filter::EventFilter,
    presence::{Presences, PresentAs},
    receipts::{Receipt, Receipts, by_room, receipt_content, receipt_events},
    sliding::{SlidingRequest, SlidingSync},
    token::{BadToken, SyncToken},
    typing::{LONGEST_TYPING, Typing},
    typists::Typists,
};
pub(crate) use self::{
    lazy::LazyMembers,
    sliding::{Connections, Recency},
};
use crate::{
    devices::{Keys, ToDevice},
    http::error::ApiError,
    push::Unread,
    rooms::{Event, RoomNid, Rooms},
    stream::{Position, Stream},
    users::AccountData,
};

/// The longest a client may wait for news.
pub const LONGEST_POLL: Duration = Duration::from_secs(120);

/// How many events of the log are looked through at once to find which rooms changed; with more, every room is looked at.
const LOOKED_AT: usize = 1000;

/// Puts together what a user has not seen yet.
#[derive(Clone, Debug)]
pub struct Sync {
    sources: Arc<Sources>,
}

/// What a sync is put together from.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) stream: Stream,
    pub(crate) rooms: Rooms,
    pub(crate) account_data: AccountData,
    pub(crate) receipts: Receipts,
    pub(crate) typing: Typing,
    pub(crate) presences: Presences,
    pub(crate) keys: Keys,
    pub(crate) to_device: ToDevice,
    pub(crate) unread: Unread,
    pub(crate) lazy: LazyMembers,
    pub(crate) recency: Recency,
    pub(crate) connections: Connections,
}

/// What a client asks for.
#[derive(Clone, Debug)]
pub struct SyncRequest {
    /// Who asks.
    pub user_id: OwnedUserId,
    /// On which device; without one there are no messages to a device.
    pub device_id: Option<OwnedDeviceId>,
    /// Where the last sync ended; `None` for the first.
    pub since: Option<SyncToken>,
    /// What of it. Shared by those who ask for everything.
    pub filter: Arc<FilterDefinition>,
    /// The whole state of all rooms, not only what changed.
    pub full_state: bool,
    /// State as of the end of each timeline rather than its beginning.
    pub use_state_after: bool,
    /// How long to wait for news.
    pub timeout: Duration,
}

/// What a look at the log gave.
enum Looked {
    /// An answer: there is news, or none is waited for.
    Answer(Box<Response>),
    /// No news up to `until`; an answer that says so has `token`.
    Nothing { joined: Box<[RoomNid]>, until: Position, token: SyncToken },
}

impl Sync {
    pub(crate) fn new(sources: Sources) -> Self {
        Self { sources: Arc::new(sources) }
    }

    /// Answers at once if there is news, or with the first that comes, or with none when the time is up.
    ///
    /// A client that waits holds nothing of an answer meanwhile: a thousand of them do.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn sync(&self, mut request: Box<SyncRequest>) -> Result<Box<Response>, ApiError> {
        let deadline = Instant::now() + request.timeout.min(LONGEST_POLL);
        loop {
            let (joined, until, token) = match Box::pin(self.look(&request, deadline)).await? {
                Looked::Answer(response) => return Ok(response),
                Looked::Nothing { joined, until, token } => (joined, until, token),
            };
            // Nothing of what was looked at is news, so the next look begins where this one ended.
            let Some(since) = request.since.map(|since| SyncToken { position: until, ..since }) else {
                return Box::pin(build::nothing(&self.sources, &request, token)).await;
            };
            let news = self.news_after(since.position, &request.user_id, joined);
            match tokio::time::timeout_at(deadline, news).await {
                Ok(news) => request.since = Some(SyncToken { position: news?, ..since }),
                Err(_) => return Box::pin(build::nothing(&self.sources, &request, token)).await,
            }
        }
    }

    async fn look(&self, request: &SyncRequest, deadline: Instant) -> Result<Looked, ApiError> {
        let Built { response, until, token, is_empty, joined } = build::build(&self.sources, request).await?;
        let at_once = request.since.is_none() || request.full_state || !is_empty;
        if at_once || Instant::now() >= deadline {
            return Ok(Looked::Answer(Box::new(response)));
        }
        Ok(Looked::Nothing { joined, until, token })
    }

    /// Waits until something happens that may concern the user; gives the place before it, which is not before `position`. What
    /// happens in other rooms wakes nobody.
    async fn news_after(
        &self,
        position: Position,
        user_id: &UserId,
        joined: Box<[RoomNid]>,
    ) -> Result<Position, ApiError> {
        let concerns =
            |event: &Event| joined.contains(&event.room) || event.state_key.as_deref() == Some(user_id.as_str());
        let wait = self.sources.stream.wait_for(user_id.to_owned(), joined.clone(), position);
        let head = self.sources.stream.position();
        if head > position {
            let events = Box::pin(self.sources.stream.read(position, head, LOOKED_AT)).await?;
            let all_are_events = i64::try_from(events.len()).is_ok_and(|count| count == head.0 - position.0);
            if !all_are_events || events.iter().any(|event| concerns(event)) {
                return Ok(position);
            }
        }
        drop(joined);
        Ok(wait.news().await)
    }
}
