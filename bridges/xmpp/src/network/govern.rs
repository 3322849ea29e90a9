//! What changes a room, or what somebody is in it: as whoever wants it, or as the listener where that may do more. That they may do it in
//! Matrix, the homeserver has decided.

use std::time::Duration;

use landbridge::network::{Delivered, IdempotencyKey, Reject, RemoteId as _, SendError};

use super::{
    deliver::{Said, rejected},
    session::XmppSession,
};
use crate::{
    convert::{ids::XmppUser, outgoing::ToBe},
    jid::Jid,
    link::IqError,
    muc::SeatId,
    stanza::{Element, ElementExt as _, ns},
};

/// How long the room may take to say that it changed something.
const CHANGE: Duration = Duration::from_secs(20);

impl XmppSession {
    /// Has a message of somebody else taken out (XEP-0425).
    pub(super) async fn moderate(&self, room: &Jid, target: &str, reason: Option<&str>) -> Said {
        let why = reason.map(|reason| Element::bare("reason", ns::MODERATE_1).with_text(reason));
        let retract = Element::bare("retract", ns::RETRACT_1);
        let new = Element::bare("moderate", ns::MODERATE_1).with("id", target).child(retract).child_some(why);
        let why = reason.map(|reason| Element::bare("reason", ns::MODERATE_0).with_text(reason));
        let retract = Element::bare("retract", ns::RETRACT_0);
        let old = Element::bare("moderate", ns::MODERATE_0).child(retract).child_some(why);
        let old = Element::bare("apply-to", ns::FASTEN).with("id", target).child(old);
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
    pub(super) async fn act(
        &self,
        room: &Jid,
        user: &str,
        to_be: ToBe,
        reason: Option<&str>,
        key: &IdempotencyKey,
    ) -> Said {
        let Some(user) = XmppUser::decode(user) else { return Err(SendError::Rejected(Reject::UnknownTarget)) };
        if to_be == ToBe::Invited {
            return self.invite(room, &user, reason, key).await;
        }
        self.listener_in(room).await?;
        let (nick, real) = self.whereabouts(room, &user);
        let items = changes(to_be, nick.as_deref(), real.as_ref());
        if items.is_empty() {
            // They are not there: then there is nobody to put out.
            return Ok(Delivered::unnamed());
        }
        for (name, value, (by, whom)) in items {
            let why = reason.map(|reason| Element::bare("reason", ns::MUC_ADMIN).with_text(reason));
            let item = Element::bare("item", ns::MUC_ADMIN).with(name, value).with(by, whom).child_some(why);
            self.as_anybody(room, &Element::bare("query", ns::MUC_ADMIN).child(item)).await?;
        }
        Ok(Delivered::unnamed())
    }

    /// Gives a room another name: one field of its configuration, which only its owners may change
    /// ([XEP-0045 §10.2](https://xmpp.org/extensions/xep-0045.html#roomconfig)).
    pub(super) async fn name_room(&self, room: &Jid, name: &str) -> Said {
        self.listener_in(room).await?;
        let form = Element::form("submit").field("FORM_TYPE", ns::MUC_CONFIG).field("muc#roomconfig_roomname", name);
        self.as_anybody(room, &Element::bare("query", ns::MUC_OWNER).child(form)).await?;
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
