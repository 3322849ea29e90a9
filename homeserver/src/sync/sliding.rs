//! Simplified sliding sync: the rooms that a client looks at, in windows of lists sorted by activity ([proposal])
//!
//! What a connection was told is kept in memory, bounded; a client whose connection is forgotten is told `M_UNKNOWN_POS` and
//! begins anew, which costs it one answer.
//!
//! [proposal]: https://github.com/matrix-org/matrix-spec-proposals/pull/4186

mod connection;
mod extensions;
mod lists;
mod recency;
mod request;
mod room;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use http::StatusCode;
use landbridge_axum_ruma::MatrixError;
use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

pub use self::request::SlidingRequest;
pub(crate) use self::{connection::Connections, recency::Recency};
use self::{connection::RoomSent, request::RoomParams};
use super::{LONGEST_POLL, Sync, SyncRequest, SyncToken, build, everything, room::Frame};
use crate::{
    http::error::ApiError,
    rooms::{Membership, Onlooker, RoomMembership, RoomNid},
    stream::Position,
};

/// Who asks, and for what.
#[derive(Clone, Debug)]
pub struct SlidingSync {
    /// The user.
    pub user_id: OwnedUserId,
    /// The device.
    pub device_id: OwnedDeviceId,
    /// Where the last answer ended; `None` for a new connection.
    pub pos: Option<String>,
    /// How long to wait for news.
    pub timeout: std::time::Duration,
    /// What of it.
    pub request: SlidingRequest,
}

/// An answer that is put together.
struct Answer {
    lists: BTreeMap<String, Value>,
    rooms: BTreeMap<OwnedRoomId, Value>,
    extensions: Map<String, Value>,
    /// What the connection was told once this answer has arrived.
    sent: Arc<HashMap<OwnedRoomId, RoomSent>>,
    until: Position,
    /// The rooms that the user is in.
    joined: Box<[RoomNid]>,
    has_news: bool,
}

impl Sync {
    /// Answers at once if there is news, or with the first that comes, or with none when the time is up.
    ///
    /// # Errors
    /// `M_UNKNOWN_POS` where the connection is not known (any more); when the store fails.
    pub async fn sliding(&self, asked: SlidingSync) -> Result<Value, ApiError> {
        asked.request.check()?;
        let sources = &self.sources;
        let key = (asked.user_id.clone(), asked.device_id.clone());
        let connection = match &asked.pos {
            None => sources.connections.begin(&key, asked.request.conn_id()),
            Some(pos) => sources.connections.resume(&key, asked.request.conn_id(), pos).ok_or_else(|| {
                let (status, message) = (StatusCode::BAD_REQUEST, "The connection is not known; begin anew");
                MatrixError::with_errcode(status, "M_UNKNOWN_POS", message)
            })?,
        };
        let deadline = Instant::now() + asked.timeout.min(LONGEST_POLL);
        let mut news_since = connection.seen;
        loop {
            let answer = Box::pin(self.build_sliding(&asked, &connection)).await?;
            let at_once = asked.pos.is_none() || answer.has_news || connection.asked_else(&asked.request);
            if !at_once && Instant::now() < deadline {
                let since = news_since.max(Some(answer.until)).unwrap_or(answer.until);
                let news = self.news_after(since, &asked.user_id, answer.joined.clone());
                if let Ok(news) = tokio::time::timeout_at(deadline, news).await {
                    news_since = Some(news?);
                    continue;
                }
            }
            let pos = sources.connections.answered(&key, &asked.request, &connection, answer.until, answer.sent);
            let mut shown = json!({
                "pos": pos,
                "lists": answer.lists,
                "rooms": answer.rooms,
                "extensions": answer.extensions,
            });
            if let Some(txn_id) = &asked.request.txn_id {
                shown["txn_id"] = txn_id.as_str().into();
            }
            return Ok(shown);
        }
    }

