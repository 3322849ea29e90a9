//! What the handlers stand on. A handler asks for the one service it needs (`State<Rooms>`), never for all of them.

use std::{sync::Arc, time::Duration};

use axum::extract::FromRef;
use ruma::{OwnedServerName, OwnedUserId, ServerName, UserId};

use super::{auth::Auth, limits::Limits, uia::Uia};
use crate::{
    admin::Operator,
    appservice::{Appservices, Deliveries, Names, Registrations, service_keys::ServiceKeys, thirdparty::Thirdparty},
    client_api::{Support, Turn},
    clock::Clock,
    deletion::Deletion,
    departure::Departure,
    devices::{Backups, Devices, Keys, ToDevice},
    entropy::Entropy,
    media::{Media, Previews},
    notices::Notices,
    push::{Judge, Pushers, Unread},
    rooms::Rooms,
    search::Search,
    stream::Stream,
    sync::{Presences, Receipts, Sync, Typists},
    users::{AccountData, Grants, Reports, Users},
};

/// How the client-server API behaves.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// The name of this server.
    pub server_name: OwnedServerName,
    /// Where clients reach it, for `.well-known`; `None` hides that document.
    pub public_url: Option<String>,
    /// Whom to ask about the server, for `.well-known`; `None` hides that document.
    pub support: Option<Support>,
    /// Who may register.
    pub registering: Registering,
    /// Whether guests are admitted.
    pub guests: bool,
    /// Whether application services may have users join without asking them, and fill rooms up.
    pub bridge_extensions: bool,
    /// Whose names nobody can have.
    pub reserved: Vec<OwnedUserId>,
    /// Whether new files are given out at the old endpoints, too, which ask for no token.
    pub unauthenticated_media: bool,
    /// How long an access token counts that can be refreshed.
    pub access_token_lifetime: Duration,
    /// The relay for calls, if there is one.
    pub turn: Option<Turn>,
}

/// Who may register an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Registering {
    /// Anyone.
    #[default]
    Open,
    /// Who has a registration token.
    WithToken,
    /// Nobody but application services; operators make accounts.
    Closed,
}

impl ApiConfig {
    /// Whether a user is of this server.
    #[must_use]
    pub fn is_local(&self, user_id: &UserId) -> bool {
        user_id.server_name() == self.server_name
    }

    /// The name of this server.
    #[must_use]
    pub fn server_name(&self) -> &ServerName {
        &self.server_name
    }
}

/// All services, as the composition root made them.
#[derive(Clone, Debug)]
pub struct ApiState {
    pub(crate) parts: Arc<Parts>,
}

#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) config: Arc<ApiConfig>,
    pub(crate) auth: Auth,
    pub(crate) uia: Uia,
    pub(crate) limits: Limits,
    pub(crate) departure: Departure,
    pub(crate) deletion: Deletion,
    pub(crate) grants: Grants,
    pub(crate) users: Users,
    pub(crate) account_data: AccountData,
    pub(crate) devices: Devices,
    pub(crate) backups: Backups,
    pub(crate) keys: Keys,
    pub(crate) to_device: ToDevice,
    pub(crate) media: Media,
    pub(crate) previews: Option<Previews>,
    pub(crate) notices: Notices,
    pub(crate) rooms: Rooms,
    pub(crate) stream: Stream,
    pub(crate) receipts: Receipts,
    pub(crate) typing: Typists,
    pub(crate) presences: Presences,
    pub(crate) reports: Reports,
    pub(crate) search: Search,
    pub(crate) judge: Judge,
    pub(crate) unread: Unread,
    pub(crate) pushers: Pushers,
    pub(crate) sync: Sync,
    pub(crate) appservices: Appservices,
    pub(crate) deliveries: Deliveries,
    pub(crate) names: Names,
    pub(crate) registrations: Registrations,
    pub(crate) operator: Operator,
    pub(crate) thirdparty: Thirdparty,
    pub(crate) service_keys: ServiceKeys,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) clock: Arc<dyn Clock>,
}

macro_rules! part {
    ($($name:ident: $kind:ty),* $(,)?) => {$(
        impl FromRef<ApiState> for $kind {
            fn from_ref(state: &ApiState) -> Self {
                state.parts.$name.clone()
            }
        }
    )*};
}

part! {
    config: Arc<ApiConfig>, auth: Auth, uia: Uia, limits: Limits, departure: Departure, deletion: Deletion,
    grants: Grants, users: Users, account_data: AccountData, devices: Devices, backups: Backups, keys: Keys,
    to_device: ToDevice, media: Media, previews: Option<Previews>, notices: Notices, rooms: Rooms, stream: Stream, receipts: Receipts, typing: Typists,
    presences: Presences, reports: Reports, search: Search, judge: Judge, unread: Unread, pushers: Pushers, sync: Sync,
    appservices: Appservices, deliveries: Deliveries, names: Names, registrations: Registrations, operator: Operator,
    thirdparty: Thirdparty, service_keys: ServiceKeys, entropy: Arc<dyn Entropy>, clock: Arc<dyn Clock>,
}
