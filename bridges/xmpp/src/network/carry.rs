//! What happened in rooms → what the framework is told.

use std::{sync::Arc, time::Duration};

use landbridge::network::{Dedupe, Membership, RemoteEvent, RoomInfo, SessionId, Whom, host::Closed};
use sha1::{Digest as _, Sha1};
use tokio::time::Instant;

use super::{
    XmppNetwork,
    direct::{origin_id, sent_id},
    outside::in_words,
    shared::{RoomState, Shared},
};
use crate::{
    convert::{
        ids::{XmppMessage, XmppRoom, XmppUser},
        incoming::{self, Meaning},
    },
    jid::Jid,
    muc::{Gone, Happening, Occupant, Room, SeatId, Why},
    stanza::{Element, ElementExt as _, ns},
};

type Event = RemoteEvent<XmppNetwork>;

impl Shared {
    pub(super) async fn tell(&self, event: Event, dedupe: Dedupe<XmppMessage>) -> Result<(), Closed> {
        self.host.offer(&SessionId::Relay, event, dedupe).await.map(drop)
    }

    /// Tells the framework what happened in a room.
    pub(super) async fn carry(self: &Arc<Self>, jid: &Jid, happening: Happening) -> Result<(), Closed> {
        let room = XmppRoom::Muc(jid.clone());
        match happening {
            Happening::Roster(members) => {
                self.tell_members(jid, members).await?;
                self.catch_up(jid);
                Ok(())
            }
            Happening::Came(who) => {
                self.note_avatar(&who, jid);
                if self.is_crowded(jid) {
                    return Ok(());
                }
                let name = Some(who.nick.clone());
                let (membership, by, reason) = (Membership::Join, None, None);
                let user = who.user.clone();
                self.tell(Event::Member { room: room.clone(), who: user, name, membership, by, reason }, Dedupe::Never)
                    .await?;
                if who.power() == 0 { Ok(()) } else { self.tell_power(room, &who).await }
            }
            Happening::Went(who, gone) => {
                let membership = match gone.why {
                    Why::Kicked | Why::NotAllowed => Membership::Kick,
                    Why::Banned => Membership::Ban,
                    Why::Left | Why::Technical | Why::Destroyed => Membership::Leave,
                };
                let by = gone.by.as_deref().and_then(|nick| self.user_called(jid, nick));
                let event =
                    Event::Member { room, who: who.user, name: Some(who.nick), membership, by, reason: gone.reason };
                self.tell(event, Dedupe::Never).await
            }
            Happening::Renamed { before, now } => {
                let name = Some(now.nick.clone());
                if before.user == now.user {
                    let (membership, by, reason) = (Membership::Join, None, None);
                    let event = Event::Member { room, who: now.user, name, membership, by, reason };
                    return self.tell(event, Dedupe::Never).await;
                }
                self.tell(Event::Renamed { room, from: before.user, to: now.user, name }, Dedupe::Never).await
            }
            Happening::Changed(who) => {
                self.note_avatar(&who, jid);
                self.tell_power(room, &who).await
            }
            Happening::Said(who, stanza) => {
                for (event, dedupe) in self.events(jid, &who, &stanza) {
                    self.tell(event, dedupe).await?;
                }
                Ok(())
            }
            Happening::Configured => {
                self.look_again(jid);
                Ok(())
            }
            Happening::Moderated(stanza) => self.hear_moderation(jid, &stanza).await,
            Happening::Subject(topic) => self.tell(Event::Topic { room, by: None, topic }, Dedupe::Never).await,
            Happening::Standing { jid: whose, banned, by, reason } => {
                let by = by.as_deref().and_then(|nick| self.user_called(jid, nick));
                let event = match self.seat_of(&whose) {
                    Some(SeatId::Puppet(user_id)) if banned => Event::Expelled { room, user_id, by, reason, banned },
                    Some(SeatId::Puppet(user_id)) => Event::Pardoned { room, user_id, by, reason },
                    // Of others who are not there Matrix shows nobody; but who was banned when they were is let in again.
                    None if !banned && whose.domain() != self.config.component.domain => {
                        let (who, membership) = (XmppUser::of_jid(&whose), Membership::Unban);
                        Event::Member { room, who, name: None, membership, by, reason }
                    }
                    Some(SeatId::Listener) | None => return Ok(()),
                };
                self.tell(event, Dedupe::Never).await
            }
            Happening::Empowered { user_id, before, level } => {
                let event = Event::Power { room, who: Whom::Matrix(user_id), level, before: Some(before) };
                self.tell(event, Dedupe::Never).await
            }
            Happening::Whispered { by, to, stanza } => {
                let session = SessionId::User(to.clone());
                self.hear_private(XmppRoom::direct(&to, by.user.clone()), by.user, Some(by.nick), &stanza, &session)
                    .await
            }
        }
    }

