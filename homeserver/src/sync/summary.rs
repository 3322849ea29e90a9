//! What a client can call a room that has no name ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#calculating-the-display-name-for-a-room

use ruma::{RoomId, UInt, UserId, api::client::sync::sync_events::v3::RoomSummary, events::StateEventType};
use serde::Deserialize;

use super::Sources;
use crate::{http::error::ApiError, rooms::Membership};

/// How many members a room without a name is called by.
const HEROES: u32 = 5;

/// What is said of a room's members.
#[derive(Default)]
pub(super) struct Summary {
    pub(super) shown: RoomSummary,
}

/// Counts the members, and names some where the room has no name.
pub(super) async fn summary(sources: &Sources, room_id: &RoomId, user_id: &UserId) -> Result<Summary, ApiError> {
    let mut summary = RoomSummary::new();
    let (joined, invited) = sources.rooms.member_counts(room_id).await?;
    summary.joined_member_count = UInt::try_from(joined).ok();
    summary.invited_member_count = UInt::try_from(invited).ok();
    if !has_name(sources, room_id).await? {
        for standing in [[Membership::Join, Membership::Invite], [Membership::Leave, Membership::Ban]] {
            summary.heroes = sources.rooms.first_members(room_id, user_id, standing, HEROES).await?;
            if !summary.heroes.is_empty() {
                break;
            }
        }
    }
    Ok(Summary { shown: summary })
}

/// Whether a room has a name or an alias to be called by.
pub(super) async fn has_name(sources: &Sources, room_id: &RoomId) -> Result<bool, ApiError> {
    #[derive(Default, Deserialize)]
    struct Content {
        name: Option<String>,
        alias: Option<String>,
    }
    for kind in [StateEventType::RoomName, StateEventType::RoomCanonicalAlias] {
        if let Some(event) = sources.rooms.state_event(room_id, &kind, "").await? {
            let content: Content = serde_json::from_str(event.content.get()).unwrap_or_default();
            if content.name.or(content.alias).is_some_and(|name| !name.is_empty()) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
