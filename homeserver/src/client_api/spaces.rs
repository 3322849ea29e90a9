//! Walking spaces, and what is told of rooms to those outside ([spaces], [summary])
//!
//! [spaces]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidhierarchy
//! [summary]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1room_summaryroomidoralias

use std::sync::Arc;

use axum::{Json, Router, extract::State};
use landbridge_axum_ruma::{MatrixError, Ruma, mount};
use ruma::{
    RoomAliasId, UserId,
    api::client::{room::get_summary::v1 as get_summary, space::get_hierarchy::v1 as get_hierarchy},
};
use serde_json::{Map, Value, json};

use super::membership::room_of_alias;
use crate::{
    appservice::Appservices,
    http::{
        ApiConfig, ApiState,
        auth::{Auth, Authed},
        error::ApiResult,
    },
    rooms::{Rooms, Walk},
};

/// How many rooms of a space a page has where nobody says, and at most.
const DEFAULT_PAGE: usize = 50;
const MAX_PAGE: usize = 500;

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = mount::<get_hierarchy::Request, _, _, _>(router, hierarchy);
    mount::<get_summary::Request, _, _, _>(router, summary)
}

/// A token says how many rooms were told, and how the space was walked: a client may not change its mind in between.
fn token(passed: usize, walk: Walk) -> String {
    let depth = walk.max_depth.map_or_else(String::new, |depth| depth.to_string());
    format!("{passed}.{depth}.{}", u8::from(walk.suggested_only))
}

fn passed(from: Option<&str>, walk: Walk) -> ApiResult<usize> {
    let Some(from) = from.filter(|from| !from.is_empty()) else { return Ok(0) };
    let passed = from.split('.').next().and_then(|passed| passed.parse().ok());
    let passed = passed.filter(|passed| token(*passed, walk) == from);
    Ok(passed.ok_or_else(|| MatrixError::invalid_param("The token is not one of this request"))?)
}

/// `GET /_matrix/client/v1/rooms/{roomId}/hierarchy`
async fn hierarchy(
    State(rooms): State<Rooms>,
    Authed { caller, body }: Authed<get_hierarchy::Request>,
) -> ApiResult<Json<Value>> {
    let walk = Walk { suggested_only: body.suggested_only, max_depth: body.max_depth.map(u64::from) };
    let limit = body.limit.map_or(DEFAULT_PAGE, |limit| usize::try_from(u64::from(limit)).unwrap_or(MAX_PAGE));
    let limit = limit.clamp(1, MAX_PAGE);
    let skip = passed(body.from.as_deref(), walk)?;
    let (found, more) = rooms.hierarchy(&body.room_id, &caller.user_id, walk, skip, limit).await?;
    let mut answer = json!({ "rooms": found });
    if more {
        answer["next_batch"] = token(skip + limit, walk).into();
    }
    Ok(Json(answer))
}

/// `GET /_matrix/client/v1/room_summary/{roomIdOrAlias}`: also without a token.
async fn summary(
    State(config): State<Arc<ApiConfig>>,
    State(rooms): State<Rooms>,
    State(appservices): State<Appservices>,
    State(auth): State<Auth>,
    Ruma { body, request, .. }: Ruma<get_summary::Request>,
) -> ApiResult<Json<Map<String, Value>>> {
    let caller = auth.caller(request.headers(), request.uri()).await?;
    let user: Option<&UserId> = caller.as_ref().map(|caller| &*caller.user_id);
    let unknown = || MatrixError::not_found("There is no such room");
    let room_id = match <&RoomAliasId>::try_from(&*body.room_id_or_alias) {
        Ok(alias) => room_of_alias(alias, &config, &rooms, &appservices).await?.ok_or_else(unknown)?,
        Err(room_id) => room_id.to_owned(),
    };
    if !rooms.may_know_of(&room_id, user).await? {
        return Err(unknown().into());
    }
    let mut summary = rooms.summary(&room_id).await?;
    if let Some(user) = user {
        let known = rooms.membership(&room_id, user).await?;
        let membership = known.map_or("leave", |known| known.membership.as_str());
        summary.insert("membership".to_owned(), membership.into());
    }
    Ok(Json(summary))
}
