//! What the framework wants said and done, and what became of it.

use std::{collections::BTreeSet, time::Duration};

use landbridge::{
    Clock as _, Millis, SystemClock,
    network::{Delivered, IdempotencyKey, Landed, OpKind, Reject, RemoteId as _, RemoteOp, SendError, host::Closed},
};

use tokio::time::Instant;

use super::{
    XmppNetwork,
    landing::{Back, Landing},
    session::XmppSession,
    shared::RoomState,
    stanzas::{message, reaction, retraction},
};
use crate::{
    convert::{
        ids::{XmppMessage, XmppRoom},
        outgoing::{ToBe, Wire},
    },
    jid::Jid,
    muc::{Role, SeatId, SeatState},
    stanza::{Condition, Element, ElementExt as _, StanzaError, ns},
};

/// How long a message of ours may take to come back from its room.
pub(super) const REFLECTION: Duration = Duration::from_secs(20);

/// The moderators of a room are asked for a voice for one user no more often than this.
const ASKS_AGAIN: Duration = Duration::from_mins(15);

/// At this attempt it is final when a room says twice that somebody is not in it who has just entered; before, it is tried again later.
const LAST_ENTRY: u32 = 5;

pub(super) type Said = Result<Delivered<XmppMessage>, SendError>;

impl XmppSession {
    /// Does one operation.
    pub(super) async fn do_op(&self, op: &RemoteOp<XmppNetwork>, key: &IdempotencyKey, attempt: u32) -> Said {
        let wire = Wire::decode(&op.wire)
            .map_err(|error| SendError::Bug(format!("the stored operation cannot be read: {error}")))?;
        match &op.room {
            XmppRoom::Muc(jid) => self.do_in_room(jid, op, wire, key, attempt).await,
            XmppRoom::Direct { with, .. } => self.do_directly(with, &op.room, wire).await,
        }
    }

    async fn do_in_room(
        &self,
        room: &Jid,
        op: &RemoteOp<XmppNetwork>,
        wire: Wire,
        key: &IdempotencyKey,
        attempt: u32,
    ) -> Said {
        match wire {
            Wire::Say(say) => {
                if attempt > 1
                    && let Some(archive) = self.shared.heard(&say.id)
                {
                    return Ok(delivered(archive));
                }
                let file = self.shared.shared_file(&say).await;
                self.say(room, &self.seat, &say.id, attempt, |to, _| message(&say, file.as_deref(), key, to, true))
                    .await
            }
            Wire::React { id, target, key, on } => {
                let keys = self.reactions(&op.room, &target, &key, on).await?;
                self.say(room, &self.seat, &id, attempt, |to, _| reaction(&id, &target, &keys, to, true)).await
            }
            Wire::Retract { id, target, own: true, .. } => {
                self.say(room, &self.seat, &id, attempt, |to, _| retraction(&id, &target, to, true)).await
            }
            Wire::Retract { target, own: false, reason, .. } => self.moderate(room, &target, reason.as_deref()).await,
            Wire::Subject(subject) => self.set_subject(room, &subject, key, attempt).await,
            Wire::Part(reason) => self.stand_up(room, &self.seat, reason.as_deref()).await,
            Wire::Expel { user_id, reason } => self.stand_up(room, &SeatId::Puppet(user_id), reason.as_deref()).await,
            Wire::Rename(name) => {
                self.rename(&name).await;
                Ok(Delivered::unnamed())
            }
            Wire::Name(name) => self.name_room(room, &name).await,
            Wire::Act { user, to_be, reason } => self.act(room, &user, to_be, reason.as_deref(), key).await,
        }
    }

