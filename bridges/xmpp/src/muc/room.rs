//! One room and our seats in it.

use std::collections::{BTreeMap, HashMap};

use ruma::OwnedUserId;

use super::{
    nick,
    presence::{Affiliation, Presence, Role, occupant_id},
    seat::{Gone, JoinError, Seat, SeatId, SeatState, Why},
    token::Marks,
};
use crate::{
    convert::ids::XmppUser,
    jid::Jid,
    stanza::{Condition, Element, StanzaError, ns},
};

/// The most occupants that are kept of a room; beyond that, further ones become known when they speak.
const MOST_OCCUPANTS: usize = 20_000;

/// What follows from a stanza.
#[derive(Debug, Clone, PartialEq)]
pub enum Out {
    /// Send this.
    Send(Element),
    /// A seat was taken, or could not be.
    Settled(SeatId, Result<(), JoinError>),
    /// A seat was lost.
    Lost(SeatId, Gone),
    /// A message of ours came back from the room: under its own id, and the one that the room gave it.
    Reflected {
        /// Our id.
        id: String,
        /// The room's.
        archive: Option<String>,
    },
    /// A message of ours was refused.
    Bounced {
        /// Our id.
        id: String,
        /// Why.
        error: StanzaError,
    },
    /// Something happened in the room.
    Happened(Happening),
}

/// What can happen in a room.
#[derive(Debug, Clone, PartialEq)]
pub enum Happening {
    /// These are in it now; nobody else.
    Roster(Vec<(XmppUser, String)>),
    /// Somebody came.
    Came(Occupant),
    /// Somebody went, or was put out.
    Went(Occupant, Gone),
    /// Somebody has another nick.
    Renamed {
        /// As they were.
        before: Occupant,
        /// As they are now.
        now: Occupant,
    },
    /// Somebody may do more or less than before.
    Changed(Occupant),
    /// Somebody said something: who, and the whole of it.
    Said(Occupant, Element),
    /// The topic was set, or told to who enters.
    Subject(String),
    /// A moderator took out a message: what the room says of it.
    Moderated(Element),
    /// Somebody spoke to one of ours alone.
    Whispered {
        /// Who.
        by: Occupant,
        /// To whom.
        to: OwnedUserId,
        /// What.
        stanza: Element,
    },
}

/// Somebody in a room who is none of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupant {
    /// Under which name the bridge knows them.
    pub user: XmppUser,
    /// Their nick.
    pub nick: String,
    /// Their real address, where we may see it.
    pub real: Option<Jid>,
    /// What they are to the room.
    pub affiliation: Affiliation,
    /// What they may do.
    pub role: Role,
    /// The hash of their picture.
    pub avatar: Option<String>,
}

