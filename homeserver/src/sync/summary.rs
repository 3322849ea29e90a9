//! What a client can call a room that has no name ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#calculating-the-display-name-for-a-room

use ruma::{
    RoomId, UInt, UserId,
    api::client::sync::sync_events::v3::RoomSummary,
    events::{StateEventType, TimelineEventType},
};
use serde::Deserialize;

use super::Sources;
use crate::{http::error::ApiError, rooms::Membership};

/// How many members a room without a name is called by.
const HEROES: usize = 5;

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
        let members = sources.rooms.members(room_id, None).await?;
        let here = |wanted: &[Membership]| {
            members
                .iter()
                .filter(|event| event.kind == TimelineEventType::RoomMember)
                .filter(|event| event.membership().is_some_and(|membership| wanted.contains(&membership)))
                .filter_map(|event| UserId::parse(event.state_key.as_deref()?).ok())
                .filter(|member| member != user_id)
                .take(HEROES)
                .collect::<Vec<_>>()
        };
        summary.heroes = here(&[Membership::Join, Membership::Invite]);
        if summary.heroes.is_empty() {
            summary.heroes = here(&[Membership::Leave, Membership::Ban]);
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