    async fn tell_power(&self, room: XmppRoom, who: &Occupant) -> Result<(), Closed> {
        let (who, level) = (Whom::Remote(who.user.clone()), who.power());
        self.tell(Event::Power { room, who, level, before: None }, Dedupe::Never).await
    }

    /// Whether a room has so many occupants that only who speaks is shown.
    fn is_crowded(&self, jid: &Jid) -> bool {
        let most = self.config.rooms.max_members;
        self.with_room(jid, |state| state.room.others().nth(most).is_some()).unwrap_or_default()
    }

    async fn tell_members(self: &Arc<Self>, jid: &Jid, members: Vec<(XmppUser, String)>) -> Result<(), Closed> {
        if members.len() > self.config.rooms.max_members {
            return Ok(());
        }
        let room = XmppRoom::Muc(jid.clone());
        // One person under several nicks is one member.
        let mut once: Vec<(XmppUser, Option<String>)> = Vec::with_capacity(members.len());
        let mut seen = std::collections::HashSet::new();
        for (user, nick) in members {
            if seen.insert(user.clone()) {
                once.push((user, Some(nick)));
            }
        }
        // From here on the room is heard, unless something is still to be fetched.
        let dedupe = if self.is_holding(jid) { Dedupe::Never } else { Dedupe::Archived { id: None, at: None } };
        self.tell(Event::Members { room: room.clone(), members: once }, dedupe).await?;
        let others: Vec<Occupant> =
            self.with_room(jid, |state| state.room.others().cloned().collect()).unwrap_or_default();
        for who in &others {
            self.note_avatar(who, jid);
            if who.power() != 0 {
                self.tell_power(room.clone(), who).await?;
            }
        }
        Ok(())
    }

    /// Tells who is in a room that was entered before it was mapped.
    pub(super) async fn tell_roster(self: &Arc<Self>, jid: &Jid) {
        let known = self.with_room(jid, |state| {
            let members: Vec<_> = state.room.others().map(|who| (who.user.clone(), who.nick.clone())).collect();
            (members, state.room.subject().map(str::to_owned))
        });
        let Some((members, subject)) = known else { return };
        let told = self.tell_members(jid, members).await;
        if let (Ok(()), Some(topic)) = (told, subject) {
            let room = XmppRoom::Muc(jid.clone());
            let _ = self.tell(Event::Topic { room, by: None, topic }, Dedupe::Never).await;
        }
    }

    /// Whether a nick is that of one of our seats.
    fn is_own(&self, jid: &Jid, nick: &str) -> bool {
        self.with_room(jid, |state| state.room.is_own(nick)).unwrap_or_default()
    }

    /// Asks a room what it is called now, and tells if that is another name than before.
    fn look_again(self: &Arc<Self>, jid: &Jid) {
        let (shared, jid) = (Arc::clone(self), jid.clone());
        tokio::spawn(async move {
            let before = shared.with_room(&jid, |state| state.name.clone()).flatten();
            let Ok(RoomInfo { name: Some(name), .. }) = shared.ask_room(&jid).await else { return };
            if before.as_ref() != Some(&name) {
                let room = XmppRoom::Muc(jid);
                let _ = shared.tell(Event::Name { room, by: None, name }, Dedupe::Never).await;
            }
        });
    }

    /// Who has a nick in a room, if they are none of ours.
    fn user_called(&self, jid: &Jid, nick: &str) -> Option<XmppUser> {
        self.with_room(jid, |state| state.room.occupant(nick).map(|who| who.user.clone()))?
    }

    /// What a message of a room means to the framework.
    fn events(&self, jid: &Jid, who: &Occupant, stanza: &Element) -> Vec<(Event, Dedupe<XmppMessage>)> {
        let archive = self.with_room(jid, |state| state.room.archive_id(stanza)).flatten();
        self.events_of(&XmppRoom::Muc(jid.clone()), who, stanza, archive.as_deref(), incoming::said_at(stanza, jid))
    }

