//! The task of a room: the one writer of everything in it.
//!
//! Commands come through a bounded mailbox and are worked in order. A command's events are built and queued at once; its sender
//! is answered after their commit, while the next commands are already being worked. When a commit fails, everything that was
//! built on it fails too, and the task reads its room again.

use std::{collections::HashMap, pin::Pin, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesOrdered};
use landbridge_axum_ruma::{OutOfTurn, Turn};
use parking_lot::Mutex;
use ruma::{OwnedEventId, OwnedRoomId, RoomId};
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument as _;

use super::{
    Backfill, Context, Event, MembershipChange, Outgoing, RoomError, Sent,
    core::{Batch, Core},
    receive::Foreign,
};
use crate::{
    store::{RoomInfo, StoreError, Writing},
    stream::Position,
};

/// How many commands may wait for a room's task; at the bound, callers wait.
const MAILBOX: usize = 256;
/// How many commits a room may be ahead of the database; at the bound, its task waits.
const AHEAD: usize = 256;
/// How long a room's task stays without anything to do.
const IDLE: Duration = Duration::from_secs(120);

type Answer = oneshot::Sender<Result<Sent, RoomError>>;

/// What a room's task can be asked.
#[derive(Debug)]
pub(super) enum Command {
    /// Send an event.
    Send(Box<Outgoing>),
    /// Change a membership.
    Membership(Box<MembershipChange>),
    /// Take in an event that was made elsewhere.
    Receive(Box<Foreign>),
    /// Fill the room up; the ids of the events are told as soon as they are known, which is before they are durable.
    Backfill(Box<Backfill>, oneshot::Sender<Vec<OwnedEventId>>),
    /// Wait until all that was asked for before is written, and do nothing.
    Settle,
}

struct Envelope {
    command: Command,
    answer: Answer,
    /// Taken when the command has its place; dropped before where it is refused.
    turn: Option<Turn>,
}

/// The tasks of all rooms that were lately written.
#[derive(Debug)]
pub(super) struct RoomTasks {
    context: Arc<Context>,
    mailboxes: Mailboxes,
}

type Mailboxes = Arc<Mutex<HashMap<OwnedRoomId, mpsc::Sender<Envelope>>>>;

impl RoomTasks {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { context, mailboxes: Mailboxes::default() }
    }

    /// Has a room's task work a command, and waits until what it wrote is durable.
    pub(super) async fn ask(&self, room_id: &RoomId, command: Command) -> Result<Sent, RoomError> {
        self.ask_in_turn(room_id, command, None).await
    }

    /// The same, when its turn comes.
    pub(super) async fn ask_in_turn(
        &self,
        room_id: &RoomId,
        command: Command,
        turn: Option<Turn>,
    ) -> Result<Sent, RoomError> {
        if let Some(turn) = &turn {
            turn.comes().await?;
        }
        let (answer, answered) = oneshot::channel();
        let mut envelope = Envelope { command, answer, turn };
        // A mailbox is closed only where its task died; then another takes its place.
        loop {
            let mailbox = self.mailbox(room_id).await?;
            match mailbox.send(envelope).await {
                Ok(()) => break,
                Err(refused) => envelope = refused.0,
            }
            self.forget(room_id, &mailbox);
        }
        answered.await.unwrap_or(Err(RoomError::Unavailable(StoreError::Closed)))
    }

    /// Has the task of a room end that is gone.
    pub(super) fn end(&self, room_id: &RoomId) {
        self.mailboxes.lock().remove(room_id);
    }

    async fn mailbox(&self, room_id: &RoomId) -> Result<mpsc::Sender<Envelope>, RoomError> {
        if let Some(mailbox) = self.mailboxes.lock().get(room_id) {
            return Ok(mailbox.clone());
        }
        let room = self.context.store.room(room_id).await?.ok_or(RoomError::NotFound("There is no such room"))?;
        let mut mailboxes = self.mailboxes.lock();
        if let Some(mailbox) = mailboxes.get(room_id) {
            return Ok(mailbox.clone());
        }
        let (mailbox, commands) = mpsc::channel(MAILBOX);
        mailboxes.insert(room_id.to_owned(), mailbox.clone());
        let span = tracing::info_span!(parent: None, "rooms.task", room.id = %room_id);
        let task = Task {
            context: self.context.clone(),
            room,
            commands,
            mailboxes: Arc::downgrade(&self.mailboxes),
            core: None,
            queued: FuturesOrdered::new(),
        };
        tokio::spawn(task.run().instrument(span));
        Ok(mailbox)
    }

    fn forget(&self, room_id: &RoomId, mailbox: &mpsc::Sender<Envelope>) {
        let mut mailboxes = self.mailboxes.lock();
        if mailboxes.get(room_id).is_some_and(|known| known.same_channel(mailbox)) {
            mailboxes.remove(room_id);
        }
    }
}

/// A command whose events are queued, or stand already.
struct Queued {
    number: u64,
    event: Arc<Event>,
    answer: Answer,
    /// The turn it took: where it is not written after all, those behind it fail.
    turn: Option<Turn>,
    /// The place of what was written; `None` where the event stands already, or will once what is queued before is committed.
    result: Result<Option<Position>, StoreError>,
}

type QueuedFuture = Pin<Box<dyn Future<Output = Queued> + Send>>;

