//! Joining, leaving, inviting, kicking, banning, knocking.

use std::{fmt, sync::Arc};

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId,
    RoomId, UserId, events::StateEventType, state_res::events::RoomPowerLevelsIntField,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Event, EventTxn, RoomError, Rooms, Txn,
    actor::Command,
    authorize,
    build::{self, Draft},
    core::{Batch, Core},
};
use crate::store::TxnKey;

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
    pub const fn as_str(self) -> &'static str {
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
    /// Who lets the user into a restricted room; found by [`Rooms::change_membership`].
    pub(super) authoriser: Option<OwnedUserId>,
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
            authoriser: None,
        }
    }
}

impl Rooms {
    /// Changes a membership. A join of a joined member with the same profile changes nothing and returns the event that stands.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room, [`RoomError::Forbidden`] where its rules refuse.
    pub async fn change_membership(&self, change: MembershipChange) -> Result<OwnedEventId, RoomError> {
        let room_id = change.room_id.clone();
        self.context.closed.read().admits_change(&change)?;
        if let Some(sent) = self.answered(&room_id, &change.sender, MEMBER, change.txn.as_ref()).await? {
            return Ok(sent.event_id);
        }
        let authoriser = match change.membership {
            Membership::Join => self.authoriser(&room_id, &change.target).await?,
            _ => None,
        };
        let change = MembershipChange { authoriser, ..change };
        Ok(self.tasks.ask(&room_id, Command::Membership(Box::new(change))).await?.event_id)
    }

