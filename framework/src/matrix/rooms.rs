//! Rooms, their aliases, and who is in them.

use ruma::{
    OwnedRoomId, OwnedServerName, OwnedUserId, RoomAliasId, RoomId, RoomOrAliasId, RoomVersionId, UserId,
    api::client::{
        alias::{create_alias, delete_alias, get_alias},
        appservice, directory,
        membership::{
            ban_user, get_member_events, invite_user, join_room_by_id_or_alias, joined_members, joined_rooms,
            kick_user, leave_room, unban_user,
        },
        room::{Visibility, create_room},
    },
    assign,
    events::AnyInitialStateEvent,
    serde::Raw,
};
use serde::Deserialize;
use serde_json::Value;

use super::{Assertion, Client, ClientError, client::Repeat};
use crate::network::Profile;

/// A room to be made.
#[derive(Clone, Debug, Default)]
pub struct NewRoom {
    /// The localpart of its alias. With one, a repetition finds the alias taken: it is the lock against making a room twice.
    pub alias_localpart: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its topic.
    pub topic: Option<String>,
    /// Whether the directory lists it.
    pub listed: bool,
    /// Whether anybody may join; else only who is invited.
    pub public: bool,
    /// Whether it is a private conversation.
    pub is_direct: bool,
    /// Who is invited.
    pub invite: Vec<OwnedUserId>,
    /// Further state events: `{"type", "state_key", "content"}`.
    pub initial_state: Vec<Value>,
    /// The content of `m.room.power_levels`, laid over the default.
    pub power_levels: Option<Value>,
    /// Its version; none for the homeserver's default.
    pub room_version: Option<RoomVersionId>,
    /// Whether users of other servers can ever be in it.
    pub unfederated: bool,
}

/// What can be done to somebody in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Puts them out.
    Kick,
    /// Puts them out and keeps them out.
    Ban,
    /// Lets them back in.
    Unban,
}

/// Somebody in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user_id: OwnedUserId,
    /// `join`, `invite`, `leave`, `ban` or `knock`.
    pub membership: String,
    /// What is known of them in this room.
    pub profile: Profile,
}

impl Client {
    /// Makes a room. Not repeated by itself when the answer is lost: with an alias the caller can ask what became of it.
    ///
    /// # Errors
    /// [`ClientError::InUse`] when the alias is taken.
    pub async fn create_room(&self, who: &Assertion, room: NewRoom) -> Result<OwnedRoomId, ClientError> {
        let mut request = create_room::v3::Request::new();
        request.room_alias_name = room.alias_localpart;
        request.name = room.name;
        request.topic = room.topic;
        request.visibility = if room.listed { Visibility::Public } else { Visibility::Private };
        request.preset = Some(preset(room.public, room.is_direct));
        request.is_direct = room.is_direct;
        request.invite = room.invite;
        request.room_version = room.room_version;
        request.initial_state = room.initial_state.iter().map(raw::<AnyInitialStateEvent>).collect::<Result<_, _>>()?;
        request.power_level_content_override = room.power_levels.as_ref().map(raw).transpose()?;
        if room.unfederated {
            request.creation_content = Some(raw(&serde_json::json!({ "m.federate": false }))?);
        }
        Ok(self.send(who, request, Repeat::Never).await?.room_id)
    }

