//! What bridges may do beyond the specification, where the operator lets them: have users join without asking them, and
//! fill rooms up (`super::batch`). These are the extensions that mautrix looks for in `/versions` under `com.beeper.…`.

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, UserId};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::profile::member_profile;
use crate::{
    http::{ApiConfig, auth::Caller, error::ApiResult},
    rooms::{Membership, MembershipChange, Rooms},
    users::Users,
};

/// The features, by the names under which they are looked for.
pub(super) const FEATURES: [&str; 3] =
    ["com.beeper.room_create_autojoin_invites", "com.beeper.arbitrary_member_change", "com.beeper.batch_sending"];

/// Whether a caller may use them.
pub(super) fn allowed(config: &ApiConfig, caller: &Caller) -> bool {
    config.bridge_extensions && caller.appservice.is_some()
}

/// What a request for a room says beyond the specification.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Members {
    #[serde(rename = "com.beeper.auto_join_invites", default)]
    auto_join: bool,
    #[serde(rename = "com.beeper.initial_members", default)]
    initial: Vec<OwnedUserId>,
}

impl Members {
    /// What a body says, if it says it well.
    pub(super) fn of(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    /// How many there are beside the invited.
    pub(super) fn more(&self) -> usize {
        self.initial.len()
    }

    /// Has those join who are to be in a new room from the start. Who is not of this server, or was never made, stays invited.
    pub(super) async fn join(
        self,
        rooms: &Rooms,
        users: &Users,
        caller: &Caller,
        room_id: &OwnedRoomId,
        invited: &[OwnedUserId],
    ) -> ApiResult<()> {
        let joining = invited.iter().filter(|_| self.auto_join).chain(&self.initial);
        for user_id in joining.filter(|user_id| **user_id != caller.user_id) {
            if users.exists(user_id).await? {
                join(rooms, users, caller, room_id, user_id, None).await?;
            }
        }
        Ok(())
    }
}

/// What a member event says that somebody sends for another.
#[derive(Deserialize)]
struct Content {
    membership: String,
}

/// Has a user come or go, whom a service names in a member event. `None` where that takes no extension.
pub(super) async fn change_member(
    rooms: &Rooms,
    users: &Users,
    caller: &Caller,
    room_id: &OwnedRoomId,
    target: &str,
    content: &RawValue,
) -> ApiResult<Option<OwnedEventId>> {
    let Some(service) = &caller.appservice else { return Ok(None) };
    let Ok(target) = UserId::parse(target) else { return Ok(None) };
    let Ok(Content { membership }) = serde_json::from_str(content.get()) else { return Ok(None) };
    if target == caller.user_id || !users.exists(&target).await? {
        return Ok(None);
    }
    match membership.as_str() {
        "join" => join(rooms, users, caller, room_id, &target, Some(content)).await.map(Some),
        "leave" if service.owns_user(&target) => {
            let mut change = MembershipChange::new(room_id.clone(), target.clone(), target, Membership::Leave);
            (change.content, change.ts) = (Some(content.to_owned()), caller.ts);
            Ok(Some(rooms.change_membership(change).await?))
        }
        _ => Ok(None),
    }
}

/// Has a user join: by themselves if they may, else asked in by the caller first.
async fn join(
    rooms: &Rooms,
    users: &Users,
    caller: &Caller,
    room_id: &OwnedRoomId,
    target: &UserId,
    content: Option<&RawValue>,
) -> ApiResult<OwnedEventId> {
    let mut change = MembershipChange::new(room_id.clone(), target, target, Membership::Join);
    change.ts = caller.ts;
    match content {
        Some(content) => change.content = Some(content.to_owned()),
        None => change.profile = member_profile(users, target).await?,
    }
    let known = rooms.membership(room_id, target).await?.map(|known| known.membership);
    if !matches!(known, Some(Membership::Join | Membership::Invite)) && !rooms.is_open(room_id).await? {
        let invite = MembershipChange::new(room_id.clone(), caller.user_id.clone(), target, Membership::Invite);
        rooms.change_membership(invite).await?;
    }
    Ok(rooms.change_membership(change).await?)
}
