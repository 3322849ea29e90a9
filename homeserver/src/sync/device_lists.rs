//! Whose devices a client has to look at anew, and whose it can forget ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#tracking-the-device-list-for-a-user

use std::collections::HashSet;

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId, events::StateEventType};

use crate::{
    devices::Keys,
    http::error::ApiError,
    rooms::{Event, Membership, RoomError, Rooms},
    stream::{Position, Stream},
};

/// How many events are read at once.
const PAGE: usize = 1000;

/// How many pages are read; beyond them everybody in the user's rooms is taken for changed.
const PAGES: usize = 20;

/// What became of the devices of others.
#[derive(Debug, Default)]
pub(crate) struct DeviceChanges {
    /// Those that changed, and those of users with whom a room is shared now.
    pub(crate) changed: HashSet<OwnedUserId>,
    /// Those of users with whom no room is shared any more.
    pub(crate) left: HashSet<OwnedUserId>,
}

/// What happened in the log that may matter.
#[derive(Default)]
struct Seen {
    /// In a room with the user at the end.
    came: HashSet<OwnedUserId>,
    /// Left a room of the user, or were left by the user.
    went: HashSet<OwnedUserId>,
}

/// What changed for a user, who is now in the rooms `joined`, with `after < position <= until`.
pub(crate) async fn device_changes(
    (keys, rooms, stream): (&Keys, &Rooms, &Stream),
    user_id: &UserId,
    joined: &HashSet<OwnedRoomId>,
    after: Position,
    until: Position,
) -> Result<DeviceChanges, ApiError> {
    let seen = look(rooms, stream, user_id, joined, after, until).await?;
    let mut changes = DeviceChanges { changed: seen.came, left: HashSet::new() };
    changes.changed.remove(user_id);
    for other in keys.changed_between(after.0, until.0).await? {
        let Ok(other) = UserId::parse(other) else { continue };
        let known = changes.changed.contains(&other);
        if !known && (other == user_id || rooms.share_a_room(user_id, &other).await?) {
            changes.changed.insert(other);
        }
    }
    for other in seen.went {
        if other != user_id && !changes.changed.contains(&other) && !rooms.share_a_room(user_id, &other).await? {
            changes.left.insert(other);
        }
    }
    Ok(changes)
}

async fn look(
    rooms: &Rooms,
    stream: &Stream,
    user_id: &UserId,
    joined: &HashSet<OwnedRoomId>,
    after: Position,
    until: Position,
) -> Result<Seen, ApiError> {
    let (mut seen, mut at) = (Seen::default(), after);
    for _ in 0..PAGES {
        let events = stream.read(at, until, PAGE).await?;
        for event in &events {
            look_at(rooms, user_id, joined, after, event, &mut seen).await?;
        }
        match events.last() {
            Some(last) if events.len() == PAGE => at = last.position(),
            _ => return Ok(seen),
        }
    }
    for room_id in joined {
        seen.came.extend(rooms.joined_users(room_id).await?);
    }
    Ok(seen)
}

async fn look_at(
    rooms: &Rooms,
    user_id: &UserId,
    joined: &HashSet<OwnedRoomId>,
    after: Position,
    event: &Event,
    seen: &mut Seen,
) -> Result<(), ApiError> {
    let target = event.state_key.as_deref().and_then(|key| <&UserId>::try_from(key).ok());
    let (Some(membership), Some(target)) = (event.membership(), target) else { return Ok(()) };
    let is_in = joined.contains(&event.room_id);
    match membership {
        Membership::Join if !is_in => {}
        Membership::Join if target == user_id => {
            let here = rooms.joined_users(&event.room_id).await?;
            // A new name in a room that one was in is no news.
            let was_here = was_joined(rooms, &event.room_id, user_id, after).await?;
            seen.came.extend(here.into_iter().filter(|_| !was_here));
        }
        Membership::Join => {
            seen.went.remove(target);
            seen.came.insert(target.to_owned());
        }
        Membership::Leave | Membership::Ban if target == user_id && !is_in => {
            seen.went.extend(rooms.joined_users(&event.room_id).await?);
        }
        Membership::Leave | Membership::Ban if is_in => {
            seen.came.remove(target);
            seen.went.insert(target.to_owned());
        }
        _ => {}
    }
    Ok(())
}

async fn was_joined(rooms: &Rooms, room_id: &RoomId, user_id: &UserId, at: Position) -> Result<bool, RoomError> {
    let root = rooms.root_at(room_id, at).await?;
    let member = rooms.state_event_at(room_id, root, &StateEventType::RoomMember, user_id.as_str()).await?;
    Ok(member.is_some_and(|member| member.membership() == Some(Membership::Join)))
}
