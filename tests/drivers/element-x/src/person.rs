//! Somebody with a device.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use anyhow::{Context as _, Result};
use eyeball_im::Vector;
use futures_util::StreamExt as _;
use matrix_sdk::{
    Client, Room,
    encryption::{BackupDownloadStrategy, EncryptionSettings},
    ruma::{
        OwnedRoomId, RoomId,
        api::client::{
            account::register::v3::Request as Register,
            uiaa::{AuthData, Dummy},
        },
    },
    sliding_sync::VersionBuilder,
};
use matrix_sdk_ui::{
    room_list_service::{RoomListItem, RoomListLoadingState, filters::new_filter_non_left},
    sync_service::SyncService,
};

use crate::until;

/// Everybody's.
pub const PASSWORD: &str = "correct horse";

/// A device of somebody, with its list of rooms.
pub struct Person {
    pub client: Client,
    pub service: SyncService,
    entries: Arc<Mutex<Vector<RoomListItem>>>,
    count: Arc<Mutex<Option<u32>>>,
}

async fn client(url: &str, folder: &Path) -> Result<Client> {
    Ok(Client::builder()
        .homeserver_url(url)
        .sliding_sync_version_builder(VersionBuilder::DiscoverNative)
        .sqlite_store(folder, None)
        .with_encryption_settings(EncryptionSettings {
            auto_enable_cross_signing: true,
            backup_download_strategy: BackupDownloadStrategy::AfterDecryptionFailure,
            auto_enable_backups: true,
        })
        .build()
        .await?)
}

impl Person {
    /// Makes an account, and begins to sync.
    pub async fn registers(url: &str, folder: &Path, name: &str) -> Result<Self> {
        let client = client(url, &folder.join(name)).await?;
        let mut request = Register::new();
        request.username = Some(name.into());
        request.password = Some(PASSWORD.into());
        request.auth = Some(AuthData::Dummy(Dummy::new()));
        client.matrix_auth().register(request).await.context("register")?;
        Self::starts(client).await
    }

    /// Logs in with another device, and begins to sync.
    pub async fn logs_in(url: &str, folder: &Path, name: &str, device: &str) -> Result<Self> {
        let client = client(url, &folder.join(device)).await?;
        client.matrix_auth().login_username(name, PASSWORD).initial_device_display_name(device).send().await?;
        Self::starts(client).await
    }

    async fn starts(client: Client) -> Result<Self> {
        println!("ok  {} {:?}: {:?}", client.user_id().unwrap(), client.device_id(), client.sliding_sync_version());
        let service = SyncService::builder(client.clone()).with_offline_mode().build().await?;
        service.start().await;
        let (entries, count) = (Arc::<Mutex<Vector<RoomListItem>>>::default(), Arc::<Mutex<Option<u32>>>::default());
        let list = service.room_list_service().all_rooms().await?;
        let (told, counted) = (entries.clone(), count.clone());
        tokio::spawn(async move {
            let (stream, controller) = list.entries_with_dynamic_adapters(100);
            controller.set_filter(Box::new(new_filter_non_left()));
            let mut stream = Box::pin(stream);
            let mut loading = list.loading_state();
            loop {
                tokio::select! {
                    Some(diffs) = stream.next() => {
                        let mut entries = told.lock().unwrap();
                        diffs.into_iter().for_each(|diff| diff.apply(&mut *entries));
                    }
                    Some(state) = loading.next() => {
                        if let RoomListLoadingState::Loaded { maximum_number_of_rooms } = state {
                            *counted.lock().unwrap() = maximum_number_of_rooms;
                        }
                    }
                    else => return,
                }
            }
        });
        Ok(Self { client, service, entries, count })
    }

    /// How many rooms the list shows, and how many it says that there are.
    pub fn counts(&self) -> (usize, Option<u32>) {
        (self.entries.lock().unwrap().len(), *self.count.lock().unwrap())
    }

    /// The room at the top of the list.
    pub fn first(&self) -> Option<OwnedRoomId> {
        self.entries.lock().unwrap().front().map(|room| room.room_id().to_owned())
    }

    /// A room that is known already.
    pub fn room(&self, room_id: &RoomId) -> Result<Room> {
        self.client.get_room(room_id).context("the room")
    }

    /// Waits until the device knows a room, and looks at it.
    pub async fn knows(&self, room_id: &RoomId) -> Result<Room> {
        until(&format!("{} knows {room_id}", self.client.user_id().unwrap()), async || {
            self.client.get_room(room_id).is_some()
        })
        .await?;
        self.service.room_list_service().subscribe_to_rooms(&[room_id]).await;
        self.room(room_id)
    }
    /// Stops, and logs out.
    pub async fn leaves(&self) -> Result<()> {
        self.service.stop().await;
        self.client.matrix_auth().logout().await?;
        Ok(())
    }
}
