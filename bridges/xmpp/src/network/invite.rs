//! Asking people into rooms, and what they answer ([XEP-0045 §7.8.2](https://xmpp.org/extensions/xep-0045.html#invite-mediated)).

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
    stanza::{Element, ElementExt as _, ns},
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
            if !matches!(said, Err(SendError::Rejected(_))) {
                return said;
            }
        }
        let reason = match &self.seat {
            SeatId::Puppet(user_id) => Some(invites(&self.shared.display_name(user_id), reason)),
            SeatId::Listener => reason.map(str::to_owned),
        };
        self.invite_as(&SeatId::Listener, room, &whom, reason, key).await
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
    ) -> Said {
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
        match self.shared.ask(question.child(Element::bare("query", ns::DISCO_INFO)), ANSWER).await {
            Ok(_) | Err(IqError::Refused(_)) => {}
            Err(IqError::Disconnected) => return Err(SendError::MaybeSent("the link went down".to_owned())),
            Err(IqError::Timeout) => return Err(SendError::MaybeSent("the room does not answer".to_owned())),
        }
        match landing.back(Instant::now()).await {
            Back::Said(_) | Back::Silence => Ok(Delivered::unnamed()),
            Back::Cut => Err(SendError::MaybeSent("the link went down".to_owned())),
            Back::Refused(error) if error.is_temporary() => Err(rejected(&error)),
            Back::Refused(error) => {
                let why = format!("the room does not pass the invitation on: {error}");
                Err(SendError::Rejected(Reject::Forbidden(why)))
            }
        }
    }
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
