//! The client as the bridge sees it.

use std::time::Duration;

use async_trait::async_trait;
use ruma::{EventId, MxcUri, OwnedEventId, OwnedMxcUri, OwnedRoomId, OwnedUserId, RoomAliasId, RoomId, UserId};
use serde_json::{Value, json, value::RawValue};

use super::{Act, Assertion, Client, ClientError, NewEvent, NewRoom, WebFiles};
use crate::{
    bridge::{
        Homeserver, HomeserverError, content,
        homeserver::{Membership, NewRoom as Wanted, Outgoing},
    },
    http::MediaLinks,
    network::{PictureContent, Presence},
};

/// A [`Homeserver`] behind a [`Client`]. Give it a client that repeats nothing
/// ([`RetryPolicy::once`](super::RetryPolicy::once)): the lanes do the waiting.
#[derive(Clone, Debug)]
pub struct ClientHomeserver {
    client: Client,
    links: Option<MediaLinks>,
    files: Option<WebFiles>,
    registration_id: String,
    bot: OwnedUserId,
}

/// How long somebody types unless they say so again.
const TYPING: Duration = Duration::from_secs(30);

impl ClientHomeserver {
    /// Behind this client, for the registration of this id, whose bot is `bot`.
    pub fn new(client: Client, links: Option<MediaLinks>, registration_id: String, bot: OwnedUserId) -> Self {
        Self { client, links, files: None, registration_id, bot }
    }

    /// Has files on the web fetched and stored, rather than linked to.
    #[must_use]
    pub fn with_files(self, files: Option<WebFiles>) -> Self {
        Self { files, ..self }
    }

    /// The bot needs no assertion, and some homeservers refuse one.
    fn assert(&self, user_id: &UserId) -> Assertion {
        if user_id == self.bot { Assertion::BOT } else { Assertion::user(user_id) }
    }
}

impl From<ClientError> for HomeserverError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::LimitExceeded { after } => Self::Limited(Some(after)),
            ClientError::UnknownToken => Self::Unavailable(error.to_string()),
            ClientError::Unavailable(reason) => Self::Unavailable(reason),
            ClientError::Forbidden(reason) => Self::Forbidden(reason),
            ClientError::NotFound(reason) => Self::NotFound(reason),
            ClientError::InUse(_) => Self::InUse,
            ClientError::Rejected { .. } | ClientError::TooLarge(_) => Self::Refused(error.to_string()),
        }
    }
}

#[async_trait]
impl Homeserver for ClientHomeserver {
    async fn register(&self, localpart: &str) -> Result<(), HomeserverError> {
        match self.client.register(localpart).await? {
            super::Registered::New => Ok(()),
            super::Registered::Existing => Err(HomeserverError::InUse),
        }
    }

    async fn send(&self, event: &Outgoing<'_>) -> Result<OwnedEventId, HomeserverError> {
        let content = match &self.files {
            Some(files) => raw(&files.bring(&self.client, event.content, event.txn_id).await?)?,
            None => match content::take_web_file(event.content) {
                Some((content, url)) => raw(&content::linked(content, &url))?,
                None => raw(event.content)?,
            },
        };
        let new = NewEvent {
            room: event.room,
            event_type: event.kind,
            txn_id: event.txn_id.into(),
            content: &content,
            at: event.at,
            turn: event.turn.cloned(),
        };
        Ok(self.client.send_event(&self.assert(event.as_user), &new).await?)
    }

    fn takes_turns(&self) -> bool {
        self.client.takes_turns()
    }

    async fn redact(
        &self,
        as_user: &UserId,
        room: &RoomId,
        event: &EventId,
        txn_id: &str,
        reason: Option<&str>,
    ) -> Result<OwnedEventId, HomeserverError> {
        Ok(self.client.redact(&self.assert(as_user), room, event, txn_id.into(), reason).await?)
    }

    async fn set_state(
        &self,
        as_user: &UserId,
        room: &RoomId,
        kind: &str,
        state_key: &str,
        content: &Value,
    ) -> Result<OwnedEventId, HomeserverError> {
        Ok(self.client.send_state(&self.assert(as_user), room, kind, state_key, &raw(content)?, None).await?)
    }

    async fn state(
        &self,
        as_user: &UserId,
        room: &RoomId,
        kind: &str,
        state_key: &str,
    ) -> Result<Option<Value>, HomeserverError> {
        Ok(self.client.state(&self.assert(as_user), room, kind, state_key).await?)
    }

    async fn join(&self, as_user: &UserId, room: &RoomId) -> Result<(), HomeserverError> {
        self.client.join(&self.assert(as_user), room.into(), &[]).await?;
        Ok(())
    }

    async fn set_membership(
        &self,
        as_user: &UserId,
        room: &RoomId,
        whom: &UserId,
        membership: Membership,
        reason: Option<&str>,
    ) -> Result<(), HomeserverError> {
        let who = self.assert(as_user);
        match membership {
            Membership::Invite => self.client.invite(&who, room, whom).await?,
            Membership::Leave if as_user == whom => self.client.leave(&who, room, reason).await?,
            Membership::Leave => self.client.moderate(&who, room, whom, Act::Kick, reason).await?,
            Membership::Ban => self.client.moderate(&who, room, whom, Act::Ban, reason).await?,
            Membership::Unban => self.client.moderate(&who, room, whom, Act::Unban, reason).await?,
        }
        Ok(())
    }

