//! Network → Matrix: what a session heard becomes what Matrix is to be told.

use serde::{Deserialize, Serialize};

use ruma::OwnedEventId;

use super::{
    convert::{Converter, Kept, NotConverted, guarded},
    keys::key,
};
use crate::{
    bridge::{
        content,
        mappings::{RoomMapping, remote_lane},
        rooms::RoomError,
    },
    network::{Direction, MatrixOp, MatrixOpKind, Network, RemoteEvent, RemoteId, RoomKind, SessionId, event, op},
    store::{Change, InboxRow, Memory, OutboxRow},
};

/// What the outbox towards Matrix holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Saying<U, M> {
    /// What the network had to say.
    Op(op::MatrixOp<U, M>),
    /// What the bridge has to say to somebody.
    Answer {
        /// To what.
        to: Option<OwnedEventId>,
        /// What.
        text: String,
    },
    /// What became of a message, for programs.
    Status(serde_json::Value),
}

impl<N: Network> Converter<N> {
    pub(super) async fn convert_from_remote(&self, row: &InboxRow, kept: &mut Kept<N>) -> Result<Change, NotConverted> {
        let event: RemoteEvent<N> = serde_json::from_str(&row.body)
            .map_err(|error| NotConverted::Park(format!("the stored event cannot be read: {error}"), Box::default()))?;
        let mapping = match self.parts.mappings.by_remote(event.room()) {
            Some(mapping) if !mapping.deserted => mapping,
            known => match (&event, self.parts.network.room_kind(event.room())) {
                (event::RemoteEvent::Message { name, .. }, RoomKind::Direct { owner, with }) => {
                    self.rooms.direct(event.room(), &owner, &with, name.as_deref()).await.map_err(not_made)?
                }
                _ => match known {
                    Some(mapping) => mapping,
                    // It is mapped no longer, or is nothing that a conversation begins with.
                    None => return Ok(Change::default()),
                },
            },
        };
        self.said(&event, &mapping, row, kept).await
    }

    /// What a message becomes in a room that is there.
    pub(super) async fn decide_from_remote(&self, row: &InboxRow, kept: &mut Kept<N>) -> Option<Change> {
        // Without a mark, it is its place in the order that tells it from others, and it has none yet.
        let event: RemoteEvent<N> = serde_json::from_str(&row.body).ok().filter(|_| !row.mark.is_empty())?;
        let is_message = matches!(event, event::RemoteEvent::Message { .. });
        let mapping = self.parts.mappings.by_remote(event.room()).filter(|mapping| is_message && !mapping.deserted)?;
        self.said(&event, &mapping, row, kept).await.ok()
    }

    /// What something heard becomes in its room.
    async fn said(
        &self,
        event: &RemoteEvent<N>,
        mapping: &RoomMapping<N::Room>,
        row: &InboxRow,
        kept: &mut Kept<N>,
    ) -> Result<Change, NotConverted> {
        self.context(mapping, &SessionId::Relay, kept).await;
        let ops = match guarded(|| self.parts.network.to_matrix(event, &kept.context)) {
            Ok(Ok(ops)) => ops,
            Ok(Err(reject)) => {
                tracing::debug!(remote.room = ?mapping.remote, %reject, "something heard is not carried over");
                return Ok(Change::default());
            }
            Err(panic) => return Err(NotConverted::Park(format!("the conversion panicked: {panic}"), Box::default())),
        };
        let mut change = Change::default();
        let name = name_in::<N>(event);
        if let event::RemoteEvent::Message { sender, name: Some(name), .. } = event {
            self.members.named(&mapping.room_id, sender, name);
        }
        for op in ops.into_iter().flat_map(one_event_each::<N>) {
            let part = change.outbox.len();
            change.outbox.push(self.matrix_row(row, mapping, op, name, part).await?);
        }
        Ok(change)
    }

