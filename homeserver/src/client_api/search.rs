//! Searching messages ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#server-side-search

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use axum::{Json, Router, extract::State};
use landbridge_axum_ruma::{MatrixError, mount};
use ruma::{
    OwnedRoomId, RoomId, UInt,
    api::client::search::search_events::v3::{self as search_events, Criteria, GroupingKey, OrderBy, SearchKeys},
    events::StateEventType,
};
use serde_json::{Map, Value, json};

use super::shown::Reader;
use crate::{
    http::{
        ApiState,
        auth::{Authed, Caller},
        error::ApiResult,
    },
    rooms::{Direction, Event, Membership, MessagesQuery, RoomError, RoomNid, Rooms},
    search::{Order, Search, key_of},
    stream::Position,
    users::AccountData,
};

/// How many results a page has where nobody says, and at most.
const DEFAULT_PAGE: usize = 10;
const MAX_PAGE: usize = 100;

/// How many events around a result are shown at most.
const MAX_CONTEXT: usize = 50;

/// How many events that hold the words are looked at in all for those that may be shown: what comes after is not found.
const LOOKED_AT: usize = 10_000;

/// How many of them at once.
const ROUND: usize = 200;

/// How far beyond a page results are counted.
const COUNTED: usize = 200;

/// The longest text that is searched for, in bytes.
const MAX_TERM: usize = 4096;

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    mount::<search_events::Request, _, _, _>(router, search)
}

/// `POST /_matrix/client/v3/search`
async fn search(
    State(rooms): State<Rooms>,
    State(account_data): State<AccountData>,
    State(search): State<Search>,
    Authed { caller, body }: Authed<search_events::Request>,
) -> ApiResult<Json<Value>> {
    let Some(criteria) = &body.search_categories.room_events else {
        return Ok(Json(json!({ "search_categories": {} })));
    };
    if criteria.search_term.len() > MAX_TERM {
        return Err(MatrixError::invalid_param("The search term is too long").into());
    }
    if criteria.order_by.as_ref().is_some_and(|order| !matches!(order, OrderBy::Recent | OrderBy::Rank)) {
        return Err(MatrixError::invalid_param("There is no such order").into());
    }
    let is_known =
        |key: &SearchKeys| matches!(key, SearchKeys::ContentBody | SearchKeys::ContentName | SearchKeys::ContentTopic);
    if criteria.keys.as_ref().is_some_and(|keys| !keys.iter().all(is_known)) {
        return Err(MatrixError::invalid_param("There is no such key").into());
    }
    let by = criteria.groupings.group_by.iter().filter_map(|grouping| grouping.key.as_ref());
    if by.into_iter().any(|key| !matches!(key, GroupingKey::RoomId | GroupingKey::Sender)) {
        return Err(MatrixError::invalid_param("There is no such group").into());
    }
    let bad_token = || MatrixError::invalid_param("The token is not one of this server");
    let skip: usize = match body.next_batch.as_deref().filter(|token| !token.is_empty()) {
        None => 0,
        Some(token) => token.parse().map_err(|_| bad_token())?,
    };
    let reader = Reader::new(&rooms, &account_data, &caller).await?;
    let words = Search::words(&criteria.search_term);
    let (numbers, searched) = rooms_of(&rooms, &caller, criteria).await?;
    let searched = serde_json::to_string(&searched).map_err(|_| MatrixError::internal())?;
    search.catch_up(&numbers).await;
    let mut order = if criteria.order_by == Some(OrderBy::Recent) { Order::Recent } else { Order::Rank };
    let limit =
        criteria.filter.limit.map_or(DEFAULT_PAGE, |limit| usize::try_from(u64::from(limit)).unwrap_or(MAX_PAGE));
    let limit = limit.clamp(1, MAX_PAGE);
    let enough = skip.saturating_add(limit).saturating_add(COUNTED);
    let mut found: Vec<Arc<Event>> = Vec::new();
    let (mut count, mut passed, mut looked_at) = (0, 0, 0);
    while count < enough && looked_at < LOOKED_AT {
        let events = search.find(&words, &searched, order, passed, ROUND).await?;
        let is_last = events.len() < ROUND;
        passed += events.len();
        looked_at += events.len();
        let wanted = wanted(&reader, &rooms, criteria, events).await?;
        found.extend(wanted.iter().skip(skip.saturating_sub(count)).take(limit - found.len()).cloned());
        count += wanted.len();
        match order {
            _ if !is_last => {}
            Order::Recent => (order, passed) = (Order::RecentHistory, 0),
            Order::RecentHistory | Order::Rank => break,
        }
    }
    let mut results = Vec::with_capacity(found.len());
    for (number, event) in found.iter().enumerate() {
        // The engines' own measures mean nothing to anybody else; the order is what counts.
        let rank = 1.0 / (1.0 + f64::from(u32::try_from(skip + number).unwrap_or(u32::MAX)));
        let shown = reader.shown(std::slice::from_ref(event)).await?.pop();
        let context = context(&rooms, &reader, &caller, criteria, event).await?;
        results.push(json!({ "rank": rank, "result": shown, "context": context }));
    }
    let mut answer = json!({ "count": count, "highlights": words, "results": results });
    let next = skip.saturating_add(found.len());
    if next < count {
        answer["next_batch"] = next.to_string().into();
    }
    if !criteria.groupings.group_by.is_empty() {
        answer["groups"] = groups(criteria, &found);
    }
    if criteria.include_state == Some(true) {
        answer["state"] = states(&rooms, &reader, &caller, &found).await?;
    }
    Ok(Json(json!({ "search_categories": { "room_events": answer } })))
}

