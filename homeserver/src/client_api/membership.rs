//! Coming and going ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#room-membership

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{FromRef, State},
    routing::post,
};
use http::StatusCode;
use landbridge_axum_ruma::{JsonBody, MatrixError, RumaReply, mount};
use ruma::{
    OwnedRoomId, OwnedUserId, RoomAliasId, RoomId, RoomOrAliasId, UserId,
    api::client::{
        knock::knock_room::v3 as knock_room,
        membership::{
            ban_user::v3 as ban_user, forget_room::v3 as forget_room, join_room_by_id::v3 as join_room_by_id,
            join_room_by_id_or_alias::v3 as join_room, kick_user::v3 as kick_user, leave_room::v3 as leave_room,
            unban_user::v3 as unban_user,
        },
    },
    api::error::ErrorKind,
    events::StateEventType,
};
use serde::Deserialize;
use serde_json::Value;

use super::{profile::member_profile, reply::empty, threepid::no_identity_server, upgrade::came_in};
use crate::{
    appservice::{Appservices, query},
    http::{
        ApiConfig, ApiState,
        auth::{Authed, Caller},
        error::ApiResult,
        guests::no_guests,
        limits::Limits,
        path::PathArgs,
    },
    notices::Notices,
    rooms::{Membership, MembershipChange, Rooms},
    users::{AccountData, Users},
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = mount::<join_room_by_id::Request, _, _, _>(router, join_by_id);
    let router = mount::<join_room::Request, _, _, _>(router, join);
    let router = mount::<knock_room::Request, _, _, _>(router, knock);
    let router = ["r0", "v3"].into_iter().fold(router, |router, version| {
        router.route(&format!("/_matrix/client/{version}/rooms/{{room_id}}/invite"), post(invite))
    });
    let router = mount::<leave_room::Request, _, _, _>(router, leave);
    let router = mount::<forget_room::Request, _, _, _>(router, forget);
    let router = mount::<kick_user::Request, _, _, _>(router, kick);
    let router = mount::<ban_user::Request, _, _, _>(router, ban);
    mount::<unban_user::Request, _, _, _>(router, unban)
}

/// A change that the caller asks for.
fn change(
    caller: &Caller,
    room_id: OwnedRoomId,
    target: OwnedUserId,
    membership: Membership,
    reason: Option<String>,
) -> MembershipChange {
    let mut change = MembershipChange::new(room_id, caller.user_id.clone(), target, membership);
    change.reason = reason;
    change.ts = caller.ts;
    change
}

/// Guests come only into rooms that let them
/// ([spec](https://spec.matrix.org/v1.19/client-server-api/#mroomguest_access)).
async fn may_come(rooms: &Rooms, caller: &Caller, room_id: &RoomId) -> ApiResult<()> {
    if caller.guest && !lets_guests_in(rooms, room_id).await? {
        return Err(no_guests("The room lets no guests in").into());
    }
    Ok(())
}

/// Whether guests may be in a room.
async fn lets_guests_in(rooms: &Rooms, room_id: &RoomId) -> ApiResult<bool> {
    #[derive(Deserialize)]
    struct Content {
        guest_access: String,
    }
    let access = rooms.state_event(room_id, &StateEventType::RoomGuestAccess, "").await?;
    let Some(access) = access.filter(|access| access.redacted_by().is_none()) else { return Ok(false) };
    let content: Option<Content> = serde_json::from_str(access.content.get()).ok();
    Ok(content.is_some_and(|content| content.guest_access == "can_join"))
}

/// After a change of who may come: guests who may not be in the room any more leave it.
pub(super) async fn see_guests_out(rooms: &Rooms, users: &Users, room_id: &RoomId) -> ApiResult<()> {
    if lets_guests_in(rooms, room_id).await? {
        return Ok(());
    }
    let guests = users.guests_of(&rooms.joined_users(room_id).await?).await?;
    rooms.see_out(room_id, guests, Some("The room lets no guests in any more")).await?;
    Ok(())
}

/// What the server has to say cannot be refused, though it can be left
/// ([spec](https://spec.matrix.org/v1.19/client-server-api/#server-notices)).
pub(super) async fn may_refuse(rooms: &Rooms, notices: &Notices, user: &UserId, room_id: &RoomId) -> ApiResult<()> {
    let known = rooms.membership(room_id, user).await?.map(|known| known.membership);
    if known == Some(Membership::Invite) && notices.is_room_of(user, room_id).await? {
        let message = "An invitation to what the server has to say cannot be refused";
        let kind = ErrorKind::CannotLeaveServerNoticeRoom;
        return Err(MatrixError::new(StatusCode::FORBIDDEN, kind, message).into());
    }
    Ok(())
}

