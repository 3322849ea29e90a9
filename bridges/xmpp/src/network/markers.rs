//! Who is told that a private message was read: who asked for that with it ([XEP-0333 §4.1](https://xmpp.org/extensions/xep-0333.html)).
//! Noted, because a message may be read long after it came.

use std::collections::HashMap;

use landbridge::network::RemoteId as _;
use parking_lot::Mutex;

use super::{direct::sent_id, shared::Shared};
use crate::{
    convert::ids::XmppRoom,
    stanza::{Element, ns},
};

/// The topic of the notes of the messages that asked, by conversation: their ids, the newest last, a line each.
const ASKED: &str = "markable";
/// How many of one conversation are noted: to mark a message marks all before it.
const MOST: usize = 32;
/// How many bytes of one conversation are noted.
const LONGEST: usize = 4096;
/// Of how many conversations it is remembered what is noted; at the bound, all is read anew.
const MOST_CONVERSATIONS: usize = 10_000;

/// What is noted, as far as it was needed lately.
#[derive(Debug, Default)]
pub(super) struct Markers(Mutex<HashMap<String, String>>);

/// What is to be noted of a conversation.
#[derive(Debug)]
pub(super) struct Asked {
    conversation: String,
    ids: String,
}

impl Shared {
    /// Remembers of a private message that its sender asked to be told when it is read, if they did. [`Shared::note_asked`] is to be told
    /// what comes back.
    pub(super) async fn asks_for_marker(&self, room: &XmppRoom, stanza: &Element) -> Option<Asked> {
        stanza.get_child("markable", ns::MARKERS)?;
        let id = sent_id(stanza).filter(|id| !id.contains('\n'))?;
        let conversation = room.encode();
        let ids = with(&self.asked(&conversation).await, id);
        let mut known = self.markers.0.lock();
        if known.len() >= MOST_CONVERSATIONS {
            known.clear();
        }
        known.insert(conversation.clone(), ids.clone());
        Some(Asked { conversation, ids })
    }

    /// Notes it for later lives of the bridge.
    pub(super) async fn note_asked(&self, asked: Option<Asked>) {
        if let Some(Asked { conversation, ids }) = asked {
            // What is not kept is told in the log; then whoever asked is not told after a restart.
            let _ = self.host.set_note(ASKED, &conversation, &ids).await;
        }
    }

    /// Whether the sender of a private message asked to be told when it is read.
    pub(super) async fn is_markable(&self, room: &XmppRoom, id: &str) -> bool {
        self.asked(&room.encode()).await.split('\n').any(|asked| asked == id)
    }

    async fn asked(&self, conversation: &str) -> String {
        let known = self.markers.0.lock().get(conversation).cloned();
        match known {
            Some(ids) => ids,
            None => self.host.note(ASKED, conversation).await.ok().flatten().unwrap_or_default(),
        }
    }
}

/// These ids and one more, without the oldest where they are too many.
fn with(noted: &str, id: &str) -> String {
    let mut ids: Vec<&str> = noted.split('\n').filter(|known| !known.is_empty() && *known != id).collect();
    ids.push(id);
    let mut bytes = 0;
    let fits = ids.iter().rev().take(MOST).take_while(|id| {
        bytes += id.len() + 1;
        bytes <= LONGEST
    });
    let fits = fits.count();
    ids[ids.len() - fits..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_a_conversation_are_noted() {
        assert_eq!(with("", "a"), "a");
        assert_eq!(with("a\nb", "c"), "a\nb\nc");
        assert_eq!(with("a\nb", "a"), "b\na", "each once");
        let noted = (0..100).fold(String::new(), |noted, n| with(&noted, &n.to_string()));
        assert_eq!(noted.split('\n').collect::<Vec<_>>(), (68..100).map(|n| n.to_string()).collect::<Vec<_>>());
        let long = |n: u8| char::from(n).to_string().repeat(1023);
        let noted = (b'a'..=b'z').fold(String::new(), |noted, n| with(&noted, &long(n)));
        assert_eq!(noted, [long(b'w'), long(b'x'), long(b'y'), long(b'z')].join("\n"));
    }
}