    async fn matrix_row(
        &self,
        row: &InboxRow,
        mapping: &RoomMapping<N::Room>,
        op: MatrixOp<N>,
        name: Option<&str>,
        part: usize,
    ) -> Result<OutboxRow, NotConverted> {
        let sender = match &op.sender {
            Some(user) => self.parts.names.user_id(&*self.parts.network, user).ok_or_else(|| {
                NotConverted::Park("the sender's name is too long for a Matrix user".to_owned(), Box::default())
            })?,
            None => self.rooms.spokesman(mapping),
        };
        let from = if row.mark.is_empty() { format!("{}@{}", row.seq, row.at) } else { row.mark.clone() };
        let idem =
            key(&[&self.parts.bridge, "matrix", sender.as_str(), mapping.room_id.as_str(), &from, &part.to_string()]);
        let memory = self.memory(mapping, &op, name, sender.as_str(), part).await?;
        let saying: Saying<N::User, N::Message> = Saying::Op(op);
        Ok(OutboxRow {
            seq: 0,
            lane: remote_lane(&mapping.remote),
            direction: Direction::ToMatrix,
            session: String::new(),
            idem: idem.to_string(),
            room_id: mapping.room_id.to_string(),
            op: json(&saying)?,
            source: None,
            memory: memory.as_ref().map(json).transpose()?,
            claimed: false,
            attempts: 0,
            last_error: None,
            at: row.at,
            fresh: false,
        })
    }

    /// What is to be remembered of an operation once Matrix has it.
    async fn memory(
        &self,
        mapping: &RoomMapping<N::Room>,
        op: &MatrixOp<N>,
        name: Option<&str>,
        sender: &str,
        part: usize,
    ) -> Result<Option<Memory>, NotConverted> {
        let author_name = || match (&op.sender, name) {
            (_, Some(name)) => name.to_owned(),
            (Some(user), None) => self.members.name(&mapping.room_id, user).unwrap_or_else(|| user.encode()),
            (None, None) => N::INFO.name.to_owned(),
        };
        let memory = Memory {
            part: i64::try_from(part).unwrap_or(i64::MAX),
            author: op.sender.as_ref().map(RemoteId::encode),
            author_name: author_name(),
            sender: sender.to_owned(),
            ..Memory::default()
        };
        Ok(match &op.kind {
            MatrixOpKind::Send { body, id, .. } => {
                // What one message became keeps its order: the first of it is what a correction changes.
                let excerpt = content::excerpt(&body.text);
                let (remote_id, also) = (id.as_ref().map(RemoteId::encode), id.as_ref().and_then(RemoteId::also));
                Some(Memory { remote_id, also, excerpt, ..memory })
            }
            MatrixOpKind::React { target, key, on: true } => {
                let target = self.parts.store.message_by_remote(mapping.room_id.as_str(), &target.encode()).await?;
                let target = target.into_iter().next().map(|row| row.event_id);
                Some(Memory { part: 0, reaction: Some(key.clone()), target, ..memory })
            }
            _ => None,
        })
    }
}

/// Files travel in events of their own.
fn one_event_each<N: Network>(op: MatrixOp<N>) -> Vec<MatrixOp<N>> {
    let op::MatrixOp { sender, kind, at } = op;
    let MatrixOpKind::Send { body, mut reply_to, id } = kind else { return vec![op::MatrixOp { sender, kind, at }] };
    let bodies = content::split(body).into_iter();
    bodies
        .map(|body| {
            let kind = MatrixOpKind::Send { body, reply_to: reply_to.take(), id: id.clone() };
            op::MatrixOp { sender: sender.clone(), kind, at }
        })
        .collect()
}

/// The name that an event says its sender goes by.
fn name_in<N: Network>(event: &RemoteEvent<N>) -> Option<&str> {
    match event {
        event::RemoteEvent::Message { name, .. } => name.as_deref(),
        _ => None,
    }
}

/// Something of ours as JSON.
pub(super) fn json<T: Serialize>(value: &T) -> Result<String, NotConverted> {
    serde_json::to_string(value).map_err(unstorable)
}

pub(super) fn unstorable(error: serde_json::Error) -> NotConverted {
    NotConverted::Park(format!("it cannot be stored: {error}"), Box::default())
}

fn not_made(error: RoomError) -> NotConverted {
    match error {
        RoomError::Homeserver(error) => error.into(),
        RoomError::NotNow(_) | RoomError::Store(_) => NotConverted::NotNow(error.to_string()),
        RoomError::Rejected(_) | RoomError::Mapped(_) | RoomError::NoAlias => {
            NotConverted::Park(error.to_string(), Box::default())
        }
    }
}
