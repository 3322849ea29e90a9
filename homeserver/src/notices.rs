//! What the server has to say to one of its users ([spec])
//!
//! Each user has one room for it at most, which is theirs to read and not to write in.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#server-notices

use std::{collections::BTreeMap, sync::Arc};

use landbridge_sql::SqlError;
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, UserId,
    api::client::room::create_room::v3 as create_room,
    serde::{JsonObject, Raw},
};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::{
    rooms::{MemberProfile, Membership, MembershipChange, NewRoom, Outgoing, RoomError, Rooms},
    store::{KeepError, StoreError, local::Local, notices as table},
    users::{AccountData, CreateUserError, Users},
};

/// Who speaks for the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticesConfig {
    /// The localpart of the user; it is kept for the server.
    pub localpart: String,
    /// What the user is called.
    pub displayname: String,
    /// What the rooms are called.
    pub room_name: String,
}

impl Default for NoticesConfig {
    fn default() -> Self {
        let name = || "Server notices".to_owned();
        Self { localpart: "notices".to_owned(), displayname: name(), room_name: name() }
    }
}

/// Tells users what the server has to say.
#[derive(Clone, Debug)]
pub(crate) struct Notices {
    config: Arc<NoticesConfig>,
    sender: OwnedUserId,
    local: Local,
    users: Users,
    rooms: Rooms,
    account_data: AccountData,
    /// No two rooms are made for one user.
    making: Arc<Mutex<()>>,
}

/// Why a user was not told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoticeError {
    #[error("there is no such user, or the account is closed")]
    NoSuchUser,
    #[error("somebody has the name that is meant for the server")]
    NameTaken,
    #[error("the content is no JSON object")]
    BadContent,
    #[error(transparent)]
    Room(#[from] RoomError),
    #[error(transparent)]
    Account(#[from] CreateUserError),
    #[error(transparent)]
    Read(#[from] SqlError),
    #[error(transparent)]
    Write(#[from] StoreError),
    #[error(transparent)]
    Keep(#[from] KeepError),
}

impl Notices {
    pub(crate) fn new(
        config: NoticesConfig,
        server_name: &OwnedServerName,
        local: Local,
        users: Users,
        rooms: Rooms,
        account_data: AccountData,
    ) -> Result<Self, ruma::IdParseError> {
        let sender = UserId::parse_with_server_name(config.localpart.as_str(), server_name)?;
        Ok(Self { config: Arc::new(config), sender, local, users, rooms, account_data, making: Arc::default() })
    }

    /// Who speaks for the server: nobody else can have the name.
    pub(crate) fn sender(&self) -> &UserId {
        &self.sender
    }

    /// Sends an event of type `m.room.message` to a user. Who has left the room is invited again.
    pub(crate) async fn tell(
        &self,
        user_id: &UserId,
        content: &Value,
    ) -> Result<(OwnedRoomId, OwnedEventId), NoticeError> {
        let known = self.users.details(user_id).await?.filter(|account| !account.deactivated);
        known.filter(|account| account.user_id != self.sender).ok_or(NoticeError::NoSuchUser)?;
        let content = Some(content).filter(|content| content.is_object()).ok_or(NoticeError::BadContent)?;
        let content = serde_json::value::to_raw_value(content).map_err(|_| NoticeError::BadContent)?;
        let making = self.making.lock().await;
        self.be_there().await?;
        let room_id = match self.room_of(user_id).await? {
            Some(room_id) => room_id,
            None => self.make(user_id).await?,
        };
        drop(making);
        self.ask_in(user_id, &room_id).await?;
        let outgoing = Outgoing::message(room_id.clone(), self.sender.clone(), "m.room.message", content);
        let sent = self.rooms.send(outgoing).await?;
        Ok((room_id, sent.event_id))
    }

    /// Whether this is the room in which the user is told what the server has to say.
    pub(crate) async fn is_room_of(&self, user_id: &UserId, room_id: &RoomId) -> Result<bool, SqlError> {
        Ok(table::room_of(self.local.db(), user_id.as_str()).await?.is_some_and(|known| known == room_id.as_str()))
    }

    /// The server's own user is made when it has something to say.
    async fn be_there(&self) -> Result<(), NoticeError> {
        if !self.users.exists(&self.sender).await? {
            self.users.create(&self.sender, None, None).await?;
            self.users.set_displayname(&self.sender, Some(&self.config.displayname)).await?;
        }
        if self.users.has_password(&self.sender).await? {
            return Err(NoticeError::NameTaken);
        }
        Ok(())
    }

    /// The room of a user, if the server is still in it.
    async fn room_of(&self, user_id: &UserId) -> Result<Option<OwnedRoomId>, NoticeError> {
        let known = table::room_of(self.local.db(), user_id.as_str()).await?;
        let Some(room_id) = known.and_then(|room_id| OwnedRoomId::try_from(room_id).ok()) else { return Ok(None) };
        let here = self.rooms.membership(&room_id, &self.sender).await?;
        Ok(here.filter(|known| known.membership == Membership::Join).map(|_| room_id))
    }

    async fn make(&self, user_id: &UserId) -> Result<OwnedRoomId, NoticeError> {
        let mut request = create_room::Request::new();
        request.name = Some(self.config.room_name.clone());
        request.preset = Some(create_room::RoomPreset::PrivateChat);
        let levels = json!({ "users": { &self.sender: 100 }, "users_default": -10, "invite": 100 });
        let levels = serde_json::value::to_raw_value(&levels).map_err(|_| NoticeError::BadContent)?;
        request.power_level_content_override = Some(Raw::<JsonObject>::from_json(levels).cast_unchecked());
        let profile = MemberProfile { displayname: Some(self.config.displayname.clone()), avatar_url: None };
        let profiles = BTreeMap::from([(self.sender.clone(), profile)]);
        let made = self.rooms.create(NewRoom { creator: self.sender.clone(), request: &request, profiles }).await?;
        self.local.write(vec![table::put_room(user_id.as_str(), made.as_str())]).await?;
        Ok(made)
    }

    /// The tag comes first: clients tell the room by it.
    async fn ask_in(&self, user_id: &UserId, room_id: &RoomId) -> Result<(), NoticeError> {
        let known = self.rooms.membership(room_id, user_id).await?.map(|known| known.membership);
        if matches!(known, Some(Membership::Join | Membership::Invite)) {
            return Ok(());
        }
        let add = |stored: Option<String>| {
            let mut tags: Value = stored.and_then(|tags| serde_json::from_str(&tags).ok()).unwrap_or_default();
            if !tags["tags"].is_object() {
                tags = json!({ "tags": {} });
            }
            tags["tags"]["m.server_notice"] = json!({});
            Ok::<_, NoticeError>(Some(tags.to_string()))
        };
        self.account_data.change(user_id, Some(room_id), "m.tag", add).await?;
        let change = MembershipChange::new(room_id.to_owned(), self.sender.clone(), user_id, Membership::Invite);
        self.rooms.change_membership(change).await?;
        Ok(())
    }
}

/// What a user is told who is told only words.
pub(crate) fn words(text: &str) -> Value {
    json!({ "msgtype": "m.text", "body": text })
}
