//! What is sent to a Matrix user of whom it is not known whether there is such a user. An address that reads as a Matrix id says nothing of
//! that: the homeserver is asked, and until it answers, everything to this address waits in its order, while the link is read on.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt as _;
use landbridge::network::host::{Busy, Closed};
use parking_lot::Mutex;
use ruma::{OwnedUserId, UserId};
use tokio::sync::watch;

use super::shared::Shared;
use crate::{
    convert::incoming,
    jid::Jid,
    muc::SeatId,
    stanza::{Condition, Element, ElementExt as _, ErrorKind, Node, StanzaError, ns},
};

/// How many stanzas wait for one Matrix user.
const MOST_FOR_ONE: usize = 100;
/// How many bytes wait in all, about.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// How long a bridge that stops waits until nobody waits any more.
const LAST_WORD: Duration = Duration::from_secs(2);

/// What waits, each Matrix user's in its order.
#[derive(Debug, Default)]
pub(super) struct Doors {
    waiting: Mutex<Waiting>,
    /// How many Matrix users something waits for.
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Waiting {
    doors: HashMap<OwnedUserId, VecDeque<(Element, usize)>>,
    bytes: usize,
}

/// Where a stanza is now.
#[derive(Debug)]
enum Place {
    /// Behind others to the same user, or behind the question.
    Waits,
    /// Nowhere: too much waits already.
    TooMuch(Element),
}

impl Doors {
    /// Whether something waits for a user; then what comes has its place behind it.
    fn is_open_question(&self, user_id: &UserId) -> bool {
        self.waiting.lock().doors.contains_key(user_id)
    }

    /// Has a stanza wait, behind what waits already.
    fn wait(&self, user_id: &UserId, stanza: Element) -> Place {
        let weight = weight(&stanza);
        let mut waiting = self.waiting.lock();
        let Waiting { doors, bytes } = &mut *waiting;
        let before = doors.get(user_id).map_or(0, VecDeque::len);
        if before >= MOST_FOR_ONE || *bytes + weight > MOST_BYTES {
            return Place::TooMuch(stanza);
        }
        *bytes += weight;
        doors.entry(user_id.to_owned()).or_default().push_back((stanza, weight));
        self.count.send_replace(doors.len());
        Place::Waits
    }

    /// What waits longest for a user. Where nothing waits any more, what comes next need not wait, either.
    fn next(&self, user_id: &UserId) -> Option<Element> {
        let mut waiting = self.waiting.lock();
        let Waiting { doors, bytes } = &mut *waiting;
        let Entry::Occupied(mut door) = doors.entry(user_id.to_owned()) else { return None };
        if let Some((stanza, weight)) = door.get_mut().pop_front() {
            *bytes -= weight;
            return Some(stanza);
        }
        door.remove();
        self.count.send_replace(doors.len());
        None
    }

    /// Waits, not for long, until nothing waits any more.
    pub(super) async fn emptied(&self) {
        let mut count = self.count.subscribe();
        let _ = tokio::time::timeout(LAST_WORD, count.wait_for(|count| *count == 0)).await;
    }
}

/// How much memory a stanza takes, about.
fn weight(element: &Element) -> usize {
    const EACH: usize = 200;
    let attributes: usize = element.attrs().iter().map(|(_, value)| EACH + value.len()).sum();
    let inside = element.nodes().map(|node| match node {
        Node::Element(child) => weight(child),
        Node::Text(text) => text.len(),
    });
    EACH + attributes + inside.sum::<usize>()
}

impl Shared {
    /// Takes in one stanza, when it is known that there is somebody to take it in for.
    ///
    /// # Errors
    /// [`Closed`] when the framework is stopping: what was heard was not kept.
    pub(super) async fn hear(self: &Arc<Self>, stanza: Element) -> Result<(), Closed> {
        let (Some(from), Some(to)) = (stanza.from(), stanza.to()) else { return Ok(()) };
        let Some(user_id) = self.may_be_nobody(&stanza, &from, &to) else {
            return self.take_in(stanza, &from, &to).await;
        };
        let is_asked = self.doors.is_open_question(&user_id);
        if !is_asked && let Some(found) = self.host.exists(&user_id).now_or_never() {
            return self.let_in(found, stanza).await;
        }
        match self.doors.wait(&user_id, stanza) {
            Place::Waits if is_asked => {}
            Place::Waits => drop(tokio::spawn(Arc::clone(self).answer_door(user_id))),
            Place::TooMuch(stanza) => self.put_off(&stanza, &from),
        }
        Ok(())
    }

