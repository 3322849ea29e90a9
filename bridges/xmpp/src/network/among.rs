//! What several of us say in a room at once, each on the one link, none waiting for the one before to come back.

use std::sync::Arc;

use futures_util::{FutureExt as _, future::ready};
use landbridge::network::{Confirmation, IdempotencyKey, Reject, RemoteOp, SendError};
use tokio::time::Instant;

use super::{
    XmppNetwork,
    deliver::{REFLECTION, Said},
    landing::{Back, Landing},
    session::XmppSession,
    stanzas::message,
};
use crate::{
    convert::{
        ids::XmppRoom,
        outgoing::{Say, Wire},
    },
    jid::Jid,
    muc::SeatId,
    stanza::{Condition, ElementExt as _},
};

/// What is told together with others, and who says it.
pub(super) type Telling = (Arc<XmppSession>, RemoteOp<XmppNetwork>, IdempotencyKey);

/// Says the first of several things that are plain messages, by somebody who has a seat in the room: a server works what comes over one
/// stream in its order ([RFC 6120 §10.1](https://www.rfc-editor.org/rfc/rfc6120#section-10.1)). Gives what becomes of each; what is
/// left, beginning with what needs more than that, has its turn after them.
pub(super) async fn say_all(ops: &[Telling]) -> Vec<Confirmation<XmppNetwork>> {
    let mut on_their_way = Vec::with_capacity(ops.len());
    for (by, op, key) in ops {
        let (XmppRoom::Muc(room), Some(say)) = (&op.room, plain(op)) else { break };
        let Some(from) = by.seated(room) else { break };
        let Some(outlet) = by.shared.outlet() else { break };
        let landing = Landing::of(&by.shared, &say.id);
        let mut stanza = message(&say, None, key, room.as_str(), true);
        stanza.set("from", from.as_str());
        let confirmation = match outlet.send(&stanza).await {
            Err(error) => ready(Err(SendError::Rejected(Reject::Forbidden(error.to_string())))).boxed(),
            Ok(()) => {
                let (by, room, until) = (Arc::clone(by), room.clone(), Instant::now() + REFLECTION);
                async move { by.in_its_turn(&room, landing.back(until).await).await }.boxed()
            }
        };
        on_their_way.push(confirmation);
    }
    on_their_way
}

impl XmppSession {
    /// Our address, if we have a seat in a room, and a voice, and the listener a seat too.
    fn seated(&self, room: &Jid) -> Option<Jid> {
        let all_in =
            self.shared.with_room(room, |state| state.room.is_in(&SeatId::Listener) && state.room.is_in(&self.seat));
        self.shared.seat_jid(&self.seat).filter(|_| all_in == Some(true) && !self.is_voiceless(room))
    }

    /// What became of something that went out with others.
    async fn in_its_turn(&self, room: &Jid, back: Back) -> Said {
        match back {
            Back::Refused(error) if error.condition == Condition::NotAcceptable => {
                // We were not in the room, whatever we thought: it is said again, in its turn.
                self.shared.with_room(room, |state| state.room.lost(&self.seat));
                Err(SendError::Disconnected)
            }
            back => self.came_back(room, &self.seat, back, false).await,
        }
    }
}

/// A message that brings no file, which would have to be stored first.
fn plain(op: &RemoteOp<XmppNetwork>) -> Option<Say> {
    match Wire::decode(&op.wire) {
        Ok(Wire::Say(say)) if say.file.is_none() => Some(say),
        _ => None,
    }
}
