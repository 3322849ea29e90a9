//! The second step of a lane, towards Matrix: say it under the same transaction id until the homeserver has it, or until it comes
//! back to us, which says the same.

use std::{borrow::Cow, sync::Arc};

use ruma::{EventId, OwnedEventId, RoomId, UserId};
use tokio::sync::Semaphore;

use super::{from_remote::Saying, keys, queues::Next, status::STATUS};
use crate::{
    bridge::{
        HomeserverError, content,
        dead_letters::Stage,
        homeserver::{Membership as Ask, Outgoing},
        mappings::MappingKind,
        members::Members,
        parts::Parts,
        rooms::Rooms,
        virtual_users::VirtualUsers,
    },
    clock::Millis,
    metrics::Outcome,
    network::{Body, Direction, MatrixOp, MatrixOpKind, Membership, Network, RemoteId},
    store::{Change, DeadLetterRow, MemberRow, Memory, MessageRow, OutboxRow},
};

/// How many rows are taken, or read from the store, at once.
const BATCH: usize = 64;

/// Delivers to Matrix. One for all lanes.
pub(crate) struct ToMatrix<N: Network> {
    pub(crate) parts: Arc<Parts<N>>,
    pub(crate) members: Arc<Members<N>>,
    pub(crate) users: Arc<VirtualUsers<N>>,
    pub(crate) rooms: Arc<Rooms<N>>,
    /// How many requests may still begin.
    pub(crate) permits: Semaphore,
}

/// What was said.
#[derive(Default)]
struct Said {
    /// The event that it became.
    event_id: Option<OwnedEventId>,
    /// What it changed besides.
    members: Vec<MemberRow>,
    /// What is remembered of it, where that is not what was decided.
    memory: Option<Memory>,
    /// Reactions that it became.
    reactions: Vec<(OwnedEventId, Memory)>,
    /// Reactions that it took back.
    taken_back: Vec<OwnedEventId>,
}

impl Said {
    fn event(event_id: OwnedEventId) -> Self {
        Self { event_id: Some(event_id), ..Self::default() }
    }
}

/// Where and under which names something is said.
struct Place<'a> {
    room_id: &'a RoomId,
    key: &'a str,
}

impl<N: Network> ToMatrix<N> {
    pub(crate) fn new(
        parts: &Arc<Parts<N>>,
        users: &Arc<VirtualUsers<N>>,
        members: &Arc<Members<N>>,
        rooms: &Arc<Rooms<N>>,
    ) -> Self {
        Self {
            parts: Arc::clone(parts),
            members: Arc::clone(members),
            users: Arc::clone(users),
            rooms: Arc::clone(rooms),
            permits: Semaphore::new(parts.options.matrix_at_once.max(1)),
        }
    }

    /// Works a lane until it has nothing to do.
    pub(crate) async fn run(self: Arc<Self>, lane: String) {
        loop {
            match self.parts.lanes.to_matrix.take(&lane, BATCH) {
                Next::Idle => return,
                Next::Load { after, left } => {
                    match self.parts.store.outbox_of(Direction::ToMatrix, &lane, after, BATCH as i64).await {
                        Ok(rows) => self.parts.lanes.to_matrix.loaded(&lane, rows, BATCH, left),
                        Err(error) => {
                            tracing::warn!(lane, %error, "a lane cannot be read; waiting");
                            tokio::time::sleep(self.parts.options.first_wait).await;
                        }
                    }
                }
                Next::Rows(rows) => {
                    for row in rows {
                        if self.deliver(&row).await.is_none() {
                            return;
                        }
                    }
                }
            }
        }
    }

