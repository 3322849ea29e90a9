//! People: private conversations, who types, what was read.

use std::{collections::HashMap, sync::Arc, time::Duration};

use landbridge::network::{
    Body, Dedupe, Delivered, Ephemeral, EphemeralKind, Reject, RemoteEvent, RemoteId as _, SendError, SessionId,
    host::Closed,
};
use parking_lot::Mutex;
use ruma::UserId;

use super::{
    XmppNetwork,
    avatars::{self, Kept, Portrayed},
    session::XmppSession,
    shared::Shared,
    stanzas::{message, reaction, retraction},
};
use crate::{
    convert::{
        ids::{XmppMessage, XmppRoom, XmppUser},
        incoming::{self, Invitation, Meaning},
        outgoing::Wire,
    },
    jid::Jid,
    link::IqError,
    muc::SeatId,
    stanza::{Element, ElementExt as _, StanzaError, ns},
};

/// How many private messages are remembered until they are refused or received.
const MOST_SENT: usize = 10_000;

/// How long our server may take to take a message.
const TAKEN: Duration = Duration::from_secs(20);

/// The topic of the notes of addresses that no Matrix id holds, by the hash that stands for them.
const ADDRESSES: &str = "addresses";

type Event = RemoteEvent<XmppNetwork>;

/// What is known of people. Bounded: at the bounds, all of a kind is forgotten.
#[derive(Debug, Default)]
pub(super) struct People {
    /// Private messages on their way, by id: in which conversation.
    sent: Mutex<HashMap<String, XmppRoom>>,
}

impl People {
    fn sent(&self, id: &str, room: &XmppRoom) {
        let mut sent = self.sent.lock();
        if sent.len() >= MOST_SENT {
            sent.clear();
        }
        sent.insert(id.to_owned(), room.clone());
    }

    /// Whether a private message of this id is on its way.
    pub(super) fn has_sent(&self, id: &str) -> bool {
        self.sent.lock().contains_key(id)
    }
}

impl Shared {
    /// A message to one of ours from somebody who is no occupant of a room.
    pub(super) async fn hear_direct(
        self: &Arc<Self>,
        stanza: Element,
        from: &Jid,
        seat: &SeatId,
    ) -> Result<(), Closed> {
        if stanza.kind() == "error" {
            return self.hear_refusal(&stanza, from, seat).await;
        }
        // Nobody is bridged twice, and what a room says to who is not in it means nothing.
        let SeatId::Puppet(user_id) = seat else { return Ok(()) };
        if from.domain() == self.own.domain || stanza.kind() == "groupchat" || from.node().is_none() {
            return Ok(());
        }
        let user = XmppUser::of_jid(from);
        if let Some(event) = stanza.get_child("event", ns::PUBSUB_EVENT) {
            let of = Portrayed { user, asker: seat.clone(), at: from.bare() };
            if let Some(hash) = avatars::announced(event) {
                self.note_picture(of, hash, Kept::Node);
            }
            return Ok(());
        }
        if user.jid().is_none() {
            // Too long for a Matrix id: so that they can be answered, it is noted. Where that fails, the answer says so.
            let _ = self.host.set_note(ADDRESSES, &user.encode(), from.bare_str()).await;
        }
        let room = XmppRoom::direct(user_id, user.clone());
        let name = stanza.get_child("nick", ns::NICK).map(Element::text).filter(|nick| !nick.trim().is_empty());
        let name = name.or_else(|| from.node().map(str::to_owned)).map(|name| name.chars().take(100).collect());
        let session = SessionId::User(user_id.clone());
        self.hear_private(room, user, name, &stanza, &session).await
    }

    /// Whether a stanza comes from somebody elsewhere, as far as that can be seen. A room takes an error for the end of whoever it comes
    /// from.
    pub(super) fn is_person(&self, stanza: &Element, from: &Jid) -> bool {
        let is_of_room = stanza.children().any(|child| child.has_ns(ns::MUC_USER)) || {
            let room = from.bare();
            self.rooms.lock().contains_key(&room)
        };
        from.node().is_some() && from.domain() != self.own.domain && !is_of_room
    }

