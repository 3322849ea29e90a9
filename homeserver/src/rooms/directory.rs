//! The published room directory: <https://spec.matrix.org/v1.19/client-server-api/#published-room-directory>.

use ruma::{OwnedRoomAliasId, OwnedRoomId, RoomId, events::StateEventType};

use super::{Event, RoomError, Rooms};
use crate::store::directory::Publish;

/// A room of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicRoom {
    /// The room.
    pub room_id: OwnedRoomId,
    /// How many users are joined.
    pub joined_members: u64,
    /// Its name.
    pub name: Option<String>,
    /// Its topic.
    pub topic: Option<String>,
    /// Its canonical alias.
    pub canonical_alias: Option<OwnedRoomAliasId>,
    /// Its avatar.
    pub avatar_url: Option<String>,
    /// Its join rule, the spec's word.
    pub join_rule: String,
    /// Its type (`m.space`), if any.
    pub room_type: Option<String>,
    /// Whether those outside may read it.
    pub world_readable: bool,
    /// Whether guests may join.
    pub guest_can_join: bool,
}

impl Rooms {
    /// Publishes a room, or takes it out. `network` is `None` for the server's own list, else `appservice id|network id`.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room.
    pub async fn set_published(&self, room_id: &RoomId, network: Option<&str>, public: bool) -> Result<(), RoomError> {
        let room = self.known_room(room_id).await?;
        let publish = Publish { network: network.unwrap_or_default().to_owned(), room: room.nid, public };
        self.context.store.write(Box::new(publish)).await?;
        Ok(())
    }

    /// Whether a room is in a list.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room.
    pub async fn is_published(&self, room_id: &RoomId, network: Option<&str>) -> Result<bool, RoomError> {
        let room = self.known_room(room_id).await?;
        Ok(self.context.store.is_published(network.unwrap_or_default(), room.nid).await?)
    }

    /// All rooms of a list (`None`: the server's own), the largest first.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn public_rooms(&self, network: Option<&str>) -> Result<Vec<PublicRoom>, RoomError> {
        let mut found = Vec::new();
        for (nid, joined) in self.context.store.published_rooms(network.unwrap_or_default()).await? {
            let Some(room) = self.context.store.room_by_nid(nid).await? else { continue };
            found.push(self.public_room(&room.room_id, u64::try_from(joined).unwrap_or(0)).await?);
        }
        Ok(found)
    }

    /// All rooms that are in any list, the largest first.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn published_anywhere(&self) -> Result<Vec<PublicRoom>, RoomError> {
        let mut found = Vec::new();
        for (nid, joined) in self.context.store.published_anywhere().await? {
            let Some(room) = self.context.store.room_by_nid(nid).await? else { continue };
            found.push(self.public_room(&room.room_id, u64::try_from(joined).unwrap_or(0)).await?);
        }
        Ok(found)
    }

    /// What the directory says of one room.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn public_room(&self, room_id: &RoomId, joined_members: u64) -> Result<PublicRoom, RoomError> {
        let field = async |kind: StateEventType, field: &str| -> Result<Option<String>, RoomError> {
            Ok(self.state_event(room_id, &kind, "").await?.and_then(|event| text_field(&event, field)))
        };
        let canonical_alias = field(StateEventType::RoomCanonicalAlias, "alias").await?;
        Ok(PublicRoom {
            room_id: room_id.to_owned(),
            joined_members,
            name: field(StateEventType::RoomName, "name").await?,
            topic: field(StateEventType::RoomTopic, "topic").await?,
            canonical_alias: canonical_alias.and_then(|alias| OwnedRoomAliasId::try_from(alias).ok()),
            avatar_url: field(StateEventType::RoomAvatar, "url").await?,
            join_rule: field(StateEventType::RoomJoinRules, "join_rule").await?.unwrap_or_else(|| "invite".to_owned()),
            room_type: field(StateEventType::RoomCreate, "type").await?,
            world_readable: field(StateEventType::RoomHistoryVisibility, "history_visibility").await?.as_deref()
                == Some("world_readable"),
            guest_can_join: field(StateEventType::RoomGuestAccess, "guest_access").await?.as_deref()
                == Some("can_join"),
        })
    }
}

/// A text in the content of an event that was not redacted.
pub(super) fn text_field(event: &Event, field: &str) -> Option<String> {
    if event.redacted_by().is_some() {
        return None;
    }
    let content: serde_json::Map<String, serde_json::Value> = serde_json::from_str(event.content.get()).ok()?;
    content.get(field)?.as_str().map(str::to_owned)
}
