//! What is said in a room, by whom, and whether it is ours.

use super::Room;
use crate::{
    jid::Jid,
    muc::{
        happening::{Happening, Out},
        occupant::Occupant,
        presence::{Affiliation, Item, Presence, occupant_id},
        seat::SeatId,
    },
    stanza::{Condition, Element, ElementExt as _, StanzaError, ns},
};

impl Room {
    /// Takes in a message from the room to one of our seats.
    pub fn message_came(&mut self, stanza: &Element, to: &SeatId) -> Vec<Out> {
        let Some(from) = stanza.from() else { return Vec::new() };
        match stanza.kind() {
            "error" => self.bounced(stanza, to),
            "groupchat" => self.said(stanza, &from, to),
            _ if from.resource().is_none() => self.standing_changed(stanza, to),
            _ => self.whispered(stanza, &from, to),
        }
    }

    /// The room tells what somebody is to it who is not there
    /// ([XEP-0045 §9](https://xmpp.org/extensions/xep-0045.html#admin)): they are banned and let back so.
    fn standing_changed(&self, stanza: &Element, to: &SeatId) -> Vec<Out> {
        let item = Presence::read(stanza).item;
        let banned = item.affiliation == Affiliation::Outcast;
        let told = item.jid.filter(|_| *to == SeatId::Listener);
        let Some(jid) = told else { return Vec::new() };
        vec![Out::Happened(Happening::Standing { jid, banned, by: item.actor, reason: item.reason })]
    }

    fn bounced(&mut self, stanza: &Element, to: &SeatId) -> Vec<Out> {
        let error = StanzaError::of(stanza);
        let mut out = Vec::new();
        // Anybody in the room can write that they refuse what was said in it.
        let by_room = stanza.from().is_some_and(|from| from.resource().is_none());
        if error.condition == Condition::NotAcceptable && by_room && self.is_in(to) {
            // We are not in the room, whatever we thought.
            out.extend(self.lost(to));
        }
        if let Some(id) = stanza.attr("id") {
            out.push(Out::Bounced { id: id.to_owned(), by_room, error });
        }
        out
    }

    fn said(&mut self, stanza: &Element, from: &Jid, to: &SeatId) -> Vec<Out> {
        let Some(nick) = from.resource() else {
            // The room itself speaks: of its topic, or of a message that was taken out.
            let taken_out = stanza.children().any(|child| child.has_ns(ns::RETRACT_1) || child.has_ns(ns::FASTEN));
            if taken_out && *to == SeatId::Listener {
                return vec![Out::Happened(Happening::Moderated(stanza.clone()))];
            }
            let news = Presence::read(stanza);
            if *to == SeatId::Listener {
                // Whether real addresses are shown from now on.
                self.open = (self.open || news.has(172)) && !news.has(173) && !news.has(174);
                if news.has(104) {
                    return vec![Out::Happened(Happening::Configured)];
                }
            }
            return self.subject_came(stanza, to);
        };
        // What is said now is of whoever has the nick now, whatever it says of itself: anybody can write that it was said before.
        let before = self.past && stanza.get_child("delay", ns::DELAY).is_some();
        self.past &= before || *to != SeatId::Listener;
        let id = stanza.attr("id");
        let ours = if before { self.was_ours(nick, id) } else { self.is_own(nick) };
        if ours {
            let topic = topic_of(stanza).filter(|_| *to == SeatId::Listener);
            let is_topic = topic.is_some();
            self.subject = topic.or_else(|| self.subject.take());
            let archive = self.archive_id(stanza);
            let reflected = id.map(|id| Out::Reflected { id: id.to_owned(), archive });
            return reflected.into_iter().chain(is_topic.then_some(Out::TopicSet)).collect();
        }
        if *to != SeatId::Listener {
            return Vec::new();
        }
        if topic_of(stanza).is_some() {
            return self.subject_came(stanza, to);
        }
        let said = match before {
            true => Happening::Said(self.earlier_speaker(nick, stanza), stanza.clone()),
            false => Happening::Said(self.speaker(nick, stanza), undelayed(stanza)),
        };
        vec![Out::Happened(said)]
    }

