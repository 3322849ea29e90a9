//! Lists of rooms: which, in which order, and which part of them.

use std::collections::{BTreeSet, HashMap};

use ruma::{OwnedRoomId, RoomId, UserId, events::StateEventType};
use serde_json::Value;

use super::{
    super::Sources,
    recency::{Last, children, state_text},
    request::{Filters, List},
};
use crate::{
    http::error::ApiError,
    rooms::{Membership, RoomMembership},
};

/// The rooms of a list, those with the latest activity first.
pub(super) async fn sorted(
    sources: &Sources,
    user: &UserId,
    list: &List,
    rooms: &HashMap<OwnedRoomId, RoomMembership>,
    recency: &HashMap<OwnedRoomId, Last>,
) -> Result<Vec<OwnedRoomId>, ApiError> {
    let directs = match list.filters.is_dm {
        Some(_) => direct_rooms(sources, user).await?,
        None => BTreeSet::new(),
    };
    let of_spaces = match &list.filters.spaces {
        Some(spaces) => Some(children(&sources.rooms, spaces).await?),
        None => None,
    };
    let mut found = Vec::new();
    for (room_id, known) in rooms {
        let is_dm = list.filters.is_dm.is_none_or(|wanted| directs.contains(room_id.as_str()) == wanted);
        let in_space = of_spaces.as_ref().is_none_or(|children| children.contains(room_id.as_str()));
        if is_dm && in_space && admits(sources, user, &list.filters, known).await? {
            found.push(room_id.clone());
        }
    }
    let bump = |room_id: &OwnedRoomId| recency.get(room_id).map_or(0, |last| last.bump);
    found.sort_by(|a, b| bump(b).cmp(&bump(a)).then_with(|| a.cmp(b)));
    Ok(found)
}

/// The part of a list that some windows show.
pub(super) fn window<'a>(
    sorted: &'a [OwnedRoomId],
    ranges: &[(usize, usize)],
) -> impl Iterator<Item = &'a OwnedRoomId> {
    let inside: BTreeSet<usize> =
        ranges.iter().flat_map(|&(first, last)| first..=last.min(sorted.len().saturating_sub(1))).collect();
    inside.into_iter().filter_map(|index| sorted.get(index))
}

/// The rooms that a user says are direct chats.
pub(super) async fn direct_rooms(sources: &Sources, user: &UserId) -> Result<BTreeSet<String>, ApiError> {
    let stored = sources.account_data.read(user, None, "m.direct").await?;
    let stored: Value = stored.and_then(|stored| serde_json::from_str(&stored).ok()).unwrap_or_default();
    let rooms = stored.as_object().into_iter().flatten().filter_map(|(_, rooms)| rooms.as_array());
    Ok(rooms.flatten().filter_map(|room| room.as_str().map(str::to_owned)).collect())
}

async fn admits(sources: &Sources, user: &UserId, filters: &Filters, known: &RoomMembership) -> Result<bool, ApiError> {
    let room_id: &RoomId = &known.room_id;
    let rooms = &sources.rooms;
    if filters.is_invite.is_some_and(|wanted| (known.membership == Membership::Invite) != wanted) {
        return Ok(false);
    }
    if let Some(wanted) = filters.is_encrypted {
        let encrypted = rooms.state_event(room_id, &StateEventType::RoomEncryption, "").await?.is_some();
        if encrypted != wanted {
            return Ok(false);
        }
    }
    if filters.room_types.is_some() || filters.not_room_types.is_some() {
        let kind = state_text(rooms, room_id, StateEventType::RoomCreate, "type").await?;
        let wanted = filters.room_types.as_ref().is_none_or(|kinds| kinds.contains(&kind));
        // What is not wanted counts before what is.
        if !wanted || filters.not_room_types.as_ref().is_some_and(|kinds| kinds.contains(&kind)) {
            return Ok(false);
        }
    }
    if let Some(part) = &filters.room_name_like {
        let name = state_text(rooms, room_id, StateEventType::RoomName, "name").await?.unwrap_or_default();
        if !name.to_lowercase().contains(&part.to_lowercase()) {
            return Ok(false);
        }
    }
    if filters.tags.is_some() || filters.not_tags.is_some() {
        let stored = sources.account_data.read(user, Some(room_id), "m.tag").await?;
        let stored: Value = stored.and_then(|stored| serde_json::from_str(&stored).ok()).unwrap_or_default();
        let has = |tags: &Vec<String>| tags.iter().any(|tag| stored["tags"].get(tag).is_some());
        if !filters.tags.as_ref().is_none_or(has) || filters.not_tags.as_ref().is_some_and(has) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use ruma::owned_room_id;

    use super::*;

    #[test]
    fn windows_may_overlap_and_end_with_the_list() {
        let rooms = [owned_room_id!("!a:x"), owned_room_id!("!b:x"), owned_room_id!("!c:x")];
        let shown = |ranges: &[(usize, usize)]| window(&rooms, ranges).map(|room| room.as_str()).collect::<Vec<_>>();
        assert_eq!(shown(&[(0, 1), (1, 20)]), ["!a:x", "!b:x", "!c:x"]);
        assert_eq!(shown(&[(2, usize::MAX)]), ["!c:x"]);
        assert_eq!(shown(&[(3, 9)]), Vec::<&str>::new());
        assert_eq!(window(&[], &[(0, usize::MAX)]).count(), 0);
    }
}