    /// The address of somebody, where it is known: also one that no Matrix id holds.
    pub(super) async fn address_of(&self, user: &XmppUser) -> Option<Jid> {
        if let Some(jid) = user.jid() {
            return Some(jid);
        }
        let noted = self.host.note(ADDRESSES, &user.encode()).await.ok().flatten()?;
        Jid::parse(&noted)
    }

    /// Somebody invites a Matrix user into a room: told in the conversation between the two. Nothing is entered by that.
    pub(super) async fn hear_invitation(&self, user_id: &UserId, invitation: Invitation) -> Result<(), Closed> {
        let Invitation { room, by, reason, direct } = invitation;
        if by.as_ref().is_some_and(|by| by.domain() == self.own.domain) {
            return Ok(());
        }
        // A room may say of anybody that they invite. Of its own occupants it knows, and of the people of the server whose service it is.
        let vouched = |by: &Jid| by.domain() == room.domain() || room.domain().ends_with(&format!(".{}", by.domain()));
        let is_vouched_for = direct || by.as_ref().is_none_or(vouched);
        // Where a room tells nobody's address, whoever invites is an occupant of it; of a room that we are not in, nothing is known of
        // them but the nick.
        let occupant = by.as_ref().filter(|by| by.bare() == room).and_then(Jid::resource).map(str::to_owned);
        let known = occupant.as_ref().and_then(|nick| self.with_room(&room, |it| it.room.occupant(nick).cloned())?);
        let by = by.unwrap_or_else(|| room.clone());
        let (sender, name) = match known {
            Some(who) => (who.user, Some(who.nick)),
            None if is_vouched_for => (XmppUser::of_jid(&by), by.node().map(str::to_owned)),
            None => (XmppUser::of_jid(&room), room.node().map(str::to_owned)),
        };
        let who = occupant.unwrap_or_else(|| by.bare().to_string());
        let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let body = Body { notice: true, ..Body::plain(format!("{who} invites you to {room}{why}")) };
        let conversation = XmppRoom::direct(user_id, sender.clone());
        let event = Event::Message { room: conversation, sender, name, id: None, at: None, body, reply_to: None };
        self.host.ingest(&SessionId::User(user_id.to_owned()), event, Dedupe::Never).await.map(drop)
    }

    /// A private message, whether from an occupant of a room or from elsewhere.
    pub(super) async fn hear_private(
        self: &Arc<Self>,
        room: XmppRoom,
        sender: XmppUser,
        name: Option<String>,
        stanza: &Element,
        session: &SessionId,
    ) -> Result<(), Closed> {
        if let Some(typing) = incoming::typing(stanza) {
            self.host.typing(session, room.clone(), sender.clone(), typing);
        }
        if let Some(read) = incoming::displayed(stanza) {
            self.host.read(session, room.clone(), sender.clone(), XmppMessage::direct(&read));
        }
        let named = named(stanza);
        let conversation = room.clone();
        // Kept by their server while ours was away.
        let server = stanza.from().and_then(|from| Jid::parse(from.domain()));
        let at = server.and_then(|server| incoming::said_at(stanza, &server));
        let event = match incoming::meaning(stanza) {
            Meaning::Nothing | Meaning::Moderated { .. } => return Ok(()),
            Meaning::Said { body, corrects: Some(target), .. } => {
                Event::Edit { room, sender, id: named, target: XmppMessage::direct(&target), body }
            }
            Meaning::Said { body, corrects: None, answers } => {
                let reply_to = answers.map(|id| XmppMessage::direct(&id));
                Event::Message { room, sender, name, id: named, at, body, reply_to }
            }
            Meaning::Reacted { target, keys } => {
                Event::Reactions { room, by: sender, target: XmppMessage::direct(&target), keys }
            }
            Meaning::Retracted { target, .. } => {
                Event::Retract { room, by: sender, target: XmppMessage::direct(&target) }
            }
        };
        // Known before it can be read.
        let asked = self.asks_for_marker(&conversation, stanza).await;
        let (kept, ()) = tokio::join!(self.host.ingest(session, event, Dedupe::Never), self.note_asked(asked));
        // Only what is durable may be called received.
        kept?;
        if let (Some(id), Some(_)) = (sent_id(stanza), stanza.get_child("request", ns::RECEIPTS)) {
            let received = Element::bare("received", ns::RECEIPTS).with("id", id);
            if let (Some(from), Some(to)) = (stanza.attr("to"), stanza.attr("from")) {
                let kind = if stanza.get_child("x", ns::MUC_USER).is_some() { "chat" } else { "" };
                self.send_lossy(&Element::stanza("message", from, to, kind).child(received));
            }
        }
        Ok(())
    }

