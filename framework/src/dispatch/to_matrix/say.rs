//! What each decision says to Matrix.

use ruma::{EventId, OwnedEventId, RoomId, UserId};

use super::{Place, Said, ToMatrix};
use crate::{
    bridge::{
        HomeserverError, content,
        homeserver::{Membership as Ask, Outgoing},
        mappings::MappingKind,
    },
    clock::Millis,
    dispatch::{from_remote::Saying, status::STATUS},
    network::{Body, MatrixOp, MatrixOpKind, Membership, Network, RemoteId, Whom},
    store::{MemberRow, MemberState},
};

impl<N: Network> ToMatrix<N> {
    pub(super) async fn say(
        &self,
        saying: &Saying<N::User, N::Message>,
        place: &Place<'_>,
    ) -> Result<Said, HomeserverError> {
        let _permit = self.permits.acquire().await;
        match saying {
            Saying::Op(op) => self.say_op(op, place).await,
            Saying::Status(content) => {
                let spokesman = self.spokesman(place.room_id);
                self.send(&spokesman, STATUS, content, place, None).await.map(Said::event)
            }
            Saying::Answer { to, text } => {
                let content = content::notice(text, to.as_deref(), place.key);
                let spokesman = self.spokesman(place.room_id);
                self.send(&spokesman, "m.room.message", &content, place, None).await.map(Said::event)
            }
        }
    }

    async fn say_op(&self, op: &MatrixOp<N>, place: &Place<'_>) -> Result<Said, HomeserverError> {
        let room_id = place.room_id;
        if refers(&op.kind) {
            // What was said right before may be what this is about, and what became of it is not waited for.
            let settled = self.parts.store.settled().await;
            settled.map_err(|error| HomeserverError::Unavailable(error.to_string()))?;
        }
        match &op.kind {
            MatrixOpKind::Send { body, reply_to, .. } => {
                let reply_to = match reply_to {
                    Some(target) => self.event_of(room_id, target).await?,
                    None => None,
                };
                let content = content::message(self.localised(body), reply_to.as_deref(), place.key);
                self.send_as(op, "m.room.message", &content, place).await.map(Said::event)
            }
            MatrixOpKind::Edit { target, body } => match self.own_event_of(op, room_id, target).await? {
                Some(target) => {
                    let content = content::edit(self.localised(body), &target, place.key);
                    self.send_as(op, "m.room.message", &content, place).await.map(Said::event)
                }
                // What it changes never crossed, or is another's: then this is news.
                None => {
                    let content = content::message(self.localised(body), None, place.key);
                    self.send_as(op, "m.room.message", &content, place).await.map(Said::event)
                }
            },
            MatrixOpKind::React { target, key, on } => self.react(op, target, key, *on, place).await,
            MatrixOpKind::Redact { target, reason } => self.redact(op, target, reason.as_deref(), place).await,
            MatrixOpKind::Retract(target) => self.retract(op, target, place).await,
            MatrixOpKind::Reactions { target, keys } => self.set_reactions(op, target, keys, place).await,
            MatrixOpKind::Member { .. } | MatrixOpKind::Members(_) | MatrixOpKind::Rename { .. } => {
                Ok(Said { members: self.membership(op, room_id), ..Said::default() })
            }
            MatrixOpKind::Decline { who, reason } => {
                let id = self.users.id(who)?;
                // Anybody may say that they do not come. Who is in the room stays there.
                if !self.is_now(room_id, &id, "invite").await? {
                    return Ok(Said::default());
                }
                let id = self.users.ensure(who, None).await?;
                let homeserver = &self.parts.homeserver;
                let done = homeserver.set_membership(&id, room_id, &id, Ask::Leave, reason.as_deref()).await;
                forgiving("an invitation could not be declined", done)
            }
            MatrixOpKind::Expel { user_id, banned, reason } => {
                if self.is_now(room_id, user_id, "ban").await? {
                    return Ok(Said::default());
                }
                let ask = if *banned { Ask::Ban } else { Ask::Leave };
                let done = self.moderate(room_id, user_id, ask, reason.as_deref()).await;
                forgiving("somebody could not be put out", done)
            }
            MatrixOpKind::Pardon { user_id, reason } => {
                // Who is in the room, or never was kept out of it, is not put out of it by this.
                if !self.is_now(room_id, user_id, "ban").await? {
                    return Ok(Said::default());
                }
                let done = self.moderate(room_id, user_id, Ask::Unban, reason.as_deref()).await;
                forgiving("somebody could not be let back in", done)
            }
            MatrixOpKind::Profile { who, profile } => {
                forgiving("a profile could not be shown", self.users.show(who, profile).await)
            }
            MatrixOpKind::Topic(topic) => self.set_state(room_id, "m.room.topic", "topic", topic).await,
            MatrixOpKind::Name(name) => self.set_state(room_id, "m.room.name", "name", name).await,
            MatrixOpKind::Power { who, level, before } => self.set_power(room_id, who, *level, *before).await,
            MatrixOpKind::Notice(text) => {
                let content = content::notice(text, None, place.key);
                let spokesman = self.spokesman(room_id);
                self.send(&spokesman, "m.room.message", &content, place, None).await.map(Said::event)
            }
        }
    }