    /// Delivers one row, however long that takes. `None` when the store is closed.
    async fn deliver(&self, row: &OutboxRow) -> Option<()> {
        let saying: Saying<N::User, N::Message> = match serde_json::from_str(&row.op) {
            Ok(saying) => saying,
            Err(error) => return self.park(row, 0, format!("the stored operation cannot be read: {error}")).await,
        };
        let Ok(room_id) = RoomId::parse(&row.room_id) else {
            return self.park(row, 0, "the stored room cannot be read".to_owned()).await;
        };
        self.parts.kill.pass("matrix.started").await;
        let (mut room_id, mut row) = (room_id, Cow::Borrowed(row));
        let mut watch = self.parts.lanes.under_way.watch(&row.idem);
        let (mut wait, mut attempts) = (self.parts.options.first_wait, 0);
        loop {
            attempts += 1;
            if let Some(moved) = self.parts.mappings.moved(&room_id) {
                row.to_mut().room_id = moved.to_string();
                room_id = moved;
            }
            let place = Place { room_id: &room_id, key: &row.idem };
            let said = tokio::select! {
                biased;
                // Our own event came back: the homeserver has it, and its row is closed.
                Ok(_) = &mut watch.echo => return Some(()),
                said = self.say(&saying, &place) => said,
            };
            let for_how_long = match said {
                Ok(said) => {
                    self.parts.kill.pass("matrix.delivered").await;
                    return self.finish(&row, said).await;
                }
                Err(HomeserverError::Limited(for_how_long)) => for_how_long,
                Err(error @ HomeserverError::Unavailable(_)) => {
                    tracing::warn!(room.id = row.room_id, seq = row.seq, %error, attempts, "waiting for the homeserver");
                    None
                }
                Err(_) if self.parts.mappings.is_moving(&room_id) => None,
                Err(error) => return self.park(&row, attempts, error.to_string()).await,
            };
            let at_least = for_how_long.unwrap_or(self.parts.options.first_wait);
            tokio::select! {
                Ok(_) = &mut watch.echo => return Some(()),
                () = tokio::time::sleep(at_least) => {}
            }
            tokio::select! {
                Ok(_) = &mut watch.echo => return Some(()),
                () = tokio::time::sleep(wait.saturating_sub(at_least)) => {}
                // It is there again: no need to wait longer.
                () = self.parts.alive.notified() => {}
            }
            wait = (wait * 2).min(self.parts.options.longest_wait);
        }
    }

    /// Remembers what was said. Not waited for: what is forgotten in a crash is said again under the same transaction id.
    async fn finish(&self, row: &OutboxRow, said: Said) -> Option<()> {
        self.parts.metrics.outcome(N::INFO.id, Direction::ToMatrix, Outcome::Delivered);
        self.parts.metrics.latency(N::INFO.id, Direction::ToMatrix, self.parts.clock.now().since(Millis(row.at)));
        let Said { event_id, members, memory, reactions, taken_back } = said;
        let remember = |event_id: &EventId, memory| MessageRow {
            event_id: event_id.to_string(),
            room_id: row.room_id.clone(),
            memory,
            at: row.at,
        };
        let remembered = match (memory, &event_id) {
            (Some(memory), Some(event_id)) => Some(remember(event_id, memory)),
            _ => row.to_remember(event_id.as_deref().map(EventId::as_str)),
        };
        // The next word on these reactions is compared with what is stored.
        let waits = !reactions.is_empty() || !taken_back.is_empty();
        let reactions = reactions.into_iter().map(|(event_id, memory)| remember(&event_id, memory));
        let woken: Vec<N::User> = members.iter().filter_map(|row| N::User::decode(&row.remote)).collect();
        let change = Change {
            outbox_done: vec![row.seq],
            messages: remembered.into_iter().chain(reactions).collect(),
            messages_gone: taken_back.iter().map(ToString::to_string).collect(),
            members,
            ..Change::default()
        };
        if waits {
            super::commit_patiently(&self.parts.store, change, self.parts.options.first_wait).await?;
        } else {
            self.parts.store.later(change, self.parts.options.first_wait).await.ok()?;
        }
        self.parts.kill.pass("matrix.committed").await;
        if let Ok(room_id) = RoomId::parse(&row.room_id) {
            for user in woken {
                self.members.wake(&room_id, &user);
            }
        }
        Some(())
    }

    async fn park(&self, row: &OutboxRow, attempts: u32, error: String) -> Option<()> {
        tracing::error!(lane = row.lane, seq = row.seq, error, "something for Matrix is parked");
        self.parts.metrics.outcome(N::INFO.id, Direction::ToMatrix, Outcome::Parked);
        let parked = DeadLetterRow {
            number: row.seq,
            lane: row.lane.clone(),
            direction: row.direction,
            stage: Stage::Deliver,
            input: serde_json::to_string(row).unwrap_or_default(),
            error,
            attempts,
            at: self.parts.clock.now().0,
        };
        let change = Change { outbox_done: vec![row.seq], park: vec![parked], ..Change::default() };
        super::commit_patiently(&self.parts.store, change, self.parts.options.first_wait).await.map(drop)
    }

    async fn say(&self, saying: &Saying<N::User, N::Message>, place: &Place<'_>) -> Result<Said, HomeserverError> {
        let _permit = self.permits.acquire().await;
        match saying {
            Saying::Op(op) => self.say_op(op, place).await,
            Saying::Status(content) => {
                let spokesman = self.spokesman(place.room_id);
                self.send(&spokesman, STATUS, content, place, None).await.map(Said::event)
            }
            Saying::Answer { to, text } => {
                let content = content::notice(text, to.as_deref(), place.key);
                let spokesman = self.spokesman(place.room_id);
                self.send(&spokesman, "m.room.message", &content, place, None).await.map(Said::event)
            }
        }
    }

