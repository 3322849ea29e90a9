//! What was missed: read from a room's archive ([XEP-0313](https://xmpp.org/extensions/xep-0313.html)) before what is said meanwhile.

use std::{collections::HashMap, sync::Arc, time::Duration};

use landbridge::{
    Millis,
    network::{SendError, host::Closed},
};
use tokio::time::Instant;

use super::{deliver::rejected, link::archived_from, shared::Shared};
use crate::{
    convert::{ids::XmppRoom, incoming},
    jid::Jid,
    link::IqError,
    muc::SeatId,
    stanza::{Element, ElementExt as _, ns},
};

/// How many messages one page of an archive holds.
const PAGE: usize = 100;
/// How many pages are read at most after an outage.
const PAGES: usize = 200;
/// How long to wait before an archive that does not answer is asked again; after the last, what was missed is given up.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(30),
];

impl Shared {
    /// Fetches what was said in a room while we were away, in the background; what is said meanwhile is held back.
    pub(super) fn catch_up(self: &Arc<Self>, jid: &Jid) {
        if !self.is_holding(jid) {
            return;
        }
        let (shared, jid) = (Arc::clone(self), jid.clone());
        tokio::spawn(async move {
            let fetched = shared.fetch_missed(&jid).await;
            if let Err(Closed) = fetched {
                return;
            }
            let _ = shared.let_go(&jid).await;
        });
    }

    /// Reads the archive from where we stopped hearing.
    async fn fetch_missed(self: &Arc<Self>, jid: &Jid) -> Result<(), Closed> {
        let since = self.with_room(jid, |state| state.held.as_ref().map(|held| held.since.clone())).flatten();
        let Some(since) = since else { return Ok(()) };
        let mut after: Option<String> = None;
        for _ in 0..PAGES {
            let Some(page) = self.missed_page(jid, &since, after.as_deref()).await else { return Ok(()) };
            for (id, message) in &page.messages {
                self.hear_archived(jid, id, message).await?;
            }
            match page.last {
                Some(last) if !page.complete => after = Some(last),
                _ => return Ok(()),
            }
        }
        tracing::warn!(remote.room = %jid, "more was missed than is fetched");
        Ok(())
    }

    /// A page of what was missed, for which is asked again and again: once it is given up, it is lost. None as well when the link
    /// went down, for what was missed is fetched over the next.
    async fn missed_page(&self, jid: &Jid, since: &str, after: Option<&str>) -> Option<Page> {
        for pause in PAUSES {
            match self.page(jid, since, after).await {
                Ok(page) => return Some(page),
                Err(error) if error.is_final() => break,
                Err(_) => tokio::time::sleep(pause).await,
            }
            if !self.is_holding(jid) {
                return None;
            }
        }
        tracing::warn!(remote.room = %jid, "what was missed cannot be fetched");
        None
    }

    /// Whether messages of a room wait until what was missed is fetched.
    pub(super) fn is_holding(&self, jid: &Jid) -> bool {
        self.with_room(jid, |state| state.held.is_some()).unwrap_or_default()
    }

    /// Whether a message of ours is in a room's archive from `since` on, and the id that it has there. However many ask at a time: the
    /// archive is read for all of them together.
    ///
    /// # Errors
    /// Where the archive cannot be read: a final one where it never can be.
    pub(super) async fn find_archived(&self, jid: &Jid, id: &str, since: Millis) -> Result<Option<String>, SendError> {
        let asked = Instant::now();
        let shelf = self.with_room(jid, |state| Arc::clone(&state.shelf)).unwrap_or_default();
        let mut last = shelf.lock().await;
        let known = last.as_ref().and_then(|reading| reading.found(id, asked, since));
        let found = if let Some(found) = known {
            found
        } else {
            let begun = Instant::now();
            let (ids, outcome) = self.archived_ids(jid, since).await;
            let reading = last.insert(Reading { begun, since, ids, outcome });
            reading.found(id, asked, since).unwrap_or(Ok(None))
        };
        // Beside the room's own, each who asks has a handle of it: the last one needs it for nobody.
        if Arc::strong_count(&shelf) <= 2 {
            *last = None;
        }
        found
    }

    /// The ids of what was said from a moment on, with those of the archive, as far as it can be read; and whether that was all.
    async fn archived_ids(&self, jid: &Jid, since: Millis) -> (HashMap<String, String>, Result<(), SendError>) {
        let (mut ids, mut after) = (HashMap::new(), None);
        let since = archived_from(since);
        for _ in 0..PAGES {
            let page = match self.page(jid, &since, after.as_deref()).await {
                Ok(page) => page,
                Err(error) => return (ids, Err(error)),
            };
            for (archive, message) in page.messages {
                if let Some(id) = message.attr("id") {
                    ids.entry(id.to_owned()).or_insert(archive);
                }
            }
            match page.last {
                Some(last) if !page.complete => after = Some(last),
                _ => return (ids, Ok(())),
            }
        }
        (ids, Err(SendError::Unsupported))
    }

