//! What the bridge asks of a homeserver. The client over HTTP or in-process stands behind it in production.

use std::time::Duration;

use async_trait::async_trait;
use landbridge_axum_ruma::Turn;
use ruma::{OwnedEventId, OwnedMxcUri, OwnedRoomId, OwnedUserId, RoomAliasId, RoomId, UserId};
use serde_json::Value as Json;

use crate::{
    clock::Millis,
    network::{PictureContent, Presence},
};

/// Why the homeserver did not do what it was asked, sorted by what must be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HomeserverError {
    /// `M_LIMIT_EXCEEDED`: wait (this long, where it says so) and repeat.
    #[error("asked to wait")]
    Limited(Option<Duration>),
    /// No answer, a 5xx answer, or `M_UNKNOWN_TOKEN`, which means that it does not know the registration (yet): keep everything,
    /// wait and repeat.
    #[error("the homeserver cannot be reached: {0}")]
    Unavailable(String),
    /// `M_FORBIDDEN`.
    #[error("forbidden: {0}")]
    Forbidden(String),
    /// `M_NOT_FOUND`.
    #[error("not found: {0}")]
    NotFound(String),
    /// `M_USER_IN_USE` or `M_ROOM_IN_USE`.
    #[error("in use already")]
    InUse,
    /// Anything else with 4xx: repeating it is pointless.
    #[error("refused: {0}")]
    Refused(String),
}

/// What somebody is asked to be in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// `invite`.
    Invite,
    /// `leave`: leaves, or is kicked when somebody else asks.
    Leave,
    /// `ban`.
    Ban,
    /// `unban`.
    Unban,
}

/// A room to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewRoom {
    /// The local part of its alias, without `#` and server: the creation lock.
    pub alias_localpart: String,
    /// Its name.
    pub name: Option<String>,
    /// Its topic.
    pub topic: Option<String>,
    /// Whether anybody may join; otherwise by invitation only.
    pub public: bool,
    /// Whether it is listed in the public directory.
    pub listed: bool,
    /// Whom to invite.
    pub invite: Vec<OwnedUserId>,
    /// Whether it is a conversation of two.
    pub is_direct: bool,
    /// Power levels other than the default.
    pub power: Vec<(OwnedUserId, i64)>,
}

