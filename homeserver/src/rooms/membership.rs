//! Joining, leaving, inviting, kicking, banning, knocking.

use std::fmt;

use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId};
use serde_json::value::RawValue;

use super::{RoomError, Rooms, Txn};

/// How a user stands to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Membership {
    /// In the room.
    Join,
    /// Asked to come in.
    Invite,
    /// Asks to come in.
    Knock,
    /// Left, was kicked, or refused the invitation.
    Leave,
    /// Kept out.
    Ban,
}

impl Membership {
    /// The spec's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Invite => "invite",
            Self::Knock => "knock",
            Self::Leave => "leave",
            Self::Ban => "ban",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Join, Self::Invite, Self::Knock, Self::Leave, Self::Ban]
            .into_iter()
            .find(|membership| membership.as_str() == word)
    }
}

impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a member event says of its member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberProfile {
    /// The display name.
    pub displayname: Option<String>,
    /// The avatar, an `mxc://` address.
    pub avatar_url: Option<String>,
}

/// A change of someone's membership, as an endpoint asks for it.
#[derive(Debug, Clone)]
pub struct MembershipChange {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Who asks.
    pub sender: OwnedUserId,
    /// Whose membership changes.
    pub target: OwnedUserId,
    /// To what. An un-ban is [`Membership::Leave`] of a banned user; see [`MembershipChange::unban`].
    pub membership: Membership,
    /// Whether this is an un-ban: then the target must be banned, and else it must not be.
    pub unban: bool,
    /// The target's profile, written into the event for join, invite and knock.
    pub profile: MemberProfile,
    /// Why.
    pub reason: Option<String>,
    /// Whether an invitation is to a direct chat.
    pub is_direct: bool,
    /// Other fields of the content; what the server sets wins.
    pub content: Option<Box<RawValue>>,
    /// When it happened, where an appservice says so.
    pub ts: Option<MilliSecondsSinceUnixEpoch>,
    /// The transaction it is asked under, if any.
    pub txn: Option<Txn>,
}

impl MembershipChange {
    /// A change with nothing but its necessary parts.
    pub fn new(
        room_id: impl Into<OwnedRoomId>,
        sender: impl Into<OwnedUserId>,
        target: impl Into<OwnedUserId>,
        membership: Membership,
    ) -> Self {
        Self {
            room_id: room_id.into(),
            sender: sender.into(),
            target: target.into(),
            membership,
            unban: false,
            profile: MemberProfile::default(),
            reason: None,
            is_direct: false,
            content: None,
            ts: None,
            txn: None,
        }
    }
}

impl Rooms {
    /// Changes a membership. A join of a joined member with the same profile changes nothing and returns the event that stands.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room, [`RoomError::Forbidden`] where its rules refuse.
    pub async fn change_membership(&self, change: MembershipChange) -> Result<OwnedEventId, RoomError> {
        let _ = change;
        Err(RoomError::Internal("in construction".into()))
    }
}
