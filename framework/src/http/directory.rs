//! What third-party lookups are answered with ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/application-service-api/#third-party-networks

use std::{collections::BTreeMap, sync::Arc};

use ruma::{
    RoomAliasId, UserId,
    api::appservice::thirdparty::get_protocol::v1::AppserviceProtocol,
    thirdparty::{Location, User},
};
use serde_json::json;

use crate::{
    bridge::Names,
    network::{Network, RemoteId as _},
};

/// Answers third-party lookups. All of it is pure: no network is asked.
pub trait Directory: Send + Sync + 'static {
    /// What there is to know of a protocol, if it is ours.
    fn protocol(&self, protocol: &str) -> Option<AppserviceProtocol>;
    /// The portals of the remote rooms that these fields describe.
    fn locations(&self, protocol: &str, fields: &BTreeMap<String, String>) -> Vec<Location>;
    /// The remote room of an alias.
    fn location_of(&self, alias: &RoomAliasId) -> Option<Location>;
    /// The virtual users of the remote users that these fields describe.
    fn users(&self, protocol: &str, fields: &BTreeMap<String, String>) -> Vec<User>;
    /// The remote user of a virtual user.
    fn user_of(&self, user_id: &UserId) -> Option<User>;
}

/// A [`Directory`] made of what a network says of its ids. The protocol is [`NetworkInfo::id`](crate::network::NetworkInfo::id), a
/// location has the field `room`, a user the field `user`; both as [`RemoteId::encode`](crate::network::RemoteId::encode) writes them.
#[derive(Debug)]
pub struct NetworkDirectory<N> {
    network: Arc<N>,
    names: Names,
}

const ROOM: &str = "room";
const USER: &str = "user";

impl<N: Network> NetworkDirectory<N> {
    /// For this network, under these names.
    pub fn new(network: Arc<N>, names: Names) -> Self {
        Self { network, names }
    }
}

impl<N: Network> Directory for NetworkDirectory<N> {
    fn protocol(&self, protocol: &str) -> Option<AppserviceProtocol> {
        let any = |placeholder: &str| json!({ "regexp": ".+", "placeholder": placeholder });
        let found = json!({
            "user_fields": [USER],
            "location_fields": [ROOM],
            "icon": "",
            "field_types": { USER: any("somebody"), ROOM: any("somewhere") },
            "instances": [{ "desc": N::INFO.name, "network_id": N::INFO.id, "fields": {} }],
        });
        (protocol == N::INFO.id).then(|| serde_json::from_value(found).ok())?
    }

    fn locations(&self, protocol: &str, fields: &BTreeMap<String, String>) -> Vec<Location> {
        let found = (protocol == N::INFO.id).then(|| {
            let room = N::Room::decode(fields.get(ROOM)?)?;
            Some(location::<N>(self.names.alias(&*self.network, &room)?, &room))
        });
        found.flatten().into_iter().collect()
    }

    fn location_of(&self, alias: &RoomAliasId) -> Option<Location> {
        Some(location::<N>(alias.to_owned(), &self.names.room(&*self.network, alias)?))
    }

    fn users(&self, protocol: &str, fields: &BTreeMap<String, String>) -> Vec<User> {
        let found = (protocol == N::INFO.id).then(|| {
            let user = N::User::decode(fields.get(USER)?)?;
            Some(person::<N>(self.names.user_id(&*self.network, &user)?, &user))
        });
        found.flatten().into_iter().collect()
    }

    fn user_of(&self, user_id: &UserId) -> Option<User> {
        Some(person::<N>(user_id.to_owned(), &self.names.user(&*self.network, user_id)?))
    }
}

fn location<N: Network>(alias: ruma::OwnedRoomAliasId, room: &N::Room) -> Location {
    Location::new(alias, N::INFO.id.to_owned(), [(ROOM.to_owned(), room.encode())].into())
}

fn person<N: Network>(user_id: ruma::OwnedUserId, user: &N::User) -> User {
    User::new(user_id, N::INFO.id.to_owned(), [(USER.to_owned(), user.encode())].into())
}