    async fn say_op(&self, op: &MatrixOp<N>, place: &Place<'_>) -> Result<Said, HomeserverError> {
        let room_id = place.room_id;
        match &op.kind {
            MatrixOpKind::Send { body, reply_to, .. } => {
                let reply_to = match reply_to {
                    Some(target) => self.event_of(room_id, target).await?,
                    None => None,
                };
                let content = content::message(self.localised(body), reply_to.as_deref(), place.key);
                self.send_as(op, "m.room.message", &content, place).await.map(Said::event)
            }
            MatrixOpKind::Edit { target, body } => match self.event_of(room_id, target).await? {
                Some(target) => {
                    let content = content::edit(self.localised(body), &target, place.key);
                    self.send_as(op, "m.room.message", &content, place).await.map(Said::event)
                }
                // What it changes never crossed: then this is news.
                None => {
                    let content = content::message(self.localised(body), None, place.key);
                    self.send_as(op, "m.room.message", &content, place).await.map(Said::event)
                }
            },
            MatrixOpKind::React { target, key, on } => self.react(op, target, key, *on, place).await,
            MatrixOpKind::Redact { target, reason } => self.redact(op, target, reason.as_deref(), place).await,
            MatrixOpKind::Retract(target) => self.retract(op, target, place).await,
            MatrixOpKind::Reactions { target, keys } => self.set_reactions(op, target, keys, place).await,
            MatrixOpKind::Member { .. } | MatrixOpKind::Members(_) | MatrixOpKind::Rename { .. } => {
                Ok(Said { members: self.membership(op, room_id), ..Said::default() })
            }
            MatrixOpKind::Expel { user_id, banned, reason } => {
                let ask = if *banned { Ask::Ban } else { Ask::Leave };
                let done = self.parts.homeserver.set_membership(
                    &self.parts.names.bot,
                    room_id,
                    user_id,
                    ask,
                    reason.as_deref(),
                );
                forgiving("somebody could not be put out", done.await)
            }
            MatrixOpKind::Profile { who, profile } => {
                forgiving("a profile could not be shown", self.users.show(who, profile).await)
            }
            MatrixOpKind::Topic(topic) => self.set_state(room_id, "m.room.topic", "topic", topic).await,
            MatrixOpKind::Name(name) => self.set_state(room_id, "m.room.name", "name", name).await,
            MatrixOpKind::Power { who, level } => self.set_power(room_id, who, *level).await,
            MatrixOpKind::Notice(text) => {
                let content = content::notice(text, None, place.key);
                let spokesman = self.spokesman(room_id);
                self.send(&spokesman, "m.room.message", &content, place, None).await.map(Said::event)
            }
        }
    }

    /// Sends as the virtual user who says it, who is brought into the room if they are not there.
    async fn send_as(
        &self,
        op: &MatrixOp<N>,
        kind: &str,
        content: &serde_json::Value,
        place: &Place<'_>,
    ) -> Result<OwnedEventId, HomeserverError> {
        let Some(user) = &op.sender else {
            return self.send(&self.spokesman(place.room_id), kind, content, place, op.at).await;
        };
        let id = self.members.ensure_joined(place.room_id, user).await?;
        match self.send(&id, kind, content, place, op.at).await {
            Err(HomeserverError::Forbidden(_)) => {
                // Put out meanwhile: invited and brought back once.
                self.members.not_joined(place.room_id, user);
                self.members.ensure_joined(place.room_id, user).await?;
                self.send(&id, kind, content, place, op.at).await
            }
            other => other,
        }
    }

    async fn send(
        &self,
        as_user: &UserId,
        kind: &str,
        content: &serde_json::Value,
        place: &Place<'_>,
        at: Option<Millis>,
    ) -> Result<OwnedEventId, HomeserverError> {
        let Place { room_id, key } = *place;
        self.parts.homeserver.send(&Outgoing { as_user, room: room_id, kind, content, txn_id: key, at }).await
    }

