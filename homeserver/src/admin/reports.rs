//! What users reported.

use axum::{
    Json, Router,
    extract::State,
    routing::{delete, get},
};
use landbridge_axum_ruma::MatrixError;
use ruma::EventId;
use serde_json::{Value, json};

use super::{
    access::{AdminCaller, Role},
    page::{Page, next},
    path,
};
use crate::{
    http::{
        ApiState,
        error::ApiResult,
        path::{PathArgs, QueryArgs},
    },
    rooms::Rooms,
    store::reports::ReportRow,
    users::Reports,
};

/// The most reports of one page.
const MAX_PAGE: u32 = 100;

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    router.route(&path("reports"), get(list)).route(&path("reports/{report_id}"), delete(settle))
}

/// `GET reports`: the oldest first, each with what it is about, as it was sent.
async fn list(
    State(reports): State<Reports>,
    State(rooms): State<Rooms>,
    by: AdminCaller,
    QueryArgs(page): QueryArgs<Page>,
) -> ApiResult<Json<Value>> {
    by.must_be(Role::Moderator)?;
    let after = match page.from.as_str() {
        "" => 0,
        from => from.parse().map_err(|_| MatrixError::invalid_param("from is not the number of a report"))?,
    };
    let limit = page.limit(MAX_PAGE);
    let found = reports.page(after, limit).await?;
    let next = next(&found, limit, |last| last.id.to_string());
    let mut shown = Vec::with_capacity(found.len());
    for report in &found {
        shown.push(show(&rooms, report).await?);
    }
    Ok(Json(json!({ "reports": shown, "next": next })))
}

async fn show(rooms: &Rooms, report: &ReportRow) -> ApiResult<Value> {
    let event = match report.event_id.as_deref().and_then(|id| EventId::parse(id).ok()) {
        Some(event_id) => rooms.event(&event_id).await?,
        None => None,
    };
    Ok(json!({
        "id": report.id,
        "reporter": report.reporter,
        "reported_at": report.reported_at,
        "reason": report.reason,
        "room_id": report.room_id,
        "event_id": report.event_id,
        "user_id": report.user_id.as_deref().or(event.as_ref().map(|event| event.sender.as_str())),
        "event": event.map(|event| json!({ "type": event.kind.to_string(), "content": event.content })),
    }))
}

/// `DELETE reports/{id}`: it was seen to.
async fn settle(
    State(reports): State<Reports>,
    by: AdminCaller,
    PathArgs((id,)): PathArgs<(i64,)>,
) -> ApiResult<Json<Value>> {
    by.does(Role::Moderator, "settle report", &id.to_string())?;
    if reports.settle(id).await? {
        return Ok(Json(json!({})));
    }
    Err(MatrixError::not_found("No such report").into())
}
