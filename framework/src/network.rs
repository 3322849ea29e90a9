//! The seam between the framework and a network: two traits, and the data that crosses them.
//!
//! A [`Network`] is a protocol with its configuration: it names its ids and converts, **purely** (no I/O, no clock, no
//! randomness), so that production traffic can be replayed through a new version. A [`Session`] is one connection to it: the bot's
//! ([`Identity::Relay`]), or one that stands for a Matrix user ([`Identity::AutoPuppet`], [`Identity::Login`]). The framework
//! owns when sessions start, reconnect and stop; what is delivered, in which order, how often; and what is remembered.

pub mod caps;
pub mod ephemeral;
pub mod error;
pub mod event;
pub mod host;
pub mod ids;
mod library;
pub mod op;
mod place;

use std::sync::Arc;

/// What implementing these traits needs; here so that a bridge need not depend on the crates by itself.
pub use async_trait::async_trait;
pub use futures_util::future::BoxFuture;
use ruma::{OwnedUserId, UserId};
use serde::de::DeserializeOwned;
pub use tokio_util::sync::CancellationToken;

use crate::clock::Millis;

pub use self::{
    caps::{Caps, Idempotency, Level},
    ephemeral::{EphemeralKind, Picture, PictureContent, Pictured, Presence},
    error::{ConfigIssue, ConnectionError, Reject, SendError},
    event::{Body, Direction, MatrixKind, Media, Membership, Power, Profile, Sender, Target, Whom},
    host::{ConnectionState, Dedupe, Host, Ingested, Receipt},
    ids::{IdempotencyKey, RemoteId, SessionId},
    library::Library,
    op::{Delivered, Landed, MatrixOpKind, OpKind, Upload},
    place::GeoUri,
};

/// What happened on the network, in the network's ids.
pub type RemoteEvent<N> = event::RemoteEvent<<N as Network>::Room, <N as Network>::User, <N as Network>::Message>;
/// What happened in Matrix, in a mapped room, in the network's ids.
pub type MatrixEvent<N> = event::MatrixEvent<<N as Network>::Room, <N as Network>::User, <N as Network>::Message>;
/// What happened in Matrix and is kept nowhere, in the network's ids.
pub type Ephemeral<N> = ephemeral::Ephemeral<<N as Network>::Room, <N as Network>::User, <N as Network>::Message>;
/// What the network must be told.
pub type RemoteOp<N> = op::RemoteOp<<N as Network>::Room, <N as Network>::Message>;
/// What Matrix must be told.
pub type MatrixOp<N> = op::MatrixOp<<N as Network>::User, <N as Network>::Message>;
/// What a conversion may look at besides the event itself.
pub type Context<N> = op::Context<<N as Network>::User>;

/// A protocol: its ids, its configuration, its conversions. One value per configured network.
#[async_trait]
pub trait Network: Sized + Send + Sync + 'static {
    /// Names a place where people talk: a channel, a chat room, or a private conversation.
    type Room: RemoteId;
    /// Names a person. Two spellings of one person (another case, say) must give equal ids.
    type User: RemoteId;
    /// Names a message.
    type Message: RemoteId;
    /// The network's section of the configuration file, under [`NetworkInfo::id`].
    type Config: DeserializeOwned + Send + Sync + 'static;
    /// A connection.
    type Session: Session<Self>;

    /// What the network is called, and how Matrix users appear on it.
    const INFO: NetworkInfo;

    /// Whether all sessions are addresses on one connection, the relay's, which keeps the order of all that is said on it: then none
    /// of them waits its turn to connect, while the connection is down, nobody's words overtake another's, and what several of them
    /// have to say is told together ([`Session::deliver_among`]).
    const SHARED_LINK: bool = false;

    /// How many operations of one room may be on their way at once, and so in doubt after a crash, when each is asked about
    /// ([`Session::reconcile`]). The more, the less a burst waits for the disk and for confirmations.
    const IN_DOUBT: usize = 12;

    /// Every fault of a configuration, each with the path of its key and the fix.
    fn validate(config: &Self::Config) -> Vec<ConfigIssue> {
        let _ = config;
        Vec::new()
    }

    /// Makes the network. Called once, after [`Network::validate`] found nothing fatal. Connects to nothing; but a network that
    /// is called (a webhook, say) may open its listener here.
    ///
    /// # Errors
    /// A configuration that turns out not to work.
    async fn start(config: Self::Config, host: Host<Self>) -> Result<Self, ConfigIssue>;

    /// Makes a session. Cheap: no I/O before [`Session::run`].
    fn session(&self, id: SessionId, identity: Identity) -> Self::Session;

    /// Turns what happened in Matrix into what the network must be told. Pure. An empty list means: nothing to say.
    ///
    /// # Errors
    /// [`Reject`] says why this cannot cross; the sender is told.
    fn to_remote(&self, event: &MatrixEvent<Self>, context: &Context<Self>) -> Result<Vec<RemoteOp<Self>>, Reject>;

    /// Turns what happened on the network into what Matrix must be told. Pure. The default carries every event over as it is.
    ///
    /// # Errors
    /// [`Reject`] says why this cannot cross.
    fn to_matrix(&self, event: &RemoteEvent<Self>, context: &Context<Self>) -> Result<Vec<MatrixOp<Self>>, Reject> {
        let _ = context;
        Ok(op::carry_over(event))
    }

    /// Whether a room is shared by many, or a private conversation of one Matrix user.
    fn room_kind(&self, room: &Self::Room) -> RoomKind<Self::User> {
        let _ = room;
        RoomKind::Shared
    }

    /// The private conversation between a Matrix user and a remote user, where the network has such.
    fn direct_room(&self, owner: &UserId, with: &Self::User) -> Option<Self::Room> {
        let _ = (owner, with);
        None
    }

    /// The part of a virtual user's localpart that follows the bridge's prefix. Must be injective, reversible by
    /// [`Network::user_from_localpart`], and hold nothing but `a-z0-9._=-/+`.
    fn user_localpart(&self, user: &Self::User) -> String {
        ids::escape_localpart(&user.encode())
    }

    /// Reads what [`Network::user_localpart`] wrote.
    fn user_from_localpart(&self, localpart: &str) -> Option<Self::User> {
        Self::User::decode(&ids::unescape_localpart(localpart)?)
    }

    /// The part of a portal's alias that follows the bridge's prefix, or `None` for a room that has no public name.
    fn room_alias(&self, room: &Self::Room) -> Option<String> {
        Some(ids::escape_alias(&room.encode()))
    }

    /// Reads what [`Network::room_alias`] wrote: which room an alias that a Matrix user asked for stands for.
    fn room_from_alias(&self, alias: &str) -> Option<Self::Room> {
        Self::Room::decode(&ids::unescape_localpart(alias)?)
    }
}

