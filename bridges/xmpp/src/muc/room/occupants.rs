//! The others in a room: who they are, how they come, change and go.

use super::{Entry, Room};
use crate::{
    convert::ids::XmppUser,
    jid::Jid,
    muc::{
        happening::{Happening, Out},
        occupant::Occupant,
        presence::Presence,
        seat::{Gone, SeatId},
    },
};

/// The most occupants that are kept of a room; beyond that, further ones become known when they speak.
const MOST_OCCUPANTS: usize = 20_000;

impl Room {
    pub(super) fn roster(&self) -> Vec<(XmppUser, String)> {
        self.others().map(|occupant| (occupant.user.clone(), occupant.nick.clone())).collect()
    }

    pub(super) fn other_here(&mut self, nick: &str, presence: Presence) -> Vec<Out> {
        let listening = self.is_in(&SeatId::Listener);
        let known = self.occupants.get(nick);
        let real_is_ours = presence.item.jid.as_ref().map(|jid| jid.domain() == self.domain);
        let marked = presence.token.as_deref() == Some(self.marks.occupant(self.jid.as_str(), nick).as_str());
        let ours = match (real_is_ours, known) {
            (Some(ours), _) => ours,
            (None, Some(Entry::Own)) => true,
            (None, Some(Entry::Other(_))) => false,
            (None, None) => self.seat_of(nick).is_some() || marked,
        };
        if ours {
            self.occupants.insert(nick.to_owned(), Entry::Own);
            return Vec::new();
        }
        let now = self.occupant_of(nick, &presence);
        match self.occupants.get(nick) {
            Some(Entry::Other(before)) => {
                let before = before.clone();
                self.occupants.insert(nick.to_owned(), Entry::Other(now.clone()));
                if !listening {
                    return Vec::new();
                }
                if before.user != now.user {
                    return vec![Out::Happened(Happening::Renamed { before, now })];
                }
                if (before.affiliation, before.role, &before.avatar) != (now.affiliation, now.role, &now.avatar) {
                    return vec![Out::Happened(Happening::Changed(now))];
                }
                Vec::new()
            }
            _ => {
                if self.occupants.len() < MOST_OCCUPANTS {
                    self.occupants.insert(nick.to_owned(), Entry::Other(now.clone()));
                }
                if listening { vec![Out::Happened(Happening::Came(now))] } else { Vec::new() }
            }
        }
    }

    pub(super) fn occupant_of(&self, nick: &str, presence: &Presence) -> Occupant {
        Occupant {
            user: self.user(nick, presence.item.jid.as_ref(), presence.occupant_id.as_deref()),
            nick: nick.to_owned(),
            real: presence.item.jid.as_ref().map(Jid::bare),
            id: presence.occupant_id.clone(),
            affiliation: presence.item.affiliation,
            role: presence.item.role,
            avatar: presence.avatar.clone(),
        }
    }

    /// Whoever has a nick now, where nothing but that is known of them.
    fn nobody_else(&self, nick: &str) -> XmppUser {
        XmppUser::of_nick(self.jid.as_str(), nick, self.generations.get(nick).copied().unwrap_or_default())
    }

    /// How often nicks were given up by people of whom nothing else is known, as earlier lives of the bridge counted it.
    pub fn had(&mut self, generations: impl IntoIterator<Item = (String, u32)>) {
        self.generations.extend(generations);
    }

    /// Somebody gave up a nick: whoever takes it next, and of whom nothing else is known, is somebody else.
    fn given_up(&mut self, nick: &str, by: &Occupant) -> Option<Out> {
        if by.user != self.nobody_else(nick) || self.generations.len() >= MOST_OCCUPANTS {
            return None;
        }
        let generation = self.generations.entry(nick.to_owned()).or_default();
        *generation = generation.wrapping_add(1);
        Some(Out::GivenUp { nick: nick.to_owned(), generation: *generation })
    }

    /// Under which name the bridge knows somebody: their address, else their occupant id, else their nick.
    pub(super) fn user(&self, nick: &str, real: Option<&Jid>, occupant_id: Option<&str>) -> XmppUser {
        match (real, occupant_id) {
            (Some(real), _) => XmppUser::of_jid(real),
            (None, Some(id)) => XmppUser::of_occupant(self.jid.as_str(), id),
            (None, None) => self.nobody_else(nick),
        }
    }

    pub(super) fn other_gone(&mut self, nick: &str, presence: Presence) -> Vec<Out> {
        let listening = self.is_in(&SeatId::Listener);
        let Some(entry) = self.occupants.remove(nick) else { return Vec::new() };
        if presence.has(303) {
            let Some(new) = presence.item.nick.clone() else { return Vec::new() };
            let Entry::Other(before) = entry else {
                self.occupants.insert(new, Entry::Own);
                return Vec::new();
            };
            let mut now = self.occupant_of(&new, &presence);
            if before.user != self.nobody_else(nick) {
                // Who they are does not hang on the nick.
                now.user = before.user.clone();
            }
            let given_up = self.given_up(nick, &before);
            self.occupants.insert(new, Entry::Other(now.clone()));
            let renamed = listening.then_some(Out::Happened(Happening::Renamed { before, now }));
            return given_up.into_iter().chain(renamed).collect();
        }
        let Entry::Other(occupant) = entry else { return Vec::new() };
        let given_up = self.given_up(nick, &occupant);
        // Several sessions under one nick: the room says so only when the last one left.
        let went = listening.then(|| Out::Happened(Happening::Went(occupant, Gone::of(presence))));
        given_up.into_iter().chain(went).collect()
    }
}
