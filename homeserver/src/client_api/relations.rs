//! Events that relate to others, threads, and finding events by their time ([relations], [threads], [time])
//!
//! [relations]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidrelationseventid
//! [threads]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidthreads
//! [time]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidtimestamp_to_event

use axum::{Json, Router, extract::State};
use landbridge_axum_ruma::mount;
use ruma::{
    UInt,
    api::{
        Direction as ApiDirection,
        client::{
            relations::{
                get_relating_events::v1 as relating, get_relating_events_with_rel_type::v1 as relating_by,
                get_relating_events_with_rel_type_and_event_type::v1 as relating_by_both,
            },
            room::get_event_by_timestamp::v1 as by_time,
            threads::get_threads::v1 as get_threads,
        },
    },
};
use serde_json::{Value, json};

use super::{messages::token, shown::Reader};
use crate::{
    http::{
        ApiState,
        auth::{Authed, Caller},
        error::ApiResult,
    },
    rooms::{Direction, RelationsQuery, Rooms, ThreadsQuery},
    users::AccountData,
};

/// How many events a page has whose reader says no number, and at most.
const DEFAULT_PAGE: usize = 5;
const MAX_PAGE: usize = 500;

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = mount::<relating::Request, _, _, _>(router, all);
    let router = mount::<relating_by::Request, _, _, _>(router, by_type);
    let router = mount::<relating_by_both::Request, _, _, _>(router, by_both);
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

/// `GET /_matrix/client/v1/rooms/{roomId}/relations/{eventId}`
async fn all(
    State(rooms): State<Rooms>,
    State(account_data): State<AccountData>,
    Authed { caller, body }: Authed<relating::Request>,
) -> ApiResult<Json<Value>> {
    let query = RelationsQuery {
        room_id: body.room_id,
        event_id: body.event_id,
        rel_type: None,
        kind: None,
        from: token(body.from.as_deref())?,
        to: token(body.to.as_deref())?,
        direction: direction(body.dir),
        limit: limit(body.limit),
        recurse: body.recurse,
    };
    page(&rooms, &account_data, &caller, body.from.as_deref(), query).await
}

/// `GET /_matrix/client/v1/rooms/{roomId}/relations/{eventId}/{relType}`
async fn by_type(
    State(rooms): State<Rooms>,
    State(account_data): State<AccountData>,
    Authed { caller, body }: Authed<relating_by::Request>,
) -> ApiResult<Json<Value>> {
    let rel_type = body.rel_type.to_string();
    let query = RelationsQuery {
        room_id: body.room_id,
        event_id: body.event_id,
        rel_type: Some(&rel_type),
        kind: None,
        from: token(body.from.as_deref())?,
        to: token(body.to.as_deref())?,
        direction: direction(body.dir),
        limit: limit(body.limit),
        recurse: body.recurse,
    };
    page(&rooms, &account_data, &caller, body.from.as_deref(), query).await
}

/// `GET /_matrix/client/v1/rooms/{roomId}/relations/{eventId}/{relType}/{eventType}`
async fn by_both(
    State(rooms): State<Rooms>,
    State(account_data): State<AccountData>,
    Authed { caller, body }: Authed<relating_by_both::Request>,
) -> ApiResult<Json<Value>> {
    let (rel_type, kind) = (body.rel_type.to_string(), body.event_type.to_string());
    let query = RelationsQuery {
        room_id: body.room_id,
        event_id: body.event_id,
        rel_type: Some(&rel_type),
        kind: Some(&kind),
        from: token(body.from.as_deref())?,
        to: token(body.to.as_deref())?,
        direction: direction(body.dir),
        limit: limit(body.limit),
        recurse: body.recurse,
    };
    page(&rooms, &account_data, &caller, body.from.as_deref(), query).await
}

/// `GET /_matrix/client/v1/rooms/{roomId}/threads`
async fn threads(
    State(rooms): State<Rooms>,
    State(account_data): State<AccountData>,
    Authed { caller, body }: Authed<get_threads::Request>,
) -> ApiResult<Json<Value>> {
    let reader = Reader::new(&rooms, &account_data, &caller).await?;
    let query = ThreadsQuery {
        room_id: body.room_id,
        before: token(body.from.as_deref())?,
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