    /// Says something in a room and waits until it comes back: then everybody has it, and it has the room's id.
    async fn say(
        &self,
        room: &Jid,
        seat: &SeatId,
        id: &str,
        attempt: u32,
        stanza: impl Fn(&str, &str) -> Element,
    ) -> Said {
        let mut again = true;
        loop {
            self.listener_in(room).await?;
            self.shared.be_in(room, seat).await?;
            let from = self.shared.seat_jid(seat).ok_or(SendError::Rejected(Reject::UnknownTarget))?;
            let outlet = self.shared.outlet().ok_or(SendError::Disconnected)?;
            // They may be given a voice before the refusal is looked at.
            let was_voiceless = self.is_voiceless(room);
            let landing = Landing::of(&self.shared, id);
            let mut stanza = stanza(room.as_str(), from.as_str());
            stanza.set("from", from.as_str());
            if let Err(error) = outlet.send(&stanza).await {
                return Err(SendError::Rejected(Reject::Forbidden(error.to_string())));
            }
            match landing.back(Instant::now() + REFLECTION).await {
                Back::Refused(error) if error.condition == Condition::NotAcceptable && again => {
                    // We were not in the room, whatever we thought: enter, and say it once more, unless it is what an earlier life said
                    // that was refused.
                    again = false;
                    self.shared.with_room(room, |state| state.room.lost(seat));
                    if let Some(archive) = self.said_before(room, id).await {
                        return Ok(delivered(Some(archive)));
                    }
                }
                // Put out again at once, as after a crash, when the server finds out of whom it reaches no more: a little later, then.
                Back::Refused(error) if error.condition == Condition::NotAcceptable && attempt < LAST_ENTRY => {
                    tracing::info!(remote.room = %room, ?seat, "the room says of one who has just entered that they are not in it");
                    self.shared.with_room(room, |state| state.room.lost(seat));
                    return Err(SendError::Disconnected);
                }
                back => return self.came_back(room, seat, back, was_voiceless).await,
            }
        }
    }

    /// What the room's archive calls something that was said under this id lately; none where it was not, or there is no archive.
    async fn said_before(&self, room: &Jid, id: &str) -> Option<String> {
        self.shared.with_room(room, |state| state.archive).filter(|archive| *archive)?;
        self.shared.find_archived(room, id, SystemClock.now()).await.ok().flatten()
    }

    /// What came back of something that was said in a room, by somebody who had a voice in it then or not, as the framework is told it.
    pub(super) async fn came_back(&self, room: &Jid, seat: &SeatId, back: Back, was_voiceless: bool) -> Said {
        match back {
            Back::Said(archive) => Ok(delivered(archive)),
            Back::Refused(error) => Err(self.refused(room, &error, was_voiceless)),
            Back::Cut => Err(SendError::MaybeSent("the link went down".to_owned())),
            Back::Silence => {
                self.shared.check_seat(room, seat).await;
                Err(SendError::MaybeSent("the room did not send it back".to_owned()))
            }
        }
    }

    /// Sets the topic: as ourselves, or as the listener where that may do more.
    async fn set_subject(&self, room: &Jid, subject: &str, key: &IdempotencyKey, attempt: u32) -> Said {
        let id = key.to_string();
        let is_so = |state: &mut RoomState| {
            state.topic_sent = Some(id.clone());
            state.room.subject() == Some(subject)
        };
        // Of a topic that it has already no room says anything.
        if self.shared.with_room(room, is_so) == Some(true) {
            return Ok(Delivered::unnamed());
        }
        let message = |to: &str, from: &str| {
            let text = Element::bare("subject", ns::COMPONENT).with_text(subject);
            Element::stanza("message", from, to, "groupchat").with("id", id.clone()).child(text)
        };
        let mut said = self.say(room, &self.seat, &id, attempt, message).await;
        if matches!(said, Err(SendError::Rejected(_) | SendError::Withheld { .. })) && self.seat != SeatId::Listener {
            said = self.say(room, &SeatId::Listener, &id, attempt, message).await;
        }
        match said {
            // Some rooms say nothing of a topic that is theirs already.
            Err(SendError::MaybeSent(_)) => Ok(Delivered::unnamed()),
            // By the time they may, it is another topic.
            Err(SendError::Withheld { why, .. }) => Err(SendError::Rejected(Reject::Forbidden(why))),
            other => other.map(|_| Delivered::unnamed()),
        }
    }

