//! Puts the services of the client-server and application-service sides together.

use std::{path::Path, sync::Arc};

use axum::Router;
use landbridge_registration::Registration;
use landbridge_sql::SqlError;

use crate::{
    Config, Homeserver, OpenError,
    admin::Operator,
    appservice::{
        AddError, Appservice, AppserviceTransport, Appservices, Deliveries, Folder, HttpTransport, Names,
        Registrations, service_keys::ServiceKeys, thirdparty::Thirdparty,
    },
    clock::Clock,
    deletion::Deletion,
    departure::Departure,
    devices::{Backups, Devices, Keys, ToDevice},
    entropy::Entropy,
    http::{self, ApiConfig, ApiState, auth::Auth, limits::Limits, state::Parts, uia::Uia},
    media::{Media, Previews},
    notices::Notices,
    push::{Judge, PushGateway, Pushers, Unread},
    rooms::Rooms,
    search::Search,
    store::{Store, local::Local},
    stream::Stream,
    sync::{Connections, LazyMembers, Presences, Receipts, Recency, Sources, Sync, Typing, Typists},
    users::{AccountData, Grants, Reports, Users},
};

/// Makes every service once, from the bottom up.
pub(crate) fn api(
    config: &Config,
    store: &Store,
    rooms: &Rooms,
    stream: &Stream,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> Result<ApiState, OpenError> {
    let local = Local::new(store.clone());
    let users = Users::new(local.clone(), &config.server_name, clock.clone(), entropy.clone())?;
    let grants = Grants::new(local.clone(), clock.clone(), entropy.clone());
    let limits = Limits::new(config.rate_limits);
    let account_data = AccountData::new(local.clone());
    let devices = Devices::new(local.clone(), clock.clone(), entropy.clone());
    let keys = Keys::new(local.clone());
    let backups = Backups::new(local.clone(), clock.clone());
    let appservices = Appservices::default();
    let to_device = ToDevice::new(local.clone(), appservices.clone(), clock.clone());
    let folder = config.data_dir.join("media");
    let media = Media::new(
        local.clone(),
        &config.media_storage,
        &folder,
        config.max_upload_bytes,
        clock.clone(),
        entropy.clone(),
    )?;
    let previews = match &config.url_previews {
        Some(reach) => Some(Previews::new(reach.clone(), media.clone(), config.server_name.clone())?),
        None => None,
    };
    let receipts = Receipts::new(local.clone(), clock.clone());
    let typing = Typing::default();
    let presences = Presences::new(stream.clone());
    let reports = Reports::new(local.clone(), clock.clone());
    let judge = Judge::new(rooms.clone(), account_data.clone());
    let unread = Unread::new(rooms.clone(), receipts.clone(), judge.clone(), local.clone());
    let pushers =
        Pushers::new(local.clone(), stream.clone(), rooms.clone(), judge.clone(), unread.clone(), clock.clone());
    let sync = Sync::new(Sources {
        stream: stream.clone(),
        rooms: rooms.clone(),
        account_data: account_data.clone(),
        receipts: receipts.clone(),
        typing: typing.clone(),
        presences: presences.clone(),
        keys: keys.clone(),
        to_device: to_device.clone(),
        unread: unread.clone(),
        lazy: LazyMembers::default(),
        recency: Recency::default(),
        connections: Connections::default(),
    });
    let names = Names::new(local.clone());
    let deliveries = Deliveries::new(
        appservices.clone(),
        stream.clone(),
        rooms.clone(),
        users.clone(),
        receipts.clone(),
        typing.clone(),
        presences.clone(),
        keys.clone(),
        names.clone(),
        local.clone(),
        clock.clone(),
        entropy.clone(),
    );
    let registrations =
        Registrations::new(Local::new(store.clone()), config.server_name.clone(), config.client.clone(), clock.clone());
    let notices = Notices::new(
        config.notices.clone(),
        &config.server_name,
        local.clone(),
        users.clone(),
        rooms.clone(),
        account_data.clone(),
    )?;
    let operator = Operator::open(&config.data_dir, users.clone(), &*entropy)?;
    let parts = Parts {
        config: Arc::new(ApiConfig {
            server_name: config.server_name.clone(),
            public_url: config.public_url.clone(),
            support: config.support.clone(),
            registering: config.registering,
            guests: config.guests,
            bridge_extensions: config.bridge_extensions,
            reserved: vec![notices.sender().to_owned()],
            unauthenticated_media: config.unauthenticated_media,
            access_token_lifetime: config.access_token_lifetime,
            turn: config.turn.clone(),
        }),
        auth: Auth::new(devices.clone(), users.clone(), appservices.clone()),
        uia: Uia::new(users.clone(), grants.clone(), limits.clone(), config.terms.as_slice().into(), entropy.clone()),
        departure: Departure::new(users.clone(), devices.clone(), rooms.clone()),
        deletion: Deletion::new(rooms.clone(), stream.clone(), appservices.clone(), local, clock.clone()),
        limits,
        grants,
        users,
        account_data,
        devices,
        backups,
        keys,
        to_device,
        media,
        previews,
        notices,
        rooms: rooms.clone(),
        stream: stream.clone(),
        receipts,
        typing: Typists::new(typing, stream.clone()),
        presences,
        reports,
        search: Search::new(store.clone(), stream.clone()),
        judge,
        unread,
        pushers,
        sync,
        thirdparty: Thirdparty::new(appservices.clone()),
        service_keys: ServiceKeys::new(appservices.clone()),
        appservices,
        deliveries,
        names,
        registrations,
        operator,
        entropy,
        clock,
    };
    Ok(ApiState { parts: Arc::new(parts) })
}

impl Homeserver {
    /// Everything the server answers, as a router: to be served on a socket, or called in this process.
    pub fn router(&self) -> Router {
        http::router(self.api.clone())
    }

    /// The users.
    pub fn users(&self) -> &Users {
        &self.api.parts.users
    }

    /// Registration tokens and OpenID tokens.
    pub fn grants(&self) -> &Grants {
        &self.api.parts.grants
    }

    /// The uploaded files.
    pub fn media(&self) -> &Media {
        &self.api.parts.media
    }

    /// The application services.
    pub fn appservices(&self) -> &Appservices {
        &self.api.parts.appservices
    }

    /// Adds an application service that is reached at the `url` of its registration, with `client`; one whose `url` is null is
    /// never called. What happened while the server was down is delivered first.
    ///
    /// # Errors
    /// [`AddError`] says why it was not added.
    pub async fn add_appservice(
        &self,
        registration: Registration,
        client: &reqwest::Client,
    ) -> Result<Arc<Appservice>, AddError> {
        let transport = registration
            .url
            .as_ref()
            .map(|url| Arc::new(HttpTransport::new(client.clone(), url.base())) as Arc<dyn AppserviceTransport>);
        self.add(registration, transport).await
    }

    /// Adds an application service that is reached by `transport`, whatever `url` its registration has: see
    /// [`InProcess`](crate::appservice::InProcess) for one that lives in this process.
    ///
    /// # Errors
    /// [`AddError`] says why it was not added.
    pub async fn add_appservice_over(
        &self,
        registration: Registration,
        transport: Arc<dyn AppserviceTransport>,
    ) -> Result<Arc<Appservice>, AddError> {
        self.add(registration, Some(transport)).await
    }

    async fn add(
        &self,
        registration: Registration,
        transport: Option<Arc<dyn AppserviceTransport>>,
    ) -> Result<Arc<Appservice>, AddError> {
        let server_name = &self.api.parts.config.server_name;
        let appservice = Appservice::new(registration, server_name, transport).map_err(AddError::Registration)?;
        self.api.parts.deliveries.add(appservice).await
    }

    /// Serves the application services that operators added before while the server ran; after those of the configuration, which
    /// win over them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn serve_added_appservices(&self) -> Result<(), landbridge_sql::SqlError> {
        self.api.parts.registrations.load(&self.api.parts.deliveries).await
    }

    /// Takes an application service out; says whether there was one.
    pub fn remove_appservice(&self, id: &str) -> bool {
        self.api.parts.deliveries.remove(id)
    }

    /// Serves the application services whose registrations lie in a folder (`*.yaml`, `*.yml`), reached with `client`, and
    /// follows what changes there: within a second a new one is served, a changed one is served as it is now, and one that is
    /// gone is served no more. A broken file is logged with its fault; what it said before stays in force.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn watch_appservices(&self, folder: &Path, client: reqwest::Client) -> Result<(), std::io::Error> {
        let server_name = self.api.parts.config.server_name.clone();
        Folder::new(folder, server_name, client).watch(&self.api.parts.deliveries).await
    }

    /// Begins to send notifications to push gateways, with what was left when the server stopped.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn start_pushing(&self, gateway: Arc<dyn PushGateway>) -> Result<(), SqlError> {
        self.api.parts.pushers.start(gateway).await
    }

    /// The pushers.
    pub fn pushers(&self) -> &Pushers {
        &self.api.parts.pushers
    }

    /// Stops what runs by itself, before the store closes.
    pub(crate) fn stop_deliveries(&self) {
        self.api.parts.deliveries.stop();
        self.api.parts.pushers.stop();
    }
}