    /// A private message of ours was refused: its conversation is told.
    async fn hear_refusal(&self, stanza: &Element, from: &Jid, seat: &SeatId) -> Result<(), Closed> {
        let Some(id) = stanza.attr("id") else { return Ok(()) };
        let conversation = match seat {
            // One that an earlier life of the bridge sent.
            SeatId::Puppet(user_id) if self.own.marks.made(id) => {
                Some(XmppRoom::direct(user_id, XmppUser::of_jid(from)))
            }
            _ => None,
        };
        self.refused(id, StanzaError::of(stanza), conversation).await
    }

    /// Something that we said was refused: whoever waits for it is told, else the conversation in which it was said. `conversation` is
    /// that of a message of which nobody remembers where it was said.
    pub(super) async fn refused(
        &self,
        id: &str,
        error: StanzaError,
        conversation: Option<XmppRoom>,
    ) -> Result<(), Closed> {
        let Some(room) = self.people.sent.lock().remove(id).or(conversation) else {
            self.landed(id, Err(error));
            return Ok(());
        };
        let text = format!("your message was not delivered: {error}");
        self.host.offer(&SessionId::Relay, Event::Notice { room, text }, Dedupe::Never).await.map(drop)
    }
}

/// The id of a stanza, as its sender wrote it there.
pub(super) fn sent_id(stanza: &Element) -> Option<&str> {
    stanza.attr("id").filter(|id| !id.is_empty() && id.len() <= 1023)
}

/// The id that its sender means for everybody ([XEP-0359](https://xmpp.org/extensions/xep-0359.html)).
pub(super) fn origin_id(stanza: &Element) -> Option<&str> {
    stanza.get_child("origin-id", ns::SID).and_then(sent_id)
}

/// What a private message is called: by its origin id ([XEP-0359](https://xmpp.org/extensions/xep-0359.html)), by which others answer it
/// and react to it, and by its stanza's, by which its sender corrects it and others mark it as read. Most senders make one of the two.
fn named(stanza: &Element) -> Option<XmppMessage> {
    match (origin_id(stanza), sent_id(stanza)) {
        (Some(origin), Some(id)) if origin != id => Some(XmppMessage::direct(origin).also_direct(id)),
        (origin, id) => origin.or(id).map(XmppMessage::direct),
    }
}

impl XmppSession {
    /// Does one operation in a private conversation.
    pub(super) async fn do_directly(
        &self,
        with: &XmppUser,
        room: &XmppRoom,
        wire: Wire,
    ) -> Result<Delivered<XmppMessage>, SendError> {
        if matches!(self.seat, SeatId::Listener) {
            return Err(SendError::Rejected(Reject::Policy("private messages need an address of your own".to_owned())));
        }
        let (to, private) = self.reach(with).await?;
        let to = to.as_str();
        let (id, mut stanza) = match &wire {
            Wire::Say(say) => {
                let file = self.shared.shared_file(say).await;
                (say.id.clone(), message(say, file.as_deref(), &super::files::NO_KEY, to, false))
            }
            Wire::React { id, target, key, on } => {
                let keys = self.reactions(room, target, key, *on).await?;
                (id.clone(), reaction(id, target, &keys, to, false))
            }
            Wire::Retract { id, target, own: true, .. } => (id.clone(), retraction(id, target, to, false)),
            Wire::Rename(name) => {
                if let SeatId::Puppet(user_id) = &self.seat {
                    self.shared.is_called(user_id, name);
                }
                return Ok(Delivered::unnamed());
            }
            Wire::Retract { .. }
            | Wire::Subject(_)
            | Wire::Name(_)
            | Wire::Part(_)
            | Wire::Expel { .. }
            | Wire::Act { .. } => return Ok(Delivered::unnamed()),
        };
        let from = self.shared.seat_jid(&self.seat).ok_or(SendError::Rejected(Reject::UnknownTarget))?;
        stanza.set("from", from.as_str());
        if private {
            stanza.append_child(Element::bare("x", ns::MUC_USER));
        }
        if let SeatId::Puppet(user_id) = &self.seat {
            stanza.append_child(Element::bare("nick", ns::NICK).with_text(self.shared.display_name(user_id)));
        }
        let outlet = self.shared.outlet().ok_or(SendError::Disconnected)?;
        self.shared.people.sent(&id, room);
        outlet.send(&stanza).await.map_err(|error| SendError::Rejected(Reject::Forbidden(error.to_string())))?;
        self.is_taken(&from).await?;
        Ok(match wire {
            Wire::Say(_) => Delivered::named(XmppMessage::direct(&id)),
            _ => Delivered::unnamed(),
        })
    }

