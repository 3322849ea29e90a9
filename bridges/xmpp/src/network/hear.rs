//! What the link brings, in its order.

use std::{sync::Arc, time::Duration};

use landbridge::network::host::Closed;

use super::shared::{RoomState, Shared};
use crate::{
    convert::{
        ids::XmppRoom,
        incoming::{self, Invitation},
    },
    jid::Jid,
    muc::{Out, SeatId, SeatState},
    stanza::{Element, ElementExt as _, ns},
};

impl Shared {
    /// Whether a stanza is looked at at all, by its head. Each of our seats gets a copy of everything in a room: only the listener's
    /// counts, and of the others' what concerns themselves.
    pub(super) fn wants(&self, head: &Element) -> bool {
        let is_copy = match (head.name(), head.kind()) {
            ("message", kind) => kind == "groupchat",
            ("presence", kind) => kind.is_empty() || kind == "unavailable",
            _ => false,
        };
        if !is_copy {
            return true;
        }
        let (Some(from), Some(to)) = (head.from(), head.to()) else { return true };
        let Some(seat @ SeatId::Puppet(_)) = self.seat_of(&to) else { return true };
        let rooms = self.rooms.lock();
        let Some(state) = rooms.get(&from.bare()) else { return true };
        match state.room.seat(&seat) {
            None => false,
            Some(known) => {
                from.resource() == Some(known.nick.as_str())
                    || (head.name() == "presence" && matches!(known.state, SeatState::Joining { .. }))
            }
        }
    }

    /// Takes in one stanza, whoever it is for.
    ///
    /// # Errors
    /// [`Closed`] when the framework is stopping: what was heard was not kept.
    pub(super) async fn take_in(self: &Arc<Self>, stanza: Element, from: &Jid, to: &Jid) -> Result<(), Closed> {
        match stanza.name() {
            "iq" => {
                self.hear_iq(&stanza, from, to);
                Ok(())
            }
            "presence" => self.hear_presence(stanza, from, to).await,
            "message" => self.hear_message(stanza, from, to).await,
            _ => Ok(()),
        }
    }

    fn hear_iq(self: &Arc<Self>, stanza: &Element, from: &Jid, to: &Jid) {
        match stanza.kind() {
            "result" | "error" => {
                self.iqs.answered(stanza);
            }
            "get" | "set" => self.answer(stanza, from, to),
            _ => {}
        }
    }

    async fn hear_presence(self: &Arc<Self>, stanza: Element, from: &Jid, to: &Jid) -> Result<(), Closed> {
        let room = from.bare();
        if let Some(seat) = self.seat_of(to)
            && let Some((out, is_other_role)) = self.with_room(&room, |state| {
                let role = |state: &RoomState| state.room.seat(&seat).map(|seat| seat.role);
                let before = role(state);
                let out = state.room.presence_came(&stanza, &seat);
                (out, role(state) != before)
            })
        {
            if is_other_role {
                self.roles.send_replace(());
            }
            return self.perform(&room, out).await;
        }
        self.hear_person(&stanza, from, to).await;
        Ok(())
    }

