//! What a client asks for.

use std::collections::BTreeMap;

use landbridge_axum_ruma::MatrixError;
use ruma::OwnedRoomId;
use serde::Deserialize;

/// How much one request may ask for.
const MAX_LISTS: usize = 100;
const MAX_SUBSCRIPTIONS: usize = 1000;
const MAX_RANGES: usize = 20;
const MAX_STATE: usize = 200;
const MAX_TIMELINE: u64 = 100;
const MAX_CONN_ID: usize = 64;

/// The body of a request.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct SlidingRequest {
    /// Which of the device's connections this is.
    pub(super) conn_id: Option<String>,
    /// Given back.
    pub(super) txn_id: Option<String>,
    /// Lists of rooms.
    #[serde(default)]
    pub(super) lists: BTreeMap<String, List>,
    /// Rooms by themselves.
    #[serde(default)]
    pub(super) room_subscriptions: BTreeMap<OwnedRoomId, RoomParams>,
    /// What besides rooms.
    #[serde(default)]
    pub(super) extensions: Extensions,
}

/// A list of rooms.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct List {
    /// The windows, each with its first and its last room.
    #[serde(default)]
    pub(super) ranges: Vec<(usize, usize)>,
    #[serde(flatten)]
    pub(super) params: RoomParams,
    #[serde(default)]
    pub(super) filters: Filters,
}

/// How much of a room is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct RoomParams {
    /// Types and keys of state events. `*` stands for all of them, `$ME` for the user, `$LAZY` for those who speak.
    #[serde(default)]
    pub(super) required_state: Vec<(String, String)>,
    #[serde(default)]
    pub(super) timeline_limit: u64,
}

/// Which rooms a list has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Filters {
    pub(super) is_dm: Option<bool>,
    pub(super) is_encrypted: Option<bool>,
    pub(super) is_invite: Option<bool>,
    pub(super) room_types: Option<Vec<Option<String>>>,
    pub(super) not_room_types: Option<Vec<Option<String>>>,
    pub(super) room_name_like: Option<String>,
    pub(super) tags: Option<Vec<String>>,
    pub(super) not_tags: Option<Vec<String>>,
    pub(super) spaces: Option<Vec<OwnedRoomId>>,
}

/// What is wanted besides rooms.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Extensions {
    #[serde(default)]
    pub(super) to_device: ToDevice,
    #[serde(default)]
    pub(super) e2ee: Extension,
    #[serde(default)]
    pub(super) account_data: Extension,
    #[serde(default)]
    pub(super) receipts: Extension,
    #[serde(default)]
    pub(super) typing: Extension,
}

/// Messages to the device.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct ToDevice {
    #[serde(default)]
    pub(super) enabled: bool,
    pub(super) limit: Option<usize>,
    pub(super) since: Option<String>,
}

/// Anything else. Without lists and rooms it is about all rooms of the answer.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Extension {
    #[serde(default)]
    pub(super) enabled: bool,
    pub(super) lists: Option<Vec<String>>,
    pub(super) rooms: Option<Vec<String>>,
}

impl RoomParams {
    /// Asks for what others ask for, too.
    pub(super) fn widen(&mut self, other: &Self) {
        self.timeline_limit = self.timeline_limit.max(other.timeline_limit.min(MAX_TIMELINE));
        for pair in &other.required_state {
            if !self.required_state.contains(pair) {
                self.required_state.push(pair.clone());
            }
        }
    }
}

impl SlidingRequest {
    pub(super) fn conn_id(&self) -> &str {
        self.conn_id.as_deref().unwrap_or_default()
    }

    /// Refuses what asks for too much.
    pub(super) fn check(&self) -> Result<(), MatrixError> {
        let params = self.lists.values().map(|list| &list.params).chain(self.room_subscriptions.values());
        let too_much = self.conn_id().len() > MAX_CONN_ID
            || self.lists.len() > MAX_LISTS
            || self.room_subscriptions.len() > MAX_SUBSCRIPTIONS
            || self.lists.values().any(|list| list.ranges.len() > MAX_RANGES)
            || params.into_iter().any(|params| params.required_state.len() > MAX_STATE);
        if too_much {
            return Err(MatrixError::invalid_param("The request asks for too much at once"));
        }
        if self.lists.values().any(|list| list.ranges.iter().any(|(first, last)| first > last)) {
            return Err(MatrixError::invalid_param("A range ends before it begins"));
        }
        Ok(())
    }
}
