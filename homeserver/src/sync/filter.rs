//! Filters of events ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#filtering

use std::sync::{Arc, LazyLock};

use ruma::{
    RoomId,
    api::client::filter::{FilterDefinition, LazyLoadOptions, RoomEventFilter, UrlFilter},
};

use crate::rooms::Event;

/// The timeline of one room where a filter names no limit, in events.
const DEFAULT_LIMIT: usize = 10;

/// The longest timeline of one room, in events.
const MAX_LIMIT: usize = 1000;

/// The filter of those who name none. One for all of them, for many wait at once.
#[must_use]
pub(crate) fn everything() -> Arc<FilterDefinition> {
    static EVERYTHING: LazyLock<Arc<FilterDefinition>> = LazyLock::new(Arc::default);
    EVERYTHING.clone()
}

/// Decides on events.
#[derive(Clone, Copy, Debug)]
pub struct EventFilter<'a>(&'a RoomEventFilter);

impl<'a> EventFilter<'a> {
    /// Decides by this filter.
    #[must_use]
    pub const fn new(filter: &'a RoomEventFilter) -> Self {
        Self(filter)
    }

    /// How many events, with the defaults and bounds of this server.
    #[must_use]
    pub fn limit(self) -> usize {
        self.0.limit.map_or(DEFAULT_LIMIT, |limit| {
            usize::try_from(u64::from(limit)).map_or(MAX_LIMIT, |limit| limit.clamp(1, MAX_LIMIT))
        })
    }

    /// Whether member events of those who say nothing are left out.
    #[must_use]
    pub const fn is_lazy(self) -> bool {
        matches!(self.0.lazy_load_options, LazyLoadOptions::Enabled { .. })
    }

    /// Whether it lets an event of a room through.
    #[must_use]
    pub fn admits(self, event: &Event) -> bool {
        self.admits_room(&event.room_id)
            && self.admits_type(&event.kind.to_string())
            && self.admits_sender(event.sender.as_str())
            && self.admits_url(event)
    }

    /// Whether it lets anything of a room through.
    #[must_use]
    pub fn admits_room(self, room_id: &RoomId) -> bool {
        !self.0.not_rooms.iter().any(|not| not == room_id)
            && self.0.rooms.as_ref().is_none_or(|rooms| rooms.iter().any(|room| room == room_id))
    }

    /// Whether it lets events of a type through.
    #[must_use]
    pub fn admits_type(self, kind: &str) -> bool {
        admits(&self.0.not_types, self.0.types.as_deref(), kind)
    }

    /// Whether it lets events of a sender through.
    #[must_use]
    pub fn admits_sender(self, sender: &str) -> bool {
        !self.0.not_senders.iter().any(|not| not == sender)
            && self.0.senders.as_ref().is_none_or(|senders| senders.iter().any(|user| user == sender))
    }

    fn admits_url(self, event: &Event) -> bool {
        let Some(wanted) = &self.0.url_filter else { return true };
        let has = serde_json::from_str::<serde_json::Value>(event.content.get())
            .is_ok_and(|content| content.get("url").is_some_and(serde_json::Value::is_string));
        matches!(wanted, UrlFilter::EventsWithUrl) == has
    }
}

/// Whether lists of types, which may end in `*`, let one through.
#[must_use]
pub(crate) fn admits(not: &[String], only: Option<&[String]>, kind: &str) -> bool {
    !not.iter().any(|pattern| fits(pattern, kind))
        && only.is_none_or(|only| only.iter().any(|pattern| fits(pattern, kind)))
}

/// `*` stands for anything. Done by hand: a filter of a client never becomes a regular expression.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(part) = last.replace(part) {
            let part: &str = part;
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
    }
    last.map_or(rest.is_empty(), |last: &str| rest.ends_with(last))
}

/// Whether a filter lets a room through at all.
#[must_use]
pub(crate) fn admits_room(filter: &FilterDefinition, room_id: &RoomId) -> bool {
    !filter.room.not_rooms.iter().any(|not| not == room_id)
        && filter.room.rooms.as_ref().is_none_or(|rooms| rooms.iter().any(|room| room == room_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text, expected) in [
            ("m.room.message", "m.room.message", true),
            ("m.room.message", "m.room.messages", false),
            ("m.room.*", "m.room.topic", true),
            ("m.room.*", "m.typing", false),
            ("*", "", true),
            ("*.topic", "m.room.topic", true),
            ("m.*.topic", "m.room.topic", true),
            ("m.*.topic", "m.topic", false),
            ("*oo*oo*", "foofoo", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn an_empty_list_admits_nothing_and_no_list_everything() {
        assert!(admits(&[], None, "m.room.topic"));
        assert!(!admits(&[], Some(&[]), "m.room.topic"));
        assert!(!admits(&["m.room.*".to_owned()], None, "m.room.topic"));
    }
}
