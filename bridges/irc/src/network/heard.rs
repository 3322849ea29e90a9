//! Our own messages that the bot has heard: the proof that they arrived.
//!
//! Where the server takes tags, a message carries its key and is known by it. Elsewhere it is known by who said what where, as long as
//! somebody waits for it.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use ruma::{OwnedUserId, UserId};
use tokio::{
    sync::{Notify, futures::Notified},
    time::{Instant, timeout_at},
};

use crate::session::MessageKind;

/// How many keys of our own messages are remembered: as many as can be under way when a connection breaks, many times over.
const MAX_HEARD: usize = 4096;
/// How many messages without a key are waited for; beyond that the oldest are not.
const MAX_EXPECTED: usize = 1024;

/// What the bot has heard of our own.
#[derive(Debug, Default)]
pub(super) struct Heard {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    order: VecDeque<Box<str>>,
    by_key: HashMap<Box<str>, Option<String>>,
    expected: VecDeque<Expected>,
}

/// A message without a key on the wire.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expected {
    /// The key that the framework knows it by.
    pub(super) key: String,
    /// Whose puppet says it.
    pub(super) user_id: OwnedUserId,
    /// Where, folded.
    pub(super) channel: String,
    /// How.
    pub(super) kind: MessageKind,
    /// What.
    pub(super) text: String,
}

impl Heard {
    /// The bot heard a message with this key.
    pub(super) fn hear(&self, key: &str, msgid: Option<&str>) {
        self.state.lock().hear(key, msgid);
        self.changed.notify_waiters();
    }

    /// The bot heard one of our puppets say something: the oldest that was expected to be this is.
    pub(super) fn hear_words(&self, user_id: &UserId, channel: &str, kind: &MessageKind, text: &str) {
        let mut state = self.state.lock();
        let fits =
            |one: &Expected| one.user_id == user_id && one.channel == channel && one.kind == *kind && one.text == text;
        let Some(found) = state.expected.iter().position(fits).and_then(|at| state.expected.remove(at)) else { return };
        state.hear(&found.key, None);
        drop(state);
        self.changed.notify_waiters();
    }

    /// These will be said, in this order.
    pub(super) fn expect(&self, messages: impl IntoIterator<Item = Expected>) {
        let mut state = self.state.lock();
        state.expected.extend(messages);
        while state.expected.len() > MAX_EXPECTED {
            state.expected.pop_front();
        }
    }

    /// What became of these is known: they are waited for no longer.
    pub(super) fn expect_no_more<'a>(&self, keys: impl IntoIterator<Item = &'a str>) {
        let mut state = self.state.lock();
        for key in keys {
            state.expected.retain(|one| one.key != key);
        }
    }

    /// Whether the bot heard a message of ours, and the server's id of it.
    pub(super) fn find(&self, key: &str) -> Option<Option<String>> {
        self.state.lock().by_key.get(key).cloned()
    }

    /// Resolves when the bot has heard more.
    pub(super) fn more(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Something else changed that is waited for together with this.
    pub(super) fn look_again(&self) {
        self.changed.notify_waiters();
    }

    /// As [`Heard::find`], and waits for it until then.
    pub(super) async fn find_until(&self, key: &str, until: Instant) -> Option<Option<String>> {
        loop {
            let more = self.more();
            if let Some(id) = self.find(key) {
                return Some(id);
            }
            timeout_at(until, more).await.ok()?;
        }
    }
}

impl State {
    fn hear(&mut self, key: &str, msgid: Option<&str>) {
        if self.by_key.insert(key.into(), msgid.map(str::to_owned)).is_none() {
            self.order.push_back(key.into());
        }
        if self.order.len() > MAX_HEARD
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_key.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    fn expected(key: &str, text: &str) -> Expected {
        let user_id = user_id!("@alice:here").to_owned();
        Expected { key: key.into(), user_id, channel: "#c".into(), kind: MessageKind::Privmsg, text: text.into() }
    }

    #[test]
    fn what_has_no_key_is_known_by_who_said_what_where() {
        let heard = Heard::default();
        heard.expect([expected("1", "one"), expected("2", "same"), expected("3", "same")]);
        let hear = |user_id, channel, text| heard.hear_words(user_id, channel, &MessageKind::Privmsg, text);
        hear(user_id!("@bob:here"), "#c", "one");
        hear(user_id!("@alice:here"), "#d", "one");
        heard.hear_words(user_id!("@alice:here"), "#c", &MessageKind::Notice, "one");
        assert_eq!(heard.find("1"), None);
        hear(user_id!("@alice:here"), "#c", "same");
        assert_eq!([heard.find("2"), heard.find("3")], [Some(None), None], "said once, heard once");
        heard.expect_no_more(["3"]);
        hear(user_id!("@alice:here"), "#c", "same");
        assert_eq!(heard.find("3"), None);
    }

    #[test]
    fn what_is_waited_for_is_bounded() {
        let heard = Heard::default();
        heard.expect((0..5000).map(|number| expected(&number.to_string(), "x")));
        assert_eq!(heard.state.lock().expected.len(), MAX_EXPECTED);
        (0..5000).for_each(|number| heard.hear(&number.to_string(), None));
        assert_eq!(heard.state.lock().by_key.len(), MAX_HEARD);
    }
}
