//! Presence between people: who may see whom, how Matrix users are shown, and how people on XMPP are.
//!
//! Who sees whom is noted, because the servers of both sides remember it, too: after a restart nobody has to ask again.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use landbridge::network::{Ephemeral, EphemeralKind, Presence, SessionId, host::Closed};
use parking_lot::Mutex;
use ruma::{OwnedUserId, UserId};

use super::{
    XmppNetwork, answers,
    avatars::{Kept, Portrayed},
    shared::Shared,
};
use crate::{
    convert::ids::XmppUser,
    jid::Jid,
    muc::SeatId,
    stanza::{Element, ElementExt as _, ns},
};

/// How many people's presence is remembered, on either side; at the bound, all is forgotten.
const MOST_PEOPLE: usize = 20_000;
/// The topic of the notes of whom Matrix users see: a Matrix user and an address each.
const SEEN: &str = "sees";
/// The topic of the notes of how Matrix users are: of those whom somebody sees.
const SHOWN: &str = "presence";
/// What a note says that only has to be there.
const NOTED: &str = "1";

/// How people are, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Presences {
    /// The sessions from which somebody is available to one of ours.
    available: Mutex<HashMap<(OwnedUserId, Jid), BTreeSet<String>>>,
    /// How Matrix users are.
    ours: Mutex<HashMap<OwnedUserId, (Presence, Option<String>)>>,
}

impl Presences {
    /// The link is gone: nobody's presence is known.
    pub(super) fn unlinked(&self) {
        self.available.lock().clear();
    }

    /// One more, or one less, session of somebody is available; what they are now.
    fn available(&self, of: (OwnedUserId, Jid), resource: &str, available: bool) -> bool {
        let mut all = self.available.lock();
        if all.len() >= MOST_PEOPLE {
            all.clear();
        }
        let sessions = all.entry(of.clone()).or_default();
        if available {
            sessions.insert(resource.to_owned());
        } else {
            sessions.remove(resource);
        }
        let any = !sessions.is_empty();
        if !any {
            all.remove(&of);
        }
        any
    }
}

impl Shared {
    /// Presence between people: subscriptions are granted and returned, probes of who is subscribed answered
    /// ([RFC 6121 §4.3.2](https://www.rfc-editor.org/rfc/rfc6121#section-4.3.2)).
    pub(super) async fn hear_person(self: &Arc<Self>, stanza: &Element, from: &Jid, to: &Jid) {
        if from.domain() == self.own.domain {
            return;
        }
        let (ours, theirs) = (to.bare(), from.bare());
        let reply = |kind: &str| self.send_lossy(&Element::stanza("presence", ours.as_str(), theirs.as_str(), kind));
        let Some(seat) = self.seat_of(to) else {
            self.refuse_for_nobody(stanza, from, to);
            return;
        };
        match stanza.kind() {
            "subscribe" => {
                // Their server remembers what it is told: so do we, before.
                self.note_subscriber(&seat, &theirs, NOTED).await;
                reply("subscribed");
                self.show_presence(&seat, &theirs);
                if matches!(seat, SeatId::Puppet(_)) {
                    reply("subscribe");
                }
            }
            "subscribed" => self.note_seen(&seat, &theirs, NOTED).await,
            "unsubscribe" => {
                self.note_subscriber(&seat, &theirs, "").await;
                reply("unsubscribed");
                reply("unavailable");
            }
            "unsubscribed" => self.note_seen(&seat, &theirs, "").await,
            "probe" => match self.host.note(&subscribers_of(&seat), theirs.as_str()).await {
                Ok(Some(_)) => self.show_presence(&seat, &theirs),
                // Their server takes them for a subscriber, and may forget that (RFC 6121 §4.3.2).
                Ok(None) if self.is_person(stanza, from) => reply("unsubscribed"),
                // Whoever stops does not know, and says nothing that would end a subscription.
                Ok(None) | Err(Closed) => {}
            },
            "" | "unavailable" => self.note_presence(stanza, from, &seat),
            _ => {}
        }
    }

    /// Notes that somebody sees one of ours, or (an empty text) does so no more.
    async fn note_subscriber(&self, seat: &SeatId, theirs: &Jid, text: &str) {
        // What is not kept is told in the log; then they have to ask again.
        let _ = self.host.set_note(&subscribers_of(seat), theirs.as_str(), text).await;
    }

    /// Notes that a Matrix user sees somebody, or (an empty text) does so no more.
    async fn note_seen(&self, seat: &SeatId, theirs: &Jid, text: &str) {
        if let SeatId::Puppet(user_id) = seat {
            let _ = self.host.set_note(SEEN, &format!("{user_id} {theirs}"), text).await;
        }
    }

