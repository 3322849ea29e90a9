//! What others ask us: who and what we are.

use std::sync::Arc;

use super::shared::Shared;
use crate::{
    jid::Jid,
    muc::SeatId,
    stanza::{Condition, Element, ErrorKind, StanzaError, ns},
};

/// The most items of one answer.
const MOST_ITEMS: usize = 200;

impl Shared {
    /// Answers a question. `from` may be an occupant of a room who asks one of our occupants: the answer goes back the same way.
    pub(super) fn answer(self: &Arc<Self>, iq: &Element, from: &Jid, to: &Jid) {
        let answered = iq.children().next().and_then(|query| self.payload(iq.kind(), query, to));
        let reply = match answered {
            Some(payload) => Some(
                Element::stanza("iq", to.as_str(), from.as_str(), "result")
                    .attr_some("id", iq.get("id"))
                    .with_children(payload),
            ),
            None => StanzaError::reply(iq, ErrorKind::Cancel, Condition::ServiceUnavailable),
        };
        if let Some(mut reply) = reply {
            // As it was written: it is us, whatever preparation makes of it.
            if let Some(own) = iq.get("to") {
                reply.set("from", own);
            }
            self.send_lossy(&reply);
        }
    }

    /// What an answer holds; `None` for what we do not know.
    fn payload(&self, kind: &str, query: &Element, to: &Jid) -> Option<Option<Element>> {
        if kind != "get" {
            return None;
        }
        match (query.name(), query.ns()) {
            ("ping", ns::PING) => Some(None),
            ("query", ns::DISCO_INFO) if query.get("node").is_none() => self.info(to).map(Some),
            ("query", ns::DISCO_ITEMS) if query.get("node").is_none() => Some(Some(self.items(to))),
            ("query", ns::VERSION) => {
                let text = |name, text: &str| Element::new(name, ns::VERSION).with_text(text);
                let version = Element::new("query", ns::VERSION).child(text("name", "Landbridge"));
                Some(Some(version.child(text("version", env!("CARGO_PKG_VERSION")))))
            }
            ("vCard", ns::VCARD) => self.vcard(to).map(Some),
            _ => None,
        }
    }

    fn info(&self, to: &Jid) -> Option<Element> {
        let (category, kind, name) = match (to.node(), self.seat_of(to)) {
            (None, _) => ("gateway", "matrix", "Matrix".to_owned()),
            (_, Some(SeatId::Listener)) => ("client", "bot", self.config.bot.nick.clone()),
            (_, Some(seat @ SeatId::Puppet(_))) => ("account", "registered", self.name_of(&seat)),
            (Some(_), None) => return None,
        };
        let identity = Element::new("identity", ns::DISCO_INFO).attr("category", category).attr("type", kind);
        let features = [
            ns::DISCO_INFO,
            ns::DISCO_ITEMS,
            ns::PING,
            ns::VERSION,
            ns::VCARD,
            ns::CHAT_STATES,
            ns::RECEIPTS,
            ns::MARKERS,
            ns::CORRECT,
            ns::RETRACT_1,
            ns::REACTIONS,
            ns::REPLY,
            ns::SFS,
        ];
        let feature = |var: &&str| Element::new("feature", ns::DISCO_INFO).attr("var", *var);
        let query = Element::new("query", ns::DISCO_INFO).child(identity.attr("name", name));
        Some(query.with_children(features.iter().map(feature)))
    }

    /// Of the component: the bridged rooms, and the Matrix users who have been seen.
    fn items(&self, to: &Jid) -> Element {
        let mut query = Element::new("query", ns::DISCO_ITEMS);
        if to.node().is_some() {
            return query;
        }
        let mut add = |jid: &str, name: &str| {
            query.push(Element::new("item", ns::DISCO_ITEMS).attr("jid", jid).attr("name", name));
        };
        let mut rooms: Vec<Jid> =
            self.rooms.lock().iter().filter(|(_, state)| state.wanted).map(|(jid, _)| jid.clone()).collect();
        rooms.sort();
        rooms.iter().take(MOST_ITEMS).for_each(|jid| add(jid.as_str(), jid.node().unwrap_or_default()));
        for (user_id, name) in self.known_users(MOST_ITEMS) {
            if let Some(jid) = self.own.jid(&user_id) {
                add(jid.as_str(), &name);
            }
        }
        query
    }

    fn vcard(&self, to: &Jid) -> Option<Element> {
        let seat = self.seat_of(to)?;
        let name = self.name_of(&seat);
        let text = |field, text: &str| Element::new(field, ns::VCARD).with_text(text);
        let card = Element::new("vCard", ns::VCARD).child(text("FN", &name)).child(text("NICKNAME", &name));
        Some(match seat {
            SeatId::Puppet(user_id) => card.child(text("DESC", &format!("A Matrix user: {user_id}"))),
            SeatId::Listener => card.child(text("DESC", "A bridge between Matrix and XMPP")),
        })
    }
}