    /// Before anybody else enters a room, the listener is in it: it knows whether the room exists, and who is there.
    pub(super) async fn listener_in(&self, room: &Jid) -> Result<(), SendError> {
        if self.shared.with_room(room, |state| state.room.is_in(&SeatId::Listener)) == Some(true) {
            return Ok(());
        }
        if self.shared.outlet().is_none() {
            return Err(SendError::Disconnected);
        }
        self.shared.ask_room(room).await?;
        self.shared.be_in(room, &SeatId::Listener).await
    }

    /// Why a message was refused, for its sender.
    fn refused(&self, room: &Jid, error: &StanzaError, was_voiceless: bool) -> SendError {
        if error.condition != Condition::Forbidden || !(was_voiceless || self.is_voiceless(room)) {
            return rejected(error);
        }
        self.ask_for_voice(room);
        let who = if self.seat == SeatId::Listener { "the bridge, which speaks for you, has" } else { "you have" };
        let why = format!("the room is moderated, and {who} no voice in it; one was asked for");
        match self.shared.config.rooms.keep_voiceless.0 {
            Duration::ZERO => SendError::Rejected(Reject::Forbidden(why)),
            keep => SendError::Withheld { why, keep },
        }
    }

    /// Whether we are in a room and may only listen, if it is moderated.
    pub(super) fn is_voiceless(&self, room: &Jid) -> bool {
        let voiceless = self.shared.with_room(room, |state| {
            let seat = state.room.seat(&self.seat);
            seat.is_some_and(|seat| seat.state == SeatState::In && seat.role == Role::Visitor)
        });
        voiceless == Some(true)
    }

    /// Returns when we are no longer in a room as somebody who may only listen.
    pub(super) async fn until_voiced(&self, room: &Jid) {
        let mut roles = self.shared.roles.subscribe();
        while self.is_voiceless(room) {
            // The sender lives as long as `self.shared`.
            let _ = roles.changed().await;
        }
    }

    /// Asks the moderators of a room for a voice ([XEP-0045 §7.13](https://xmpp.org/extensions/xep-0045.html#requestvoice)), if they were
    /// not asked lately.
    fn ask_for_voice(&self, room: &Jid) {
        let now = Instant::now();
        let is_due = self.shared.with_room(room, |state| {
            state.asked_for_voice.retain(|_, at| now.saturating_duration_since(*at) < ASKS_AGAIN);
            let is_due = !state.asked_for_voice.contains_key(&self.seat);
            state.asked_for_voice.entry(self.seat.clone()).or_insert(now);
            is_due
        });
        let Some(from) = self.shared.seat_jid(&self.seat).filter(|_| is_due == Some(true)) else { return };
        let form = Element::form("submit").field("FORM_TYPE", ns::MUC_REQUEST).field("muc#role", "participant");
        self.shared.send_lossy(&Element::stanza("message", from.as_str(), room.as_str(), "").child(form));
    }

    /// Has somebody of ours leave a room, also a seat that an earlier life of the bridge took for them.
    async fn stand_up(&self, room: &Jid, seat: &SeatId, reason: Option<&str>) -> Said {
        match self.listener_in(room).await {
            Err(error) if !error.is_final() => return Err(error),
            // Nobody can be in a room that lets nobody in.
            _ => {}
        }
        let Some(jid) = self.shared.seat_jid(seat) else { return Ok(Delivered::unnamed()) };
        let name = self.shared.name_of(seat);
        let out = self.shared.with_room(room, |state| state.room.leave_whatever(seat, &jid, &name, reason));
        self.shared.send_all(out.unwrap_or_default()).await;
        Ok(Delivered::unnamed())
    }

    /// Goes by another name in every room.
    async fn rename(&self, name: &str) {
        let SeatId::Puppet(user_id) = &self.seat else { return };
        self.shared.is_called(user_id, name);
        let rooms: Vec<Jid> = self.shared.rooms.lock().keys().cloned().collect();
        for room in rooms {
            let out = self.shared.with_room(&room, |state| state.room.rename(&self.seat, name));
            self.shared.send_all(out.unwrap_or_default()).await;
        }
    }