    pub(super) fn events_of(
        &self,
        room: &XmppRoom,
        who: &Occupant,
        stanza: &Element,
        archive: Option<&str>,
        at: Option<landbridge::Millis>,
    ) -> Vec<(Event, Dedupe<XmppMessage>)> {
        let sent = self.sent_as(room, who, stanza);
        let sent = sent.as_deref();
        let known_as = |id: String| self.known_as(room, who, &id).unwrap_or(id);
        let id = match (archive, sent) {
            (Some(archive), Some(sent)) => Some(XmppMessage::archived(archive).also_by(&who.user, sent)),
            (Some(archive), None) => Some(XmppMessage::archived(archive)),
            (None, Some(sent)) => Some(XmppMessage::by(&who.user, sent)),
            (None, None) => None,
        };
        // An id that its sender chose says little (many begin with 1 each time), but where the room gives none it has to do: a room's
        // history repeats what was said.
        let mark = match (archive, sent) {
            (Some(archive), _) => Some(XmppMessage::archived(archive)),
            (None, Some(sent)) => Some(XmppMessage::by(&who.user, &format!("{sent} {}", hash(stanza)))),
            (None, None) => None,
        };
        let dedupe = Dedupe::Archived { id: mark, at };
        let (room, sender) = (room.clone(), who.user.clone());
        let meaning = incoming::meaning(stanza);
        if let (XmppRoom::Muc(jid), Meaning::Said { .. }) = (&room, &meaning) {
            self.with_room(jid, |state| state.gives_no_ids = archive.is_none());
        }
        let event = match meaning {
            Meaning::Nothing => return Vec::new(),
            Meaning::Said { body, corrects: Some(corrects), .. } => {
                let target = XmppMessage::by(&sender, &known_as(corrects));
                Event::Edit { room, sender, id, target, body }
            }
            Meaning::Said { body, corrects: None, answers } => {
                let reply_to = answers.map(|answers| XmppMessage::archived(&answers));
                let name = Some(who.nick.clone());
                Event::Message { room, sender, name, id, at, body, reply_to }
            }
            Meaning::Reacted { target, keys } => {
                Event::Reactions { room, by: sender, target: XmppMessage::archived(&target), keys }
            }
            Meaning::Retracted { target, by_sender_id } => {
                // By the room's id, where it gives one; their own is for rooms that do not, and of old (XEP-0424 §5).
                let own = self.known_as(&room, who, &target);
                let by_sender_id = by_sender_id || self.gives_no_ids(&room, archive);
                let target = match own.or(by_sender_id.then(|| target.clone())) {
                    Some(own) => XmppMessage::by(&sender, &own),
                    None => XmppMessage::archived(&target),
                };
                Event::Retract { room, by: sender, target }
            }
            // Only the room itself can say so; see `Shared::moderated`.
            Meaning::Moderated { .. } => return Vec::new(),
        };
        vec![(event, dedupe)]
    }

    /// The id that somebody gave what they say in a room: that of the stanza, else the origin id; where it has both, either leads to it.
    fn sent_as(&self, room: &XmppRoom, who: &Occupant, stanza: &Element) -> Option<String> {
        let (origin, id) = (origin_id(stanza), sent_id(stanza));
        if let (XmppRoom::Muc(jid), Some(origin), Some(id)) = (room, origin, id)
            && origin != id
        {
            self.with_room(jid, |state| state.origins.note(&who.user, origin, id));
        }
        id.or(origin).map(str::to_owned)
    }

    /// Whether what is said in a room has no ids but its sender's. A retraction does not tell: a room may give ids to what it archives alone.
    fn gives_no_ids(&self, room: &XmppRoom, archive: Option<&str>) -> bool {
        let XmppRoom::Muc(jid) = room else { return archive.is_none() };
        archive.is_none() && self.with_room(jid, |state| state.gives_no_ids) == Some(true)
    }

    /// Under which id a message is known that its sender names by another of theirs.
    fn known_as(&self, room: &XmppRoom, who: &Occupant, named: &str) -> Option<String> {
        let XmppRoom::Muc(jid) = room else { return None };
        self.with_room(jid, |state| state.origins.id(&who.user, named))?
    }