    async fn hear_message(self: &Arc<Self>, stanza: Element, from: &Jid, to: &Jid) -> Result<(), Closed> {
        if let Some(result) = stanza.get_child("result", ns::MAM) {
            // Pages of an archive go to who asked for them.
            if let Some(query) = result.attr("queryid") {
                self.iqs.collect(query, from, result.clone(), 500);
            }
            return Ok(());
        }
        let Some(seat) = self.seat_of(to) else {
            self.refuse_for_nobody(&stanza, from, to);
            return Ok(());
        };
        if let Some(declined) = incoming::declined(&stanza) {
            return self.hear_decline(declined).await;
        }
        match (&seat, incoming::invitation(&stanza)) {
            (SeatId::Puppet(user_id), Some(invitation)) => return self.hear_invitation(user_id, invitation).await,
            (SeatId::Listener, Some(invitation)) => {
                self.is_called_back(invitation).await;
                return Ok(());
            }
            (_, None) => {}
        }
        let room = from.bare();
        let came = self.with_room(&room, |state| {
            if stanza.kind() == "groupchat"
                && seat == SeatId::Listener
                && let Some(held) = &mut state.held
            {
                if held.stanzas.len() < super::shared::MOST_HELD {
                    held.stanzas.push(stanza.clone());
                } else {
                    held.overflown = true;
                }
                return Vec::new();
            }
            if seat == SeatId::Listener || stanza.kind() != "groupchat" {
                self.note_signs(state, &stanza, from);
            }
            state.room.message_came(&stanza, &seat)
        });
        match came {
            Some(out) => self.perform(&room, out).await,
            None if stanza.kind() == "groupchat" => {
                self.leave_unmapped(room, seat);
                Ok(())
            }
            None => self.hear_direct(stanza, from, &seat).await,
        }
    }

    /// Somebody wants the bridge back in a room that it was put out of. Only the room can say that they may invite.
    async fn is_called_back(self: &Arc<Self>, invitation: Invitation) {
        let Invitation { room, direct: false, .. } = invitation else { return };
        let called =
            self.with_room(&room, |state| state.wanted && state.room.state_of(&SeatId::Listener) == SeatState::Out);
        if called == Some(true) {
            self.is_wanted_back(&room).await;
            self.return_soon(room, Duration::ZERO);
        }
    }

    /// Has the listener in a room again, after a while.
    pub(super) fn return_soon(self: &Arc<Self>, room: Jid, wait: Duration) {
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            if let Err(error) = shared.be_in(&room, &SeatId::Listener).await {
                tracing::info!(remote.room = %room, %error, "the room cannot be entered again yet");
            }
        });
    }

    /// A room that is not bridged tells a Matrix user what is said in it: an earlier life of the bridge left them there.
    fn leave_unmapped(self: &Arc<Self>, room: Jid, seat: SeatId) {
        let (Some(ours), Some(to), SeatId::Puppet(user_id)) =
            (self.seat_jid(&seat), room.with_resource(&self.name_of(&seat)), seat)
        else {
            return;
        };
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let Ok(mapped) = shared.host.rooms().await else { return };
            if !mapped.contains(&XmppRoom::Muc(room)) {
                tracing::info!(user.id = %user_id, remote.room = %to.bare(), "a seat in a room that is not bridged is left");
                shared.send_lossy(&Element::stanza("presence", ours.as_str(), to.as_str(), "unavailable"));
            }
        });
    }

    /// Does what follows from a stanza of a room.
    ///
    /// # Errors
    /// [`Closed`] when the framework is stopping.
    pub(super) async fn perform(self: &Arc<Self>, room: &Jid, out: Vec<Out>) -> Result<(), Closed> {
        for one in out {
            match one {
                Out::Send(stanza) => {
                    if let Some(outlet) = self.outlet() {
                        let _ = outlet.send(&stanza).await;
                    }
                }
                Out::Settled(seat, result) => {
                    self.settle(room, &seat, &result);
                    if result.is_ok() {
                        self.show_portrait(&seat);
                    }
                }
                Out::Lost(seat, gone) => self.seat_lost(room, seat, gone).await?,
                Out::Reflected { id, archive } => self.landed(&id, Ok(archive)),
                Out::TopicSet => {
                    if let Some(id) = self.with_room(room, |state| state.topic_sent.clone()).flatten() {
                        self.landed(&id, Ok(None));
                    }
                }
                Out::Bounced { id, by_room, error } => {
                    // What somebody in the room refuses was said to them alone.
                    if by_room || self.people.has_sent(&id) {
                        self.refused(&id, error, None).await?;
                    }
                }
                Out::GivenUp { nick, generation } => self.note_nick(room, &nick, generation).await,
                Out::Happened(happening) => self.carry(room, happening).await?,
            }
        }
        Ok(())
    }
}