    /// All reactions of this user to a message, with the one that changed. Noted, because the network wants to hear all of them each time.
    pub(super) async fn reactions(
        &self,
        room: &XmppRoom,
        target: &str,
        key: &str,
        on: bool,
    ) -> Result<BTreeSet<String>, SendError> {
        let later = |Closed| SendError::RetryAfter(Duration::from_secs(5));
        let who = match &self.seat {
            SeatId::Puppet(user_id) => user_id.as_str(),
            SeatId::Listener => "",
        };
        let topic = format!("reactions {} {who}", room.encode());
        let noted = self.shared.host.note(&topic, target).await.map_err(later)?.unwrap_or_default();
        // A key holds no line feed.
        let mut keys: BTreeSet<String> = noted.lines().map(str::to_owned).collect();
        let changed = if on { keys.insert(key.to_owned()) } else { keys.remove(key) };
        if changed {
            let text = keys.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
            self.shared.host.set_note(&topic, target, &text).await.map_err(later)?;
        }
        Ok(keys)
    }

    /// Whether what may have been said was, at the earliest at `since`. The room's archive is read from then on: how far the room was
    /// heard says nothing here, for that moves on while what was missed is fetched.
    pub(super) async fn find_out(
        &self,
        op: &RemoteOp<XmppNetwork>,
        key: &IdempotencyKey,
        since: Millis,
    ) -> Landed<XmppMessage> {
        let Ok(wire) = Wire::decode(&op.wire) else { return Landed::CannotTell };
        let XmppRoom::Muc(room) = &op.room else {
            // Between two nobody can be asked what was said; whatever else was done can be done twice.
            return if matches!(wire, Wire::Say(_)) { Landed::CannotTell } else { Landed::No };
        };
        let id = match wire {
            Wire::Say(say) => say.id,
            Wire::React { id, .. } | Wire::Retract { id, own: true, .. } => id,
            Wire::Subject(_) => key.to_string(),
            // Whoever is invited would hear of it twice, and of whether they have nobody tells.
            Wire::Act { to_be: ToBe::Invited, .. } => return Landed::CannotTell,
            // Doing these twice is doing them once.
            Wire::Retract { .. }
            | Wire::Part(_)
            | Wire::Expel { .. }
            | Wire::Act { .. }
            | Wire::Name(_)
            | Wire::Rename(_) => return Landed::No,
        };
        if let Some(archive) = self.shared.heard(&id) {
            return Landed::Yes { id: archive.map(|id| XmppMessage::archived(&id)) };
        }
        if let Err(error) = self.listener_in(room).await {
            return unknown(&error);
        }
        if self.shared.with_room(room, |state| state.archive) != Some(true) {
            return Landed::CannotTell;
        }
        match self.shared.find_archived(room, &id, since).await {
            Ok(Some(archive)) => Landed::Yes { id: Some(XmppMessage::archived(&archive)) },
            // What was missed is fetched at the same time, and what is found there is not looked for here any more.
            Ok(None) if let Some(archive) = self.shared.heard(&id) => {
                Landed::Yes { id: archive.map(|id| XmppMessage::archived(&id)) }
            }
            Ok(None) => Landed::No,
            // Reactions and the like are not in every archive; saying them again changes nothing.
            Err(_) if !matches!(op.kind, OpKind::Send) => Landed::No,
            Err(error) => unknown(&error),
        }
    }
}

/// What is known of a message that nobody could be asked about, for this reason.
fn unknown(error: &SendError) -> Landed<XmppMessage> {
    if error.is_final() { Landed::CannotTell } else { Landed::NotNow }
}

fn delivered(archive: Option<String>) -> Delivered<XmppMessage> {
    Delivered { id: archive.map(|id| XmppMessage::archived(&id)) }
}

pub(super) fn rejected(error: &StanzaError) -> SendError {
    if error.is_temporary() {
        return SendError::RetryAfter(Duration::from_secs(15));
    }
    SendError::Rejected(match error.condition {
        Condition::NotAcceptable => Reject::NotInRoom(error.to_string()),
        _ => Reject::Forbidden(error.to_string()),
    })
}
