//! Asking people into rooms, and what they answer ([XEP-0045 §7.8](https://xmpp.org/extensions/xep-0045.html#invite)).
//!
//! It is the room that invites, where it does: then a room for members only makes a member of whom it invites, everybody can see that
//! somebody in the room wants them there, and they can decline. Where a room passes on nobody's invitations, or only some people's, and
//! anybody may enter it, whoever invites says so themselves ([XEP-0249](https://xmpp.org/extensions/xep-0249.html)). Not so where the room
//! would not let them in: they would stand before a closed door.

use std::{sync::Arc, time::Duration};

use landbridge::network::{
    Dedupe, Delivered, IdempotencyKey, Membership, Reject, RemoteEvent, SendError, host::Closed,
};
use tokio::time::Instant;

use super::{
    XmppNetwork,
    deliver::{Said, rejected},
    landing::{Back, Landing},
    session::XmppSession,
    shared::Shared,
};
use crate::{
    convert::{
        ids::{XmppRoom, XmppUser},
        incoming::Declined,
        outgoing::invites,
    },
    jid::Jid,
    link::IqError,
    muc::SeatId,
    stanza::{Condition, Element, ElementExt as _, StanzaError, ns},
};

/// How long the room may take to say that it works what we send it.
const ANSWER: Duration = Duration::from_secs(20);

type Event = RemoteEvent<XmppNetwork>;