    /// How Matrix users were when it was told last, also by an earlier life of the bridge.
    pub(super) async fn recall_presence(&self) {
        for (user_id, noted) in self.host.notes(SHOWN).await.unwrap_or_default() {
            let known = UserId::parse(user_id).ok().zip(serde_json::from_str(&noted).ok());
            if let Some((user_id, known)) = known {
                self.presences.ours.lock().entry(user_id).or_insert(known);
            }
        }
    }

    /// Asks how everybody is whom a Matrix user sees: what was told while there was no link is lost.
    pub(super) async fn probe_all(self: Arc<Self>) {
        for (pair, _) in self.host.notes(SEEN).await.unwrap_or_default() {
            let Some((user_id, theirs)) = pair.split_once(' ') else { continue };
            let ours = UserId::parse(user_id).ok().and_then(|user_id| self.own.jid(&user_id));
            let (Some(ours), Some(outlet)) = (ours, self.outlet()) else { continue };
            let _ = outlet.send(&Element::stanza("presence", ours.as_str(), theirs, "probe")).await;
        }
    }

    /// Shows a Matrix user to somebody, as they are; where that is not known, as there.
    pub(super) fn show_presence(&self, seat: &SeatId, to: &Jid) {
        let Some(jid) = self.seat_jid(seat) else { return };
        let known = match seat {
            SeatId::Puppet(user_id) => self.presences.ours.lock().get(user_id).cloned(),
            SeatId::Listener => None,
        };
        let (presence, status) = known.unwrap_or((Presence::Online, None));
        let text = |name, text: String| Element::bare(name, ns::COMPONENT).with_text(text);
        let status = status.map(|status| text("status", status));
        if presence == Presence::Offline {
            let gone = Element::stanza("presence", jid.as_str(), to.as_str(), "unavailable");
            self.send_lossy(&gone.child_some(status));
            return;
        }
        let away = (presence == Presence::Unavailable).then(|| text("show", "away".to_owned()));
        let name = Element::bare("nick", ns::NICK).with_text(self.name_of(seat));
        let stanza = Element::stanza("presence", jid.as_str(), to.as_str(), "");
        let stanza = stanza.child_some(away).child_some(status).child(name).child(answers::caps());
        self.send_lossy(&stanza.child_some(self.portraits.update(seat)));
    }

    /// A Matrix user came, went or was away: those who are subscribed are told.
    pub(super) async fn present(&self, event: &Ephemeral<XmppNetwork>) {
        let EphemeralKind::Presence { presence, status } = &event.kind else { return };
        let status = status.as_ref().map(|status| status.chars().take(200).collect());
        let now = (*presence, status);
        {
            let mut ours = self.presences.ours.lock();
            if ours.get(&event.user_id) == Some(&now) {
                return;
            }
            if ours.len() >= MOST_PEOPLE {
                ours.clear();
            }
            ours.insert(event.user_id.clone(), now.clone());
        }
        let seat = SeatId::Puppet(event.user_id.clone());
        let subscribers = self.host.notes(&subscribers_of(&seat)).await.unwrap_or_default();
        if !subscribers.is_empty() {
            let noted = serde_json::to_string(&now).unwrap_or_default();
            let _ = self.host.set_note(SHOWN, event.user_id.as_str(), &noted).await;
        }
        for (theirs, _) in subscribers {
            if let Some(theirs) = Jid::parse(&theirs) {
                self.show_presence(&seat, &theirs);
            }
        }
    }

    fn note_presence(self: &Arc<Self>, stanza: &Element, from: &Jid, seat: &SeatId) {
        let (SeatId::Puppet(user_id), Some(resource)) = (seat, from.resource()) else { return };
        if let Some(hash) = crate::muc::Presence::read(stanza).avatar {
            let of = Portrayed { user: XmppUser::of_jid(from), asker: seat.clone(), at: from.bare() };
            self.note_picture(of, hash, Kept::Card);
        }
        let here = stanza.kind().is_empty();
        let any = self.presences.available((user_id.clone(), from.bare()), resource, here);
        let away = matches!(stanza.own_text("show").as_deref(), Some("away" | "xa" | "dnd"));
        let presence = match (any, here && away) {
            (false, _) => Presence::Offline,
            (true, true) => Presence::Unavailable,
            (true, false) => Presence::Online,
        };
        let status = stanza.own_text("status").map(|status| status.chars().take(200).collect());
        self.host.presence(&SessionId::User(user_id.clone()), XmppUser::of_jid(from), presence, status);
    }
}

/// The topic of the notes of who sees one of ours.
fn subscribers_of(seat: &SeatId) -> String {
    match seat {
        SeatId::Puppet(user_id) => format!("seen by {user_id}"),
        // No Matrix id is so.
        SeatId::Listener => "seen by the bridge".to_owned(),
    }
}
