//! Finding users ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#user-directory

use axum::{Json, Router, extract::State};
use landbridge_axum_ruma::{MatrixError, mount};
use ruma::{OwnedUserId, api::client::user_directory::search_users::v3 as search_users};
use serde_json::{Map, Value, json};

use crate::{
    http::{ApiState, auth::Authed, error::ApiResult},
    rooms::Rooms,
    users::Users,
};

/// How many users with a fitting name are looked at for those that the caller may find.
const LOOKED_AT: u32 = 1000;

/// The most users of one answer.
const MAX_RESULTS: u32 = 100;

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    mount::<search_users::Request, _, _, _>(router, search)
}

/// `POST /_matrix/client/v3/user_directory/search`: those who share a room with the caller, or are in a room that anybody may join.
/// Users of application services are left out.
async fn search(
    State(users): State<Users>,
    State(rooms): State<Rooms>,
    Authed { caller, body }: Authed<search_users::Request>,
) -> ApiResult<Json<Value>> {
    let limit = u32::try_from(u64::from(body.limit)).unwrap_or(MAX_RESULTS).clamp(1, MAX_RESULTS);
    if body.search_term.contains('\0') || body.search_term.len() > 255 {
        return Err(MatrixError::invalid_param("The search term is not allowed").into());
    }
    let candidates = users.search(&body.search_term, LOOKED_AT).await?;
    let cut = candidates.len() >= LOOKED_AT as usize;
    let ids = candidates.iter().filter_map(|(user_id, _)| OwnedUserId::try_from(user_id.as_str()).ok());
    let visible = rooms.findable(&caller.user_id, ids, limit as usize + 1).await?;
    let mut found: Vec<_> =
        candidates.into_iter().filter(|(user_id, _)| visible.iter().any(|user| user == user_id.as_str())).collect();
    let limited = cut || found.len() > limit as usize;
    found.truncate(limit as usize);
    let results: Vec<Value> = found
        .into_iter()
        .map(|(user_id, profile)| {
            let mut shown = Map::new();
            shown.insert("user_id".to_owned(), user_id.into());
            shown.extend(profile.displayname.map(|name| ("display_name".to_owned(), name.into())));
            shown.extend(profile.avatar_url.map(|url| ("avatar_url".to_owned(), url.into())));
            shown.into()
        })
        .collect();
    Ok(Json(json!({ "results": results, "limited": limited })))
}
