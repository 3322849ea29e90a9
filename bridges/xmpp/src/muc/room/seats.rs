//! Our seats in a room: how they are asked for, taken, refused and lost.

use super::{Entry, Room};
use crate::{
    jid::Jid,
    muc::{
        happening::{Happening, Out},
        nick,
        presence::Presence,
        seat::{Gone, JoinError, Seat, SeatId, SeatState},
    },
    stanza::{Condition, Element, ElementExt as _, StanzaError, ns},
};

impl Room {
    /// Takes a seat, under a nick made of `name`. `history` says since when what was said is wanted, as a timestamp; none at all
    /// otherwise. Does nothing for a seat that is taken, or on its way.
    pub fn join(&mut self, id: &SeatId, jid: &Jid, name: &str, history: Option<&str>) -> Vec<Out> {
        let state = self.seats.get(id).map(|seat| seat.state);
        if matches!(state, Some(SeatState::Joining { .. } | SeatState::In)) {
            return Vec::new();
        }
        // The nick it had: who only comes back takes the same, and nobody notices.
        let nick = match self.seats.get(id) {
            Some(seat) if seat.name == name => seat.nick.clone(),
            _ => self.nick(id, name, 0),
        };
        self.seats.insert(id.clone(), Seat::asks(jid.clone(), nick, name.to_owned()));
        self.ask(id, history).into_iter().collect()
    }

    fn nick(&self, id: &SeatId, name: &str, attempt: usize) -> String {
        match id {
            SeatId::Puppet(user_id) => nick::candidate(name, user_id, attempt),
            SeatId::Listener if attempt == 0 => nick::clean(name),
            SeatId::Listener => format!("{}·{}", nick::clean(name), attempt + 1),
        }
    }

    /// The presence that asks for a seat.
    fn ask(&self, id: &SeatId, history: Option<&str>) -> Option<Out> {
        let seat = self.seats.get(id)?;
        let wanted = match history {
            Some(since) => Element::bare("history", ns::MUC).with("since", since),
            None => Element::bare("history", ns::MUC).with("maxstanzas", "0"),
        };
        let presence = self.presence(id, seat)?;
        Some(Out::Send(presence.child(Element::bare("x", ns::MUC).child(wanted))))
    }

    fn presence(&self, id: &SeatId, seat: &Seat) -> Option<Element> {
        let to = self.jid.with_resource(&seat.nick)?;
        let presence = Element::stanza("presence", seat.jid.as_str(), to.as_str(), "");
        let mark = self.marks.occupant(self.jid.as_str(), &seat.nick);
        let name = (seat.name != seat.nick).then(|| Element::bare("nick", ns::NICK).with_text(seat.name.clone()));
        let picture = self.pictures.get(id).map(|hash| picture(hash));
        Some(presence.child_some(name).child_some(picture).child(Element::bare("own", ns::OWN).with("mark", mark)))
    }

    /// One of our occupants has this picture now (its hash, or nothing); says so, where it sits.
    pub fn shows(&mut self, id: &SeatId, hash: &str) -> Vec<Out> {
        if self.pictures.get(id).map_or("", String::as_str) == hash {
            return Vec::new();
        }
        self.pictures.insert(id.clone(), hash.to_owned());
        let seat = self.seats.get(id).filter(|seat| seat.state == SeatState::In);
        seat.and_then(|seat| self.presence(id, seat)).map(Out::Send).into_iter().collect()
    }

    /// Leaves a seat.
    pub fn leave(&mut self, id: &SeatId, reason: Option<&str>) -> Vec<Out> {
        let Some(seat) = self.seats.remove(id) else { return Vec::new() };
        self.occupants.remove(&seat.nick);
        let Some(to) = self.jid.with_resource(&seat.nick) else { return Vec::new() };
        let mut presence = Element::stanza("presence", seat.jid.as_str(), to.as_str(), "unavailable");
        if let Some(reason) = reason {
            presence.append_child(Element::bare("status", ns::COMPONENT).with_text(reason));
        }
        vec![Out::Send(presence)]
    }