/// [`Session::deliver_all`] by [`Session::deliver`]: each after the answer to the one before.
pub(crate) async fn one_after_another<N: Network, S: Session<N> + ?Sized>(
    session: &S,
    ops: &[(RemoteOp<N>, IdempotencyKey)],
) -> Vec<Result<Delivered<N::Message>, SendError>> {
    let mut results: Vec<Result<_, SendError>> = Vec::with_capacity(ops.len());
    for (op, key) in ops {
        match results.last() {
            Some(Err(error)) if !error.is_final() => results.push(Err(SendError::Disconnected)),
            _ => results.push(session.deliver(op, key, 1).await),
        }
    }
    results
}

/// What becomes of an operation that is on its way: what [`Session::deliver`] would return, its errors included. Dropped, nobody waits for it
/// any more, but it may take effect all the same.
pub type Confirmation<N> = BoxFuture<'static, Result<Delivered<<N as Network>::Message>, SendError>>;

/// One connection to a network.
#[async_trait]
pub trait Session<N: Network>: Send + Sync + 'static {
    /// Connects and stays connected until something ends it; the framework starts it again after a wait that fits the error.
    /// What it hears goes to [`Host::ingest`], and may be acknowledged to the network only after that returned. Says
    /// [`ConnectionState::Connected`] to the host once messages can flow. When `stop` is cancelled it says goodbye and returns `Ok`.
    ///
    /// # Errors
    /// [`ConnectionError`] says what the framework must do next. Returning `Ok` while not stopped counts as a lost connection.
    async fn run(&self, stop: CancellationToken) -> Result<(), ConnectionError>;

    /// What can be said in a room right now, as data.
    fn caps(&self, room: &N::Room) -> Caps;

    /// Tells the network one thing. Called by one lane per room, in order; `key` is the same in every attempt, also after a
    /// restart. Returns once the network has taken it.
    ///
    /// # Errors
    /// [`SendError`] says what the framework must do: tell the sender, wait, or find out ([`Session::reconcile`]).
    async fn deliver(
        &self,
        op: &RemoteOp<N>,
        key: &IdempotencyKey,
        attempt: u32,
    ) -> Result<Delivered<N::Message>, SendError>;

    /// How many operations of one room may be told at once ([`Session::deliver_all`]): more than one where the network confirms late,
    /// and its confirmation need not be waited for before the next.
    fn window(&self) -> usize {
        1
    }

    /// [`Session::deliver`] for first attempts at several operations of one room: the order is kept, and there is one result for each.
    /// What follows one that is to be tried again, or found out about, should not be said; its result then means "not yet", too.
    async fn deliver_all(
        &self,
        ops: &[(RemoteOp<N>, IdempotencyKey)],
    ) -> Vec<Result<Delivered<N::Message>, SendError>> {
        one_after_another(self, ops).await
    }

    /// Tells several operations of one room where all sessions share one link ([`Network::SHARED_LINK`]): each comes with the session that
    /// says it, and the order is kept among all of them. Any of these sessions is called. Returns as soon as they are on their way,
    /// with what becomes of each; the next are told before that is known. What cannot go out at once and what follows it is left
    /// out of the answer, which may be empty: it is delivered in its turn, after those before it.
    async fn deliver_among(&self, ops: &[(Arc<N::Session>, RemoteOp<N>, IdempotencyKey)]) -> Vec<Confirmation<N>> {
        let _ = ops;
        Vec::new()
    }

    /// Returns when what was [withheld](SendError::Withheld) in a room may be said now, as far as the network tells. It is tried again now
    /// and then in any case.
    async fn may_speak(&self, room: &N::Room) {
        let _ = room;
        std::future::pending::<()>().await;
    }

    /// After a crash, or an attempt that may or may not have been heard: did `key` land? By the bridge's clock it was not said before
    /// `since`: further back nobody needs to look, and no less far, however long the connection was down.
    async fn reconcile(&self, op: &RemoteOp<N>, key: &IdempotencyKey, since: Millis) -> Landed<N::Message> {
        let _ = (op, key, since);
        Landed::CannotTell
    }

    /// A room was mapped: be in it from now on. Also called for every mapped room after each
    /// [`ConnectionState::Connected`]. Only the [`Identity::Relay`] session is told.
    ///
    /// # Errors
    /// [`SendError::Rejected`] where the room cannot be entered; the Matrix side is told why.
    async fn enter(&self, room: &N::Room) -> Result<(), SendError> {
        let _ = room;
        Ok(())
    }

    /// Somebody who may say so wants us in a mapped room now, whatever keeps us out of it: a waiting time after we were put out, say.
    ///
    /// # Errors
    /// As [`Session::enter`].
    async fn call_back(&self, room: &N::Room) -> Result<(), SendError> {
        self.enter(room).await
    }

    /// A room is mapped no longer: leave it.
    ///
    /// # Errors
    /// As [`Session::deliver`].
    async fn leave(&self, room: &N::Room) -> Result<(), SendError> {
        let _ = room;
        Ok(())
    }

    /// Tells the network what is kept nowhere: typing, receipts, presence. Called beside the lanes, never twice at the same time for one
    /// user and room; what does not end within seconds is broken off. Typing and receipts come only where [`Session::caps`] says more
    /// than [`Level::Drop`].
    async fn ephemeral(&self, event: &Ephemeral<N>) {
        let _ = event;
    }

    /// What is known of a room that somebody asks for, before it is mapped.
    ///
    /// # Errors
    /// [`SendError::Rejected`] where there is no such room or it may not be bridged; the alias query then answers 404.
    async fn room_info(&self, room: &N::Room) -> Result<RoomInfo, SendError> {
        let _ = room;
        Ok(RoomInfo::default())
    }

    /// What is known of a person.
    ///
    /// # Errors
    /// [`SendError::Unsupported`] where the network cannot be asked.
    async fn user_info(&self, user: &N::User) -> Result<Profile, SendError> {
        let _ = user;
        Err(SendError::Unsupported)
    }

    /// Finds a person or a room by what a human would type.
    ///
    /// # Errors
    /// [`SendError::Unsupported`] where the network cannot be asked.
    async fn resolve(&self, query: &str) -> Result<Found<N::Room, N::User>, SendError> {
        let _ = query;
        Err(SendError::Unsupported)
    }
}

