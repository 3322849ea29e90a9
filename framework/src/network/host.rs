//! What a session says to the framework.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use ruma::UserId;
use serde::{Deserialize, Serialize};

use crate::clock::Millis;

use super::{IdempotencyKey, Library, Network, Picture, PictureContent, Pictured, Presence, RemoteEvent, SessionId};

/// The framework, as a session sees it. Cheap to clone.
pub struct Host<N: Network>(Arc<dyn Backend<N>>, Option<Arc<dyn Library>>);

impl<N: Network> Clone for Host<N> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0), self.1.clone())
    }
}

impl<N: Network> fmt::Debug for Host<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Host({})", N::INFO.id)
    }
}

/// What stands behind a [`Host`]: the dispatcher, or a recorder in a network's own tests.
#[async_trait]
pub trait Backend<N: Network>: Send + Sync + 'static {
    /// See [`Host::ingest`].
    async fn ingest(
        &self,
        session: &SessionId,
        event: RemoteEvent<N>,
        dedupe: Dedupe<N::Message>,
    ) -> Result<Ingested, Closed>;
    /// See [`Host::offer`].
    async fn offer(
        &self,
        session: &SessionId,
        event: RemoteEvent<N>,
        dedupe: Dedupe<N::Message>,
    ) -> Result<Receipt, Closed> {
        let ingested = self.ingest(session, event, dedupe).await?;
        Ok(Receipt::new(std::future::ready(Ok(ingested))))
    }
    /// See [`Host::state`].
    fn state(&self, session: &SessionId, state: ConnectionState);
    /// See [`Host::typing`].
    fn typing(&self, session: &SessionId, room: N::Room, who: N::User, typing: bool);
    /// See [`Host::read`].
    fn read(&self, session: &SessionId, room: N::Room, who: N::User, message: N::Message) {
        let _ = (session, room, who, message);
    }
    /// See [`Host::presence`].
    fn presence(&self, session: &SessionId, who: N::User, presence: Presence, status: Option<String>) {
        let _ = (session, who, presence, status);
    }
    /// See [`Host::picture`].
    async fn picture(&self, session: &SessionId, who: N::User, picture: Option<Picture>) -> Result<Pictured, Closed> {
        let _ = (session, who, picture);
        Ok(Pictured::Refused)
    }
    /// See [`Host::heard_until`].
    async fn heard_until(&self, room: &N::Room) -> Result<Option<Millis>, Closed> {
        let _ = room;
        Ok(None)
    }
    /// See [`Host::rooms`].
    async fn rooms(&self) -> Result<Vec<N::Room>, Closed>;
}

impl<N: Network> Host<N> {
    /// Wraps what stands behind it.
    pub fn new(backend: Arc<dyn Backend<N>>) -> Self {
        Self(backend, None)
    }

    /// With what keeps notes and finds pictures; without it there are none.
    #[must_use]
    pub fn with_library(self, library: Arc<dyn Library>) -> Self {
        Self(self.0, Some(library))
    }

    /// Hands over what happened on the network, and returns **after it is durable**: only now may the network be told that we
    /// have it. Waits while the store is behind, so that a session reads no faster than can be kept.
    ///
    /// # Errors
    /// [`Closed`] when the bridge is stopping (nothing was kept: do not acknowledge).
    pub async fn ingest(
        &self,
        session: &SessionId,
        event: RemoteEvent<N>,
        dedupe: Dedupe<N::Message>,
    ) -> Result<Ingested, Closed> {
        self.0.ingest(session, event, dedupe).await
    }

    /// As [`Host::ingest`], in two steps: this one waits until the event has its place in the order, the [`Receipt`] until it is
    /// durable. A session that has nothing to acknowledge need not wait for the receipt before it reads on; it may drop it.
    ///
    /// # Errors
    /// [`Closed`] when the bridge is stopping.
    pub async fn offer(
        &self,
        session: &SessionId,
        event: RemoteEvent<N>,
        dedupe: Dedupe<N::Message>,
    ) -> Result<Receipt, Closed> {
        self.0.offer(session, event, dedupe).await
    }

    /// Says how the connection is. `Connected` makes the framework enter the mapped rooms and deliver what waits.
    pub fn state(&self, session: &SessionId, state: ConnectionState) {
        self.0.state(session, state);
    }

    /// Somebody types, or stopped. Latest wins; nothing is stored. Half a minute after the last word of it, nobody types any more.
    pub fn typing(&self, session: &SessionId, room: N::Room, who: N::User, typing: bool) {
        self.0.typing(session, room, who, typing);
    }

    /// Somebody has read up to a message. Latest wins; nothing is stored. A message that never crossed counts as none.
    pub fn read(&self, session: &SessionId, room: N::Room, who: N::User, message: N::Message) {
        self.0.read(session, room, who, message);
    }

    /// Somebody came, went, or is away; latest wins, nothing is stored. Only for those who are virtual users already.
    pub fn presence(&self, session: &SessionId, who: N::User, presence: Presence, status: Option<String>) {
        self.0.presence(session, who, presence, status);
    }

    /// Somebody has this picture now, or none any more. Each content is stored in Matrix once, under the network's hash of it: say the
    /// hash first, and the content only when it is wanted. May take as long as an upload: call it beside the reading of the connection.
    ///
    /// # Errors
    /// [`Closed`] when the bridge is stopping.
    pub async fn picture(
        &self,
        session: &SessionId,
        who: N::User,
        picture: Option<Picture>,
    ) -> Result<Pictured, Closed> {
        self.0.picture(session, who, picture).await
    }