/// The rooms that are searched, by number and by id: all that the caller is or was in, as far as the filter admits them.
async fn rooms_of(rooms: &Rooms, caller: &Caller, criteria: &Criteria) -> ApiResult<(Vec<RoomNid>, Vec<OwnedRoomId>)> {
    let known = rooms.memberships_of(&caller.user_id).await?;
    let filter = crate::sync::EventFilter::new(&criteria.filter);
    let was_in = |membership| matches!(membership, Membership::Join | Membership::Leave | Membership::Ban);
    let found = known.iter().filter(|known| was_in(known.membership) && !known.forgotten);
    let found = found.filter(|known| filter.admits_room(&known.room_id));
    Ok(found.map(|known| (known.room, known.room_id.clone())).unzip())
}

/// Those of some events that were asked for and may be shown. Of the others nothing is told, neither by a count nor by a token.
async fn wanted(
    reader: &Reader<'_>,
    rooms: &Rooms,
    criteria: &Criteria,
    mut events: Vec<Arc<Event>>,
) -> ApiResult<Vec<Arc<Event>>> {
    if let Some(keys) = &criteria.keys {
        let is_asked_for = |key: &str| keys.iter().any(|wanted| wanted.as_str().strip_prefix("content.") == Some(key));
        events.retain(|event| key_of(event).is_none_or(is_asked_for));
    }
    reader.keep(&criteria.filter, &mut events);
    let mut by_room: BTreeMap<&RoomId, Vec<Arc<Event>>> = BTreeMap::new();
    for event in &events {
        by_room.entry(&event.room_id).or_default().push(event.clone());
    }
    let mut visible = HashSet::new();
    for (room_id, events) in by_room {
        let events = rooms.filter_visible(room_id, reader.onlooker().user, events).await?;
        visible.extend(events.iter().map(|event| event.nid));
    }
    events.retain(|event| visible.contains(&event.nid));
    Ok(events)
}

fn around(limit: UInt) -> usize {
    usize::try_from(u64::from(limit)).unwrap_or(MAX_CONTEXT).min(MAX_CONTEXT)
}

/// What was said around a result.
async fn context(
    rooms: &Rooms,
    reader: &Reader<'_>,
    caller: &Caller,
    criteria: &Criteria,
    event: &Arc<Event>,
) -> ApiResult<Value> {
    let wanted = &criteria.event_context;
    let page = async |direction, from, limit: usize| -> ApiResult<(Vec<Arc<Event>>, Position)> {
        if limit == 0 {
            return Ok((Vec::new(), from));
        }
        let query = MessagesQuery {
            room_id: event.room_id.clone(),
            user: caller.user_id.clone(),
            from: Some(from),
            to: None,
            direction,
            limit,
        };
        match rooms.messages(query).await {
            Ok(page) => Ok((page.events, page.end.unwrap_or(from))),
            // Who never was in the room may have found what was said to the world there, and nothing around it.
            Err(RoomError::Forbidden(_)) => Ok((Vec::new(), from)),
            Err(error) => Err(error.into()),
        }
    };
    let at = event.position();
    let (before, start) = page(Direction::Backward, Position(at.0 - 1), around(wanted.before_limit)).await?;
    let (after, end) = page(Direction::Forward, at, around(wanted.after_limit)).await?;
    let mut shown = json!({
        "start": start.to_string(),
        "end": end.to_string(),
        "events_before": reader.shown(&before).await?,
        "events_after": reader.shown(&after).await?,
    });
    if wanted.include_profile {
        let mut profiles = Map::new();
        for sender in before.iter().chain(&after).chain([event]).map(|event| &event.sender) {
            let kind = StateEventType::RoomMember;
            let member = rooms.state_event_at(&event.room_id, event.state_before, &kind, sender.as_str()).await?;
            let content: Value =
                member.and_then(|member| serde_json::from_str(member.content.get()).ok()).unwrap_or_default();
            let profile = json!({ "displayname": content["displayname"], "avatar_url": content["avatar_url"] });
            profiles.insert(sender.to_string(), profile);
        }
        shown["profile_info"] = profiles.into();
    }
    Ok(shown)
}

/// The results by room or by sender.
fn groups(criteria: &Criteria, found: &[Arc<Event>]) -> Value {
    let mut shown = Map::new();
    for key in criteria.groupings.group_by.iter().filter_map(|grouping| grouping.key.as_ref()) {
        let group_of: fn(&Event) -> &str = match key {
            GroupingKey::RoomId => |event| event.room_id.as_str(),
            GroupingKey::Sender => |event| event.sender.as_str(),
            _ => continue,
        };
        let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut order: Vec<&str> = Vec::new();
        for event in found {
            let group = group_of(event);
            if !groups.contains_key(group) {
                order.push(group);
            }
            groups.entry(group).or_default().push(event.event_id.as_str());
        }
        let of_key: Map<String, Value> = order
            .iter()
            .enumerate()
            .map(|(number, group)| ((*group).to_owned(), json!({ "order": number, "results": groups[group] })))
            .collect();
        shown.insert(key.to_string(), of_key.into());
    }
    shown.into()
}

/// The state of the rooms of the results, as far as it may be read.
async fn states(rooms: &Rooms, reader: &Reader<'_>, caller: &Caller, found: &[Arc<Event>]) -> ApiResult<Value> {
    let mut shown = Map::new();
    for event in found {
        let room_id: &RoomId = &event.room_id;
        if !shown.contains_key(room_id.as_str()) {
            let root = match rooms.readable_state(room_id, &caller.user_id).await {
                Ok(root) => root,
                Err(RoomError::Forbidden(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            let state = reader.state(&rooms.state_at(root).await?).await?;
            shown.insert(room_id.to_string(), json!(state));
        }
    }
    Ok(shown.into())
}
