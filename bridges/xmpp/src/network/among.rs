//! What several of us say in a room at once, each on the one link, none waiting for the one before to come back.

use std::sync::Arc;

use futures_util::{FutureExt as _, future::ready};
use landbridge::network::{Confirmation, IdempotencyKey, Reject, RemoteOp, SendError};
use tokio::{sync::oneshot, time::Instant};

use super::{
    XmppNetwork,
    deliver::{REFLECTION, Said, delivered},
    session::XmppSession,
    shared::Shared,
    stanzas::message,
};
use crate::{
    convert::{
        ids::XmppRoom,
        outgoing::{Say, Wire},
    },
    jid::Jid,
    stanza::{Condition, StanzaError},
};

/// What is told together with others, and who says it.
pub(super) type Telling = (Arc<XmppSession>, RemoteOp<XmppNetwork>, IdempotencyKey);

/// A message of ours on its way to its room and back. Dropped, nobody waits for it any more.
struct Landing {
    shared: Arc<Shared>,
    id: String,
    back: oneshot::Receiver<Result<Option<String>, StanzaError>>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.shared.give_up_landing(&self.id);
    }
}

/// Says the first of several things that are plain messages, by somebody who has a seat in the room: a server works what comes over one
/// stream in its order ([RFC 6120 §10.1](https://www.rfc-editor.org/rfc/rfc6120#section-10.1)). Gives what becomes of each; what is
/// left, beginning with what needs more than that, has its turn after them.
pub(super) async fn say_all(ops: &[Telling]) -> Vec<Confirmation<XmppNetwork>> {
    let mut on_their_way = Vec::with_capacity(ops.len());
    for (by, op, key) in ops {
        let (XmppRoom::Muc(room), Some(say)) = (&op.room, plain(op)) else { break };
        let Some(from) = by.seated(room) else { break };
        let Some(outlet) = by.shared.outlet() else { break };
        let back = by.shared.await_landing(&say.id);
        let mut landing = Landing { shared: Arc::clone(&by.shared), id: say.id.clone(), back };
        let mut stanza = message(&say, None, key, room.as_str(), true);
        stanza.set("from", from.as_str());
        let confirmation = match outlet.send(&stanza).await {
            Err(error) => ready(Err(SendError::Rejected(Reject::Forbidden(error.to_string())))).boxed(),
            Ok(()) => {
                let (by, room, until) = (Arc::clone(by), room.clone(), Instant::now() + REFLECTION);
                async move { by.came_back(&room, tokio::time::timeout_at(until, &mut landing.back).await) }.boxed()
            }
        };
        on_their_way.push(confirmation);
    }
    on_their_way
}

impl XmppSession {
    /// Our address, if we have a seat in a room, and the listener too.
    fn seated(&self, room: &Jid) -> Option<Jid> {
        let all_in = self
            .shared
            .with_room(room, |state| state.room.is_in(&crate::muc::SeatId::Listener) && state.room.is_in(&self.seat));
        self.shared.seat_jid(&self.seat).filter(|_| all_in == Some(true))
    }

    /// What became of something that was said in a room.
    fn came_back(
        &self,
        room: &Jid,
        back: Result<
            Result<Result<Option<String>, StanzaError>, oneshot::error::RecvError>,
            tokio::time::error::Elapsed,
        >,
    ) -> Said {
        match back {
            Ok(Ok(Ok(archive))) => Ok(delivered(archive)),
            Ok(Ok(Err(error))) if error.condition == Condition::NotAcceptable => {
                // We were not in the room, whatever we thought: it is said again, in its turn.
                self.shared.with_room(room, |state| state.room.lost(&self.seat));
                Err(SendError::Disconnected)
            }
            Ok(Ok(Err(error))) => Err(self.refused(room, &error)),
            Ok(Err(_)) => Err(SendError::MaybeSent("the link went down".to_owned())),
            Err(_) => Err(SendError::MaybeSent("the room did not send it back".to_owned())),
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
