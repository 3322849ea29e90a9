//! The branch of a room's graph on which a batch of its history grows: it begins where the history stands, and is never an end of the
//! room.

use std::sync::Arc;

use ruma::UserId;

use crate::{
    rooms::{
        Event, EventFlags, RoomError, Root, authorize,
        build::Draft,
        core::{Batch, Core},
    },
    store::NewEvent,
    stream::Position,
};

/// The end of a branch.
pub(super) struct Branch {
    prev: Arc<Event>,
    /// The state after it.
    root: Root,
    /// Where the next event goes that is shown.
    next: Position,
}

impl Branch {
    /// A branch that begins after a place in the log, for some events that are shown. They come before all of the room's history.
    pub(super) async fn after(
        core: &mut Core,
        place: Position,
        count: usize,
        batch: &mut Batch,
    ) -> Result<Self, RoomError> {
        let store = core.context.store.clone();
        let last = store.last_event_at(core.room.nid, place).await?;
        let (nid, _) = last.ok_or_else(|| RoomError::Internal("a history before its room".into()))?;
        let prev = store.event_by_nid(nid).await?;
        let root = core.state_after(&prev, batch).await?;
        let next = store.next_history_places(i64::try_from(count).unwrap_or(i64::MAX));
        Ok(Self { prev, root, next })
    }

    /// The event of a state key in the state after the branch.
    pub(super) async fn state_event(
        &self,
        core: &Core,
        kind: &str,
        state_key: &str,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        let Some(index) = core.keys.find(kind, state_key) else { return Ok(None) };
        match core.entry(self.root, index).await? {
            Some(nid) => core.event_by_nid(nid).await.map(Some),
            None => Ok(None),
        }
    }

    /// Adds an event. Who comes in is known only to the branch, and shown to nobody.
    pub(super) async fn append(
        &mut self,
        core: &mut Core,
        draft: Draft,
        batch: &mut Batch,
    ) -> Result<Arc<Event>, RoomError> {
        let rules = core.room.rules.authorization.clone();
        let keys = authorize::auth_keys(&draft.kind, &draft.sender, draft.state_key.as_deref(), &draft.raw, &rules)
            .map_err(RoomError::BadJson)?;
        let mut auth = Vec::with_capacity(keys.len());
        for (kind, state_key) in keys {
            auth.extend(self.state_event(core, &kind.to_string(), &state_key).await?);
        }
        let replaces = match &draft.state_key {
            Some(state_key) => self.state_event(core, &draft.kind.to_string(), state_key).await?.map(|event| event.nid),
            None => None,
        };
        let built = core.build(draft, &auth, std::slice::from_ref(&self.prev))?;
        let mut event = core.place(built, self.root, replaces);
        let create = core.create.clone();
        authorize::check_itself(&rules, &event, &auth, create.as_ref()).map_err(RoomError::Forbidden)?;
        authorize::check_against(&rules, &event, &auth, create.as_ref()).map_err(RoomError::Forbidden)?;
        let place = (!event.is_state()).then_some(self.next);
        event.flags = EventFlags { outlier: event.is_state(), ..event.flags };
        let event = Arc::new(event);
        core.keep(&event, batch);
        self.root = core.state_after(&event, batch).await?;
        self.next.0 += i64::from(place.is_some());
        self.prev = event.clone();
        batch.events.push(NewEvent { event: event.clone(), place, resolved: None });
        Ok(event)
    }

    /// How somebody stands to the room there.
    pub(super) async fn member(&self, core: &Core, user: &UserId) -> Result<Option<Arc<Event>>, RoomError> {
        self.state_event(core, "m.room.member", user.as_str()).await
    }
}
