//! What is said in a room, by whom, and whether it is ours.

use super::Room;
use crate::{
    convert::ids::XmppUser,
    jid::Jid,
    muc::{
        happening::{Happening, Out},
        occupant::Occupant,
        presence::{Affiliation, Presence, occupant_id},
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
    /// ([XEP-0045 §9](https://xmpp.org/extensions/xep-0045.html#admin)); of our own it matters, for they are banned and let back so.
    fn standing_changed(&self, stanza: &Element, to: &SeatId) -> Vec<Out> {
        let item = Presence::read(stanza).item;
        let ours = item.jid.filter(|jid| *to == SeatId::Listener && jid.domain() == self.domain);
        let Some(jid) = ours else { return Vec::new() };
        let banned = item.affiliation == Affiliation::Outcast;
        vec![Out::Happened(Happening::Standing { jid, banned, by: item.actor, reason: item.reason })]
    }

    fn bounced(&mut self, stanza: &Element, to: &SeatId) -> Vec<Out> {
        let error = StanzaError::of(stanza);
        let mut out = Vec::new();
        if error.condition == Condition::NotAcceptable && self.is_in(to) {
            // We are not in the room, whatever we thought.
            out.extend(self.lost(to));
        }
        if let Some(id) = stanza.attr("id") {
            out.push(Out::Bounced { id: id.to_owned(), error });
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
            if Presence::read(stanza).has(104) && *to == SeatId::Listener {
                return vec![Out::Happened(Happening::Configured)];
            }
            return self.subject_came(stanza, to);
        };
        let delayed = stanza.get_child("delay", ns::DELAY).is_some();
        let id = stanza.attr("id");
        let ours = if delayed { id.is_some_and(|id| self.marks.made(id)) } else { self.is_own(nick) };
        if ours {
            let archive = self.archive_id(stanza);
            let Some(id) = id.map(str::to_owned) else { return Vec::new() };
            return vec![Out::Reflected { id, archive }];
        }
        if *to != SeatId::Listener {
            return Vec::new();
        }
        if stanza.own("subject").is_some() && stanza.own("body").is_none() {
            return self.subject_came(stanza, to);
        }
        vec![Out::Happened(Happening::Said(self.speaker(nick, stanza), stanza.clone()))]
    }

    /// Who said something: an occupant, or somebody who has left.
    pub fn speaker(&self, nick: &str, stanza: &Element) -> Occupant {
        let id = occupant_id(stanza);
        let delayed = stanza.get_child("delay", ns::DELAY).is_some();
        let known = self.occupant(nick).filter(|known| {
            // What was said before may be of another who had the nick.
            !delayed || id.as_deref().is_some_and(|id| known.user == XmppUser::of_occupant(self.jid.as_str(), id))
        });
        if let Some(known) = known {
            return known.clone();
        }
        let presence = Presence::read(stanza);
        let real = presence.item.jid.as_ref();
        // An occupant whose real address we know by now said it, if the ids are the same.
        let mut occupant = self.occupant_of(nick, &presence);
        occupant.user = self.user(nick, real, id.as_deref());
        if let (None, None) = (real, &id)
            && let Some(known) = self.occupant(nick)
        {
            return known.clone();
        }
        occupant
    }

    fn subject_came(&mut self, stanza: &Element, to: &SeatId) -> Vec<Out> {
        let (Some(subject), true) = (stanza.own_text("subject"), *to == SeatId::Listener) else { return Vec::new() };
        if stanza.own("body").is_some() || self.subject.as_deref() == Some(subject.as_str()) {
            return Vec::new();
        }
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
        vec![Out::Happened(Happening::Whispered { by, to: user_id.clone(), stanza: stanza.clone() })]
    }

    /// The id that the room itself gave a message; one that somebody else claims means nothing (XEP-0359 §4).
    pub fn archive_id(&self, stanza: &Element) -> Option<String> {
        let by_room = |sid: &&Element| sid.attr("by").and_then(Jid::parse).is_some_and(|by| by == self.jid);
        let id = stanza.find_all("stanza-id", ns::SID).find(by_room)?.attr("id")?;
        (!id.is_empty() && id.len() <= 512).then(|| id.to_owned())
    }
}
