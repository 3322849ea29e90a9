//! Upgrading rooms, and taking a user's own settings along ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#room-upgrades

use axum::{Json, Router, extract::State};
use landbridge_axum_ruma::{MatrixError, mount};
use ruma::{
    RoomId, UserId,
    api::client::room::upgrade_room::v3 as upgrade_room,
    push::{NewPushRule, NewSimplePushRule, Ruleset},
};
use serde_json::{Value, json};

use super::{profile::member_profile, push_rules};
use crate::{
    appservice::Deliveries,
    http::{
        ApiState,
        auth::Authed,
        error::{ApiError, ApiResult},
    },
    rooms::{Rooms, Upgrade},
    users::{AccountData, Users},
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    mount::<upgrade_room::Request, _, _, _>(router, upgrade)
}

/// `POST /_matrix/client/v3/rooms/{roomId}/upgrade`
async fn upgrade(
    State(rooms): State<Rooms>,
    State(users): State<Users>,
    State(account_data): State<AccountData>,
    State(deliveries): State<Deliveries>,
    Authed { caller, body }: Authed<upgrade_room::Request>,
) -> ApiResult<Json<Value>> {
    let profile = member_profile(&users, &caller.user_id).await?;
    let upgrade = Upgrade {
        room_id: body.room_id.clone(),
        user: caller.user_id.clone(),
        version: body.new_version,
        additional_creators: body.additional_creators,
        profile,
    };
    let new = rooms.upgrade(upgrade).await?;
    deliveries.aliases_changed(&body.room_id);
    deliveries.aliases_changed(&new);
    take_along(&account_data, &caller.user_id, &body.room_id, &new).await?;
    Ok(Json(json!({ "replacement_room": new })))
}

/// What a user set for the room that this one replaces is set for this one, too, where nothing is set yet.
pub(super) async fn came_in(
    rooms: &Rooms,
    account_data: &AccountData,
    user: &UserId,
    room_id: &RoomId,
) -> ApiResult<()> {
    match rooms.predecessor(room_id).await? {
        // Anybody can say that a room replaces another; what the user set for a room it was never in is nothing.
        Some(old) if rooms.membership(&old, user).await?.is_some() => {
            take_along(account_data, user, &old, room_id).await
        }
        _ => Ok(()),
    }
}

async fn take_along(account_data: &AccountData, user: &UserId, old: &RoomId, new: &RoomId) -> ApiResult<()> {
    if let Some(tags) = account_data.read(user, Some(old), "m.tag").await? {
        let change = move |there: Option<String>| Ok::<_, ApiError>(there.is_none().then(|| tags.clone()));
        account_data.change(user, Some(new), "m.tag", change).await?;
    }
    let rules = account_data.push_rules(user).await?;
    if rules.room.get(old.as_str()).is_none() || rules.room.get(new.as_str()).is_some() {
        return Ok(());
    }
    let (old, new) = (old.to_owned(), new.to_owned());
    let insert = move |rules: &mut Ruleset| {
        let Some(rule) = rules.room.get(old.as_str()).filter(|_| rules.room.get(new.as_str()).is_none()) else {
            return Ok(());
        };
        let rule = NewPushRule::Room(NewSimplePushRule::new(new.clone(), rule.actions.clone()));
        rules.insert(rule, None, None).map_err(|_| MatrixError::internal())
    };
    push_rules::change(account_data, user, insert).await.map(drop)
}