    /// How far a room that keeps an archive was heard ([`Dedupe::Archived`]), also by earlier lives of the bridge: what its archive holds
    /// since then may have been missed. `None` where nothing was heard yet.
    ///
    /// # Errors
    /// [`Closed`] when the bridge is stopping, or nobody can tell.
    pub async fn heard_until(&self, room: &N::Room) -> Result<Option<Millis>, Closed> {
        self.0.heard_until(room).await
    }

    /// What was noted under a topic and a name, also by earlier lives of the bridge.
    ///
    /// # Errors
    /// [`Closed`] when nobody can tell.
    pub async fn note(&self, topic: &str, name: &str) -> Result<Option<String>, Closed> {
        match &self.1 {
            Some(library) => library.note(topic, name).await,
            None => Ok(None),
        }
    }

    /// Everything that was noted under a topic: names, and what was noted.
    ///
    /// # Errors
    /// [`Closed`] when nobody can tell.
    pub async fn notes(&self, topic: &str) -> Result<Vec<(String, String)>, Closed> {
        match &self.1 {
            Some(library) => library.notes(topic).await,
            None => Ok(Vec::new()),
        }
    }

    /// Notes something, instead of what was noted there before, and returns after it is durable; an empty text takes the note away. For
    /// small things that no message holds: notes are forgotten with the messages of their time.
    ///
    /// # Errors
    /// [`Closed`] when it was not kept.
    pub async fn set_note(&self, topic: &str, name: &str, text: &str) -> Result<(), Closed> {
        match &self.1 {
            Some(library) => library.set_note(topic, name, text).await,
            None => Ok(()),
        }
    }

    /// Whether there may be a Matrix user of this id. Says no only where that is certain: of users of our own homeserver that it does not
    /// know, and of the bridge's own users, who stand for somebody on the network and are nobody to it. Whoever cannot be told from
    /// somebody is somebody: users of other servers, those of whom the homeserver may not speak, and everybody while it does not answer.
    ///
    /// Answers are remembered (an hour for who is there, a minute otherwise, some thousand of each), and a question that is open is asked
    /// once. May take as long as a request: call it beside the reading of the connection, keeping in order what waits for the answer.
    /// What is known already is answered when the future is first polled, and a question goes on when its future is dropped.
    ///
    /// # Errors
    /// [`Busy`] where too much is being asked: nothing was found out.
    pub async fn exists(&self, user_id: &UserId) -> Result<bool, Busy> {
        match &self.1 {
            Some(library) => library.exists(user_id).await,
            None => Ok(true),
        }
    }

    /// The picture of a Matrix user, made smaller where it has more than `most` bytes; `None` where they have none, or none so small.
    ///
    /// # Errors
    /// [`Closed`] when nobody can tell now.
    pub async fn picture_of(&self, user_id: &UserId, most: usize) -> Result<Option<PictureContent>, Closed> {
        match &self.1 {
            Some(library) => library.picture_of(user_id, most).await,
            None => Ok(None),
        }
    }

    /// The rooms that are mapped now.
    ///
    /// # Errors
    /// [`Closed`] when the bridge is stopping.
    pub async fn rooms(&self) -> Result<Vec<N::Room>, Closed> {
        self.0.rooms().await
    }
}

/// What an event that has its place in the order will become once it is durable.
pub struct Receipt(Pin<Box<dyn Future<Output = Result<Ingested, Closed>> + Send>>);

impl Receipt {
    /// A receipt that is decided by `future`. It must not be the future that does the work: a receipt may be dropped.
    pub fn new(future: impl Future<Output = Result<Ingested, Closed>> + Send + 'static) -> Self {
        Self(Box::pin(future))
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt")
    }
}

impl Future for Receipt {
    type Output = Result<Ingested, Closed>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

/// How a remote event is recognised when it is heard again: replayed after a reconnect, heard by two sessions, or our own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dedupe<M> {
    /// The network names it.
    Id(M),
    /// The network names it, and keeps an archive in which it can be read again: the room was heard until then. What is read from an
    /// archive after a gap is ingested in the archive's order, before what is said meanwhile.
    Archived {
        /// Its name; without one it cannot be heard twice.
        id: Option<M>,
        /// When the archive has it; now, where it was just said.
        at: Option<Millis>,
    },
    /// The network numbers a stream; what is not beyond the last number was heard before.
    Cursor {
        /// Which stream.
        stream: String,
        /// The number.
        seq: i64,
    },
    /// The network gives no names, and several sessions hear the same room: the n-th equal line of each session within `window`
    /// is one line. "lol", "lol" is two. Remembered in memory only: sessions end with the process, so that none hears after a
    /// restart what another heard live before it. What a network shows again from its history must be recognised otherwise.
    NthEqual {
        /// How far apart two hearings of one line can be.
        window: Duration,
    },
    /// It is what we said ourselves under this key: closes the outbox row of a delivery whose answer was lost.
    OwnEcho {
        /// The key it was said under.
        key: IdempotencyKey,
        /// The network's name for it.
        id: Option<M>,
    },
    /// It cannot be heard twice.
    Never,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ingested {
    /// It is kept, and will be carried over.
    New,
    /// It had been heard before.
    Duplicate,
    /// It was our own.
    OwnEcho,
    /// The room is not mapped; nothing is kept.
    NotMapped,
}

/// The bridge is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bridge is stopping")]
pub struct Closed;

/// Too much is asked at once: ask again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much is asked at once")]
pub struct Busy;

/// How a connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionState {
    /// On its way.
    Connecting,
    /// Messages can flow.
    Connected {
        /// The name we go by there, which may differ from the one we wanted.
        name: Option<String>,
    },
    /// Connected, but something does not work.
    Degraded(String),
    /// Gone.
    Disconnected(String),
}
