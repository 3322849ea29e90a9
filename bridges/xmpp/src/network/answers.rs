//! What others ask us: who and what we are.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use sha1::{Digest as _, Sha1};

use super::shared::{RoomState, Shared};
use crate::{
    jid::Jid,
    muc::SeatId,
    stanza::{Condition, Element, ElementExt as _, ErrorKind, StanzaError, ns},
};

/// What we can.
const FEATURES: [&str; 13] = [
    ns::CHAT_STATES,
    ns::DISCO_INFO,
    ns::DISCO_ITEMS,
    ns::VERSION,
    ns::MARKERS,
    ns::CORRECT,
    ns::RETRACT_1,
    ns::PING,
    ns::REACTIONS,
    ns::RECEIPTS,
    ns::REPLY,
    ns::SFS,
    ns::VCARD,
];
/// By which the servers of our users' contacts know that we want to hear of their pictures.
const NOTIFY: &str = "urn:xmpp:avatar:metadata+notify";
/// The node of the abilities that all Matrix users have (XEP-0115).
const NODE: &str = "https://landbridge.dev/xmpp";

/// What is asked of a Matrix user, and may have to be fetched.
enum Wanted {
    Card,
    Items(&'static str),
}

impl Wanted {
    fn of(query: &Element) -> Option<Self> {
        if query.is("vCard", ns::VCARD) {
            return Some(Self::Card);
        }
        let items = Some(query).filter(|query| query.is("pubsub", ns::PUBSUB))?.get_child("items", ns::PUBSUB)?;
        [ns::AVATAR_DATA, ns::AVATAR_METADATA]
            .into_iter()
            .find(|node| items.attr("node") == Some(node))
            .map(Self::Items)
    }
}

fn feature(var: &str) -> Element {
    Element::bare("feature", ns::DISCO_INFO).with("var", var)
}

/// What every Matrix user can.
fn abilities() -> Element {
    let identity = Element::bare("identity", ns::DISCO_INFO).with("category", "client").with("type", "web");
    let query = Element::bare("query", ns::DISCO_INFO).child(identity.with("name", "Landbridge"));
    query.with_children(sorted().map(feature))
}

fn sorted() -> impl Iterator<Item = &'static str> {
    let mut features: Vec<&str> = FEATURES.into_iter().chain([NOTIFY]).collect();
    features.sort_unstable();
    features.into_iter()
}

/// The hash of these ([XEP-0115 §5.1](https://xmpp.org/extensions/xep-0115.html#ver-gen)).
fn version() -> String {
    let mut text = "client/web//Landbridge<".to_owned();
    sorted().for_each(|feature| text.extend([feature, "<"]));
    BASE64.encode(Sha1::digest(text))
}

/// What the presence of a Matrix user says of what they can.
pub(super) fn caps() -> Element {
    Element::bare("c", ns::CAPS).with("hash", "sha-1").with("node", NODE).with("ver", version())
}

/// The most items of one answer.
const MOST_ITEMS: usize = 200;

impl Shared {
    /// Answers a question. `from` may be an occupant of a room who asks one of our occupants: the answer goes back the same way.
    pub(super) fn answer(self: &Arc<Self>, iq: &Element, from: &Jid, to: &Jid) {
        let query = iq.children().next();
        if let (Some(query), Some(SeatId::Puppet(user_id)), "get") = (query, self.seat_of(to), iq.kind())
            && let Some(wanted) = Wanted::of(query)
        {
            // Their picture may have to be fetched first.
            let (shared, iq, from, to) = (Arc::clone(self), iq.clone(), from.clone(), to.clone());
            tokio::spawn(async move {
                let portrait = shared.portrait(&user_id).await;
                shared.show_portrait(&SeatId::Puppet(user_id));
                let payload = match wanted {
                    Wanted::Card => shared.vcard(&to).map(|card| card.child_some(portrait.map(|it| it.photo()))),
                    Wanted::Items(node) => Some(Element::bare("pubsub", ns::PUBSUB).child(match portrait {
                        Some(portrait) => portrait.items(node),
                        None => Element::bare("items", ns::PUBSUB).with("node", node),
                    })),
                };
                shared.reply(&iq, &from, &to, payload.map(Some));
            });
            return;
        }
        let answered = query.and_then(|query| self.payload(iq.kind(), query, to));
        self.reply(iq, from, to, answered);
    }