    async fn joined_members(
        &self,
        as_user: &UserId,
        room: &RoomId,
    ) -> Result<Vec<(OwnedUserId, Option<String>)>, HomeserverError> {
        let members = self.client.joined_members(&self.assert(as_user), room).await?;
        Ok(members.into_iter().map(|member| (member.user_id, member.profile.name)).collect())
    }

    async fn creator(&self, as_user: &UserId, room: &RoomId) -> Result<Option<OwnedUserId>, HomeserverError> {
        let state = self.client.all_state(&self.assert(as_user), room).await?;
        let create = state.iter().find(|event| event["type"] == "m.room.create");
        Ok(create.and_then(|event| UserId::parse(event["sender"].as_str()?).ok()))
    }

    async fn create_room(&self, as_user: &UserId, room: &Wanted) -> Result<OwnedRoomId, HomeserverError> {
        let power: serde_json::Map<_, _> =
            room.power.iter().map(|(user_id, level)| (user_id.to_string(), json!(level))).collect();
        let wanted = NewRoom {
            alias_localpart: (!room.alias_localpart.is_empty()).then(|| room.alias_localpart.clone()),
            name: room.name.clone(),
            topic: room.topic.clone(),
            listed: room.listed,
            public: room.public,
            is_direct: room.is_direct,
            invite: room.invite.clone(),
            initial_state: if room.is_direct { vec![no_canonical_alias()] } else { Vec::new() },
            power_levels: (!power.is_empty()).then(|| json!({ "users": power })),
            ..NewRoom::default()
        };
        Ok(self.client.create_room(&self.assert(as_user), wanted).await?)
    }

    async fn resolve_alias(&self, alias: &RoomAliasId) -> Result<Option<OwnedRoomId>, HomeserverError> {
        Ok(self.client.resolve_alias(alias).await?)
    }

    async fn move_alias(&self, alias: &RoomAliasId, room: &RoomId) -> Result<(), HomeserverError> {
        self.client.delete_alias(alias).await?;
        Ok(self.client.put_alias(alias, room).await?)
    }

    async fn set_display_name(&self, user: &UserId, name: &str) -> Result<(), HomeserverError> {
        Ok(self.client.set_display_name(user, Some(name)).await?)
    }

    async fn set_avatar(&self, user: &UserId, avatar: Option<&MxcUri>) -> Result<(), HomeserverError> {
        Ok(self.client.set_avatar(user, avatar).await?)
    }

    async fn has_profile(&self, user: &UserId) -> Result<bool, HomeserverError> {
        Ok(self.client.has_profile(user).await?)
    }

    async fn avatar_of(&self, user: &UserId) -> Result<Option<OwnedMxcUri>, HomeserverError> {
        Ok(self.client.profile(user).await?.avatar)
    }

    async fn thumbnail(&self, mxc: &MxcUri, most: usize) -> Result<Option<PictureContent>, HomeserverError> {
        let found = match self.client.thumbnail(mxc, most as u64).await {
            Err(ClientError::TooLarge(_)) => return Ok(None),
            other => other?,
        };
        let mime = found.mime.clone().unwrap_or_else(|| "image/png".to_owned());
        match found.bytes().await {
            Ok(bytes) => Ok(Some(PictureContent { mime, bytes: bytes.to_vec() })),
            Err(ClientError::TooLarge(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn upload(
        &self,
        as_user: &UserId,
        name: &str,
        mime: &str,
        bytes: Vec<u8>,
    ) -> Result<OwnedMxcUri, HomeserverError> {
        Ok(self.client.upload(&self.assert(as_user), name, mime, bytes.into()).await?)
    }

    fn public_url(&self, mxc: &MxcUri, name: &str) -> Option<String> {
        self.links.as_ref()?.url(mxc, name)
    }

    async fn typing(&self, as_user: &UserId, room: &RoomId, typing: bool) -> Result<(), HomeserverError> {
        Ok(self.client.typing(as_user, room, typing.then_some(TYPING)).await?)
    }

    async fn read(&self, as_user: &UserId, room: &RoomId, event: &EventId) -> Result<(), HomeserverError> {
        Ok(self.client.read_receipt(&self.assert(as_user), room, event).await?)
    }

    async fn set_presence(
        &self,
        user: &UserId,
        presence: Presence,
        status: Option<&str>,
    ) -> Result<(), HomeserverError> {
        Ok(self.client.set_presence(user, presence, status).await?)
    }

    async fn ping(&self, txn_id: &str) -> Result<(), HomeserverError> {
        self.client.ping(&self.registration_id, Some(txn_id)).await?;
        Ok(())
    }
}

/// In `initial_state`, keeps the homeserver from calling a room by its alias: the clients of two who talk with each other then call it by
/// the other one's name. The alias finds it all the same.
fn no_canonical_alias() -> Value {
    json!({ "type": "m.room.canonical_alias", "state_key": "", "content": {} })
}

fn raw(content: &Value) -> Result<Box<RawValue>, HomeserverError> {
    serde_json::value::to_raw_value(content).map_err(|error| HomeserverError::Refused(error.to_string()))
}
