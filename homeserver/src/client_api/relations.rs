//! Events that relate to others, threads, and finding events by their time ([relations], [threads], [time])
//!
//! [relations]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidrelationseventid
//! [threads]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidthreads
//! [time]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidtimestamp_to_event

use axum::{Json, Router, extract::State, routing::get};
use landbridge_axum_ruma::{MatrixError, mount};
use ruma::{
    OwnedEventId, OwnedRoomId, UInt,
    api::{
        Direction as ApiDirection,
        client::{room::get_event_by_timestamp::v1 as by_time, threads::get_threads::v1 as get_threads},
    },
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{messages::place, shown::Reader};
use crate::{
    http::{
        ApiState,
        auth::{Authed, Caller},
        error::ApiResult,
        path::{PathArgs, QueryArgs},
    },
    rooms::{Direction, RelationsQuery, Rooms, ThreadsQuery},
    users::AccountData,
};

/// How many events a page has whose reader says no number, and at most.
const DEFAULT_PAGE: usize = 5;
const MAX_PAGE: usize = 500;

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = ["v1", "unstable"].into_iter().fold(router, |router, version| {
        let base = format!("/_matrix/client/{version}/rooms/{{room_id}}/relations/{{event_id}}");
        router
            .route(&base, get(relations))
            .route(&format!("{base}/{{rel_type}}"), get(relations))
            .route(&format!("{base}/{{rel_type}}/{{event_type}}"), get(relations))
    });
    let router = mount::<by_time::Request, _, _, _>(router, timestamp);
    mount::<get_threads::Request, _, _, _>(router, threads)
}

fn limit(limit: Option<UInt>) -> usize {
    limit.map_or(DEFAULT_PAGE, |limit| {
        usize::try_from(u64::from(limit)).map_or(MAX_PAGE, |limit| limit.clamp(1, MAX_PAGE))
    })
}

fn direction(direction: ApiDirection) -> Direction {
    match direction {
        ApiDirection::Backward => Direction::Backward,
        ApiDirection::Forward => Direction::Forward,
    }
}

async fn page(
    rooms: &Rooms,
    account_data: &AccountData,
    caller: &Caller,
    from: Option<&str>,
    query: RelationsQuery<'_>,
) -> ApiResult<Json<Value>> {
    let reader = Reader::new(rooms, account_data, caller).await?;
    let page = rooms.relations(query, reader.onlooker()).await?;
    let mut answer = json!({ "chunk": reader.shown(&page.events).await? });
    if let Some(next) = page.next {
        answer["next_batch"] = next.to_string().into();
    }
    if let Some(from) = from.filter(|from| !from.is_empty()) {
        answer["prev_batch"] = from.into();
    }
    if let Some(depth) = page.depth {
        answer["recursion_depth"] = depth.into();
    }
    Ok(Json(answer))
}

/// What the path says: the three endpoints differ only in how much they ask for.
#[derive(Deserialize)]
struct Which {
    room_id: OwnedRoomId,
    event_id: OwnedEventId,
    rel_type: Option<String>,
    event_type: Option<String>,
}

#[derive(Deserialize)]
struct How {
    from: Option<String>,
    to: Option<String>,
    #[serde(default)]
    dir: ApiDirection,
    limit: Option<u64>,
    #[serde(default)]
    recurse: bool,
}

/// `GET /_matrix/client/v1/rooms/{roomId}/relations/{eventId}/{relType}/{eventType}`, and without the last or the last two.
async fn relations(
    State(rooms): State<Rooms>,
    State(account_data): State<AccountData>,
    caller: Caller,
    PathArgs(which): PathArgs<Which>,
    QueryArgs(how): QueryArgs<How>,
) -> ApiResult<Json<Value>> {
    let query = RelationsQuery {
        room_id: which.room_id,
        event_id: which.event_id,
        rel_type: which.rel_type.as_deref(),
        kind: which.event_type.as_deref(),
        from: place(how.from.as_deref())?,
        to: place(how.to.as_deref())?,
        direction: direction(how.dir),
        limit: limit(how.limit.map(UInt::new_saturating)),
        recurse: how.recurse,
    };
    page(&rooms, &account_data, &caller, how.from.as_deref(), query).await
}

/// `GET /_matrix/client/v1/rooms/{roomId}/threads`
async fn threads(
    State(rooms): State<Rooms>,
    State(account_data): State<AccountData>,
    Authed { caller, body }: Authed<get_threads::Request>,
) -> ApiResult<Json<Value>> {
    if !matches!(body.include, get_threads::IncludeThreads::All | get_threads::IncludeThreads::Participated) {
        return Err(MatrixError::invalid_param("include is neither all nor participated").into());
    }
    let reader = Reader::new(&rooms, &account_data, &caller).await?;
    let query = ThreadsQuery {
        room_id: body.room_id,
        before: place(body.from.as_deref())?,
        participated: body.include == get_threads::IncludeThreads::Participated,
        limit: limit(body.limit),
    };
    let page = rooms.threads(query, reader.onlooker()).await?;
    let mut answer = json!({ "chunk": reader.shown(&page.roots).await? });
    if let Some(next) = page.next {
        answer["next_batch"] = next.to_string().into();
    }
    Ok(Json(answer))
}

/// `GET /_matrix/client/v1/rooms/{roomId}/timestamp_to_event`
async fn timestamp(
    State(rooms): State<Rooms>,
    Authed { caller, body }: Authed<by_time::Request>,
) -> ApiResult<Json<Value>> {
    let event = rooms.event_by_time(&body.room_id, &caller.user_id, body.ts, direction(body.dir)).await?;
    Ok(Json(json!({ "event_id": event.event_id, "origin_server_ts": event.origin_server_ts })))
}