impl Occupant {
    /// The power that fits them, on Matrix's scale.
    pub fn power(&self) -> i64 {
        match (self.affiliation, self.role) {
            (Affiliation::Owner, _) => 100,
            (Affiliation::Admin, _) => 75,
            (_, Role::Moderator) => 50,
            (_, Role::Visitor) => -1,
            _ => 0,
        }
    }
}

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

    /// Whether a seat is taken.
    pub fn is_in(&self, id: &SeatId) -> bool {
        self.seats.get(id).is_some_and(|seat| seat.state == SeatState::In)
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

    /// Takes a seat, under a nick made of `name`. `history` says since when what was said is wanted, as a timestamp; none at all
    /// otherwise. Does nothing for a seat that is taken, or on its way.
    pub fn join(&mut self, id: &SeatId, jid: &Jid, name: &str, history: Option<&str>) -> Vec<Out> {
        let state = self.seats.get(id).map(|seat| seat.state);
        if matches!(state, Some(SeatState::Joining { .. } | SeatState::In)) {
            return Vec::new();
        }
        // The nick it had: who only comes back takes the same, and nobody notices.
        let attempt = 0;
        let nick = match self.seats.get(id) {
            Some(seat) if seat.name == name => seat.nick.clone(),
            _ => self.nick(id, name, attempt),
        };
        let seat = Seat {
            jid: jid.clone(),
            nick,
            name: name.to_owned(),
            state: SeatState::Joining { attempt },
            role: Role::default(),
            affiliation: Affiliation::default(),
        };
        self.seats.insert(id.clone(), seat);
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
            Some(since) => Element::new("history", ns::MUC).attr("since", since),
            None => Element::new("history", ns::MUC).attr("maxstanzas", "0"),
        };
        let presence = self.presence(seat)?;
        Some(Out::Send(presence.child(Element::new("x", ns::MUC).child(wanted))))
    }

    fn presence(&self, seat: &Seat) -> Option<Element> {
        let to = self.jid.with_resource(&seat.nick)?;
        let presence = Element::stanza("presence", seat.jid.as_str(), to.as_str(), "");
        let mark = self.marks.occupant(self.jid.as_str(), &seat.nick);
        let name = (seat.name != seat.nick).then(|| Element::new("nick", ns::NICK).with_text(seat.name.clone()));
        Some(presence.child_some(name).child(Element::new("own", ns::OWN).attr("mark", mark)))
    }

    /// Leaves a seat.
    pub fn leave(&mut self, id: &SeatId, reason: Option<&str>) -> Vec<Out> {
        let Some(seat) = self.seats.remove(id) else { return Vec::new() };
        self.occupants.remove(&seat.nick);
        let Some(to) = self.jid.with_resource(&seat.nick) else { return Vec::new() };
        let mut presence = Element::stanza("presence", seat.jid.as_str(), to.as_str(), "unavailable");
        if let Some(reason) = reason {
            presence.push(Element::new("status", ns::COMPONENT).with_text(reason));
        }
        vec![Out::Send(presence)]
    }

    /// Asks for another nick, made of another name.
    pub fn rename(&mut self, id: &SeatId, name: &str) -> Vec<Out> {
        let nick = self.nick(id, name, 0);
        let Some(seat) = self.seats.get_mut(id) else { return Vec::new() };
        let same = seat.nick == nick;
        name.clone_into(&mut seat.name);
        if seat.state != SeatState::In {
            seat.nick = nick;
            return Vec::new();
        }
        let mut wanted = seat.clone();
        if same {
            return Vec::new();
        }
        // The room says whether it is so (303), or refuses, and then nothing has changed.
        wanted.nick = nick;
        self.presence(&wanted).map(Out::Send).into_iter().collect()
    }

    /// The link went down: where our seats are is not known until they are asked for again.
    pub fn unlinked(&mut self) {
        for seat in self.seats.values_mut() {
            seat.state = SeatState::Out;
        }
        self.occupants.clear();
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

    fn self_here(&mut self, id: &SeatId, nick: &str, presence: Presence) -> Vec<Out> {
        let Some(seat) = self.seats.get_mut(id) else { return Vec::new() };
        let (role, affiliation) = (presence.item.role, presence.item.affiliation);
        let was_in = seat.state == SeatState::In;
        // Without 110 it may be an echo of somebody else's; the nick decides, and a room without 110 does not exist.
        if !presence.has(110) {
            return Vec::new();
        }
        let asked = std::mem::replace(&mut seat.nick, nick.to_owned());
        seat.state = SeatState::In;
        (seat.role, seat.affiliation) = (role, affiliation);
        if asked != nick {
            self.occupants.remove(&asked);
        }
        self.occupants.insert(nick.to_owned(), Entry::Own);
        if was_in {
            return Vec::new();
        }
        if presence.has(201) {
            return self.created(id, nick);
        }
        let mut out = vec![Out::Settled(id.clone(), Ok(()))];
        if *id == SeatId::Listener {
            out.push(Out::Happened(Happening::Roster(self.roster())));
        }
        out
    }

    /// Our presence made the room (201): it is locked until it is configured.
    fn created(&mut self, id: &SeatId, nick: &str) -> Vec<Out> {
        let Some(seat) = self.seats.get(id) else { return Vec::new() };
        let owner = |what: Element| {
            let iq = Element::stanza("iq", seat.jid.as_str(), self.jid.as_str(), "set").attr("id", "muc-owner");
            Out::Send(iq.child(Element::new("query", ns::MUC_OWNER).child(what)))
        };
        if self.create {
            let form = Element::new("x", ns::DATA).attr("type", "submit");
            let mut out = vec![owner(form), Out::Settled(id.clone(), Ok(()))];
            if *id == SeatId::Listener {
                out.push(Out::Happened(Happening::Roster(self.roster())));
            }
            return out;
        }
        let out = vec![owner(Element::new("destroy", ns::MUC_OWNER)), Out::Settled(id.clone(), Err(JoinError::NoRoom))];
        self.seats.remove(id);
        self.occupants.remove(nick);
        out
    }

    fn roster(&self) -> Vec<(XmppUser, String)> {
        self.others().map(|occupant| (occupant.user.clone(), occupant.nick.clone())).collect()
    }

    fn self_gone(&mut self, id: &SeatId, nick: &str, presence: Presence) -> Vec<Out> {
        let Some(seat) = self.seats.get_mut(id) else { return Vec::new() };
        if presence.has(303) {
            // The presence under the new nick follows, and is the truth.
            if let Some(new) = presence.item.nick {
                seat.nick.clone_from(&new);
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
        let gone = gone(presence);
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
    fn refused(&mut self, id: &SeatId, from: &Jid, error: &StanzaError) -> Vec<Out> {
        let Some(seat) = self.seats.get_mut(id) else { return Vec::new() };
        let SeatState::Joining { attempt } = seat.state else { return Vec::new() };
        let bad_nick = matches!(
            error.condition,
            Condition::Conflict | Condition::NotAcceptable | Condition::JidMalformed | Condition::BadRequest
        );
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

    fn other_here(&mut self, nick: &str, presence: Presence) -> Vec<Out> {
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

    fn occupant_of(&self, nick: &str, presence: &Presence) -> Occupant {
        Occupant {
            user: self.user(nick, presence.item.jid.as_ref(), presence.occupant_id.as_deref()),
            nick: nick.to_owned(),
            real: presence.item.jid.as_ref().map(Jid::bare),
            affiliation: presence.item.affiliation,
            role: presence.item.role,
            avatar: presence.avatar.clone(),
        }
    }

    /// Under which name the bridge knows somebody: their address, else their occupant id, else their nick.
    fn user(&self, nick: &str, real: Option<&Jid>, occupant_id: Option<&str>) -> XmppUser {
        match (real, occupant_id) {
            (Some(real), _) => XmppUser::of_jid(real),
            (None, Some(id)) => XmppUser::of_occupant(self.jid.as_str(), id),
            (None, None) => XmppUser::of_nick(self.jid.as_str(), nick),
        }
    }

    fn other_gone(&mut self, nick: &str, presence: Presence) -> Vec<Out> {
        let listening = self.is_in(&SeatId::Listener);
        let Some(entry) = self.occupants.remove(nick) else { return Vec::new() };
        if presence.has(303) {
            let Some(new) = presence.item.nick.clone() else { return Vec::new() };
            let Entry::Other(before) = entry else {
                self.occupants.insert(new, Entry::Own);
                return Vec::new();
            };
            let mut now = self.occupant_of(&new, &presence);
            if before.user != XmppUser::of_nick(self.jid.as_str(), nick) {
                // Who they are does not hang on the nick.
                now.user = before.user.clone();
            }
            self.occupants.insert(new, Entry::Other(now.clone()));
            return if listening { vec![Out::Happened(Happening::Renamed { before, now })] } else { Vec::new() };
        }
        match entry {
            Entry::Other(occupant) if listening => {
                // Several sessions under one nick: the room says so only when the last one left.
                vec![Out::Happened(Happening::Went(occupant, gone(presence)))]
            }
            Entry::Other(_) | Entry::Own => Vec::new(),
        }
    }

    /// Takes in a message from the room to one of our seats.
    pub fn message_came(&mut self, stanza: &Element, to: &SeatId) -> Vec<Out> {
        let Some(from) = stanza.from() else { return Vec::new() };
        match stanza.kind() {
            "error" => self.bounced(stanza, to),
            "groupchat" => self.said(stanza, &from, to),
            _ => self.whispered(stanza, &from, to),
        }
    }

    fn bounced(&mut self, stanza: &Element, to: &SeatId) -> Vec<Out> {
        let error = StanzaError::of(stanza);
        let mut out = Vec::new();
        if error.condition == Condition::NotAcceptable && self.is_in(to) {
            // We are not in the room, whatever we thought.
            out.extend(self.lost(to));
        }
        if let Some(id) = stanza.get("id") {
            out.push(Out::Bounced { id: id.to_owned(), error });
        }
        out
    }

    fn said(&mut self, stanza: &Element, from: &Jid, to: &SeatId) -> Vec<Out> {
        let Some(nick) = from.resource() else {
            // The room itself speaks: of its topic, or of a message that was taken out.
            let taken_out = stanza.children().any(|child| child.ns() == ns::RETRACT_1 || child.ns() == ns::FASTEN);
            if taken_out && *to == SeatId::Listener {
                return vec![Out::Happened(Happening::Moderated(stanza.clone()))];
            }
            return self.subject_came(stanza, to);
        };
        let delayed = stanza.find("delay", ns::DELAY).is_some();
        let id = stanza.get("id");
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
        let delayed = stanza.find("delay", ns::DELAY).is_some();
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
        let by_room = |sid: &&Element| sid.get("by").and_then(Jid::parse).is_some_and(|by| by == self.jid);
        let id = stanza.find_all("stanza-id", ns::SID).find(by_room)?.get("id")?;
        (!id.is_empty() && id.len() <= 512).then(|| id.to_owned())
    }
}

fn gone(presence: Presence) -> Gone {
    let why = if presence.destroyed.is_some() {
        Why::Destroyed
    } else if presence.has(332) || presence.has(333) {
        Why::Technical
    } else if presence.has(301) {
        Why::Banned
    } else if presence.has(307) {
        Why::Kicked
    } else if presence.has(321) || presence.has(322) {
        Why::NotAllowed
    } else {
        Why::Technical
    };
    let reason = presence.item.reason.or_else(|| presence.destroyed.and_then(|(_, reason)| reason));
    Gone { why, by: presence.item.actor, reason }
}

#[cfg(test)]
mod tests;