/// Refuses invitations of users of other servers, where they would never arrive, and of those who want none
/// ([spec](https://spec.matrix.org/v1.19/client-server-api/#invite-permission)).
pub(super) async fn may_invite(config: &ApiConfig, account_data: &AccountData, target: &UserId) -> ApiResult<()> {
    if !config.is_local(target) {
        return Err(MatrixError::forbidden("This server reaches no other servers").into());
    }
    if account_data.takes_no_invitations(target).await? {
        let (status, message) = (StatusCode::FORBIDDEN, "The user takes no invitations");
        return Err(MatrixError::with_errcode(status, "M_INVITE_BLOCKED", message).into());
    }
    Ok(())
}

/// What it takes to come into a room, or to knock at it.
struct Door {
    config: Arc<ApiConfig>,
    rooms: Rooms,
    users: Users,
    account_data: AccountData,
    appservices: Appservices,
    limits: Limits,
}

impl FromRef<ApiState> for Door {
    fn from_ref(state: &ApiState) -> Self {
        Self {
            config: FromRef::from_ref(state),
            rooms: FromRef::from_ref(state),
            users: FromRef::from_ref(state),
            account_data: FromRef::from_ref(state),
            appservices: FromRef::from_ref(state),
            limits: FromRef::from_ref(state),
        }
    }
}

impl Door {
    /// Has the caller join or knock; gives the room.
    async fn enter(
        &self,
        caller: &Caller,
        room: &RoomOrAliasId,
        membership: Membership,
        reason: Option<String>,
    ) -> ApiResult<OwnedRoomId> {
        self.limits.take_event(caller)?;
        let room_id = self.room_of(room).await?;
        may_come(&self.rooms, caller, &room_id).await?;
        let user_id = &caller.user_id;
        let was_in =
            self.rooms.membership(&room_id, user_id).await?.is_some_and(|known| known.membership == Membership::Join);
        let mut change = change(caller, room_id.clone(), user_id.clone(), membership, reason);
        change.profile = member_profile(&self.users, user_id).await?;
        self.rooms.change_membership(change).await?;
        if membership == Membership::Join && !was_in {
            came_in(&self.rooms, &self.account_data, user_id, &room_id).await?;
        }
        Ok(room_id)
    }

    async fn room_of(&self, id_or_alias: &RoomOrAliasId) -> ApiResult<OwnedRoomId> {
        match <&RoomAliasId>::try_from(id_or_alias) {
            Ok(alias) => Ok(room_of_alias(alias, &self.config, &self.rooms, &self.appservices)
                .await?
                .ok_or_else(|| MatrixError::not_found("No room has this alias"))?),
            Err(room_id) => Ok(room_id.to_owned()),
        }
    }
}

/// `POST /_matrix/client/v3/rooms/{roomId}/join`
async fn join_by_id(
    State(door): State<Door>,
    Authed { caller, body }: Authed<join_room_by_id::Request>,
) -> ApiResult<RumaReply<join_room_by_id::Response>> {
    let room_id = door.enter(&caller, (&*body.room_id).into(), Membership::Join, body.reason).await?;
    Ok(RumaReply(join_room_by_id::Response::new(room_id)))
}

/// `POST /_matrix/client/v3/join/{roomIdOrAlias}`
async fn join(
    State(door): State<Door>,
    Authed { caller, body }: Authed<join_room::Request>,
) -> ApiResult<RumaReply<join_room::Response>> {
    let room_id = door.enter(&caller, &body.room_id_or_alias, Membership::Join, body.reason).await?;
    Ok(RumaReply(join_room::Response::new(room_id)))
}

/// `POST /_matrix/client/v3/knock/{roomIdOrAlias}` ([spec](https://spec.matrix.org/v1.19/client-server-api/#knocking-on-rooms))
async fn knock(
    State(door): State<Door>,
    Authed { caller, body }: Authed<knock_room::Request>,
) -> ApiResult<RumaReply<knock_room::Response>> {
    let room_id = door.enter(&caller, &body.room_id_or_alias, Membership::Knock, body.reason).await?;
    Ok(RumaReply(knock_room::Response::new(room_id)))
}