impl XmppSession {
    /// Has a room invite somebody: as ourselves where we are in it, or as the listener where that may do more.
    pub(super) async fn invite(&self, room: &Jid, user: &XmppUser, reason: Option<&str>, key: &IdempotencyKey) -> Said {
        self.listener_in(room).await?;
        let nick = self.shared.with_room(room, |state| state.room.find(user).map(|who| who.nick.clone()));
        if let Some(nick) = nick.flatten() {
            self.shared.is_there(room, user, nick).await;
            return Ok(Delivered::unnamed());
        }
        let Some(whom) = self.shared.address_of(user).await else {
            let why = "nobody knows their address, without which nobody can be invited";
            return Err(SendError::Rejected(Reject::Forbidden(why.to_owned())));
        };
        let is_in = self.shared.with_room(room, |state| state.room.is_in(&self.seat)) == Some(true);
        if is_in && self.seat != SeatId::Listener {
            let said = self.invite_as(&self.seat, room, &whom, reason.map(str::to_owned), key).await;
            match said {
                Ok(Asked::PassedOn) => return Ok(Delivered::unnamed()),
                Ok(Asked::Refused { .. }) | Err(SendError::Rejected(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let through_the_bridge = match &self.seat {
            SeatId::Puppet(user_id) => Some(invites(&self.shared.display_name(user_id), reason)),
            SeatId::Listener => reason.map(str::to_owned),
        };
        match self.invite_as(&SeatId::Listener, room, &whom, through_the_bridge, key).await? {
            Asked::PassedOn => Ok(Delivered::unnamed()),
            Asked::Refused { error, is_open: true }
                if matches!(error.condition, Condition::Forbidden | Condition::NotAllowed) =>
            {
                self.invite_directly(room, &whom, reason, key).await
            }
            Asked::Refused { error, .. } => {
                let why = format!("the room does not pass the invitation on: {error}");
                Err(SendError::Rejected(Reject::Forbidden(why)))
            }
        }
    }

    /// Invites somebody into a room without its help. Nobody tells whether they heard of it.
    async fn invite_directly(&self, room: &Jid, whom: &Jid, reason: Option<&str>, key: &IdempotencyKey) -> Said {
        let from = self.shared.seat_jid(&self.seat).ok_or(SendError::Rejected(Reject::UnknownTarget))?;
        let outlet = self.shared.outlet().ok_or(SendError::Disconnected)?;
        let invite = Element::bare("x", ns::CONFERENCE).with("jid", room.as_str()).with_some("reason", reason);
        let stanza = Element::stanza("message", from.as_str(), whom.as_str(), "").with("id", key.to_string());
        match outlet.send(&stanza.child(invite)).await {
            Ok(()) => Ok(Delivered::unnamed()),
            Err(error) => Err(SendError::Rejected(Reject::Forbidden(error.to_string()))),
        }
    }

    /// The room passes an invitation on without a word, and says only what it refuses. It works what comes from one address in its order
    /// ([RFC 6120 §10.1](https://www.rfc-editor.org/rfc/rfc6120#section-10.1)): what it has not refused before it answers a question that
    /// was put after it, it has passed on.
    async fn invite_as(
        &self,
        seat: &SeatId,
        room: &Jid,
        whom: &Jid,
        reason: Option<String>,
        key: &IdempotencyKey,
    ) -> Result<Asked, SendError> {
        let from = self.shared.seat_jid(seat).ok_or(SendError::Rejected(Reject::UnknownTarget))?;
        let outlet = self.shared.outlet().ok_or(SendError::Disconnected)?;
        let why = reason.map(|reason| Element::bare("reason", ns::MUC_USER).with_text(reason));
        let invite = Element::bare("invite", ns::MUC_USER).with("to", whom.as_str()).child_some(why);
        let id = key.to_string();
        let stanza = Element::stanza("message", from.as_str(), room.as_str(), "").with("id", id.clone());
        let landing = Landing::of(&self.shared, &id);
        let sent = outlet.send(&stanza.child(Element::bare("x", ns::MUC_USER).child(invite))).await;
        sent.map_err(|error| SendError::Rejected(Reject::Forbidden(error.to_string())))?;
        let question = Element::stanza("iq", from.as_str(), room.as_str(), "get");
        let is_open = match self.shared.ask(question.child(Element::bare("query", ns::DISCO_INFO)), ANSWER).await {
            Ok(answer) => is_open(&answer),
            Err(IqError::Refused(_)) => false,
            Err(IqError::Disconnected) => return Err(SendError::MaybeSent("the link went down".to_owned())),
            Err(IqError::Timeout) => return Err(SendError::MaybeSent("the room does not answer".to_owned())),
        };
        match landing.back(Instant::now()).await {
            Back::Said(_) | Back::Silence => Ok(Asked::PassedOn),
            Back::Cut => Err(SendError::MaybeSent("the link went down".to_owned())),
            Back::Refused(error) if error.is_temporary() => Err(rejected(&error)),
            Back::Refused(error) => Ok(Asked::Refused { error, is_open }),
        }
    }
}

/// What a room does about an invitation.
enum Asked {
    PassedOn,
    /// It does not pass it on. Whether anybody may enter it who knows of it.
    Refused {
        error: StanzaError,
        is_open: bool,
    },
}

/// Whether anybody may enter a room, as it says of itself ([XEP-0045 §6.4](https://xmpp.org/extensions/xep-0045.html#disco-roominfo)).
fn is_open(answer: &Element) -> bool {
    let Some(info) = answer.get_child("query", ns::DISCO_INFO) else { return false };
    let is_closing = |var: &str| matches!(var, "muc_membersonly" | "muc_passwordprotected");
    !info.find_all("feature", ns::DISCO_INFO).filter_map(|feature| feature.attr("var")).any(is_closing)
}

impl Shared {
    /// Whom somebody wants in a room is in it, which Matrix does not show: they were put out there alone.
    async fn is_there(&self, room: &Jid, user: &XmppUser, nick: String) {
        let event = Event::Member {
            room: XmppRoom::Muc(room.clone()),
            who: user.clone(),
            name: Some(nick),
            membership: Membership::Join,
            by: None,
            reason: None,
        };
        // A bridge that stops hears of them when it is back.
        let _ = self.tell(event, Dedupe::Never).await;
    }

    /// Somebody whom one of ours invited into a room will not come.
    pub(super) async fn hear_decline(self: &Arc<Self>, declined: Declined) -> Result<(), Closed> {
        let Declined { room, by, reason } = declined;
        if by.domain() == self.own.domain || self.with_room(&room, |_| ()).is_none() {
            return Ok(());
        }
        let event = Event::Declined { room: XmppRoom::Muc(room), who: XmppUser::of_jid(&by), reason };
        self.tell(event, Dedupe::Never).await
    }
}
