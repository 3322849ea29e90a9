//! One room and our seats in it: `seats` is about ours, `occupants` about everybody else, `messages` about what is said.

mod messages;
mod occupants;
pub(super) mod seats;

use std::collections::{BTreeMap, HashMap};

use ruma::OwnedUserId;

use super::{
    happening::Out,
    occupant::Occupant,
    presence::Presence,
    seat::{Seat, SeatId, SeatState},
    token::Marks,
};
use crate::{
    convert::ids::XmppUser,
    jid::Jid,
    stanza::{Element, ElementExt as _, StanzaError},
};

#[derive(Debug, Clone)]
enum Entry {
    /// One of ours: a seat's nick, or one that an earlier life of the bridge left there.
    Own,
    Other(Occupant),
}

/// One room and our seats in it.
#[derive(Debug)]
pub struct Room {
    jid: Jid,
    domain: String,
    marks: Marks,
    /// Whether it may be made where it is not there.
    create: bool,
    seats: BTreeMap<SeatId, Seat>,
    occupants: HashMap<String, Entry>,
    subject: Option<String>,
    /// Whether the listener may still be told what was said before it came: until the topic comes, or anything that is said now.
    past: bool,
    /// Whether everybody in it may see everybody's real address.
    open: bool,
    /// How often a nick was given up by somebody of whom nothing else is known.
    generations: HashMap<String, u32>,
    /// The hashes of our occupants' pictures.
    pictures: HashMap<SeatId, String>,
}

impl Room {
    /// A room in which we do not sit yet; `domain` is the component's.
    pub fn new(jid: Jid, domain: &str, marks: Marks, create: bool) -> Self {
        Self {
            jid,
            domain: domain.to_owned(),
            marks,
            create,
            seats: BTreeMap::new(),
            occupants: HashMap::new(),
            subject: None,
            past: true,
            open: false,
            generations: HashMap::new(),
            pictures: HashMap::new(),
        }
    }

    /// Its address.
    pub fn jid(&self) -> &Jid {
        &self.jid
    }

    /// One of our seats.
    pub fn seat(&self, id: &SeatId) -> Option<&Seat> {
        self.seats.get(id)
    }

    /// How a seat is.
    pub fn state_of(&self, id: &SeatId) -> SeatState {
        self.seats.get(id).map_or(SeatState::Out, |seat| seat.state)
    }

    /// Whether a seat is taken.
    pub fn is_in(&self, id: &SeatId) -> bool {
        self.state_of(id) == SeatState::In
    }

    /// All our seats.
    pub fn seats(&self) -> impl Iterator<Item = (&SeatId, &Seat)> {
        self.seats.iter()
    }

    /// The topic, where it is known.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Whoever has a nick and is none of ours.
    pub fn occupant(&self, nick: &str) -> Option<&Occupant> {
        match self.occupants.get(nick)? {
            Entry::Other(occupant) => Some(occupant),
            Entry::Own => None,
        }
    }

    /// The occupant under which the bridge knows a user.
    pub fn find(&self, user: &XmppUser) -> Option<&Occupant> {
        self.others().find(|occupant| occupant.user == *user)
    }

    /// Everybody who is none of ours.
    pub fn others(&self) -> impl Iterator<Item = &Occupant> {
        self.occupants.values().filter_map(|entry| match entry {
            Entry::Other(occupant) => Some(occupant),
            Entry::Own => None,
        })
    }

    /// Whether a nick is that of one of our seats.
    pub fn is_own(&self, nick: &str) -> bool {
        matches!(self.occupants.get(nick), Some(Entry::Own)) || self.seat_of(nick).is_some()
    }

    fn seat_of(&self, nick: &str) -> Option<&SeatId> {
        self.seats.iter().find(|(_, seat)| seat.state != SeatState::Out && seat.nick == nick).map(|(id, _)| id)
    }

    /// The Matrix user who sits under a nick.
    pub fn puppet_of(&self, nick: &str) -> Option<&OwnedUserId> {
        match self.seat_of(nick)? {
            SeatId::Puppet(user_id) => Some(user_id),
            SeatId::Listener => None,
        }
    }

    /// The link went down: where our seats are is not known until they are asked for again.
    pub fn unlinked(&mut self) {
        for seat in self.seats.values_mut() {
            seat.state = SeatState::Out;
        }
        self.occupants.clear();
        self.past = true;
    }

    /// Takes in a presence from the room to one of our seats.
    pub fn presence_came(&mut self, stanza: &Element, to: &SeatId) -> Vec<Out> {
        let Some(from) = stanza.from() else { return Vec::new() };
        if stanza.kind() == "error" {
            return self.refused(to, &from, &StanzaError::of(stanza));
        }
        // From the room itself: its picture or its abilities. Not an occupant.
        let Some(nick) = from.resource().map(str::to_owned) else { return Vec::new() };
        let presence = Presence::read(stanza);
        let is_self = presence.has(110)
            || self.seats.get(to).is_some_and(|seat| seat.state != SeatState::Out && seat.nick == nick);
        match (stanza.kind(), is_self) {
            ("unavailable", true) => self.self_gone(to, &nick, presence),
            ("unavailable", false) if *to == SeatId::Listener => self.other_gone(&nick, presence),
            ("", true) => self.self_here(to, &nick, presence),
            ("", false) if *to == SeatId::Listener => self.other_here(&nick, presence),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
