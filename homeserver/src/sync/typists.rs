//! Keeps who is typing in step with the log.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use landbridge_sql::{SqlError, Tx};
use ruma::{OwnedRoomId, RoomId, UserId};
use tokio::{sync::Notify, task::JoinHandle, time::Instant};

use super::typing::Typing;
use crate::{
    store::{StoreError, Write},
    stream::{Position, Stream},
};

/// Notes who types, and forgets it in time. Cheap to clone; the forgetting ends with the last handle.
#[derive(Clone, Debug)]
pub struct Typists {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    typing: Typing,
    stream: Stream,
    earlier: Arc<Notify>,
    forgetting: JoinHandle<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.forgetting.abort();
    }
}

impl Typists {
    pub(crate) fn new(typing: Typing, stream: Stream) -> Self {
        let earlier = Arc::new(Notify::new());
        let forgetting = tokio::spawn(forget(typing.clone(), stream.clone(), earlier.clone()));
        Self { inner: Arc::new(Inner { typing, stream, earlier, forgetting }) }
    }

    /// Notes that a user types for so long, or stops.
    ///
    /// # Errors
    /// When the store is closed.
    pub async fn set(&self, room_id: &RoomId, user_id: &UserId, lasts: Option<Duration>) -> Result<(), StoreError> {
        let changed = self.inner.typing.set(room_id, user_id, lasts, Instant::now());
        self.inner.earlier.notify_one();
        if changed {
            tell(&self.inner.typing, &self.inner.stream, room_id.to_owned()).await?;
        }
        Ok(())
    }
}

/// Gives the change of a room its place in the log.
async fn tell(typing: &Typing, stream: &Stream, room_id: OwnedRoomId) -> Result<(), StoreError> {
    stream.write(Box::new(Moved { typing: typing.clone(), room_id })).await.map(drop)
}

async fn forget(typing: Typing, stream: Stream, earlier: Arc<Notify>) {
    loop {
        let (changed, next) = typing.expire(Instant::now());
        for room_id in changed {
            if tell(&typing, &stream, room_id).await.is_err() {
                return;
            }
        }
        // Who syncs at least every so often has seen what is compacted away.
        typing.compact(stream.position().0 - 10_000);
        let next = next.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = earlier.notified() => {}
        }
    }
}

/// Nothing is stored, but the place in the log must be known before anyone is woken by it.
struct Moved {
    typing: Typing,
    room_id: OwnedRoomId,
}

#[async_trait]
impl Write for Moved {
    async fn write(&self, _tx: &mut Tx<'_>, _position: Position) -> Result<(), SqlError> {
        Ok(())
    }

    fn committed(&self, position: Position) {
        self.typing.moved(&self.room_id, position.0);
    }
}