    /// Whether something that was said before was said by us: its id is one that we made, and the nick is nobody else's by now, who may
    /// have written the id of ours that they saw.
    pub fn was_ours(&self, nick: &str, id: Option<&str>) -> bool {
        id.is_some_and(|id| self.marks.made(id)) && self.occupant(nick).is_none()
    }

    /// Who says something now: the occupant who has the nick. Whatever stands of its sender in a message besides is of their own making,
    /// for rooms pass it on.
    pub fn speaker(&self, nick: &str, stanza: &Element) -> Occupant {
        match self.occupant(nick) {
            Some(known) => known.clone(),
            None => self.somebody(nick, None, occupant_id(stanza)),
        }
    }

    /// Who said something before, as the room's history or its archive has it: an occupant, or somebody who has left.
    pub fn earlier_speaker(&self, nick: &str, stanza: &Element) -> Occupant {
        let (id, real) = (occupant_id(stanza), self.real_address(stanza));
        let known = match (&id, &real) {
            // Whose real address is known by now is the same as ever.
            (Some(id), _) => self.others().find(|known| known.id.as_ref() == Some(id)),
            (None, None) => self.occupant(nick),
            (None, Some(_)) => None,
        };
        match known {
            Some(known) => Occupant { nick: nick.to_owned(), ..known.clone() },
            None => self.somebody(nick, real, id),
        }
    }

    fn somebody(&self, nick: &str, real: Option<Jid>, id: Option<String>) -> Occupant {
        let item = Item { jid: real, ..Item::default() };
        self.occupant_of(nick, &Presence { item, occupant_id: id, ..Presence::default() })
    }

    /// The real address that a room adds to what its archive holds, if all may see it. Where there are several, some are of the sender's
    /// making; in rooms that show none all are.
    fn real_address(&self, stanza: &Element) -> Option<Jid> {
        let items = stanza.find_all("x", ns::MUC_USER).filter_map(|x| x.get_child("item", ns::MUC_USER));
        let mut told = items.filter_map(|item| item.attr("jid"));
        match (self.open, told.next(), told.next()) {
            (true, Some(one), None) => Jid::parse(one),
            _ => None,
        }
    }

    fn subject_came(&mut self, stanza: &Element, to: &SeatId) -> Vec<Out> {
        if stanza.own("subject").is_none() || *to != SeatId::Listener {
            return Vec::new();
        }
        self.past = false;
        let topic = topic_of(stanza).filter(|topic| self.subject.as_deref() != Some(topic));
        let Some(subject) = topic else { return Vec::new() };
        let first = self.subject.replace(subject.clone()).is_none();
        // A room without a topic says so to who enters.
        if first && subject.is_empty() { Vec::new() } else { vec![Out::Happened(Happening::Subject(subject))] }
    }

    fn whispered(&mut self, stanza: &Element, from: &Jid, to: &SeatId) -> Vec<Out> {
        let (Some(nick), SeatId::Puppet(user_id)) = (from.resource(), to) else { return Vec::new() };
        if self.is_own(nick) {
            return Vec::new();
        }
        let by = self.speaker(nick, stanza);
        vec![Out::Happened(Happening::Whispered { by, to: user_id.clone(), stanza: undelayed(stanza) })]
    }

    /// The id that the room itself gave a message; one that somebody else claims means nothing (XEP-0359 §4).
    pub fn archive_id(&self, stanza: &Element) -> Option<String> {
        let by_room = |sid: &&Element| sid.attr("by").and_then(Jid::parse).is_some_and(|by| by == self.jid);
        let id = stanza.find_all("stanza-id", ns::SID).find(by_room)?.attr("id")?;
        (!id.is_empty() && id.len() <= 512).then(|| id.to_owned())
    }
}

/// The topic that a message sets: with a text beside it, it is a message's subject.
fn topic_of(stanza: &Element) -> Option<String> {
    stanza.own_text("subject").filter(|_| stanza.own("body").is_none())
}

/// A message without what it says of when it was said.
fn undelayed(stanza: &Element) -> Element {
    let mut stanza = stanza.clone();
    while stanza.remove_child("delay", ns::DELAY).is_some() {}
    stanza
}