    /// What the bot makes of a Matrix user's standing.
    async fn moderate(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
        ask: Ask,
        reason: Option<&str>,
    ) -> Result<(), HomeserverError> {
        self.parts.homeserver.set_membership(&self.parts.names.bot, room_id, user_id, ask, reason).await
    }

    /// Whether somebody's membership is this.
    async fn is_now(&self, room_id: &RoomId, user_id: &UserId, membership: &str) -> Result<bool, HomeserverError> {
        let bot = &self.parts.names.bot;
        let member = self.parts.homeserver.state(bot, room_id, "m.room.member", user_id.as_str()).await;
        match member {
            Ok(member) => Ok(member.is_some_and(|content| content["membership"] == membership)),
            Err(error @ (HomeserverError::Limited(_) | HomeserverError::Unavailable(_))) => Err(error),
            // The bot may not look: then the attempt tells.
            Err(_) => Ok(false),
        }
    }

    /// Sends as the virtual user who says it, who is brought into the room if they are not there.
    pub(super) async fn send_as(
        &self,
        op: &MatrixOp<N>,
        kind: &str,
        content: &serde_json::Value,
        place: &Place<'_>,
    ) -> Result<OwnedEventId, HomeserverError> {
        let Some(user) = &op.sender else {
            return self.send(&self.spokesman(place.room_id), kind, content, place, op.at).await;
        };
        let id = self.members.ensure_joined(place.room_id, user).await?;
        match self.send(&id, kind, content, place, op.at).await {
            Err(HomeserverError::Forbidden(_)) => {
                // Put out meanwhile: invited and brought back once.
                self.members.not_joined(place.room_id, user);
                self.members.ensure_joined(place.room_id, user).await?;
                self.send(&id, kind, content, place, op.at).await
            }
            other => other,
        }
    }

    pub(super) async fn send(
        &self,
        as_user: &UserId,
        kind: &str,
        content: &serde_json::Value,
        place: &Place<'_>,
        at: Option<Millis>,
    ) -> Result<OwnedEventId, HomeserverError> {
        let Place { room_id, key, turn } = *place;
        self.parts.homeserver.send(&Outgoing { as_user, room: room_id, kind, content, txn_id: key, at, turn }).await
    }

