//! Who may see which event: <https://spec.matrix.org/v1.19/client-server-api/#room-history-visibility>.

use std::sync::Arc;

use ruma::{
    RoomId, UserId,
    events::{StateEventType, TimelineEventType},
};

use super::{Event, KeyIndex, Membership, RoomError, Rooms, Root, directory::text_field, state_tree};
use crate::{store::RoomInfo, stream::Position};

/// Who may read what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HistoryVisibility {
    WorldReadable,
    Shared,
    Invited,
    Joined,
}

impl HistoryVisibility {
    fn of(event: Option<&Event>) -> Self {
        match event.and_then(|event| text_field(event, "history_visibility")).as_deref() {
            Some("world_readable") => Self::WorldReadable,
            Some("invited") => Self::Invited,
            Some("joined") => Self::Joined,
            _ => Self::Shared,
        }
    }
}

/// How a reader stands to a room, looked up once for many events.
struct Reader {
    visibility: Option<KeyIndex>,
    member: Option<KeyIndex>,
    /// The reader was in the room at some time after everything up to here.
    in_until: Option<Position>,
    /// The visibility that stands now, and since when.
    now: (HistoryVisibility, Position),
    /// The answers for the last state that was looked at: many messages stand on the same.
    last: Option<(Root, HistoryVisibility, Option<Membership>)>,
}

impl Rooms {
    /// Leaves out the events of one room that the user may not see.
    ///
    /// # Errors
    /// [`RoomError::Unavailable`] where the database fails.
    pub async fn filter_visible(
        &self,
        room_id: &RoomId,
        user: &UserId,
        events: Vec<Arc<Event>>,
    ) -> Result<Vec<Arc<Event>>, RoomError> {
        let Some(room) = self.context.store.room(room_id).await? else { return Ok(Vec::new()) };
        let mut reader = self.reader(&room, user).await?;
        let mut visible = Vec::with_capacity(events.len());
        for event in events {
            if event.flags.in_timeline() && self.sees(&room, &mut reader, user, &event).await? {
                visible.push(event);
            }
        }
        Ok(visible)
    }

    async fn reader(&self, room: &RoomInfo, user: &UserId) -> Result<Reader, RoomError> {
        let store = &self.context.store;
        let kind = StateEventType::RoomHistoryVisibility;
        let now = self.state_event_in(room, room.root(), &kind, "").await?;
        let since = now.as_ref().map_or(Position::END, |event| event.position());
        let member = self.state_event_in(room, room.root(), &StateEventType::RoomMember, user.as_str()).await?;
        let in_until = if member.is_some_and(|member| member.membership() == Some(Membership::Join)) {
            Some(Position::END)
        } else {
            match self.membership(&room.room_id, user).await? {
                Some(known) if known.membership == Membership::Join => Some(Position::END),
                Some(known) => self.went_out(room, &known, user).await?,
                None => None,
            }
        };
        Ok(Reader {
            visibility: store.key_index(room, "m.room.history_visibility", "").await?,
            member: store.key_index(room, "m.room.member", user.as_str()).await?,
            in_until,
            now: (HistoryVisibility::of(now.as_deref()), since),
            last: None,
        })
    }

    async fn sees(
        &self,
        room: &RoomInfo,
        reader: &mut Reader,
        user: &UserId,
        event: &Event,
    ) -> Result<bool, RoomError> {
        let later = reader.in_until.is_some_and(|until| room.place_in_log(event.position()) <= until);
        let (now, since) = reader.now;
        if event.position() > since {
            // The usual case needs no look at old states.
            match now {
                HistoryVisibility::WorldReadable => return Ok(true),
                HistoryVisibility::Shared if later => return Ok(true),
                _ => {}
            }
        }
        let (visibility, membership) = self.at(reader, event.state_before).await?;
        let allowed = |visibility, membership| match (visibility, membership) {
            (HistoryVisibility::WorldReadable, _) | (_, Some(Membership::Join)) => true,
            (HistoryVisibility::Shared, _) => later,
            (HistoryVisibility::Invited, Some(Membership::Invite)) => true,
            _ => false,
        };
        if allowed(visibility, membership) {
            return Ok(true);
        }
        // These two may be seen by whom the state before *or* after them lets see them.
        match event.kind {
            TimelineEventType::RoomHistoryVisibility if event.state_key.as_deref() == Some("") => {
                Ok(allowed(HistoryVisibility::of(Some(event)), membership))
            }
            TimelineEventType::RoomMember if event.state_key.as_deref() == Some(user.as_str()) => {
                Ok(allowed(visibility, event.membership()))
            }
            _ => Ok(false),
        }
    }

    /// The visibility, and the reader's membership, in a state.
    async fn at(&self, reader: &mut Reader, root: Root) -> Result<(HistoryVisibility, Option<Membership>), RoomError> {
        if let Some((known, visibility, membership)) = reader.last
            && known == root
        {
            return Ok((visibility, membership));
        }
        let store = &self.context.store;
        let entry = async |index: Option<KeyIndex>| -> Result<Option<Arc<Event>>, RoomError> {
            let Some(index) = index else { return Ok(None) };
            match state_tree::get(store, root, index).await? {
                Some(nid) => Ok(Some(store.event_by_nid(nid).await?)),
                None => Ok(None),
            }
        };
        let visibility = HistoryVisibility::of(entry(reader.visibility).await?.as_deref());
        let membership = entry(reader.member).await?.and_then(|event| event.membership());
        reader.last = Some((root, visibility, membership));
        Ok((visibility, membership))
    }
}