    async fn build_sliding(&self, asked: &SlidingSync, connection: &connection::Resumed) -> Result<Answer, ApiError> {
        let sources = &*self.sources;
        let ignored = sources.account_data.ignored(&asked.user_id).await?;
        let onlooker = Onlooker { user: &asked.user_id, ignored: &ignored };
        let invitations = !sources.account_data.takes_no_invitations(&asked.user_id).await?;
        let (until, memberships) = build::standing(sources, &asked.user_id).await?;
        let plain = plain_request(asked, connection.seen);
        let frame = Frame { sources, request: &plain, onlooker };
        let news = build::news(frame, &memberships, connection.seen, until).await?;
        let mut rooms: HashMap<OwnedRoomId, RoomMembership> = memberships
            .iter()
            .filter(|known| is_shown(known, onlooker, invitations, &connection.sent))
            .map(|known| (known.room_id.clone(), known.clone()))
            .collect();
        let gone = take_gone(sources, &mut rooms).await?;
        let joined = || rooms.values().filter(|known| known.membership == Membership::Join);
        let joined_nids = joined().map(|known| known.room).collect();
        let joined: HashSet<OwnedRoomId> = joined().map(|known| known.room_id.clone()).collect();
        let recency = sources.recency.of(&sources.rooms, &sources.stream, &rooms, until).await?;
        let mut wanted: HashMap<OwnedRoomId, RoomParams> = HashMap::new();
        let mut shown_lists = BTreeMap::new();
        let mut in_lists: HashMap<String, HashSet<OwnedRoomId>> = HashMap::new();
        for (name, list) in &asked.request.lists {
            let sorted = lists::sorted(sources, &asked.user_id, list, &rooms, &recency).await?;
            shown_lists.insert(name.clone(), json!({ "count": sorted.len() }));
            for room_id in lists::window(&sorted, &list.ranges) {
                wanted.entry(room_id.clone()).or_default().widen(&list.params);
                in_lists.entry(name.clone()).or_default().insert(room_id.clone());
            }
        }
        for (room_id, params) in &asked.request.room_subscriptions {
            if rooms.contains_key(room_id) {
                wanted.entry(room_id.clone()).or_default().widen(params);
            }
        }
        let mut sent = connection.sent.clone();
        let mut shown_rooms = BTreeMap::new();
        for (room_id, params) in &wanted {
            let Some(known) = rooms.get(room_id) else { continue };
            let before = connection.sent.get(room_id);
            let frame = room::Frame { sources, asked, onlooker, known, params, seen: connection.seen, until };
            let last = recency.get(room_id).copied().unwrap_or_default();
            let read = news.has_read(room_id, &asked.user_id);
            if let Some((shown, told)) = room::shown(frame, before, last, read).await? {
                shown_rooms.insert(room_id.clone(), shown);
                Arc::make_mut(&mut sent).insert(room_id.clone(), told);
            }
        }
        for known in gone {
            let (shown, told) = room::gone(&known, until);
            shown_rooms.insert(known.room_id.clone(), shown);
            Arc::make_mut(&mut sent).insert(known.room_id, told);
        }
        let extensions = extensions::Extensions {
            sources,
            asked,
            plain: &plain,
            news: &news,
            joined: &joined,
            seen: connection.seen,
            extended: connection.extended,
            ignored: &ignored,
            until,
        };
        let (extensions, extended) = extensions
            .build(&wanted, &in_lists, |room_id| connection.sent.get(room_id).is_none_or(|sent| !sent.inside))
            .await?;
        let has_news = !shown_rooms.is_empty() || extended;
        Ok(Answer { lists: shown_lists, rooms: shown_rooms, extensions, sent, until, joined: joined_nids, has_news })
    }
}

/// Takes those rooms out that an operator deleted: they are in no list and have nothing to show, but that the user is not in them.
async fn take_gone(
    sources: &super::Sources,
    rooms: &mut HashMap<OwnedRoomId, RoomMembership>,
) -> Result<Vec<RoomMembership>, ApiError> {
    let is_out = |known: &&RoomMembership| matches!(known.membership, Membership::Leave | Membership::Ban);
    let mut gone = Vec::new();
    for known in rooms.values().filter(is_out) {
        if sources.rooms.version(&known.room_id).await?.is_none() {
            gone.push(known.clone());
        }
    }
    for known in &gone {
        rooms.remove(&known.room_id);
    }
    Ok(gone)
}

/// Rooms that the user is in or could be in (those invited to only if the user takes invitations), and those that it was put out of since it was told of them.
fn is_shown(
    known: &RoomMembership,
    onlooker: Onlooker<'_>,
    invitations: bool,
    sent: &HashMap<OwnedRoomId, RoomSent>,
) -> bool {
    match known.membership {
        Membership::Join | Membership::Knock => true,
        Membership::Invite => invitations && !onlooker.ignored.contains(&known.sender),
        Membership::Leave | Membership::Ban => {
            !known.forgotten && sent.get(&known.room_id).is_some_and(|sent| sent.until < known.position)
        }
    }
}

/// The same question in the words of the older sync, for what both have in common.
fn plain_request(asked: &SlidingSync, seen: Option<Position>) -> SyncRequest {
    SyncRequest {
        user_id: asked.user_id.clone(),
        device_id: Some(asked.device_id.clone()),
        since: seen.map(SyncToken::from),
        filter: everything(),
        full_state: false,
        use_state_after: false,
        timeout: std::time::Duration::ZERO,
    }
}