    /// Leaves a seat that may be one of an earlier life of the bridge, of which only this is known: whose it is. The room goes by the
    /// address, whatever the nick.
    pub fn leave_whatever(&mut self, id: &SeatId, jid: &Jid, name: &str, reason: Option<&str>) -> Vec<Out> {
        if self.seats.contains_key(id) {
            return self.leave(id, reason);
        }
        let left = |(nick, entry): (&String, &Entry)| {
            (matches!(entry, Entry::Own) && self.seat_of(nick).is_none()).then(|| nick.clone())
        };
        let wanted = self.nick(id, name, 0);
        let nicks: Vec<String> = self.occupants.iter().filter_map(left).collect();
        let Some(nick) = nicks.iter().find(|nick| **nick == wanted).or(nicks.first()) else { return Vec::new() };
        self.seats.insert(id.clone(), Seat::asks(jid.clone(), nick.clone(), name.to_owned()));
        self.leave(id, reason)
    }

    /// Asks for another nick, made of another name.
    pub fn rename(&mut self, id: &SeatId, name: &str) -> Vec<Out> {
        let nick = self.nick(id, name, 0);
        let Some(seat) = self.seats.get_mut(id) else { return Vec::new() };
        name.clone_into(&mut seat.name);
        if seat.state != SeatState::In {
            seat.nick = nick;
            return Vec::new();
        }
        self.ask_other(id, 0)
    }

    /// Asks for the n-th nick of the ladder instead of the one it has. The room says whether it is so (303), or refuses, and then
    /// nothing has changed.
    fn ask_other(&mut self, id: &SeatId, attempt: usize) -> Vec<Out> {
        let Some(mut wanted) = self.seats.get(id).cloned() else { return Vec::new() };
        let nick = self.nick(id, &wanted.name, attempt);
        let is_new = nick != wanted.nick && attempt < nick::ATTEMPTS;
        if let Some(seat) = self.seats.get_mut(id) {
            seat.renaming = is_new.then_some(attempt);
        }
        if !is_new {
            return Vec::new();
        }
        wanted.nick = nick;
        self.presence(id, &wanted).map(Out::Send).into_iter().collect()
    }

    /// A seat is found out to be lost (by a ping, or because a message was refused).
    pub fn lost(&mut self, id: &SeatId) -> Vec<Out> {
        let Some(seat) = self.seats.get_mut(id) else { return Vec::new() };
        seat.state = SeatState::Out;
        let nick = seat.nick.clone();
        self.occupants.remove(&nick);
        if *id == SeatId::Listener {
            self.occupants.clear();
        }
        Vec::new()
    }

    pub(super) fn self_here(&mut self, id: &SeatId, nick: &str, presence: Presence) -> Vec<Out> {
        let Some(seat) = self.seats.get_mut(id) else { return Vec::new() };
        let (role, affiliation) = (presence.item.role, presence.item.affiliation);
        let was_in = seat.state == SeatState::In;
        // Without 110 it may be an echo of somebody else's; the nick decides, and a room without 110 does not exist.
        if !presence.has(110) {
            return Vec::new();
        }
        let asked = std::mem::replace(&mut seat.nick, nick.to_owned());
        seat.state = SeatState::In;
        let before = if was_in { seat.power() } else { 0 };
        (seat.role, seat.affiliation) = (role, affiliation);
        let empowered = empowered(id, before, seat.power());
        if asked != nick {
            self.occupants.remove(&asked);
        }
        self.occupants.insert(nick.to_owned(), Entry::Own);
        if was_in {
            return empowered;
        }
        if presence.has(201) {
            return self.created(id, nick);
        }
        let mut out = vec![Out::Settled(id.clone(), Ok(()))];
        out.extend(empowered);
        if *id == SeatId::Listener {
            (self.past, self.open) = (true, presence.has(100));
            out.push(Out::Happened(Happening::Roster(self.roster())));
        }
        out
    }

    /// Our presence made the room (201): it is locked until it is configured.
    fn created(&mut self, id: &SeatId, nick: &str) -> Vec<Out> {
        let Some(seat) = self.seats.get(id) else { return Vec::new() };
        let owner = |what: Element| {
            let iq = Element::stanza("iq", seat.jid.as_str(), self.jid.as_str(), "set").with("id", "muc-owner");
            Out::Send(iq.child(Element::bare("query", ns::MUC_OWNER).child(what)))
        };
        if self.create {
            let form = Element::bare("x", ns::DATA).with("type", "submit");
            let mut out = vec![owner(form), Out::Settled(id.clone(), Ok(()))];
            if *id == SeatId::Listener {
                out.push(Out::Happened(Happening::Roster(self.roster())));
            }
            return out;
        }
        let out =
            vec![owner(Element::bare("destroy", ns::MUC_OWNER)), Out::Settled(id.clone(), Err(JoinError::NoRoom))];
        self.seats.remove(id);
        self.occupants.remove(nick);
        out
    }

