//! Taking in an event that was made elsewhere, or beside the end of the room.

use std::sync::Arc;

use ruma::CanonicalJsonObject;

use super::{
    Event, RoomError,
    core::{Batch, Core},
};

impl Core {
    /// Takes in an event: checks its form, its signatures and its authorization, and resolves the state where the room forks.
    pub(super) async fn receive(
        &mut self,
        pdu: CanonicalJsonObject,
        batch: &mut Batch,
    ) -> Result<Arc<Event>, RoomError> {
        let _ = (pdu, batch);
        Err(RoomError::Internal("in construction".into()))
    }
}