    async fn react(
        &self,
        op: &MatrixOp<N>,
        target: &N::Message,
        with: &str,
        on: bool,
        place: &Place<'_>,
    ) -> Result<Said, HomeserverError> {
        let Some(target) = self.event_of(place.room_id, target).await? else { return Ok(Said::default()) };
        let author = op.sender.as_ref().map(RemoteId::encode).unwrap_or_default();
        if on {
            let event_id = self.send_as(op, "m.reaction", &content::reaction(&target, with, place.key), place).await?;
            let memory = Memory {
                author: Some(author.clone()),
                author_name: author,
                sender: self.sender(op).unwrap_or_default(),
                reaction: Some(with.to_owned()),
                target: Some(target.to_string()),
                ..Memory::default()
            };
            return Ok(Said { event_id: Some(event_id), memory: Some(memory), ..Said::default() });
        }
        let reaction = self.parts.store.reaction(target.as_str(), &author, with).await.map_err(not_now)?;
        let Some(event_id) = reaction.and_then(|row| EventId::parse(row.event_id).ok()) else {
            return Ok(Said::default());
        };
        let Some(user) = &op.sender else { return Ok(Said::default()) };
        let id = self.members.ensure_joined(place.room_id, user).await?;
        self.parts.homeserver.redact(&id, place.room_id, &event_id, place.key, None).await?;
        Ok(Said::default())
    }

    /// Makes somebody's reactions exactly these. Said again after a crash, it finds the same to do, under the same transaction ids.
    async fn set_reactions(
        &self,
        op: &MatrixOp<N>,
        target: &N::Message,
        keys: &[String],
        place: &Place<'_>,
    ) -> Result<Said, HomeserverError> {
        let (Some(user), Some(target)) = (&op.sender, self.event_of(place.room_id, target).await?) else {
            return Ok(Said::default());
        };
        let author = user.encode();
        let there = self.parts.store.reactions(target.as_str(), &author).await.map_err(not_now)?;
        let id = self.members.ensure_joined(place.room_id, user).await?;
        let mut said = Said::default();
        for (number, row) in there.iter().enumerate() {
            let known = row.memory.reaction.as_deref();
            let twice = there[..number].iter().any(|earlier| earlier.memory.reaction.as_deref() == known);
            if !twice && keys.iter().any(|key| Some(key.as_str()) == known) {
                continue;
            }
            let Ok(event_id) = EventId::parse(row.event_id.as_str()) else { continue };
            let txn_id = format!("{}.{}", place.key, keys::key(&["take back", event_id.as_str()]));
            let done = self.parts.homeserver.redact(&id, place.room_id, &event_id, &txn_id, None).await;
            forgiving("a reaction could not be taken back", done)?;
            said.taken_back.push(event_id);
        }
        for key in keys.iter().filter(|key| !there.iter().any(|row| row.memory.reaction.as_ref() == Some(key))) {
            let txn_id = format!("{}.{}", place.key, keys::key(&["react", key]));
            let each = Place { room_id: place.room_id, key: &txn_id };
            let content = content::reaction(&target, key, &txn_id);
            let event_id = self.send_as(op, "m.reaction", &content, &each).await?;
            let memory = Memory {
                author: Some(author.clone()),
                author_name: author.clone(),
                sender: id.to_string(),
                reaction: Some(key.clone()),
                target: Some(target.to_string()),
                ..Memory::default()
            };
            said.reactions.push((event_id, memory));
        }
        Ok(said)
    }

    /// Takes back what its sender said, and nothing that another did.
    async fn retract(&self, op: &MatrixOp<N>, target: &N::Message, place: &Place<'_>) -> Result<Said, HomeserverError> {
        let Some(user) = &op.sender else { return Ok(Said::default()) };
        let rows =
            self.parts.store.message_by_remote(place.room_id.as_str(), &target.encode()).await.map_err(not_now)?;
        let author = user.encode();
        if rows.is_empty() || rows.iter().any(|row| row.memory.author.as_deref() != Some(author.as_str())) {
            return Ok(Said::default());
        }
        self.redact(op, target, None, place).await
    }

    async fn redact(
        &self,
        op: &MatrixOp<N>,
        target: &N::Message,
        reason: Option<&str>,
        place: &Place<'_>,
    ) -> Result<Said, HomeserverError> {
        let rows =
            self.parts.store.message_by_remote(place.room_id.as_str(), &target.encode()).await.map_err(not_now)?;
        for (part, row) in rows.iter().enumerate() {
            let Ok(event_id) = EventId::parse(row.event_id.as_str()) else { continue };
            let txn_id = format!("{}.{part}", place.key);
            // Everybody may take back what they said; for what others said, the bot has the power, if anybody of us.
            let own = op.sender.as_ref().filter(|user| row.memory.author.as_deref() == Some(user.encode().as_str()));
            let as_user = match own {
                Some(user) => self.members.ensure_joined(place.room_id, user).await?,
                None => self.spokesman(place.room_id),
            };
            let done = self.parts.homeserver.redact(&as_user, place.room_id, &event_id, &txn_id, reason).await;
            forgiving("a message could not be taken back", done)?;
        }
        Ok(Said::default())
    }