    /// Waits until our server has taken what was sent before: it works what comes over one stream in its order, and answers a question
    /// to ourselves, whatever the answer is, after that.
    async fn is_taken(&self, from: &Jid) -> Result<(), SendError> {
        let bot = self.shared.seat_jid(&SeatId::Listener).ok_or(SendError::Unsupported)?;
        let ping = Element::stanza("iq", from.as_str(), bot.as_str(), "get").child(Element::bare("ping", ns::PING));
        match self.shared.ask(ping, TAKEN).await {
            Ok(_) | Err(IqError::Refused(_)) => Ok(()),
            Err(IqError::Disconnected) => Err(SendError::MaybeSent("the link went down".to_owned())),
            Err(IqError::Timeout) => Err(SendError::MaybeSent("the server does not answer".to_owned())),
        }
    }

    /// Where somebody is spoken to: at their address, or, where only a room knows that, through the room.
    async fn reach(&self, with: &XmppUser) -> Result<(Jid, bool), SendError> {
        if let Some(jid) = self.shared.address_of(with).await {
            return Ok((jid, false));
        }
        let rooms = self.shared.rooms.lock();
        let found = rooms.values().filter(|state| state.room.is_in(&self.seat)).find_map(|state| {
            let who = state.room.find(with)?;
            state.room.jid().with_resource(&who.nick)
        });
        found.map(|jid| (jid, true)).ok_or_else(|| {
            let why = "they are in no room any more in which you are";
            SendError::Rejected(Reject::NotInRoom(why.to_owned()))
        })
    }

    /// Tells XMPP who types, what was read, and who is there.
    pub(super) async fn show(&self, event: &Ephemeral<XmppNetwork>) {
        let Some(from) = self.shared.seat_jid(&self.seat) else { return };
        let (room, what) = match &event.kind {
            EphemeralKind::Typing { room, typing } => {
                (room, Element::bare(if *typing { "composing" } else { "paused" }, ns::CHAT_STATES))
            }
            EphemeralKind::Read { room, target, .. } => {
                let Some(id) = target.messages.last().map(XmppMessage::marked) else { return };
                // Between two, only who asked is told; in a room, others than who said it may want to know (XEP-0333 §4.3, §5).
                if matches!(room, XmppRoom::Direct { .. }) && !self.shared.is_markable(room, id).await {
                    return;
                }
                (room, Element::bare("displayed", ns::MARKERS).with("id", id))
            }
            EphemeralKind::Presence { .. } => return self.shared.present(event).await,
        };
        let (to, kind) = match room {
            XmppRoom::Muc(jid) => {
                // Nobody enters a room to type.
                if self.shared.with_room(jid, |state| state.room.is_in(&self.seat)) != Some(true) {
                    return;
                }
                (jid.clone(), "groupchat")
            }
            XmppRoom::Direct { with, .. } => match self.reach(with).await {
                Ok((jid, _)) => (jid, "chat"),
                Err(_) => return,
            },
        };
        let stanza = Element::stanza("message", from.as_str(), to.as_str(), kind).with("id", self.shared.new_id());
        self.shared.send_lossy(&stanza.child(what).child(Element::bare("no-store", ns::HINTS)));
    }
}