    pub(super) fn self_gone(&mut self, id: &SeatId, nick: &str, presence: Presence) -> Vec<Out> {
        let Some(seat) = self.seats.get_mut(id) else { return Vec::new() };
        if presence.has(303) {
            // The presence under the new nick follows, and is the truth.
            if let Some(new) = presence.item.nick {
                seat.nick.clone_from(&new);
                seat.renaming = None;
                self.occupants.remove(nick);
                self.occupants.insert(new, Entry::Own);
            }
            return Vec::new();
        }
        if seat.nick != nick {
            return Vec::new();
        }
        let joining = matches!(seat.state, SeatState::Joining { .. });
        seat.state = SeatState::Out;
        self.occupants.remove(nick);
        if *id == SeatId::Listener {
            self.occupants.clear();
        }
        let destroyed = presence.destroyed.clone();
        let gone = Gone::of(presence);
        if joining {
            let error = match destroyed {
                Some((instead, _)) => JoinError::Destroyed(instead),
                None => JoinError::Lost(gone.reason.clone().unwrap_or_else(|| "no reason was given".to_owned())),
            };
            return vec![Out::Settled(id.clone(), Err(error))];
        }
        vec![Out::Lost(id.clone(), gone)]
    }

    /// A join, or a change of nick, was refused.
    pub(super) fn refused(&mut self, id: &SeatId, from: &Jid, error: &StanzaError) -> Vec<Out> {
        let bad_nick = matches!(
            error.condition,
            Condition::Conflict | Condition::NotAcceptable | Condition::JidMalformed | Condition::BadRequest
        );
        let Some(seat) = self.seats.get(id) else { return Vec::new() };
        if let (SeatState::In, Some(attempt)) = (seat.state, seat.renaming) {
            let meant = from.resource() == Some(self.nick(id, &seat.name, attempt).as_str());
            return if bad_nick && meant { self.ask_other(id, attempt + 1) } else { Vec::new() };
        }
        let Some(seat) = self.seats.get_mut(id) else { return Vec::new() };
        let SeatState::Joining { attempt } = seat.state else { return Vec::new() };
        // An error of an earlier attempt means nothing any more.
        if bad_nick && from.resource().is_some_and(|nick| nick != seat.nick) {
            return Vec::new();
        }
        if bad_nick && attempt + 1 < nick::ATTEMPTS {
            let (name, taken) = (seat.name.clone(), seat.nick.clone());
            let attempt = attempt + 1;
            let mut nick = self.nick(id, &name, attempt);
            if nick == taken {
                nick = self.nick(id, &name, attempt + 1);
            }
            if let Some(seat) = self.seats.get_mut(id) {
                seat.nick = nick;
                seat.state = SeatState::Joining { attempt };
            }
            let mut out = self.disown(&taken);
            out.extend(self.ask(id, None));
            return out;
        }
        seat.state = SeatState::Out;
        let error = if bad_nick { JoinError::NoNick } else { JoinError::Refused(error.clone()) };
        vec![Out::Settled(id.clone(), Err(error))]
    }

    /// A nick that was taken for ours is somebody else's.
    fn disown(&mut self, nick: &str) -> Vec<Out> {
        if matches!(self.occupants.get(nick), Some(Entry::Own)) {
            self.occupants.remove(nick);
        }
        Vec::new()
    }
}

/// What a presence says of a picture (XEP-0153).
pub fn picture(hash: &str) -> Element {
    Element::bare("x", ns::VCARD_UPDATE).child(Element::bare("photo", ns::VCARD_UPDATE).with_text(hash))
}

/// What is told of a Matrix user whose standing in the room is not what it was.
fn empowered(id: &SeatId, before: i64, level: i64) -> Vec<Out> {
    match id {
        SeatId::Puppet(user_id) if before != level => {
            vec![Out::Happened(Happening::Empowered { user_id: user_id.clone(), before, level })]
        }
        _ => Vec::new(),
    }
}