    /// Sends an answer; an error where there is none.
    pub(super) fn reply(&self, iq: &Element, from: &Jid, to: &Jid, answered: Option<Option<Element>>) {
        let reply = match answered {
            Some(payload) => Some(
                Element::stanza("iq", to.as_str(), from.as_str(), "result")
                    .with_some("id", iq.attr("id"))
                    .with_children(payload),
            ),
            None => StanzaError::reply(iq, ErrorKind::Cancel, Condition::ServiceUnavailable),
        };
        if let Some(mut reply) = reply {
            // As it was written: it is us, whatever preparation makes of it.
            if let Some(own) = iq.attr("to") {
                reply.set("from", own);
            }
            self.send_lossy(&reply);
        }
    }

    /// What an answer holds; `None` for what we do not know.
    fn payload(&self, kind: &str, query: &Element, to: &Jid) -> Option<Option<Element>> {
        let is_nobody = to.node().is_some() && self.seat_of(to).is_none();
        if kind != "get" || is_nobody {
            return None;
        }
        match (query.name(), query.ns().as_str()) {
            ("ping", ns::PING) => Some(None),
            ("query", ns::DISCO_INFO) => match query.attr("node") {
                None => self.info(to).map(Some),
                Some(node) if node == format!("{NODE}#{}", version()) => Some(Some(abilities().with("node", node))),
                Some(_) => None,
            },
            ("query", ns::DISCO_ITEMS) if query.attr("node").is_none() => Some(Some(self.items(to))),
            ("query", ns::VERSION) => {
                let text = |name, text: &str| Element::bare(name, ns::VERSION).with_text(text);
                let version = Element::bare("query", ns::VERSION).child(text("name", "Landbridge"));
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
        let identity = Element::bare("identity", ns::DISCO_INFO).with("category", category).with("type", kind);
        let query = Element::bare("query", ns::DISCO_INFO).child(identity.with("name", name));
        Some(query.with_children(FEATURES.map(feature)))
    }

    /// Of the component: the bridged rooms that their own services list, too, and the Matrix users who have been seen.
    fn items(&self, to: &Jid) -> Element {
        let mut query = Element::bare("query", ns::DISCO_ITEMS);
        if to.node().is_some() {
            return query;
        }
        let mut add = |jid: &str, name: &str| {
            query.append_child(Element::bare("item", ns::DISCO_ITEMS).with("jid", jid).with("name", name));
        };
        let listed = |state: &RoomState| state.wanted && state.public;
        let mut rooms: Vec<Jid> =
            self.rooms.lock().iter().filter(|(_, state)| listed(state)).map(|(jid, _)| jid.clone()).collect();
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
        let text = |field, text: &str| Element::bare(field, ns::VCARD).with_text(text);
        let card = Element::bare("vCard", ns::VCARD).child(text("FN", &name)).child(text("NICKNAME", &name));
        Some(match seat {
            SeatId::Puppet(user_id) => card.child(text("DESC", &format!("A Matrix user: {user_id}"))),
            SeatId::Listener => card.child(text("DESC", "A bridge between Matrix and XMPP")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_presence_says_of_us_is_what_we_say_when_asked() {
        // As whoever hears the hash makes it of the answer (XEP-0115 §5.4).
        let answer = abilities();
        let identity = answer.get_child("identity", ns::DISCO_INFO).unwrap();
        let part = |name| identity.attr(name).unwrap_or_default();
        let mut text = format!("{}/{}//{}<", part("category"), part("type"), part("name"));
        let mut features: Vec<&str> =
            answer.find_all("feature", ns::DISCO_INFO).filter_map(|feature| feature.attr("var")).collect();
        features.sort_unstable();
        features.iter().for_each(|feature| text.extend([feature, "<"]));
        assert_eq!(caps().attr("ver"), Some(BASE64.encode(Sha1::digest(text)).as_str()));
        assert!(features.contains(&NOTIFY));
    }
}
