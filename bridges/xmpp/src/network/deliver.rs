//! What the framework wants said and done, and what became of it.

use std::{collections::BTreeSet, time::Duration};

use landbridge::network::{Delivered, IdempotencyKey, Landed, OpKind, Reject, RemoteId as _, RemoteOp, SendError};

use super::{XmppNetwork, session::XmppSession};
use crate::{
    convert::{
        ids::{XmppMessage, XmppRoom, XmppUser},
        outgoing::{Say, ToBe, Wire},
        styling,
    },
    jid::Jid,
    link::IqError,
    muc::SeatId,
    stanza::{Condition, Element, StanzaError, ns},
};

/// How long a message of ours may take to come back from its room.
const REFLECTION: Duration = Duration::from_secs(20);
/// How long the room may take to say that it changed something.
const CHANGE: Duration = Duration::from_secs(20);

type Said = Result<Delivered<XmppMessage>, SendError>;

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
                self.say(room, &say.id, |to, _| message(&say, file.as_deref(), key, to, true)).await
            }
            Wire::React { id, target, key, on } => {
                let keys = self.reactions(op, &target, &key, on);
                self.say(room, &id, |to, _| reaction(&id, &target, &keys, to, true)).await
            }
            Wire::Retract { id, target, own: true, .. } => {
                self.say(room, &id, |to, _| retraction(&id, &target, to, true)).await
            }
            Wire::Retract { target, own: false, reason, .. } => self.moderate(room, &target, reason.as_deref()).await,
            Wire::Subject(subject) => {
                let id = key.to_string();
                let text = Element::new("subject", ns::COMPONENT).with_text(subject);
                let said = self.say(room, &id, |to, from| {
                    Element::stanza("message", from, to, "groupchat").attr("id", id.clone()).child(text.clone())
                });
                match said.await {
                    // Some rooms do not give a topic its id back.
                    Err(SendError::MaybeSent(_)) => Ok(Delivered::unnamed()),
                    other => other.map(|_| Delivered::unnamed()),
                }
            }
            Wire::Part(reason) => {
                self.stand_up(room, &self.seat, reason.as_deref()).await;
                Ok(Delivered::unnamed())
            }
            Wire::Expel { user_id, reason } => {
                self.stand_up(room, &SeatId::Puppet(user_id), reason.as_deref()).await;
                Ok(Delivered::unnamed())
            }
            Wire::Rename(name) => {
                self.rename(&name).await;
                Ok(Delivered::unnamed())
            }
            Wire::Act { user, to_be, reason } => self.act(room, &user, to_be, reason.as_deref()).await,
        }
    }

    /// Says something in a room and waits until it comes back: then everybody has it, and it has the room's id.
    async fn say(&self, room: &Jid, id: &str, stanza: impl Fn(&str, &str) -> Element) -> Said {
        let mut again = true;
        loop {
            self.listener_in(room).await?;
            self.shared.be_in(room, &self.seat).await?;
            let from = self.shared.seat_jid(&self.seat).ok_or(SendError::Rejected(Reject::UnknownTarget))?;
            let outlet = self.shared.outlet().ok_or(SendError::Disconnected)?;
            let landing = self.shared.await_landing(id);
            let mut stanza = stanza(room.as_str(), from.as_str());
            stanza.set("from", from.as_str());
            if let Err(error) = outlet.send(&stanza).await {
                self.shared.give_up_landing(id);
                return Err(SendError::Rejected(Reject::Forbidden(error.to_string())));
            }
            let landed = tokio::time::timeout(REFLECTION, landing).await;
            self.shared.give_up_landing(id);
            match landed {
                Ok(Ok(Ok(archive))) => return Ok(delivered(archive)),
                Ok(Ok(Err(error))) if error.condition == Condition::NotAcceptable && again => {
                    // We were not in the room, whatever we thought: enter, and say it once more.
                    again = false;
                    self.shared.with_room(room, |state| state.room.lost(&self.seat));
                }
                Ok(Ok(Err(error))) => return Err(self.refused(room, &error)),
                Ok(Err(_)) => return Err(SendError::MaybeSent("the link went down".to_owned())),
                Err(_) => {
                    self.shared.check_seat(room, &self.seat).await;
                    return Err(SendError::MaybeSent("the room did not send it back".to_owned()));
                }
            }
        }
    }

    /// Before anybody else enters a room, the listener is in it: it knows whether the room exists, and who is there.
    async fn listener_in(&self, room: &Jid) -> Result<(), SendError> {
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
    fn refused(&self, room: &Jid, error: &StanzaError) -> SendError {
        let is_visitor = self.shared.with_room(room, |state| {
            state.room.seat(&self.seat).is_some_and(|seat| seat.role == crate::muc::Role::Visitor)
        });
        if error.condition == Condition::Forbidden && is_visitor == Some(true) {
            self.ask_for_voice(room);
            let why = "the room is moderated, and you have no voice in it; one was asked for";
            return SendError::Rejected(Reject::Forbidden(why.to_owned()));
        }
        rejected(error)
    }

    /// Asks the moderators of a room for a voice ([XEP-0045 §7.13](https://xmpp.org/extensions/xep-0045.html#requestvoice)).
    fn ask_for_voice(&self, room: &Jid) {
        let Some(from) = self.shared.seat_jid(&self.seat) else { return };
        let field = |name: &str, value: &str| {
            let value = Element::new("value", ns::DATA).with_text(value);
            Element::new("field", ns::DATA).attr("var", name).child(value)
        };
        let form = Element::new("x", ns::DATA).attr("type", "submit");
        let form = form.child(field("FORM_TYPE", ns::MUC_REQUEST)).child(field("muc#role", "participant"));
        self.shared.send_lossy(&Element::stanza("message", from.as_str(), room.as_str(), "").child(form));
    }

    async fn stand_up(&self, room: &Jid, seat: &SeatId, reason: Option<&str>) {
        let out = self.shared.with_room(room, |state| state.room.leave(seat, reason));
        self.shared.send_all(out.unwrap_or_default()).await;
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

    /// All reactions of this user to a message, with the one that changed.
    fn reactions(&self, op: &RemoteOp<XmppNetwork>, target: &str, key: &str, on: bool) -> BTreeSet<String> {
        let name = (op.room.encode(), self.seat.clone(), target.to_owned());
        self.shared.people.reactions(name, key, on)
    }

    /// Has a message of somebody else taken out (XEP-0425).
    async fn moderate(&self, room: &Jid, target: &str, reason: Option<&str>) -> Said {
        let why = reason.map(|reason| Element::new("reason", ns::MODERATE_1).with_text(reason));
        let retract = Element::new("retract", ns::RETRACT_1);
        let new = Element::new("moderate", ns::MODERATE_1).attr("id", target).child(retract).child_some(why);
        let why = reason.map(|reason| Element::new("reason", ns::MODERATE_0).with_text(reason));
        let retract = Element::new("retract", ns::RETRACT_0);
        let old = Element::new("moderate", ns::MODERATE_0).child(retract).child_some(why);
        let old = Element::new("apply-to", ns::FASTEN).attr("id", target).child(old);
        let mut last = SendError::Unsupported;
        for request in [new, old] {
            match self.as_anybody(room, &request).await {
                Ok(()) => return Ok(Delivered::unnamed()),
                Err(error) => last = error,
            }
        }
        match last {
            // A room without moderation of messages: nobody can do anything about it.
            SendError::Rejected(_) | SendError::Unsupported => {
                let why = "the room does not let the bridge take out messages of others";
                Err(SendError::Rejected(Reject::Forbidden(why.to_owned())))
            }
            error => Err(error),
        }
    }

    /// Changes what somebody is in a room.
    async fn act(&self, room: &Jid, user: &str, to_be: ToBe, reason: Option<&str>) -> Said {
        let Some(user) = XmppUser::decode(user) else { return Err(SendError::Rejected(Reject::UnknownTarget)) };
        self.listener_in(room).await?;
        let (nick, real) = self.whereabouts(room, &user);
        if to_be == ToBe::Invited {
            return self.invite(room, real.as_ref(), reason).await;
        }
        let items = changes(to_be, nick.as_deref(), real.as_ref());
        if items.is_empty() {
            // They are not there: then there is nobody to put out.
            return Ok(Delivered::unnamed());
        }
        for (name, value, (by, whom)) in items {
            let why = reason.map(|reason| Element::new("reason", ns::MUC_ADMIN).with_text(reason));
            let item = Element::new("item", ns::MUC_ADMIN).attr(name, value).attr(by, whom).child_some(why);
            self.as_anybody(room, &Element::new("query", ns::MUC_ADMIN).child(item)).await?;
        }
        Ok(Delivered::unnamed())
    }

    /// The nick and the real address of somebody, as far as they are known.
    fn whereabouts(&self, room: &Jid, user: &XmppUser) -> (Option<String>, Option<Jid>) {
        let found = self.shared.with_room(room, |state| {
            if let Some(who) = state.room.find(user) {
                return (Some(who.nick.clone()), who.real.clone());
            }
            let seat = user.jid().and_then(|jid| self.shared.seat_of(&jid));
            let nick = seat.and_then(|seat| state.room.seat(&seat).map(|seat| seat.nick.clone()));
            (nick, None)
        });
        let (nick, real) = found.unwrap_or_default();
        (nick, real.or_else(|| user.jid()))
    }

    async fn invite(&self, room: &Jid, whom: Option<&Jid>, reason: Option<&str>) -> Said {
        let Some(whom) = whom else { return Ok(Delivered::unnamed()) };
        let from = self.shared.seat_jid(&self.seat).ok_or(SendError::Rejected(Reject::UnknownTarget))?;
        let why = reason.map(|reason| Element::new("reason", ns::MUC_USER).with_text(reason));
        let invite = Element::new("invite", ns::MUC_USER).attr("to", whom.as_str()).child_some(why);
        let stanza = Element::stanza("message", from.as_str(), room.as_str(), "");
        self.shared.send_lossy(&stanza.child(Element::new("x", ns::MUC_USER).child(invite)));
        Ok(Delivered::unnamed())
    }

    /// Has a room change something: as ourselves, or as the listener where that may do more.
    async fn as_anybody(&self, room: &Jid, request: &Element) -> Result<(), SendError> {
        let mut last = SendError::Disconnected;
        let seats = [&self.seat, &SeatId::Listener];
        let different = if self.seat == SeatId::Listener { 1 } else { 2 };
        for seat in &seats[..different] {
            let Some(from) = self.shared.seat_jid(seat) else { continue };
            let iq = Element::stanza("iq", from.as_str(), room.as_str(), "set").child(request.clone());
            match self.shared.ask(iq, CHANGE).await {
                Ok(_) => return Ok(()),
                Err(IqError::Refused(error)) => last = rejected(&error),
                Err(IqError::Timeout) => last = SendError::RetryAfter(Duration::from_secs(30)),
                Err(IqError::Disconnected) => return Err(SendError::Disconnected),
            }
        }
        Err(last)
    }

    /// Whether what may have been said was.
    pub(super) async fn find_out(&self, op: &RemoteOp<XmppNetwork>, key: &IdempotencyKey) -> Landed<XmppMessage> {
        let (XmppRoom::Muc(room), Ok(wire)) = (&op.room, Wire::decode(&op.wire)) else { return Landed::CannotTell };
        let id = match wire {
            Wire::Say(say) => say.id,
            Wire::React { id, .. } | Wire::Retract { id, own: true, .. } => id,
            Wire::Subject(_) => key.to_string(),
            // Doing these twice is doing them once.
            Wire::Retract { .. } | Wire::Part(_) | Wire::Expel { .. } | Wire::Act { .. } | Wire::Rename(_) => {
                return Landed::No;
            }
        };
        if let Some(archive) = self.shared.heard(&id) {
            return Landed::Yes { id: archive.map(|id| XmppMessage::archived(&id)) };
        }
        if self.listener_in(room).await.is_err() {
            return Landed::CannotTell;
        }
        let has_archive = self.shared.with_room(room, |state| state.archive).unwrap_or_default();
        let Some(since) = self.shared.since(room).await.filter(|_| has_archive) else { return Landed::CannotTell };
        match self.shared.find_archived(room, &id, &since).await {
            Ok(Some(archive)) => Landed::Yes { id: Some(XmppMessage::archived(&archive)) },
            // Reactions and the like are not in every archive; saying them again changes nothing.
            Ok(None) => Landed::No,
            Err(()) if !matches!(op.kind, OpKind::Send) => Landed::No,
            Err(()) => Landed::CannotTell,
        }
    }
}

type Change = (&'static str, &'static str, (&'static str, String));

/// The items that make somebody what they are to be. A role is given by nick, an affiliation by address.
fn changes(to_be: ToBe, nick: Option<&str>, real: Option<&Jid>) -> Vec<Change> {
    let by_nick = || nick.map(|nick| ("nick", nick.to_owned()));
    let by_jid = || real.map(|jid| ("jid", jid.bare_str().to_owned()));
    let role = |role| by_nick().map(|whom| ("role", role, whom));
    let affiliation = |affiliation| by_jid().map(|whom| ("affiliation", affiliation, whom));
    match to_be {
        ToBe::Kicked => role("none").into_iter().collect(),
        // Whose address is not known can only be put out.
        ToBe::Banned => affiliation("outcast").or_else(|| role("none")).into_iter().collect(),
        ToBe::Unbanned => affiliation("none").into_iter().collect(),
        ToBe::Visitor => role("visitor").into_iter().collect(),
        ToBe::Participant => affiliation("none").into_iter().chain(role("participant")).collect(),
        ToBe::Moderator => role("moderator").into_iter().collect(),
        ToBe::Admin => affiliation("admin").into_iter().collect(),
        ToBe::Owner => affiliation("owner").into_iter().collect(),
        ToBe::Invited => Vec::new(),
    }
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

/// A message as it is sent; `kind` says whether to a room.
pub(super) fn message(say: &Say, url: Option<&str>, key: &IdempotencyKey, to: &str, room: bool) -> Element {
    let kind = if room { "groupchat" } else { "chat" };
    let body = match (&say.file, url) {
        (Some(file), Some(url)) => say.body.replace(&file.url, url),
        _ => say.body.clone(),
    };
    let mut stanza = Element::stanza("message", "", to, kind).attr("id", say.id.clone());
    stanza.push(Element::new("body", ns::COMPONENT).with_text(body));
    // In a room the id is told back by the room; elsewhere others refer to it by this one.
    let origin = if room { key.to_string() } else { say.id.clone() };
    stanza.push(Element::new("origin-id", ns::SID).attr("id", origin));
    if say.unstyled {
        stanza.push(Element::new("unstyled", styling::NS));
    }
    if let Some(replaces) = &say.replaces {
        stanza.push(Element::new("replace", ns::CORRECT).attr("id", replaces.clone()));
    }
    if let Some(answer) = &say.answers {
        let author = answer.nick.as_ref().and_then(|nick| Jid::parse(to)?.with_resource(nick));
        let author = author.map_or_else(|| to.to_owned(), |author| author.to_string());
        stanza.push(Element::new("reply", ns::REPLY).attr("to", author).attr("id", answer.id.clone()));
        let range = Element::new("body", ns::FALLBACK).attr("start", "0").attr("end", answer.quoted.to_string());
        stanza.push(Element::new("fallback", ns::FALLBACK).attr("for", ns::REPLY).child(range));
    }
    if let Some(file) = &say.file {
        share(file, url.unwrap_or(&file.url), &mut stanza);
    }
    if !room {
        stanza.push(Element::new("request", ns::RECEIPTS));
    }
    stanza.push(Element::new("markable", ns::MARKERS));
    stanza
}

/// A file, for old clients (XEP-0066) and new ones (XEP-0447).
fn share(file: &crate::convert::outgoing::File, url: &str, stanza: &mut Element) {
    stanza.push(Element::new("x", ns::OOB).child(Element::new("url", ns::OOB).with_text(url)));
    let text =
        |name: &'static str, value: Option<String>| value.map(|value| Element::new(name, ns::FILE).with_text(value));
    let metadata = Element::new("file", ns::FILE)
        .child_some(text("media-type", file.mime.clone()))
        .child_some(text("name", Some(file.name.clone())))
        .child_some(text("size", file.size.map(|size| size.to_string())));
    let source = Element::new("url-data", ns::URL_DATA).attr("target", url);
    let sharing = Element::new("file-sharing", ns::SFS).attr("disposition", "inline");
    stanza.push(sharing.child(metadata).child(Element::new("sources", ns::SFS).child(source)));
}

pub(super) fn reaction(id: &str, target: &str, keys: &BTreeSet<String>, to: &str, room: bool) -> Element {
    let reaction = |key: &String| Element::new("reaction", ns::REACTIONS).with_text(key.clone());
    let reactions =
        Element::new("reactions", ns::REACTIONS).attr("id", target).with_children(keys.iter().map(reaction));
    let stanza = Element::stanza("message", "", to, if room { "groupchat" } else { "chat" }).attr("id", id);
    stanza.child(reactions).child(Element::new("store", ns::HINTS))
}

pub(super) fn retraction(id: &str, target: &str, to: &str, room: bool) -> Element {
    const INSTEAD: &str = "(a message was taken back, but your client does not show that)";
    let stanza = Element::stanza("message", "", to, if room { "groupchat" } else { "chat" }).attr("id", id);
    stanza
        .child(Element::new("retract", ns::RETRACT_1).attr("id", target))
        .child(Element::new("fallback", ns::FALLBACK).attr("for", ns::RETRACT_1))
        .child(Element::new("body", ns::COMPONENT).with_text(INSTEAD))
        .child(Element::new("store", ns::HINTS))
}
