//! Reporting events, rooms and users ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#reporting-content

use axum::{Json, Router, extract::State};
use landbridge_axum_ruma::{MatrixError, mount};
use ruma::api::client::{
    reporting::report_user::v3 as report_user,
    room::{report_content::v3 as report_event, report_room::v3 as report_room},
};
use serde_json::Value;

use super::reply::empty;
use crate::{
    http::{
        ApiState,
        auth::Authed,
        error::ApiResult,
        limits::{Action, Limits},
    },
    rooms::{Membership, Rooms},
    users::{Reported, Reports, Users},
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = mount::<report_event::Request, _, _, _>(router, event);
    let router = mount::<report_room::Request, _, _, _>(router, room);
    mount::<report_user::Request, _, _, _>(router, user)
}

/// `POST /_matrix/client/v3/rooms/{roomId}/report/{eventId}`: of those in the room alone.
async fn event(
    State(rooms): State<Rooms>,
    State(reports): State<Reports>,
    State(limits): State<Limits>,
    Authed { caller, body }: Authed<report_event::Request>,
) -> ApiResult<Json<Value>> {
    let known = rooms.membership(&body.room_id, &caller.user_id).await?;
    if known.is_none_or(|known| known.membership != Membership::Join) {
        return Err(MatrixError::not_found("There is no such event, or you are not in the room").into());
    }
    rooms.visible_event(&body.room_id, &body.event_id, &caller.user_id).await?;
    let reported = Reported::Event(&body.room_id, &body.event_id);
    limits.take_for(Action::Report, &caller.user_id)?;
    reports.add(&caller.user_id, reported, body.reason.as_deref().unwrap_or_default()).await?;
    Ok(empty())
}

/// `POST /_matrix/client/v3/rooms/{roomId}/report`
async fn room(
    State(rooms): State<Rooms>,
    State(reports): State<Reports>,
    State(limits): State<Limits>,
    Authed { caller, body }: Authed<report_room::Request>,
) -> ApiResult<Json<Value>> {
    if rooms.version(&body.room_id).await?.is_none() {
        return Err(MatrixError::not_found("There is no such room").into());
    }
    limits.take_for(Action::Report, &caller.user_id)?;
    reports.add(&caller.user_id, Reported::Room(&body.room_id), &body.reason).await?;
    Ok(empty())
}

/// `POST /_matrix/client/v3/users/{userId}/report`
async fn user(
    State(users): State<Users>,
    State(reports): State<Reports>,
    State(limits): State<Limits>,
    Authed { caller, body }: Authed<report_user::Request>,
) -> ApiResult<Json<Value>> {
    if !users.exists(&body.user_id).await? {
        return Err(MatrixError::not_found("There is no such user").into());
    }
    limits.take_for(Action::Report, &caller.user_id)?;
    reports.add(&caller.user_id, Reported::User(&body.user_id), &body.reason).await?;
    Ok(empty())
}