    /// A moderator took out a message: the room itself says so.
    pub(super) async fn hear_moderation(&self, jid: &Jid, stanza: &Element) -> Result<(), Closed> {
        let Meaning::Moderated { target, by, reason } = incoming::meaning(stanza) else { return Ok(()) };
        if by.as_deref().is_some_and(|nick| self.is_own(jid, nick)) {
            // What our own side took out is taken out there.
            return Ok(());
        }
        // The bot redacts: who had it done is only told so.
        let who = by.map(|nick| format!("taken out by {nick}"));
        let reason = who.into_iter().chain(reason).reduce(|who, why| format!("{who}: {why}"));
        let archive = self.with_room(jid, |state| state.room.archive_id(stanza)).flatten();
        let at = incoming::said_at(stanza, jid);
        let dedupe = archive.map_or(Dedupe::Never, |id| Dedupe::Archived { id: Some(XmppMessage::archived(&id)), at });
        let room = XmppRoom::Muc(jid.clone());
        self.tell(Event::Redact { room, by: None, target: XmppMessage::archived(&target), reason }, dedupe).await
    }

    /// One of our seats is lost.
    pub(super) async fn seat_lost(self: &Arc<Self>, jid: &Jid, seat: SeatId, gone: Gone) -> Result<(), Closed> {
        let room = XmppRoom::Muc(jid.clone());
        let by_somebody = matches!(gone.why, Why::Kicked | Why::Banned | Why::NotAllowed);
        tracing::info!(remote.room = %jid, ?seat, why = ?gone.why, "a seat was lost");
        match seat {
            SeatId::Puppet(user_id) if by_somebody => {
                let by = gone.by.as_deref().and_then(|nick| self.user_called(jid, nick));
                if gone.by.as_deref().is_some_and(|nick| self.is_own(jid, nick)) {
                    // What our own side did is known there.
                    return Ok(());
                }
                let banned = gone.why == Why::Banned;
                self.tell(Event::Expelled { room, user_id, by, reason: gone.reason, banned }, Dedupe::Never).await
            }
            // It is taken again when its user speaks.
            SeatId::Puppet(_) => Ok(()),
            SeatId::Listener => {
                let wait = self.with_room(jid, |state| state.outside.put_out(gone.why, Instant::now())).flatten();
                if wait.is_some() {
                    self.note_kicks(jid).await;
                }
                if by_somebody || gone.why == Why::Destroyed {
                    return self.tell(Event::Notice { room, text: put_out(gone, wait) }, Dedupe::Never).await;
                }
                let soon = Duration::from_millis(500 + u64::from(rand::random::<u8>()) * 4);
                self.return_soon(jid.clone(), soon);
                Ok(())
            }
        }
    }

    /// Somebody in a room types, stopped to (XEP-0085), or has read up to a message (XEP-0333).
    pub(super) fn note_signs(&self, state: &RoomState, stanza: &Element, from: &Jid) {
        if stanza.kind() != "groupchat" || stanza.get_child("delay", ns::DELAY).is_some() {
            return;
        }
        let Some(who) = from.resource().and_then(|nick| Room::occupant(&state.room, nick)) else { return };
        let room = XmppRoom::Muc(state.room.jid().clone());
        if let Some(typing) = incoming::typing(stanza) {
            self.host.typing(&SessionId::Relay, room.clone(), who.user.clone(), typing);
        }
        if let Some(read) = incoming::displayed(stanza) {
            // Some name what we said by the id that we gave it, not by the room's.
            let read = self.heard(&read).flatten().unwrap_or(read);
            self.host.read(&SessionId::Relay, room, who.user.clone(), XmppMessage::archived(&read));
        }
    }
}

/// What is told of the listener that was put out, and stays away for so long.
fn put_out(gone: Gone, wait: Option<Duration>) -> String {
    let what = match gone.why {
        Why::Destroyed => "the room is no more",
        Why::Banned => "the bridge was banned from the room",
        Why::Kicked => "the bridge was kicked out of the room",
        _ => "the bridge was put out of the room",
    };
    let reason = gone.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let until = match wait {
        Some(wait) => format!("it comes back, in {} at the earliest, or is invited there", in_words(wait)),
        None => "it is let in again".to_owned(),
    };
    format!("{what}{reason}; what is said does not cross until {until}")
}

/// What was said, in short.
fn hash(stanza: &Element) -> String {
    let body = stanza.own_text("body").unwrap_or_default();
    Sha1::digest(body.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
