//! Finding users ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#user-directory

use axum::{Json, Router, extract::State};
use landbridge_axum_ruma::{MatrixError, mount};
use ruma::api::client::user_directory::search_users::v3 as search_users;
use serde_json::{Map, Value, json};

use crate::{
    http::{ApiState, auth::Authed, error::ApiResult},
    users::Users,
};

/// The most users of one answer.
const MAX_RESULTS: u32 = 100;

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    mount::<search_users::Request, _, _, _>(router, search)
}

/// `POST /_matrix/client/v3/user_directory/search`; users of application services are left out.
async fn search(
    State(users): State<Users>,
    Authed { body, .. }: Authed<search_users::Request>,
) -> ApiResult<Json<Value>> {
    let limit = u32::try_from(u64::from(body.limit)).unwrap_or(MAX_RESULTS).clamp(1, MAX_RESULTS);
    if body.search_term.contains('\0') || body.search_term.len() > 255 {
        return Err(MatrixError::invalid_param("The search term is not allowed").into());
    }
    let mut found = users.search(&body.search_term, limit + 1).await?;
    let limited = found.len() > limit as usize;
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