    /// The room that an alias names, if any.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn resolve_alias(&self, alias: &RoomAliasId) -> Result<Option<OwnedRoomId>, ClientError> {
        let request = get_alias::v3::Request::new(alias.to_owned());
        found(self.send(&Assertion::BOT, request, Repeat::Safe).await.map(|response| response.room_id))
    }

    /// Gives a room an alias.
    ///
    /// # Errors
    /// [`ClientError::InUse`] when it names a room already.
    pub async fn put_alias(&self, alias: &RoomAliasId, room: &RoomId) -> Result<(), ClientError> {
        let request = create_alias::v3::Request::new(alias.to_owned(), room.to_owned());
        self.send(&Assertion::BOT, request, Repeat::Safe).await.map(drop)
    }

    /// Takes an alias away. One that is not there is no error.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn delete_alias(&self, alias: &RoomAliasId) -> Result<(), ClientError> {
        let request = delete_alias::v3::Request::new(alias.to_owned());
        found(self.send(&Assertion::BOT, request, Repeat::Safe).await).map(drop)
    }

    /// Lists a room in the homeserver's directory, or takes it out.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn set_directory_visibility(&self, room: &RoomId, listed: bool) -> Result<(), ClientError> {
        let request = directory::set_room_visibility::v3::Request::new(room.to_owned(), visibility(listed));
        self.send(&Assertion::BOT, request, Repeat::Safe).await.map(drop)
    }

    /// Lists a room in the directory of one of the registration's networks ([spec]), or takes it out.
    ///
    /// [spec]: https://spec.matrix.org/v1.19/application-service-api/#application-service-room-directories
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn set_network_visibility(&self, network: &str, room: &RoomId, listed: bool) -> Result<(), ClientError> {
        let request =
            appservice::set_room_visibility::v3::Request::new(network.to_owned(), room.to_owned(), visibility(listed));
        self.send(&Assertion::BOT, request, Repeat::Safe).await.map(drop)
    }

    /// Joins a room. Being in it already is no error.
    ///
    /// # Errors
    /// [`ClientError::Forbidden`] when an invite is needed.
    pub async fn join(
        &self,
        who: &Assertion,
        room: &RoomOrAliasId,
        via: &[OwnedServerName],
    ) -> Result<OwnedRoomId, ClientError> {
        let mut request = join_room_by_id_or_alias::v3::Request::new(room.to_owned());
        request.via = via.to_vec();
        Ok(self.send(who, request, Repeat::Safe).await?.room_id)
    }

    /// Invites somebody.
    ///
    /// # Errors
    /// [`ClientError::Forbidden`] also when they are in the room already or are banned.
    pub async fn invite(&self, who: &Assertion, room: &RoomId, user_id: &UserId) -> Result<(), ClientError> {
        let recipient =
            invite_user::v3::InvitationRecipient::UserId(invite_user::v3::InviteUserId::new(user_id.to_owned()));
        let request = invite_user::v3::Request::new(room.to_owned(), recipient);
        self.send(who, request, Repeat::Safe).await.map(drop)
    }

    /// Leaves a room, or declines an invite.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn leave(&self, who: &Assertion, room: &RoomId, reason: Option<&str>) -> Result<(), ClientError> {
        let mut request = leave_room::v3::Request::new(room.to_owned());
        request.reason = reason.map(str::to_owned);
        self.send(who, request, Repeat::Safe).await.map(drop)
    }

    /// Puts somebody out, keeps them out, or lets them back in.
    ///
    /// # Errors
    /// [`ClientError::Forbidden`] when our power does not suffice, or they are not what the act needs them to be.
    pub async fn moderate(
        &self,
        who: &Assertion,
        room: &RoomId,
        user_id: &UserId,
        act: Act,
        reason: Option<&str>,
    ) -> Result<(), ClientError> {
        let (room, user_id, reason) = (room.to_owned(), user_id.to_owned(), reason.map(str::to_owned));
        match act {
            Act::Kick => {
                let request = assign!(kick_user::v3::Request::new(room, user_id), { reason });
                self.send(who, request, Repeat::Safe).await.map(drop)
            }
            Act::Ban => {
                let request = assign!(ban_user::v3::Request::new(room, user_id), { reason });
                self.send(who, request, Repeat::Safe).await.map(drop)
            }
            Act::Unban => {
                let request = assign!(unban_user::v3::Request::new(room, user_id), { reason });
                self.send(who, request, Repeat::Safe).await.map(drop)
            }
        }
    }

    /// The rooms that somebody is in.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn joined_rooms(&self, who: &Assertion) -> Result<Vec<OwnedRoomId>, ClientError> {
        Ok(self.send(who, joined_rooms::v3::Request::new(), Repeat::Safe).await?.joined_rooms)
    }

    /// Who is in a room, with the names they go by there.
    ///
    /// # Errors
    /// [`ClientError::Forbidden`] when we are not in it.
    pub async fn joined_members(&self, who: &Assertion, room: &RoomId) -> Result<Vec<Member>, ClientError> {
        let request = joined_members::v3::Request::new(room.to_owned());
        let joined = self.send(who, request, Repeat::Safe).await?.joined;
        Ok(joined
            .into_iter()
            .map(|(user_id, member)| Member {
                user_id,
                membership: "join".to_owned(),
                profile: Profile { name: member.display_name, avatar: member.avatar_url },
            })
            .collect())
    }

    /// Everybody who is or was in a room, with what they are now. Members whose events cannot be read are left out.
    ///
    /// # Errors
    /// [`ClientError::Forbidden`] when we are not in it.
    pub async fn members(&self, who: &Assertion, room: &RoomId) -> Result<Vec<Member>, ClientError> {
        let request = get_member_events::v3::Request::new(room.to_owned());
        let chunk = self.send(who, request, Repeat::Safe).await?.chunk;
        Ok(chunk.into_iter().filter_map(|event| member(event.json().get())).collect())
    }
}

fn preset(public: bool, is_direct: bool) -> create_room::v3::RoomPreset {
    use create_room::v3::RoomPreset;
    match (public, is_direct) {
        (true, _) => RoomPreset::PublicChat,
        (false, true) => RoomPreset::TrustedPrivateChat,
        (false, false) => RoomPreset::PrivateChat,
    }
}

fn visibility(listed: bool) -> Visibility {
    if listed { Visibility::Public } else { Visibility::Private }
}

fn raw<T>(value: &Value) -> Result<Raw<T>, ClientError> {
    Raw::new(value)
        .map(Raw::cast_unchecked)
        .map_err(|error| ClientError::Rejected { errcode: "M_BAD_JSON".to_owned(), message: error.to_string() })
}

/// "Not found" as an answer, not as an error.
pub(super) fn found<T>(result: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(ClientError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn member(json: &str) -> Option<Member> {
    #[derive(Deserialize)]
    struct Event {
        state_key: OwnedUserId,
        content: Content,
    }
    #[derive(Deserialize)]
    struct Content {
        membership: String,
        #[serde(default)]
        displayname: Value,
        #[serde(default)]
        avatar_url: Value,
    }
    let Event { state_key, content } = serde_json::from_str(json).ok()?;
    Some(Member {
        user_id: state_key,
        membership: content.membership,
        profile: Profile {
            name: content.displayname.as_str().map(str::to_owned),
            avatar: content.avatar_url.as_str().filter(|url| !url.is_empty()).map(Into::into),
        },
    })
}