    /// Whom a stanza is for, where that may be nobody. Who has a seat in a room of ours is somebody.
    fn may_be_nobody(&self, stanza: &Element, from: &Jid, to: &Jid) -> Option<OwnedUserId> {
        let concerns_them = match (stanza.name(), stanza.kind()) {
            ("iq", "get" | "set")
            | ("presence", "subscribe" | "subscribed" | "unsubscribe" | "unsubscribed" | "probe") => true,
            ("message", kind) => {
                !matches!(kind, "error" | "groupchat") && stanza.get_child("result", ns::MAM).is_none()
            }
            _ => false,
        };
        if !concerns_them || from.domain() == self.own.domain {
            return None;
        }
        let Some(SeatId::Puppet(user_id)) = self.seat_of(to) else { return None };
        let is_of_room = self.rooms.lock().contains_key(&from.bare()) && incoming::invitation(stanza).is_none();
        (!is_of_room).then_some(user_id)
    }

    /// Asks whether there is such a Matrix user, and lets in or refuses what waits for the answer, and what comes meanwhile.
    async fn answer_door(self: Arc<Self>, user_id: OwnedUserId) {
        let stopping = self.stopping.lock().clone();
        // What is not refused is kept: who stops has no time to ask.
        let found = stopping.run_until_cancelled(self.host.exists(&user_id)).await.unwrap_or(Ok(true));
        let mut is_closed = false;
        while let Some(stanza) = self.doors.next(&user_id) {
            is_closed = is_closed || self.let_in(found, stanza).await.is_err();
        }
    }

    /// Does with a stanza what follows from whether there is whom it is for.
    async fn let_in(self: &Arc<Self>, found: Result<bool, Busy>, stanza: Element) -> Result<(), Closed> {
        let (Some(from), Some(to)) = (stanza.from(), stanza.to()) else { return Ok(()) };
        match found {
            Ok(true) => self.take_in(stanza, &from, &to).await?,
            Ok(false) => self.refuse_for_nobody(&stanza, &from, &to),
            Err(Busy) => self.put_off(&stanza, &from),
        }
        Ok(())
    }

    /// Refuses what is sent to an address that is nobody's ([RFC 6121 §8.5.1](https://www.rfc-editor.org/rfc/rfc6121#section-8.5.1)).
    pub(super) fn refuse_for_nobody(&self, stanza: &Element, from: &Jid, to: &Jid) {
        match stanza.name() {
            "message" if to.node().is_some() && self.may_be_told(stanza, from) => {
                let refusal = StanzaError::reply(stanza, ErrorKind::Cancel, Condition::ServiceUnavailable);
                refusal.iter().for_each(|refusal| self.send_lossy(refusal));
            }
            "iq" => self.reply(stanza, from, to, None),
            // Their server may forget that they are there. Anything else is passed over.
            "presence" if stanza.kind() == "probe" && to.node().is_some() && self.is_person(stanza, from) => {
                let (ours, theirs) = (to.bare(), from.bare());
                self.send_lossy(&Element::stanza("presence", ours.as_str(), theirs.as_str(), "unsubscribed"));
            }
            _ => {}
        }
    }

    /// Too much is to be found out at once: whoever can be told is asked to try again later.
    fn put_off(&self, stanza: &Element, from: &Jid) {
        tracing::debug!(xmpp.from = %from, "too much waits for Matrix users of whom it is not known whether they are there");
        if stanza.name() == "iq" || self.may_be_told(stanza, from) {
            let refusal = StanzaError::reply(stanza, ErrorKind::Wait, Condition::ResourceConstraint);
            refusal.iter().for_each(|refusal| self.send_lossy(refusal));
        }
    }

    /// Refuses a stanza of which, as it is beyond the bounds, only the head was read
    /// ([RFC 6120 §8.3.3.12](https://www.rfc-editor.org/rfc/rfc6120#section-8.3.3.12)). What comes through a room is passed over: it takes
    /// an error for the end of whoever it comes from.
    pub(super) fn refuse_unread(&self, head: &Element) {
        let Some(from) = head.from() else { return };
        let asks = head.name() == "iq" && matches!(head.kind(), "get" | "set");
        if asks || self.may_be_told(head, &from) {
            let refusal = StanzaError::reply(head, ErrorKind::Modify, Condition::PolicyViolation);
            refusal.iter().for_each(|refusal| self.send_lossy(refusal));
        }
    }

    /// Whether whoever sent a message can be told that it was lost, and would want to know.
    fn may_be_told(&self, stanza: &Element, from: &Jid) -> bool {
        stanza.name() == "message" && is_said(stanza) && self.is_person(stanza, from)
    }
}

/// Whether a message is something that somebody says and would want to know lost.
fn is_said(stanza: &Element) -> bool {
    matches!(stanza.kind(), "" | "normal" | "chat")
}