    async fn page(&self, jid: &Jid, since: &str, after: Option<&str>) -> Result<Page, SendError> {
        let bot = self.seat_jid(&SeatId::Listener).ok_or(SendError::Unsupported)?;
        let id = self.new_id();
        let form = Element::form("submit").field("FORM_TYPE", ns::MAM).field("start", since);
        let max = Element::bare("max", ns::RSM).with_text(PAGE.to_string());
        let after = after.map(|after| Element::bare("after", ns::RSM).with_text(after));
        let set = Element::bare("set", ns::RSM).child(max).child_some(after);
        let query = Element::bare("query", ns::MAM).with("queryid", id.clone()).child(form).child(set);
        let iq = Element::stanza("iq", bot.as_str(), jid.as_str(), "set").with("id", id).child(query);
        match self.ask(iq, super::link::ANSWER).await {
            Ok(answer) => Ok(Page::read(&answer)),
            Err(error) => {
                tracing::info!(remote.room = %jid, %error, "the archive cannot be read");
                Err(match error {
                    IqError::Refused(error) => rejected(&error),
                    IqError::Timeout | IqError::Disconnected => SendError::Disconnected,
                })
            }
        }
    }

    /// A message that the archive holds: as if it were heard now, but at its own time.
    async fn hear_archived(self: &Arc<Self>, jid: &Jid, archive: &str, message: &Element) -> Result<(), Closed> {
        let Some(from) = message.from() else { return Ok(()) };
        let Some(nick) = from.resource() else { return self.hear_moderation(jid, message).await };
        let id = message.attr("id");
        let found = self.with_room(jid, |state| {
            let ours = state.room.was_ours(nick, id);
            (!ours).then(|| state.room.earlier_speaker(nick, message))
        });
        let who = match found {
            Some(Some(who)) => who,
            Some(None) => {
                if let Some(id) = id {
                    self.landed(id, Ok(Some(archive.to_owned())));
                }
                return Ok(());
            }
            None => return Ok(()),
        };
        let room = XmppRoom::Muc(jid.clone());
        for (event, dedupe) in self.events_of(&room, &who, message, Some(archive), incoming::said_at(message, jid)) {
            self.tell(event, dedupe).await?;
        }
        Ok(())
    }

    /// What was held back, in its order; then nothing is held any more.
    async fn let_go(self: &Arc<Self>, jid: &Jid) -> Result<(), Closed> {
        loop {
            let (held, overflown) = {
                let mut rooms = self.rooms.lock();
                let Some(state) = rooms.get_mut(jid) else { return Ok(()) };
                let Some(held) = &mut state.held else { return Ok(()) };
                let overflown = std::mem::take(&mut held.overflown);
                let stanzas = std::mem::take(&mut held.stanzas);
                if stanzas.is_empty() && !overflown {
                    state.held = None;
                    return Ok(());
                }
                (stanzas, overflown)
            };
            for stanza in held {
                let out = self.with_room(jid, |state| state.room.message_came(&stanza, &SeatId::Listener));
                Box::pin(self.perform(jid, out.unwrap_or_default())).await?;
            }
            if overflown {
                self.fetch_missed(jid).await?;
            }
        }
    }
}

/// What an archive held when it was read last.
#[derive(Debug)]
pub(super) struct Reading {
    begun: Instant,
    since: Millis,
    /// The archive's ids of messages, by the ids under which they were said.
    ids: HashMap<String, String>,
    /// Whether all of it was read.
    outcome: Result<(), SendError>,
}

impl Reading {
    /// What it tells somebody who asked at that time for a message that was said since; nothing where it must be read anew, as it may not
    /// hold what was there by then.
    fn found(&self, id: &str, asked: Instant, since: Millis) -> Option<Result<Option<String>, SendError>> {
        if let Some(archive) = self.ids.get(id) {
            return Some(Ok(Some(archive.clone())));
        }
        (self.begun >= asked && self.since <= since).then(|| self.outcome.clone().map(|()| None))
    }
}

/// One page of an archive.
struct Page {
    messages: Vec<(String, Element)>,
    last: Option<String>,
    complete: bool,
}

impl Page {
    /// From the answer, behind which what was collected stands.
    fn read(answer: &Element) -> Self {
        let room = answer.attr("from");
        let results = answer.find_all("result", ns::MAM);
        let messages: Vec<(String, Element)> = results
            .filter_map(|result| {
                let forwarded = result.get_child("forwarded", ns::FORWARD)?;
                let mut message = forwarded.children().find(|child| child.name() == "message")?.clone();
                // When the archive has it: of the room's own making, whatever its sender wrote.
                while message.remove_child("delay", ns::DELAY).is_some() {}
                if let (Some(stamp), Some(room)) = (forwarded.get_child("delay", ns::DELAY)?.attr("stamp"), room) {
                    message.append_child(Element::bare("delay", ns::DELAY).with("from", room).with("stamp", stamp));
                }
                Some((result.attr("id")?.to_owned(), message))
            })
            .collect();
        let fin = answer.get_child("fin", ns::MAM);
        let last = fin.and_then(|fin| fin.get_child("set", ns::RSM)).and_then(|set| set.own_text("last"));
        Self {
            complete: fin.and_then(|fin| fin.attr("complete")) == Some("true") || messages.is_empty(),
            last: last.or_else(|| messages.last().map(|(id, _)| id.clone())),
            messages,
        }
    }
}
