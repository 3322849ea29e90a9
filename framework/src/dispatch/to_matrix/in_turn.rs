//! Plain messages, sent one behind the other without waiting for their answers, where the homeserver keeps them in order all the same.

use std::{collections::VecDeque, sync::Arc};

use futures_util::{StreamExt as _, stream::FuturesOrdered};
use landbridge_axum_ruma::{Turn, Turns};
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, RoomId};
use serde_json::Value as Json;

use super::{Place, Said, ToMatrix};
use crate::{
    bridge::content,
    clock::Millis,
    dispatch::from_remote::Saying,
    network::{MatrixOpKind, Network, op::MatrixOp},
    store::{Change, OutboxRow},
};

/// A message that refers to no other, and so need not wait until what became of others is stored.
struct Plain {
    row: Arc<OutboxRow>,
    room_id: OwnedRoomId,
    as_user: OwnedUserId,
    content: Json,
    at: Option<Millis>,
}

/// What became of a plain message.
enum Landed {
    /// It is in the room.
    Said(OwnedEventId),
    /// It came back to us before its answer: its row is closed.
    Echoed,
    /// It was refused, or one before it was: it is worked alone.
    No,
}

impl<N: Network> ToMatrix<N> {
    /// Sends the first rows without waiting for each answer, as far as they are plain messages and the homeserver takes turns. Says how
    /// many are done: those before the first that was refused. `None` when the store is closed.
    pub(super) async fn deliver_in_turn(&self, rows: &VecDeque<Arc<OutboxRow>>) -> Option<usize> {
        if rows.len() < 2 || !self.parts.homeserver.takes_turns() {
            return Some(0);
        }
        let plain = self.plain_ones(rows).await;
        if plain.len() < 2 {
            return Some(0);
        }
        // One for all: each of several lanes that waits for the rest of its permits would wait for the others.
        let _permit = self.permits.acquire().await;
        let mut turns = Turns::default();
        let mut flights: FuturesOrdered<_> = plain.iter().map(|plain| self.fly(plain, turns.next_turn())).collect();
        let mut change = Change::default();
        let mut done = 0;
        for plain in &plain {
            match flights.next().await {
                Some(Landed::Said(event_id)) => change.merge(self.closing(&plain.row, Said::event(event_id))),
                Some(Landed::Echoed) => {}
                Some(Landed::No) | None => break,
            }
            done += 1;
        }
        if !change.outbox_done.is_empty() {
            // Not waited for: what is forgotten in a crash is said again under the same transaction ids.
            self.parts.store.later(change, self.parts.options.first_wait).await.ok()?;
            self.parts.kill.pass("matrix.committed").await;
        }
        Some(done)
    }

    /// The first rows, as far as they are plain messages of virtual users who are in the room.
    async fn plain_ones(&self, rows: &VecDeque<Arc<OutboxRow>>) -> Vec<Plain> {
        let mut plain = Vec::with_capacity(rows.len());
        for row in rows {
            match self.plain(row, plain.is_empty()).await {
                Some(one) => plain.push(one),
                None => break,
            }
        }
        plain
    }

    /// A row as a plain message, if it is one. Only the first may still have to be brought into the room.
    async fn plain(&self, row: &Arc<OutboxRow>, first: bool) -> Option<Plain> {
        let saying: Saying<N::User, N::Message> = serde_json::from_str(&row.op).ok()?;
        let Saying::Op(MatrixOp { sender, kind: MatrixOpKind::Send { body, reply_to: None, .. }, at }) = saying else {
            return None;
        };
        // A file may still have to be fetched, which may take long.
        if !body.media.is_empty() {
            return None;
        }
        let room_id = RoomId::parse(&row.room_id).ok()?;
        if self.parts.mappings.is_moving(&room_id) || self.parts.mappings.moved(&room_id).is_some() {
            return None;
        }
        let as_user = match &sender {
            None => self.spokesman(&room_id),
            Some(user) if first || self.members.is_actual(&room_id, user) => {
                self.members.ensure_joined(&room_id, user).await.ok()?
            }
            Some(_) => return None,
        };
        let content = content::message(self.localised(&body), None, &row.idem);
        Some(Plain { row: Arc::clone(row), room_id, as_user, content, at })
    }

    async fn fly(&self, plain: &Plain, turn: Turn) -> Landed {
        let Plain { row, room_id, as_user, content, at } = plain;
        self.parts.kill.pass("matrix.started").await;
        let mut watch = self.parts.lanes.under_way.watch(&row.idem);
        let place = Place { room_id, key: &row.idem, turn: Some(&turn) };
        tokio::select! {
            biased;
            Ok(_) = &mut watch.echo => Landed::Echoed,
            sent = self.send(as_user, "m.room.message", content, &place, *at) => match sent {
                Ok(event_id) => {
                    self.parts.kill.pass("matrix.delivered").await;
                    Landed::Said(event_id)
                }
                Err(error) => {
                    tracing::debug!(seq = row.seq, %error, "not sent in its turn");
                    Landed::No
                }
            },
        }
    }
}