struct Task {
    context: Arc<Context>,
    room: Arc<RoomInfo>,
    commands: mpsc::Receiver<Envelope>,
    mailboxes: std::sync::Weak<Mutex<HashMap<OwnedRoomId, mpsc::Sender<Envelope>>>>,
    core: Option<Core>,
    queued: FuturesOrdered<QueuedFuture>,
}

impl Task {
    async fn run(mut self) {
        loop {
            let waiting = !self.queued.is_empty();
            tokio::select! {
                biased;
                Some(queued) = self.queued.next(), if waiting => self.done(queued).await,
                command = self.commands.recv(), if self.queued.len() < AHEAD => match command {
                    Some(envelope) => self.work(envelope).await,
                    None => break,
                },
                () = tokio::time::sleep(IDLE), if !waiting => if self.may_stop() {
                    return;
                },
            }
        }
        // Nobody can ask any more; what is queued is still answered.
        while let Some(queued) = self.queued.next().await {
            self.done(queued).await;
        }
        self.context.store.forget_writes(self.room.nid);
    }

    /// Stops for want of work, unless somebody is about to ask: the only way to the mailbox must be the one in the map.
    fn may_stop(&self) -> bool {
        let Some(mailboxes) = self.mailboxes.upgrade() else { return false };
        let mut mailboxes = mailboxes.lock();
        if self.commands.sender_strong_count() > 1 || !self.commands.is_empty() {
            return false;
        }
        self.context.store.forget_writes(self.room.nid);
        mailboxes.remove(&self.room.room_id);
        true
    }

    async fn work(&mut self, Envelope { command, answer, turn }: Envelope) {
        if turn.as_ref().is_some_and(|turn| turn.stands().is_err()) {
            drop(answer.send(Err(OutOfTurn.into())));
            return;
        }
        if let Err(error) = self.context.closed.read().admits(&self.room.room_id, &command) {
            drop(answer.send(Err(error)));
            return;
        }
        match self.try_work(command).await {
            Ok((event, number, writing)) => {
                if let Some(turn) = &turn {
                    turn.taken();
                }
                self.queued.push_back(Box::pin(async move {
                    let result = match writing {
                        Some(writing) => writing.committed().await.map(Some),
                        None => Ok(None),
                    };
                    Queued { number, event, answer, turn, result }
                }));
            }
            Err(error) => {
                if matches!(error, RoomError::Unavailable(_) | RoomError::Internal(_)) {
                    // What is in memory may be half of something.
                    self.core = None;
                }
                drop(answer.send(Err(error)));
            }
        }
    }

    async fn try_work(&mut self, command: Command) -> Result<(Arc<Event>, u64, Option<Writing>), RoomError> {
        if matches!(command, Command::Backfill(..)) {
            // It asks the database what there is.
            while let Some(queued) = self.queued.next().await {
                self.done(queued).await;
            }
        }
        if self.core.is_none() || matches!(command, Command::Settle) {
            // Everything queued fails or commits first, so that what is read is what there is.
            while let Some(queued) = self.queued.next().await {
                self.answer(queued);
            }
            self.core = Some(Core::load(self.context.clone(), self.room.clone()).await?);
        }
        let Some(core) = &mut self.core else { return Err(RoomError::Internal("no room".into())) };
        let mut batch = Batch::default();
        let event = match command {
            Command::Send(outgoing) => core.send(*outgoing, &mut batch).await,
            Command::Membership(change) => core.change_membership(*change, &mut batch).await,
            Command::Receive(pdu) => core.receive(*pdu, &mut batch).await,
            Command::Backfill(backfill, tell) => core.backfill(*backfill, &mut batch).await.map(|(event, ids)| {
                drop(tell.send(ids));
                event
            }),
            Command::Settle => Err(RoomError::NotFound("Nothing was asked for")),
        };
        let event = match event {
            Ok(event) if !batch.events.is_empty() || !batch.names.is_empty() => event,
            nothing_to_write => {
                if batch.states.is_some() || !batch.events.is_empty() {
                    // States and events that nobody will write must not count as written.
                    self.core = None;
                }
                return nothing_to_write.map(|event| (event, 0, None));
            }
        };
        let write = core.finish(batch);
        let number = write.number;
        let writing = self.context.store.enqueue_room(write).await?;
        Ok((event, number, Some(writing)))
    }

    async fn done(&mut self, queued: Queued) {
        let failed = queued.result.is_err();
        let number = queued.number;
        self.answer(queued);
        if failed {
            // Everything after it was built on it, and fails with it.
            while let Some(queued) = self.queued.next().await {
                self.answer(queued);
            }
            self.core = None;
        } else if number > 0
            && let Some(core) = &mut self.core
        {
            core.committed(number);
        }
    }

    /// Tells the sender; one that went away does not undo what is durable.
    fn answer(&self, queued: Queued) {
        let result = queued.result.and_then(|position| match position.unwrap_or_else(|| queued.event.position()) {
            Position::START if queued.event.flags.in_timeline() => Err(StoreError::Superseded),
            position => Ok(Sent { event_id: queued.event.event_id.clone(), position }),
        });
        if let Err(error) = &result {
            tracing::warn!(%error, "an event was not written");
            if let Some(turn) = &queued.turn {
                turn.failed();
            }
        }
        drop(queued.answer.send(result.map_err(RoomError::Unavailable)));
    }
}