    /// What is wanted of virtual users from now on. Made true beside the lane.
    fn membership(&self, op: &MatrixOp<N>, room_id: &RoomId) -> Vec<MemberRow> {
        match &op.kind {
            MatrixOpKind::Member { who, membership, name, reason } => {
                let (joined, reason) = match membership {
                    Membership::Join => (true, None),
                    Membership::Leave => (false, reason.clone()),
                    Membership::Kick | Membership::Ban => {
                        let by = op.sender.as_ref().map_or_else(|| N::INFO.name.to_owned(), RemoteId::encode);
                        let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                        (false, Some(format!("put out by {by}{reason}")))
                    }
                    Membership::Unban | Membership::Invite => return Vec::new(),
                };
                self.members.want(room_id, who, name.as_deref(), joined, reason.as_deref()).into_iter().collect()
            }
            MatrixOpKind::Members(members) => {
                self.members.want_exactly(room_id, members).into_iter().map(|(_, row)| row).collect()
            }
            MatrixOpKind::Rename { from, to, name } => {
                let gone = self.members.want(room_id, from, None, false, Some("goes by another name"));
                gone.into_iter().chain(self.members.want(room_id, to, name.as_deref(), true, None)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Sets state as the bot, unless it is so already: what Matrix users set comes back to us from the network.
    async fn set_state(&self, room_id: &RoomId, kind: &str, field: &str, value: &str) -> Result<Said, HomeserverError> {
        let bot = &self.parts.names.bot;
        let now = self.parts.homeserver.state(bot, room_id, kind, "").await?;
        if now.as_ref().and_then(|content| content[field].as_str()).unwrap_or_default() == value {
            return Ok(Said::default());
        }
        let content = serde_json::json!({ field: value });
        forgiving("state could not be set", self.parts.homeserver.set_state(bot, room_id, kind, "", &content).await)
    }

    async fn set_power(&self, room_id: &RoomId, who: &N::User, level: i64) -> Result<Said, HomeserverError> {
        let (bot, id) = (&self.parts.names.bot, self.users.id(who)?);
        let Some(mut levels) = self.parts.homeserver.state(bot, room_id, "m.room.power_levels", "").await? else {
            return Ok(Said::default());
        };
        let default = levels["users_default"].as_i64().unwrap_or(0);
        if levels["users"][id.as_str()].as_i64().unwrap_or(default) == level || !levels.is_object() {
            return Ok(Said::default());
        }
        levels["users"][id.as_str()] = level.into();
        let done = self.parts.homeserver.set_state(bot, room_id, "m.room.power_levels", "", &levels).await;
        forgiving("power could not be given", done)
    }

    /// Mentions of remote users become mentions of virtual users.
    fn localised(&self, body: &Body) -> Body {
        let mut body = body.clone();
        body.text = content::mentions_to_matrix(body.text, |encoded| {
            self.parts.names.user_id(&*self.parts.network, &N::User::decode(encoded)?)
        });
        body
    }

    async fn event_of(&self, room_id: &RoomId, message: &N::Message) -> Result<Option<OwnedEventId>, HomeserverError> {
        let rows = self.parts.store.message_by_remote(room_id.as_str(), &message.encode()).await.map_err(not_now)?;
        Ok(rows.first().and_then(|row| EventId::parse(row.event_id.as_str()).ok()))
    }

    fn spokesman(&self, room_id: &RoomId) -> ruma::OwnedUserId {
        match self.parts.mappings.by_room(room_id) {
            Some(mapping) if mapping.kind == MappingKind::Direct => self.rooms.spokesman(&mapping),
            _ => self.parts.names.bot.clone(),
        }
    }

    fn sender(&self, op: &MatrixOp<N>) -> Option<String> {
        self.parts.names.user_id(&*self.parts.network, op.sender.as_ref()?).map(String::from)
    }
}

/// What is refused for good, and is no message of anybody's, is said in the log and left.
fn forgiving<T>(what: &str, done: Result<T, HomeserverError>) -> Result<Said, HomeserverError> {
    match done {
        Ok(_) => Ok(Said::default()),
        Err(error @ (HomeserverError::Limited(_) | HomeserverError::Unavailable(_))) => Err(error),
        Err(error) => {
            tracing::warn!(%error, "{what}");
            Ok(Said::default())
        }
    }
}

fn not_now(error: landbridge_sql::SqlError) -> HomeserverError {
    HomeserverError::Unavailable(error.to_string())
}