    /// Has members of this server leave a room; says how many did, for some may have been quicker.
    ///
    /// # Errors
    /// As [`Self::change_membership`], but for what the rules refuse.
    pub async fn see_out(
        &self,
        room_id: &RoomId,
        members: Vec<OwnedUserId>,
        reason: Option<&str>,
    ) -> Result<usize, RoomError> {
        let mut left = 0;
        for member in members {
            let mut change = MembershipChange::new(room_id, member.clone(), member, Membership::Leave);
            change.reason = reason.map(str::to_owned);
            match self.change_membership(change).await {
                Ok(_) => left += 1,
                Err(RoomError::Forbidden(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(left)
    }

    /// Who lets a user into a restricted room: a local member who may invite, where the user is in one of the rooms that the
    /// join rule names (<https://spec.matrix.org/v1.19/client-server-api/#restricted-rooms>).
    async fn authoriser(&self, room_id: &RoomId, user: &UserId) -> Result<Option<OwnedUserId>, RoomError> {
        let Some(join_rules) = self.state_event(room_id, &StateEventType::RoomJoinRules, "").await? else {
            return Ok(None);
        };
        let rule: JoinRule = serde_json::from_str(join_rules.content.get()).unwrap_or_default();
        if !matches!(rule.join_rule.as_str(), "restricted" | "knock_restricted") {
            return Ok(None);
        }
        if let Some(known) = self.membership(room_id, user).await?
            && matches!(known.membership, Membership::Join | Membership::Invite)
        {
            return Ok(None);
        }
        for allowed in rule.allow.iter().filter(|allow| allow.kind == "m.room_membership") {
            let Ok(other) = RoomId::parse(allowed.room_id.as_str()) else { continue };
            let known = self.membership(&other, user).await?;
            if known.is_some_and(|known| known.membership == Membership::Join) {
                return self.who_may_invite(room_id).await;
            }
        }
        Ok(None)
    }

    /// A joined member of this server with the power to invite.
    async fn who_may_invite(&self, room_id: &RoomId) -> Result<Option<OwnedUserId>, RoomError> {
        let Some(room) = self.context.store.room(room_id).await? else { return Ok(None) };
        let Some(create) = self.state_event(room_id, &StateEventType::RoomCreate, "").await? else { return Ok(None) };
        let power_levels = self.state_event(room_id, &StateEventType::RoomPowerLevels, "").await?;
        let members = self.context.store.joined_users(room.nid).await?;
        Ok(members.into_iter().filter(|member| member.server_name() == self.server_name()).find(|member| {
            let field = RoomPowerLevelsIntField::Invite;
            authorize::has_power(&room.rules.authorization, member, field, power_levels.as_ref(), &create)
                .unwrap_or(false)
        }))
    }
}

/// A member event's type.
pub(super) const MEMBER: &str = "m.room.member";

#[derive(Default, Deserialize)]
struct JoinRule {
    join_rule: String,
    #[serde(default)]
    allow: Vec<Allow>,
}

#[derive(Deserialize)]
struct Allow {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    room_id: String,
}

impl Core {
    /// Changes a membership, or returns the event that stands where nothing would change.
    pub(super) async fn change_membership(
        &mut self,
        change: MembershipChange,
        batch: &mut Batch,
    ) -> Result<Arc<Event>, RoomError> {
        let key = change.txn.as_ref().map(|txn| TxnKey::new(&change.sender, &change.room_id, MEMBER, txn));
        if let Some(event) = self.known_txn(key.as_ref()).await? {
            return Ok(event);
        }
        let stands = self.state_event(&StateEventType::RoomMember, change.target.as_str()).await?;
        let stands = stands.as_ref().and_then(|event| event.membership());
        self.refuse_strangers(&change).await?;
        refuse_wrong_word(&change, stands)?;
        let content = member_content(&change)?;
        let ts = change.ts.unwrap_or_else(|| self.context.clock.now());
        let mut draft = Draft::new(MEMBER, Some(change.target.as_str()), &change.sender, content, ts)?;
        draft.txn = change.txn.map(|txn| EventTxn { device: txn.device, txn_id: txn.id });
        batch.txn = key;
        self.append(draft, batch).await
    }

    /// Who is not in the room changes nobody else's membership, and is not told how others stand to it.
    async fn refuse_strangers(&mut self, change: &MembershipChange) -> Result<(), RoomError> {
        if change.sender == change.target {
            return Ok(());
        }
        let sender = self.state_event(&StateEventType::RoomMember, change.sender.as_str()).await?;
        if sender.and_then(|sender| sender.membership()) == Some(Membership::Join) {
            return Ok(());
        }
        Err(RoomError::Forbidden("You are not in the room".into()))
    }
}

/// What the authorization rules let pass, but the endpoint that was called does not mean.
fn refuse_wrong_word(change: &MembershipChange, stands: Option<Membership>) -> Result<(), RoomError> {
    let own = change.sender == change.target;
    match (change.membership, stands) {
        (Membership::Leave, stands) if change.unban && stands != Some(Membership::Ban) => {
            Err(RoomError::BadState("The user is not banned"))
        }
        (Membership::Leave, None | Some(Membership::Leave | Membership::Ban)) if !change.unban && !own => {
            Err(RoomError::Forbidden("The user is not in the room".into()))
        }
        (Membership::Invite, Some(Membership::Ban)) => Err(RoomError::Forbidden("The user is banned".into())),
        _ => Ok(()),
    }
}

/// What a member event says of a change.
pub(super) fn member_content(change: &MembershipChange) -> Result<CanonicalJsonObject, RoomError> {
    let mut content = match &change.content {
        Some(content) => build::canonical(content)?,
        None => CanonicalJsonObject::new(),
    };
    let mut set =
        |key: &str, value: &str| drop(content.insert(key.to_owned(), CanonicalJsonValue::String(value.into())));
    set("membership", change.membership.as_str());
    if let Some(reason) = &change.reason {
        set("reason", reason);
    }
    if matches!(change.membership, Membership::Join | Membership::Invite | Membership::Knock) {
        if let Some(displayname) = &change.profile.displayname {
            set("displayname", displayname);
        }
        if let Some(avatar_url) = &change.profile.avatar_url {
            set("avatar_url", avatar_url);
        }
    }
    if let Some(authoriser) = &change.authoriser {
        set("join_authorised_via_users_server", authoriser.as_str());
    }
    if change.is_direct && change.membership == Membership::Invite {
        content.insert("is_direct".to_owned(), CanonicalJsonValue::Bool(true));
    }
    Ok(content)
}