    /// What is wanted of virtual users from now on. Made true beside the lane.
    fn membership(&self, op: &MatrixOp<N>, room_id: &RoomId) -> Vec<MemberRow> {
        match &op.kind {
            MatrixOpKind::Member { who, membership, name, reason } => {
                let (wanted, reason) = match membership {
                    Membership::Join => (MemberState::Joined, None),
                    Membership::Leave => (MemberState::Left, reason.clone()),
                    Membership::Kick | Membership::Ban => {
                        let by = op.sender.as_ref().map_or_else(|| N::INFO.name.to_owned(), RemoteId::encode);
                        let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                        let banned = *membership == Membership::Ban;
                        let wanted = if banned { MemberState::Banned } else { MemberState::Left };
                        (wanted, Some(format!("put out by {by}{reason}")))
                    }
                    Membership::Unban => return self.members.pardon(room_id, who).into_iter().collect(),
                    Membership::Invite => return Vec::new(),
                };
                self.members.want(room_id, who, name.as_deref(), wanted, reason.as_deref()).into_iter().collect()
            }
            MatrixOpKind::Members(members) => {
                self.members.want_exactly(room_id, members).into_iter().map(|(_, row)| row).collect()
            }
            MatrixOpKind::Rename { from, to, name } => {
                let gone = self.members.want(room_id, from, None, MemberState::Left, Some("goes by another name"));
                gone.into_iter()
                    .chain(self.members.want(room_id, to, name.as_deref(), MemberState::Joined, None))
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    /// Sets state as the bot, unless it is so already: what Matrix users set comes back to us from the network.
    async fn set_state(&self, room_id: &RoomId, kind: &str, field: &str, value: &str) -> Result<Said, HomeserverError> {
        let bot = &self.parts.names.bot;
        let now = self.parts.homeserver.state(bot, room_id, kind, "").await?;
        if now.as_ref().and_then(|content| content[field].as_str()).unwrap_or_default() == value {
            return Ok(Said::default());
        }
        let content = serde_json::json!({ field: value });
        forgiving("state could not be set", self.parts.homeserver.set_state(bot, room_id, kind, "", &content).await)
    }

    async fn set_power(
        &self,
        room_id: &RoomId,
        who: &Whom<N::User>,
        level: i64,
        before: Option<i64>,
    ) -> Result<Said, HomeserverError> {
        let bot = &self.parts.names.bot;
        let id = match who {
            Whom::Remote(user) => self.users.id(user)?,
            Whom::Matrix(user_id) => user_id.clone(),
        };
        let Some(mut levels) = self.parts.homeserver.state(bot, room_id, "m.room.power_levels", "").await? else {
            return Ok(Said::default());
        };
        let default = levels["users_default"].as_i64().unwrap_or(0);
        let now = levels["users"][id.as_str()].as_i64().unwrap_or(default);
        if now == level || before.is_some_and(|before| before != now) || !levels.is_object() {
            return Ok(Said::default());
        }
        levels["users"][id.as_str()] = level.into();
        let done = self.parts.homeserver.set_state(bot, room_id, "m.room.power_levels", "", &levels).await;
        forgiving("power could not be given", done)
    }

    /// Mentions of remote users become mentions of virtual users.
    pub(super) fn localised(&self, body: &Body) -> Body {
        let mut body = body.clone();
        body.text = content::mentions_to_matrix(body.text, |encoded| {
            self.parts.names.user_id(&*self.parts.network, &N::User::decode(encoded)?)
        });
        body
    }

    pub(super) async fn event_of(
        &self,
        room_id: &RoomId,
        message: &N::Message,
    ) -> Result<Option<OwnedEventId>, HomeserverError> {
        let rows = self.parts.store.message_by_remote(room_id.as_str(), &message.encode()).await.map_err(not_now)?;
        Ok(rows.first().and_then(|row| EventId::parse(row.event_id.as_str()).ok()))
    }

    /// The event that a message of whoever says this became.
    async fn own_event_of(
        &self,
        op: &MatrixOp<N>,
        room_id: &RoomId,
        message: &N::Message,
    ) -> Result<Option<OwnedEventId>, HomeserverError> {
        let rows = self.parts.store.message_by_remote(room_id.as_str(), &message.encode()).await.map_err(not_now)?;
        let author = op.sender.as_ref().map(RemoteId::encode);
        let own = rows.iter().find(|row| row.memory.author == author);
        Ok(own.and_then(|row| EventId::parse(row.event_id.as_str()).ok()))
    }

    pub(super) fn spokesman(&self, room_id: &RoomId) -> ruma::OwnedUserId {
        match self.parts.mappings.by_room(room_id) {
            Some(mapping) if mapping.kind == MappingKind::Direct => self.rooms.spokesman(&mapping),
            _ => self.parts.names.bot.clone(),
        }
    }

    pub(super) fn sender(&self, op: &MatrixOp<N>) -> Option<String> {
        self.parts.names.user_id(&*self.parts.network, op.sender.as_ref()?).map(String::from)
    }
}

/// Whether it is about a message that was said before.
const fn refers<U, M>(kind: &MatrixOpKind<U, M>) -> bool {
    matches!(
        kind,
        MatrixOpKind::Send { reply_to: Some(_), .. }
            | MatrixOpKind::Edit { .. }
            | MatrixOpKind::React { .. }
            | MatrixOpKind::Redact { .. }
            | MatrixOpKind::Retract(_)
            | MatrixOpKind::Reactions { .. }
    )
}

/// What is refused for good, and is no message of anybody's, is said in the log and left.
pub(super) fn forgiving<T>(what: &str, done: Result<T, HomeserverError>) -> Result<Said, HomeserverError> {
    match done {
        Ok(_) => Ok(Said::default()),
        Err(error @ (HomeserverError::Limited(_) | HomeserverError::Unavailable(_))) => Err(error),
        Err(error) => {
            tracing::warn!(%error, "{what}");
            Ok(Said::default())
        }
    }
}

pub(super) fn not_now(error: landbridge_sql::SqlError) -> HomeserverError {
    HomeserverError::Unavailable(error.to_string())
}
