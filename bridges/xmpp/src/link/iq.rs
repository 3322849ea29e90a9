//! Questions and their answers ([RFC 6120 §8.2.3](https://www.rfc-editor.org/rfc/rfc6120#section-8.2.3)).

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    jid::Jid,
    stanza::{Element, ElementExt as _, StanzaError},
};

/// How many questions may be open; at the bound, further ones fail at once.
const MOST: usize = 10_000;

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IqError {
    /// The other side refused.
    #[error("{0}")]
    Refused(StanzaError),
    /// The other side did not answer in time.
    #[error("no answer")]
    Timeout,
    /// The link is down, or went down.
    #[error("not connected")]
    Disconnected,
}

/// The open questions, by id. An answer counts only from whom was asked.
#[derive(Debug, Default)]
pub struct Iqs(Mutex<HashMap<Box<str>, Open>>);

#[derive(Debug)]
struct Open {
    asked: Jid,
    answer: oneshot::Sender<Result<Element, IqError>>,
    collected: Vec<Element>,
}

/// An answer, and what was sent before it because of the question (the pages of an archive).
pub(super) type Answer = Result<Element, IqError>;

impl Iqs {
    /// Begins to wait for the answer of `asked` to question `id`.
    pub fn open(&self, id: &str, asked: Jid) -> oneshot::Receiver<Answer> {
        let (answer, receiver) = oneshot::channel();
        let mut open = self.0.lock();
        if open.len() >= MOST {
            open.retain(|_, question| !question.answer.is_closed());
        }
        if open.len() < MOST {
            open.insert(id.into(), Open { asked, answer, collected: Vec::new() });
        }
        receiver
    }

    /// Nobody waits any more; a late answer means nothing.
    pub fn close(&self, id: &str) -> Vec<Element> {
        self.0.lock().remove(id).map(|question| question.collected).unwrap_or_default()
    }

    /// Takes in an IQ of type `result` or `error`. Says whether somebody waited for it.
    pub fn answered(&self, stanza: &Element) -> bool {
        let (Some(id), Some(from)) = (stanza.attr("id"), stanza.from()) else { return false };
        let mut open = self.0.lock();
        let Some(question) = open.get(id) else { return false };
        if question.asked != from && question.asked != from.bare() {
            return false;
        }
        let Some(question) = open.remove(id) else { return false };
        drop(open);
        let answer = if stanza.kind() == "error" {
            Err(IqError::Refused(StanzaError::of(stanza)))
        } else {
            let answer = stanza.clone();
            // What came before the answer belongs to it, in its order.
            Ok(answer.with_children(question.collected))
        };
        let _ = question.answer.send(answer);
        true
    }

    /// Keeps a message that belongs to a question, at most `most`. Says whether there is such a question to that sender.
    pub fn collect(&self, id: &str, from: &Jid, message: Element, most: usize) -> bool {
        let mut open = self.0.lock();
        let Some(question) =
            open.get_mut(id).filter(|question| question.asked == *from || question.asked == from.bare())
        else {
            return false;
        };
        if question.collected.len() < most {
            question.collected.push(message);
        }
        true
    }

    /// The link went down: nothing will be answered.
    pub fn fail_all(&self) {
        for (_, question) in self.0.lock().drain() {
            let _ = question.answer.send(Err(IqError::Disconnected));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(id: &str, from: &str) -> Element {
        Element::stanza("iq", from, "a@matrix.test", "result").with("id", id)
    }

    #[test]
    fn only_who_was_asked_can_answer() {
        let iqs = Iqs::default();
        let mut waiting = iqs.open("1", Jid::parse("room@muc.test").unwrap());
        assert!(!iqs.answered(&result("1", "eve@evil.test")));
        assert!(!iqs.answered(&result("2", "room@muc.test")));
        assert!(waiting.try_recv().is_err());
        assert!(iqs.answered(&result("1", "room@muc.test")));
        assert!(waiting.try_recv().unwrap().is_ok());
        assert!(!iqs.answered(&result("1", "room@muc.test")), "a second answer means nothing");
    }

    #[test]
    fn pages_come_with_the_answer_in_their_order() {
        let iqs = Iqs::default();
        let room = Jid::parse("room@muc.test").unwrap();
        let mut waiting = iqs.open("q", room.clone());
        for n in ["1", "2", "3"] {
            assert!(iqs.collect("q", &room, Element::bare("result", "urn:xmpp:mam:2").with("id", n), 2));
        }
        assert!(!iqs.collect("q", &Jid::parse("eve@evil.test").unwrap(), Element::bare("x", ""), 9));
        iqs.answered(&result("q", "room@muc.test"));
        let answer = waiting.try_recv().unwrap().unwrap();
        let ids: Vec<_> = answer.children().filter_map(|child| child.attr("id")).collect();
        assert_eq!(ids, ["1", "2"], "bounded");
    }

    #[test]
    fn a_link_that_goes_down_leaves_nobody_waiting() {
        let iqs = Iqs::default();
        let mut waiting = iqs.open("1", Jid::parse("muc.test").unwrap());
        iqs.fail_all();
        assert_eq!(waiting.try_recv().unwrap(), Err(IqError::Disconnected));
    }
}