/// What a network is called, and how Matrix users appear on it.
#[derive(Debug, Clone, Copy)]
pub struct NetworkInfo {
    /// The short name in lower case: the configuration section, the prefix of namespaces (`irc`).
    pub id: &'static str,
    /// The name for humans (`IRC`).
    pub name: &'static str,
    /// How Matrix users can appear on the network; the first is the default.
    pub modes: &'static [IdentityMode],
}

/// How a Matrix user appears on the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityMode {
    /// One session, the bot's, says who spoke.
    Relay,
    /// The user has given the bridge an account of theirs.
    Login,
    /// Each Matrix user who speaks gets a session of their own, made when needed.
    AutoPuppet,
    /// Remote users enter Matrix rooms through the bridge.
    Gateway,
}

/// Who a session is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The bot: hears the rooms, and speaks for those who have no session.
    Relay,
    /// An account that a Matrix user gave the bridge.
    Login {
        /// Whose it is.
        user_id: OwnedUserId,
        /// What logs in.
        secret: Secret,
    },
    /// Stands for a Matrix user who has no account on the network.
    AutoPuppet {
        /// Whom it stands for.
        user_id: OwnedUserId,
        /// The name they go by in Matrix; a network derives a nick from it.
        display_name: String,
    },
    /// Lets remote users enter Matrix rooms.
    Gateway,
}

/// A password, token or key. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Whether a room is shared, or the private conversation of one Matrix user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomKind<U> {
    /// Any number of people; its Matrix side is a portal or a plumbed room.
    Shared,
    /// One Matrix user and one remote user.
    Direct {
        /// The Matrix user.
        owner: OwnedUserId,
        /// The remote user.
        with: U,
    },
}

/// What is known of a room before it is mapped. `None` means unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoomInfo {
    /// Its name for humans.
    pub name: Option<String>,
    /// Its topic.
    pub topic: Option<String>,
    /// Whether it may be listed in a public directory. Unknown counts as no.
    pub public: Option<bool>,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<R, U> {
    /// A person.
    pub user: Option<U>,
    /// A room.
    pub room: Option<R>,
}