/// The room of an alias. Of an unknown one, the application services whose namespace it is in are asked, and may make the room.
pub(super) async fn room_of_alias(
    alias: &RoomAliasId,
    config: &ApiConfig,
    rooms: &Rooms,
    appservices: &Appservices,
) -> ApiResult<Option<OwnedRoomId>> {
    if alias.server_name() != config.server_name() {
        return Ok(None);
    }
    if let Some(room_id) = rooms.resolve_alias(alias).await? {
        return Ok(Some(room_id));
    }
    if !query::alias_exists(appservices, alias).await {
        return Ok(None);
    }
    Ok(rooms.resolve_alias(alias).await?)
}

/// Read by hand: ruma takes one of two shapes, and does not say what is missing.
#[derive(Deserialize)]
struct Invitation {
    user_id: Option<OwnedUserId>,
    reason: Option<String>,
    id_server: Option<Value>,
    medium: Option<Value>,
    address: Option<Value>,
}

impl Invitation {
    fn invited(self) -> ApiResult<(OwnedUserId, Option<String>)> {
        match self.user_id {
            Some(user_id) => Ok((user_id, self.reason)),
            None if self.id_server.is_some() || self.medium.is_some() || self.address.is_some() => {
                Err(no_identity_server().into())
            }
            None => {
                Err(MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::MissingParam, "The user_id is missing").into())
            }
        }
    }
}

/// `POST /_matrix/client/v3/rooms/{roomId}/invite`; users whom nobody has made yet can be invited, for application services
/// make them then.
#[expect(clippy::too_many_arguments, reason = "a handler lists what it uses")]
async fn invite(
    State(config): State<Arc<ApiConfig>>,
    State(rooms): State<Rooms>,
    State(users): State<Users>,
    State(account_data): State<AccountData>,
    State(limits): State<Limits>,
    caller: Caller,
    PathArgs((room_id,)): PathArgs<(OwnedRoomId,)>,
    JsonBody(body): JsonBody<Invitation>,
) -> ApiResult<Json<Value>> {
    limits.take_event(&caller)?;
    let (target, reason) = body.invited()?;
    may_invite(&config, &account_data, &target).await?;
    let mut change = change(&caller, room_id, target.clone(), Membership::Invite, reason);
    change.profile = member_profile(&users, &target).await?;
    rooms.change_membership(change).await?;
    Ok(empty())
}

/// `POST /_matrix/client/v3/rooms/{roomId}/leave`
async fn leave(
    State(rooms): State<Rooms>,
    State(notices): State<Notices>,
    Authed { caller, body }: Authed<leave_room::Request>,
) -> ApiResult<Json<Value>> {
    may_refuse(&rooms, &notices, &caller.user_id, &body.room_id).await?;
    let target = caller.user_id.clone();
    rooms.change_membership(change(&caller, body.room_id, target, Membership::Leave, body.reason)).await?;
    Ok(empty())
}

/// `POST /_matrix/client/v3/rooms/{roomId}/forget`
async fn forget(
    State(rooms): State<Rooms>,
    Authed { caller, body }: Authed<forget_room::Request>,
) -> ApiResult<Json<Value>> {
    rooms.forget(&body.room_id, &caller.user_id).await?;
    Ok(empty())
}

/// `POST /_matrix/client/v3/rooms/{roomId}/kick`
async fn kick(
    State(rooms): State<Rooms>,
    Authed { caller, body }: Authed<kick_user::Request>,
) -> ApiResult<Json<Value>> {
    rooms.change_membership(change(&caller, body.room_id, body.user_id, Membership::Leave, body.reason)).await?;
    Ok(empty())
}

/// `POST /_matrix/client/v3/rooms/{roomId}/ban`
async fn ban(State(rooms): State<Rooms>, Authed { caller, body }: Authed<ban_user::Request>) -> ApiResult<Json<Value>> {
    rooms.change_membership(change(&caller, body.room_id, body.user_id, Membership::Ban, body.reason)).await?;
    Ok(empty())
}

/// `POST /_matrix/client/v3/rooms/{roomId}/unban`
async fn unban(
    State(rooms): State<Rooms>,
    Authed { caller, body }: Authed<unban_user::Request>,
) -> ApiResult<Json<Value>> {
    let mut change = change(&caller, body.room_id, body.user_id, Membership::Leave, body.reason);
    change.unban = true;
    rooms.change_membership(change).await?;
    Ok(empty())
}