/// A homeserver, as seen by an application service. `as_user` is the user asserted (`?user_id=`); every method repeats nothing by
/// itself: whoever calls it owns the waiting.
#[async_trait]
pub trait Homeserver: Send + Sync + 'static {
    /// Registers a virtual user. [`HomeserverError::InUse`] means that it is there.
    async fn register(&self, localpart: &str) -> Result<(), HomeserverError>;
    /// Sends an event and returns its id; the same `txn_id` by the same user sends once.
    async fn send(&self, event: &Outgoing<'_>) -> Result<OwnedEventId, HomeserverError>;
    /// Whether events with a turn ([`Outgoing::turn`]) take effect in that order, without waiting for each other's answer.
    fn takes_turns(&self) -> bool {
        false
    }
    /// Redacts an event.
    async fn redact(
        &self,
        as_user: &UserId,
        room: &RoomId,
        event: &ruma::EventId,
        txn_id: &str,
        reason: Option<&str>,
    ) -> Result<OwnedEventId, HomeserverError>;
    /// Sets state.
    async fn set_state(
        &self,
        as_user: &UserId,
        room: &RoomId,
        kind: &str,
        state_key: &str,
        content: &Json,
    ) -> Result<OwnedEventId, HomeserverError>;
    /// Reads state; `None` where there is none.
    async fn state(
        &self,
        as_user: &UserId,
        room: &RoomId,
        kind: &str,
        state_key: &str,
    ) -> Result<Option<Json>, HomeserverError>;
    /// Joins a room and returns its id.
    async fn join(&self, as_user: &UserId, room: &RoomId) -> Result<(), HomeserverError>;
    /// Invites, kicks, bans or unbans `whom`; or leaves, where `whom` is `as_user`.
    async fn set_membership(
        &self,
        as_user: &UserId,
        room: &RoomId,
        whom: &UserId,
        membership: Membership,
        reason: Option<&str>,
    ) -> Result<(), HomeserverError>;
    /// Who made a room, where that can be told.
    async fn creator(&self, as_user: &UserId, room: &RoomId) -> Result<Option<OwnedUserId>, HomeserverError> {
        let _ = (as_user, room);
        Ok(None)
    }
    /// Who is joined: id and display name.
    async fn joined_members(
        &self,
        as_user: &UserId,
        room: &RoomId,
    ) -> Result<Vec<(OwnedUserId, Option<String>)>, HomeserverError>;
    /// Makes a room. [`HomeserverError::InUse`] means that the alias is taken.
    async fn create_room(&self, as_user: &UserId, room: &NewRoom) -> Result<OwnedRoomId, HomeserverError>;
    /// The room of an alias; `None` where there is none.
    async fn resolve_alias(&self, alias: &RoomAliasId) -> Result<Option<OwnedRoomId>, HomeserverError>;
    /// Makes an alias lead to another room.
    async fn move_alias(&self, alias: &RoomAliasId, room: &RoomId) -> Result<(), HomeserverError> {
        let _ = (alias, room);
        Ok(())
    }
    /// Sets a display name.
    async fn set_display_name(&self, user: &UserId, name: &str) -> Result<(), HomeserverError>;
    /// Sets a picture, or takes it away.
    async fn set_avatar(&self, user: &UserId, avatar: Option<&ruma::MxcUri>) -> Result<(), HomeserverError>;
    /// Whether there is a user of this id; of users of other servers, whether theirs tells. [`HomeserverError::Forbidden`] says that it
    /// is not told.
    async fn has_profile(&self, user: &UserId) -> Result<bool, HomeserverError> {
        let _ = user;
        Ok(true)
    }
    /// The picture of a user, where they have one.
    async fn avatar_of(&self, user: &UserId) -> Result<Option<OwnedMxcUri>, HomeserverError> {
        let _ = user;
        Ok(None)
    }
    /// A picture, made small, where it then has at most so many bytes.
    async fn thumbnail(&self, mxc: &ruma::MxcUri, most: usize) -> Result<Option<PictureContent>, HomeserverError> {
        let _ = (mxc, most);
        Ok(None)
    }
    /// Stores a file and returns its address.
    async fn upload(
        &self,
        as_user: &UserId,
        name: &str,
        mime: &str,
        bytes: Vec<u8>,
    ) -> Result<OwnedMxcUri, HomeserverError>;
    /// Where anybody can fetch a file over HTTP, if anywhere.
    fn public_url(&self, mxc: &ruma::MxcUri, name: &str) -> Option<String>;
    /// Says whether somebody types.
    async fn typing(&self, as_user: &UserId, room: &RoomId, typing: bool) -> Result<(), HomeserverError>;
    /// Says that somebody has read up to an event.
    async fn read(&self, as_user: &UserId, room: &RoomId, event: &ruma::EventId) -> Result<(), HomeserverError> {
        let _ = (as_user, room, event);
        Ok(())
    }
    /// Says how somebody is.
    async fn set_presence(
        &self,
        user: &UserId,
        presence: Presence,
        status: Option<&str>,
    ) -> Result<(), HomeserverError> {
        let _ = (user, presence, status);
        Ok(())
    }
    /// Asks the homeserver to ping us.
    async fn ping(&self, txn_id: &str) -> Result<(), HomeserverError>;
}

/// An event to send.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// By whom.
    pub as_user: &'a UserId,
    /// Where.
    pub room: &'a RoomId,
    /// Its type.
    pub kind: &'a str,
    /// Its content.
    pub content: &'a Json,
    /// The transaction id: the same in every attempt.
    pub txn_id: &'a str,
    /// When it happened (`?ts=`), if not now.
    pub at: Option<Millis>,
    /// Its turn among others; only where [`Homeserver::takes_turns`] says so.
    pub turn: Option<&'a Turn>,
}
