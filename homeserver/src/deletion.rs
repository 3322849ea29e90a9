//! Deleting rooms: everybody leaves, application services are told of it, and then all that there is of the room is taken away.

use std::{collections::HashSet, sync::Arc, time::Duration};

use parking_lot::Mutex;
use ruma::{OwnedRoomId, RoomId};
use tokio::{sync::oneshot, time::Instant};

use crate::{
    appservice::Appservices,
    clock::Clock,
    rooms::{RoomError, Rooms},
    store::{appservices as table, deletions::DeletionRow, local::Local},
    stream::{Position, Stream},
};

/// How long rooms wait for application services that are behind, in milliseconds: what they are not told by then they will not be told.
const PATIENCE: i64 = 24 * 60 * 60 * 1000;

/// How long they wait, once somebody asked or the server started, for those that were served before and are not now.
const GRACE: Duration = Duration::from_secs(60);

/// How often it is looked how far application services are, at first and later.
const LOOK: Duration = Duration::from_millis(20);
const LOOK_LATER: Duration = Duration::from_secs(5);

/// How long it is kept who left a deleted room, in milliseconds: so long a client may be away and be told.
const TOLD: i64 = 90 * 24 * 60 * 60 * 1000;

/// Deletes rooms.
#[derive(Clone, Debug)]
pub(crate) struct Deletion {
    rooms: Rooms,
    stream: Stream,
    appservices: Appservices,
    local: Local,
    clock: Arc<dyn Clock>,
    /// The rooms that are being deleted now.
    running: Arc<Mutex<HashSet<OwnedRoomId>>>,
}

impl Deletion {
    pub(crate) fn new(
        rooms: Rooms,
        stream: Stream,
        appservices: Appservices,
        local: Local,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { rooms, stream, appservices, local, clock, running: Arc::default() }
    }

    /// Deletes a room; says, once they did, how many left it. The rest can take a while and goes on after the answer. What a stop or a
    /// fault leaves undone is done after the next start (see [`Self::resume`]), or when it is asked for again.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room.
    pub(crate) async fn delete(&self, room_id: &RoomId, reason: Option<&str>) -> Result<usize, RoomError> {
        let row = self.rooms.begin_deletion(room_id, reason).await?;
        if !self.running.lock().insert(room_id.to_owned()) {
            return Ok(0);
        }
        let (left, how_many) = oneshot::channel();
        let deleting = self.clone();
        tokio::spawn(async move { deleting.run(row, Some(left)).await });
        how_many.await.unwrap_or(Err(RoomError::Internal("the room was not deleted".into())))
    }

    /// Goes on where a stop interrupted it.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn resume(&self) -> Result<(), RoomError> {
        for row in self.rooms.deletions().await? {
            if self.running.lock().insert(row.room_id.clone()) {
                self.run(row, None).await;
            }
        }
        Ok(())
    }

    /// Forgets who left rooms that were deleted long ago.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn forget_old(&self) -> Result<(), RoomError> {
        self.rooms.forget_deleted(i64::from(self.clock.now().0).saturating_sub(TOLD)).await
    }

    async fn run(&self, row: DeletionRow, left: Option<oneshot::Sender<Result<usize, RoomError>>>) {
        let done = match self.see_out(&row).await {
            Ok(count) => {
                if let Some(left) = left {
                    drop(left.send(Ok(count)));
                }
                self.take_away(&row).await
            }
            Err(error) => {
                if let Some(left) = left {
                    drop(left.send(Err(error.clone())));
                }
                Err(error)
            }
        };
        self.running.lock().remove(&row.room_id);
        match done {
            Ok(()) => tracing::info!(room.id = %row.room_id, "a room was deleted"),
            Err(error) => tracing::error!(room.id = %row.room_id, %error, "a room is not deleted yet"),
        }
    }

    async fn see_out(&self, row: &DeletionRow) -> Result<usize, RoomError> {
        if row.going {
            return Ok(0);
        }
        let left = self.rooms.see_everybody_out(&row.room_id, row.reason.as_deref()).await?;
        // Its aliases stay until it is taken away: some application services hear of the room for their sake.
        self.rooms.unpublish(&row.room_id).await?;
        Ok(left)
    }

    async fn take_away(&self, row: &DeletionRow) -> Result<(), RoomError> {
        if !row.going {
            self.wait_for_services(row).await?;
        }
        self.rooms.take_away(&row.room_id).await
    }

    /// Waits until application services were told that the members left.
    async fn wait_for_services(&self, row: &DeletionRow) -> Result<(), RoomError> {
        let (end, began, mut wait) = (self.stream.position(), Instant::now(), LOOK);
        while self.is_somebody_behind(end, began).await? {
            if i64::from(self.clock.now().0).saturating_sub(row.asked_at) > PATIENCE {
                tracing::warn!(room.id = %row.room_id, "an application service is not told of the end of a room");
                break;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LOOK_LATER);
        }
        Ok(())
    }

    async fn is_somebody_behind(&self, end: Position, began: Instant) -> Result<bool, RoomError> {
        let is_behind = |service: &Arc<crate::appservice::Appservice>| {
            let acknowledged = &service.status().acknowledged;
            service.is_reachable() && acknowledged.load(std::sync::atomic::Ordering::Relaxed) < end.0
        };
        if self.appservices.all().iter().any(is_behind) {
            return Ok(true);
        }
        let stored = table::cursors(self.local.db()).await.map_err(crate::store::StoreError::from)?;
        let is_known = |id: &str| self.appservices.by_id(id).is_some();
        Ok(began.elapsed() < GRACE && stored.iter().any(|(id, pos)| *pos < end.0 && !is_known(id)))
    }
}
