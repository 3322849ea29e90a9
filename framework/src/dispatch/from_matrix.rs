//! Matrix → network: what a homeserver told us becomes what the network is to be told, or something that we do ourselves.

use std::time::Duration;

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::Deserialize;
use serde_json::Value as Json;

use super::{
    convert::{Converter, Kept, NotConverted, guarded},
    from_remote::{json, unstorable},
    keys::key,
    outcome::{self, Told},
    status::{About, answer, failed},
    to_remote::aside::{aside_lane, aside_lanes},
};
use crate::{
    bridge::{
        commands, content,
        mappings::{MappingKind, RoomMapping, remote_lane},
        polls, power,
        rooms::RoomError,
    },
    clock::Millis,
    network::{
        Direction, MatrixEvent, MatrixKind, Membership, Network, OpKind, Power, RemoteId, Sender, SessionId, Target,
        Whom, event,
    },
    store::{Change, InboxRow, Memory, MessageRow, OutboxRow, Standing, Withdrawal},
};

/// After how many milliseconds each it is looked again whether a message that another is about has crossed, before the room waits longer.
const LOOKS: [u64; 7] = [2, 5, 10, 20, 50, 100, 200];

/// An event as the homeserver sends it ([spec](https://spec.matrix.org/v1.19/client-server-api/#room-event-format)).
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    event_id: OwnedEventId,
    room_id: OwnedRoomId,
    sender: OwnedUserId,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    origin_server_ts: i64,
    #[serde(default)]
    content: Json,
    state_key: Option<String>,
    redacts: Option<OwnedEventId>,
    #[serde(default)]
    unsigned: Json,
    prev_content: Option<Json>,
}

type Kind<N> = MatrixKind<<N as Network>::User, <N as Network>::Message>;

impl<N: Network> Converter<N> {
    pub(super) async fn convert_from_matrix(&self, row: &InboxRow, kept: &mut Kept<N>) -> Result<Change, NotConverted> {
        let event: Event = match serde_json::from_str(&row.body) {
            Ok(event) => event,
            Err(error) => {
                // Another server's users may put anything into a room; what is no event concerns nobody.
                tracing::info!(seq = row.seq, %error, "an event of no known form is left out");
                return Ok(Change::default());
            }
        };
        let mapping = self.parts.mappings.by_room(&event.room_id);
        if let Some(change) = self.command(&event, row).await? {
            return Ok(change);
        }
        match mapping {
            Some(mapping) => self.mapped(&event, row, &mapping, kept).await,
            None if self.parts.mappings.is_awaited(&event.room_id) && event.invites().is_none() => {
                Err(NotConverted::NotNow("the room that this one replaces is being followed".to_owned()))
            }
            None => self.unmapped(&event).await,
        }
    }

    /// What a message becomes that is about no other, in a room that is mapped.
    pub(super) async fn decide_from_matrix(&self, row: &InboxRow, kept: &mut Kept<N>) -> Option<Change> {
        let event: Event = serde_json::from_str(&row.body).ok()?;
        let is_message = event.kind == "m.room.message" && event.state_key.is_none();
        let refers = !event.content["m.relates_to"].is_null();
        let is_command = event.content["body"].as_str().is_some_and(|body| commands::words::<N>(body).is_some());
        let mapping = self.parts.mappings.by_room(&event.room_id).filter(|_| is_message && !refers && !is_command)?;
        self.mapped(&event, row, &mapping, kept).await.ok()
    }

    /// Carries out what is said to the bot.
    async fn command(&self, event: &Event, row: &InboxRow) -> Result<Option<Change>, NotConverted> {
        let body = event.content["body"].as_str().filter(|_| event.kind == "m.room.message");
        let is_text = event.content["msgtype"].as_str() == Some("m.text");
        let Some(words) = body.filter(|_| is_text).and_then(commands::words::<N>) else { return Ok(None) };
        if event.content["m.relates_to"]["rel_type"].as_str() == Some("m.replace") {
            return Ok(None);
        }
        let text = self.commands.run(&event.room_id, &event.sender, &words).await?;
        let mapping = self.parts.mappings.by_room(&event.room_id);
        let lane = mapping.map_or_else(|| row.lane.clone(), |mapping| remote_lane(&mapping.remote));
        Ok(Some(Change { outbox: vec![self.answer(row, lane, event, text)?], ..Change::default() }))
    }

    /// In a room that is mapped to nothing, only invitations matter.
    async fn unmapped(&self, event: &Event) -> Result<Change, NotConverted> {
        let Some(invited) = event.invites() else { return Ok(Change::default()) };
        if invited == self.parts.names.bot {
            // One that is awaited is joined by who waits for it, too.
            self.rooms.invited.notify_waiters();
            match self.parts.homeserver.join(&self.parts.names.bot, &event.room_id).await.map_err(NotConverted::from) {
                // An invitation that was taken back concerns nobody.
                Ok(()) | Err(NotConverted::Park(..)) => {}
                Err(error) => return Err(error),
            }
        } else if let Some(user) = self.parts.names.user(&*self.parts.network, &invited) {
            match self.rooms.invited(&event.room_id, &event.sender, &user).await {
                Ok(()) => {}
                Err(RoomError::Homeserver(error)) => {
                    if let error @ NotConverted::NotNow(_) = error.into() {
                        return Err(error);
                    }
                }
                Err(error) => return Err(NotConverted::NotNow(error.to_string())),
            }
        }
        Ok(Change::default())
    }

    async fn mapped(
        &self,
        event: &Event,
        row: &InboxRow,
        mapping: &RoomMapping<N::Room>,
        kept: &mut Kept<N>,
    ) -> Result<Change, NotConverted> {
        let mut change = Change::default();
        if event.kind == "m.room.member"
            && let Some(Ok(who)) = event.state_key.as_deref().map(UserId::parse)
            && let Some(deserted) = self.rooms.deserts(mapping, &event.sender, &who, event.membership())
        {
            change.deserted.push((event.room_id.to_string(), deserted));
            self.parts.mappings.desert(&event.room_id, deserted);
        }
        let Some(kind) = self.kind(event, mapping).await? else { return Ok(change) };
        if let (MatrixKind::Act { on, membership, .. }, Some(id)) = (&kind, event.state_key.as_deref()) {
            match membership {
                Membership::Invite if !self.is_asked_in(mapping, on) => return Ok(change),
                Membership::Kick | Membership::Ban => {
                    change.members.extend(self.members.put_out(&mapping.room_id, on));
                }
                // Whom the network keeps out is let in when it does so: it may tell only now that they were banned, and not yet that they
                // are so no longer.
                _ => {}
            }
            tracing::debug!(user.id = id, ?membership, "a virtual user was acted upon");
        }
        if let MatrixKind::Redact { target, .. } = &kind {
            change.taken_back.push((target.event_id.to_string(), row.at));
        }
        if let MatrixKind::Upgrade { replacement, .. } = &kind {
            change.jobs.push(self.rooms.follow(&mapping.room_id, replacement).map_err(unstorable)?);
        }
        let as_user = self.rooms.spokesman(mapping);
        let display_name = self.room_names.name(&mapping.room_id, &event.sender, &as_user).await;
        let session = match &kind {
            // Who only comes or goes needs no session for it.
            MatrixKind::Member { .. }
            | MatrixKind::DisplayName(_)
            | MatrixKind::Power(_)
            | MatrixKind::Upgrade { .. }
                if !self.has_session(&event.sender, kept) =>
            {
                SessionId::Relay
            }
            _ => self.parts.speakers.speaker(&event.sender, &display_name).await,
        };
        self.context(mapping, &session, kept).await;
        let sender = Sender {
            user_id: event.sender.clone(),
            display_name: display_name.clone(),
            own_session: session != SessionId::Relay,
        };
        let room = mapping.remote.clone();
        let matrix_event: MatrixEvent<N> = event::MatrixEvent {
            event_id: event.event_id.clone(),
            room,
            sender,
            at: Millis(event.origin_server_ts),
            kind,
        };
        let ops = match guarded(|| self.parts.network.to_remote(&matrix_event, &kept.context)) {
            Ok(Ok(ops)) => ops,
            Ok(Err(reject)) => {
                tracing::info!(event.id = %event.event_id, room.id = %event.room_id, %reject, "an event is not carried over");
                let is_awaited = event.state_key.is_none() || event.invites().is_some();
                if let Some(told) = outcome::told(N::INFO.name, &reject).filter(|_| is_awaited) {
                    change.outbox.extend(self.tell(row, mapping, event, told)?);
                }
                return Ok(change);
            }
            Err(panic) => {
                change.outbox.extend(self.tell(row, mapping, event, outcome::fault())?);
                return Err(NotConverted::Park(format!("the conversion panicked: {panic}"), Box::new(change)));
            }
        };
        for (part, op) in ops.into_iter().enumerate() {
            let memory = memory::<N>(&matrix_event, &op.kind, part);
            let source = match &matrix_event.kind {
                // What the message says now is remembered of the message, however the edit crosses.
                MatrixKind::Edit { target, .. } => target.event_id.to_string(),
                _ => event.event_id.to_string(),
            };
            change.outbox.push(OutboxRow {
                seq: 0,
                lane: remote_lane(&mapping.remote),
                direction: Direction::ToRemote,
                session: session.to_string(),
                idem: key(&[&self.parts.bridge, "remote", event.event_id.as_str(), &part.to_string()]).to_string(),
                room_id: mapping.room_id.to_string(),
                op: json(&op)?,
                source: Some(source),
                memory: memory.as_ref().map(json).transpose()?,
                claimed: kept.idle && part == 0,
                attempts: 0,
                last_error: None,
                at: row.at,
                fresh: false,
            });
        }
        Ok(change)
    }

    /// Whether the network has to be told that somebody in Matrix wants a virtual user in a room. In a private conversation they are, and
    /// who is in the network's room comes by themselves: if they could not before, the invitation may be what they lacked.
    fn is_asked_in(&self, mapping: &RoomMapping<N::Room>, user: &N::User) -> bool {
        if mapping.kind == MappingKind::Direct || self.members.is_actual(&mapping.room_id, user) {
            return false;
        }
        let is_there = self.members.is_wanted(&mapping.room_id, user);
        if is_there {
            self.members.wake(&mapping.room_id, user);
        }
        !is_there
    }

    fn has_session(&self, user_id: &UserId, kept: &Kept<N>) -> bool {
        kept.context.puppets.iter().any(|(puppet, _)| puppet == user_id)
    }

    /// What an event means, if anything.
    async fn kind(&self, event: &Event, mapping: &RoomMapping<N::Room>) -> Result<Option<Kind<N>>, NotConverted> {
        let content = &event.content;
        Ok(match (event.kind.as_str(), event.state_key.as_deref()) {
            (
                "m.room.message"
                | "m.sticker"
                | "m.poll.start"
                | "m.poll.end"
                | "org.matrix.msc3381.poll.start"
                | "org.matrix.msc3381.poll.end",
                None,
            ) => self.message(event, mapping).await?,
            ("m.room.encrypted", None) => Some(MatrixKind::Message {
                body: content::read(
                    "m.room.message",
                    &serde_json::json!({
                        "msgtype": "m.notice", "body": "(an encrypted message, which this bridge cannot read)",
                    }),
                )
                .unwrap_or_default(),
                reply_to: None,
            }),
            ("m.reaction", None) => {
                let relation = &content["m.relates_to"];
                let Some(key) = content::reaction_key(content) else { return Ok(None) };
                self.target(relation["event_id"].as_str(), mapping)
                    .await?
                    .map(|(target, _)| MatrixKind::React { target, key })
            }
            ("m.room.redaction", None) => self.redaction(event, mapping).await?,
            ("m.room.topic", Some("")) => content["topic"].as_str().map(|topic| MatrixKind::Topic(topic.to_owned())),
            ("m.room.name", Some("")) => content["name"].as_str().map(|name| MatrixKind::Name(name.to_owned())),
            ("m.room.power_levels", Some("")) => self.power(event),
            ("m.room.tombstone", Some("")) => {
                event.upgrade().map(|(replacement, text)| MatrixKind::Upgrade { replacement, text })
            }
            ("m.room.member", Some(who)) => match UserId::parse(who) {
                Ok(who) => self.member(event, &who, mapping).await?,
                Err(_) => None,
            },
            _ => None,
        })
    }

    /// Whose power changed.
    fn power(&self, event: &Event) -> Option<Kind<N>> {
        let changes = power::changes(event.content_before(), &event.content).into_iter();
        let changes = changes.filter_map(|(user_id, before, level)| {
            let who = match self.parts.names.user(&*self.parts.network, &user_id) {
                Some(user) => Whom::Remote(user),
                None if self.parts.names.is_ours(&user_id) => return None,
                None => Whom::Matrix(user_id),
            };
            Some(Power { who, level, before })
        });
        let changes: Vec<_> = changes.collect();
        (!changes.is_empty()).then_some(MatrixKind::Power(changes))
    }

    async fn message(&self, event: &Event, mapping: &RoomMapping<N::Room>) -> Result<Option<Kind<N>>, NotConverted> {
        let relation = &event.content["m.relates_to"];
        if relation["rel_type"].as_str() == Some("m.replace") {
            let Some(mut body) = content::read(&event.kind, &event.content["m.new_content"]) else {
                return Ok(None);
            };
            self.localise(&mut body);
            let found = self.target(relation["event_id"].as_str(), mapping).await?;
            // Only who said it can change it.
            let found = found.filter(|(_, sender)| *sender == event.sender);
            return Ok(found.map(|(target, _)| MatrixKind::Edit { target, body }));
        }
        let Some(mut body) = content::read(&event.kind, &event.content) else { return Ok(None) };
        self.localise(&mut body);
        // What ends a poll answers it.
        let answered = if polls::is_end(&event.kind) { relation } else { &relation["m.in_reply_to"] };
        let reply_to = self.target(answered["event_id"].as_str(), mapping).await?;
        Ok(Some(MatrixKind::Message { body, reply_to: reply_to.map(|(target, _)| target) }))
    }

    /// Mentions of virtual users become mentions of remote users, and files get an address that anybody can fetch.
    fn localise(&self, body: &mut crate::network::Body) {
        let text = std::mem::take(&mut body.text);
        body.text =
            content::mentions_to_remote(text, |id| Some(self.parts.names.user(&*self.parts.network, id)?.encode()));
        for file in &mut body.media {
            file.url = file.mxc.as_ref().and_then(|mxc| self.parts.homeserver.public_url(mxc, &file.name));
        }
    }

    async fn redaction(&self, event: &Event, mapping: &RoomMapping<N::Room>) -> Result<Option<Kind<N>>, NotConverted> {
        let redacted = event.redacts.as_ref().map(|id| id.as_str()).or_else(|| event.content["redacts"].as_str());
        let Some(redacted) = redacted else { return Ok(None) };
        self.take_back(redacted, mapping).await?;
        let rows = self.crossed(redacted, mapping).await?;
        let reason = event.content["reason"].as_str().map(str::to_owned);
        let Some(first) = rows.first() else { return Ok(None) };
        if let (Some(key), Some(target)) = (&first.memory.reaction, &first.memory.target) {
            let target = self.target(Some(target), mapping).await?;
            return Ok(target.map(|(target, _)| MatrixKind::Unreact { target, key: key.clone() }));
        }
        Ok(target::<N>(&rows).map(|(target, _)| MatrixKind::Redact { target, reason }))
    }

    /// A message of this room that another refers to. One of another room is not found: nobody gets to read rooms that they are not
    /// in by answering to what was said there.
    async fn target(
        &self,
        event_id: Option<&str>,
        mapping: &RoomMapping<N::Room>,
    ) -> Result<Option<(Target<N::User, N::Message>, OwnedUserId)>, NotConverted> {
        let Some(event_id) = event_id else { return Ok(None) };
        Ok(target::<N>(&self.crossed(event_id, mapping).await?))
    }

    /// What an event became on the network. One that is on its way there is waited for, as everything behind it in the room waits, too: else
    /// what is taken back before it crossed would cross all the same. What stands aside is not waited for, and not found; see [`Self::take_back`].
    async fn crossed(&self, event_id: &str, mapping: &RoomMapping<N::Room>) -> Result<Vec<MessageRow>, NotConverted> {
        let lane = remote_lane(&mapping.remote);
        let idem = key(&[&self.parts.bridge, "remote", event_id, "0"]).to_string();
        for look in LOOKS {
            let rows = self.parts.store.message_by_event(mapping.room_id.as_str(), event_id).await?;
            if !rows.is_empty() {
                return Ok(rows);
            }
            if self.parts.store.outbox_lane(&idem).await?.as_ref() != Some(&lane) {
                // It may have crossed between the two looks.
                return Ok(self.parts.store.message_by_event(mapping.room_id.as_str(), event_id).await?);
            }
            tokio::time::sleep(Duration::from_millis(look)).await;
        }
        Err(NotConverted::NotNow("what it is about has not crossed yet".to_owned()))
    }

    /// What is taken back while it stands aside is not said at all. What is being said at this moment is waited for.
    async fn take_back(&self, event_id: &str, mapping: &RoomMapping<N::Room>) -> Result<(), NotConverted> {
        let lanes = aside_lanes(&remote_lane(&mapping.remote));
        let idem = key(&[&self.parts.bridge, "remote", event_id, "0"]).to_string();
        for look in LOOKS {
            let lane = self.parts.store.outbox_lane(&idem).await?.filter(|lane| lane.starts_with(&lanes));
            let Some(lane) = lane else { return Ok(()) };
            self.withdraw(lane, Some(event_id.to_owned())).await?;
            if self.parts.store.outbox_lane(&idem).await?.is_none() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(look)).await;
        }
        Err(NotConverted::NotNow("what is taken back is just being said".to_owned()))
    }

    /// What somebody had still to say, and could not yet, is not said when they have left. (Where sessions have connections of their own,
    /// that waits for theirs, and their leaving behind it.)
    async fn falls_silent(&self, who: &UserId, mapping: &RoomMapping<N::Room>) -> Result<(), NotConverted> {
        if !N::SHARED_LINK {
            return Ok(());
        }
        let lane = aside_lane(&remote_lane(&mapping.remote), who.as_str());
        for look in LOOKS {
            if self.parts.store.outbox_count(&lane).await? == 0 {
                return Ok(());
            }
            self.withdraw(lane.clone(), None).await?;
            tokio::time::sleep(Duration::from_millis(look)).await;
        }
        Err(NotConverted::NotNow("what they said is just being said".to_owned()))
    }

    async fn withdraw(&self, lane: String, source: Option<String>) -> Result<(), NotConverted> {
        let withdraw = vec![Withdrawal { lanes: Standing::Only(lane), source }];
        let done = self.parts.store.commit(Change { withdraw, ..Change::default() }).await;
        done.map(drop).map_err(|error| NotConverted::NotNow(error.to_string()))
    }

    async fn member(
        &self,
        event: &Event,
        who: &UserId,
        mapping: &RoomMapping<N::Room>,
    ) -> Result<Option<Kind<N>>, NotConverted> {
        let (now, before) = (event.membership(), event.membership_before());
        let reason = event.content["reason"].as_str().map(str::to_owned);
        let by_themselves = event.sender == who;
        if *who == self.parts.names.bot {
            if matches!(now, "leave" | "ban") {
                tracing::info!(room.id = %event.room_id, "the bot was put out; the rooms are parted");
                self.rooms.unmap(&event.room_id).await.map_err(|error| NotConverted::NotNow(error.to_string()))?;
            }
            return Ok(None);
        }
        if self.parts.names.is_ours(who) {
            let membership = match (now, before) {
                ("ban", _) => Membership::Ban,
                ("leave", "ban") => Membership::Unban,
                ("leave", "join") => Membership::Kick,
                ("invite", _) => Membership::Invite,
                _ => return Ok(None),
            };
            return Ok(self.parts.names.user(&*self.parts.network, who).map(|on| MatrixKind::Act {
                on,
                membership,
                reason,
            }));
        }
        let display_name = event.content["displayname"].as_str();
        Ok(match now {
            "join" => {
                let renamed = self.room_names.heard(&mapping.room_id, who, display_name);
                if before == "join" {
                    let name = display_name.map(str::trim).filter(|name| !name.is_empty()).unwrap_or(who.localpart());
                    renamed.then(|| MatrixKind::DisplayName(name.to_owned()))
                } else {
                    Some(MatrixKind::Member { membership: Membership::Join, reason })
                }
            }
            "leave" | "ban" => {
                self.room_names.left(&mapping.room_id, who);
                self.falls_silent(who, mapping).await?;
                let user_id = who.to_owned();
                if !by_themselves {
                    match (now, before) {
                        ("leave", "ban") => Some(MatrixKind::Pardon { user_id, reason }),
                        // An invitation or a knock that came to nothing.
                        ("leave", "invite" | "knock" | "leave") => None,
                        _ => Some(MatrixKind::Expel { user_id, banned: now == "ban", reason }),
                    }
                } else if before == "join" || before.is_empty() {
                    Some(MatrixKind::Member { membership: Membership::Leave, reason })
                } else {
                    None
                }
            }
            _ => None,
        })
    }

    /// What the sender of an event that does not cross is told.
    fn tell(
        &self,
        row: &InboxRow,
        mapping: &RoomMapping<N::Room>,
        event: &Event,
        told: Told,
    ) -> Result<Vec<OutboxRow>, NotConverted> {
        let (lane, room_id, event_id) = (remote_lane(&mapping.remote), &event.room_id, event.event_id.as_str());
        let about = About { bridge: &self.parts.bridge, lane: &lane, room_id, event_id, at: row.at };
        failed::<N>(self.parts.options.status, about, told).map_err(unstorable)
    }

    /// What the bridge has to say about an event.
    fn answer(&self, row: &InboxRow, lane: String, event: &Event, text: String) -> Result<OutboxRow, NotConverted> {
        answer::<N>(&self.parts.bridge, lane, &event.room_id, Some(event.event_id.as_str()), text, row.at)
            .map_err(unstorable)
    }
}

/// What is remembered of a message, or a reaction, once the network has it.
fn memory<N: Network>(event: &MatrixEvent<N>, op: &OpKind<N::Message>, part: usize) -> Option<Memory> {
    let memory = Memory {
        part: i64::try_from(part).unwrap_or(i64::MAX),
        author_name: event.sender.display_name.clone(),
        sender: event.sender.user_id.to_string(),
        ..Memory::default()
    };
    match (op, &event.kind) {
        (OpKind::Send | OpKind::Edit(_), MatrixKind::Message { body, .. } | MatrixKind::Edit { body, .. }) => {
            let media = body.media.iter().find_map(|file| file.mxc.as_ref()).map(ToString::to_string);
            Some(Memory { excerpt: content::excerpt(&body.text), media, ..memory })
        }
        (OpKind::Send | OpKind::React(_), MatrixKind::React { target, key }) => {
            Some(Memory { reaction: Some(key.clone()), target: Some(target.event_id.to_string()), ..memory })
        }
        _ => None,
    }
}

/// A message of the network's that another refers to.
pub(super) type TargetOf<N> = Target<<N as Network>::User, <N as Network>::Message>;

/// What the parts of an event say of it, and who sent it.
pub(super) fn target<N: Network>(rows: &[MessageRow]) -> Option<(TargetOf<N>, OwnedUserId)> {
    let first = rows.first()?;
    let sender = UserId::parse(&first.memory.sender).ok()?;
    let target = Target {
        event_id: OwnedEventId::try_from(first.event_id.as_str()).ok()?,
        messages: rows.iter().filter_map(named::<N>).collect(),
        author: first.memory.author.as_deref().and_then(N::User::decode),
        author_name: first.memory.author_name.clone(),
        excerpt: first.memory.excerpt.clone(),
    };
    Some((target, sender))
}

/// What the network calls a part of an event.
fn named<N: Network>(row: &MessageRow) -> Option<N::Message> {
    let id = N::Message::decode(row.memory.remote_id.as_deref()?)?;
    Some(id.with_also(row.memory.also.clone()))
}

impl Event {
    fn membership(&self) -> &str {
        self.content["membership"].as_str().unwrap_or_default()
    }

    fn membership_before(&self) -> &str {
        self.content_before().and_then(|content| content["membership"].as_str()).unwrap_or_default()
    }

    /// What the state was before, where the homeserver says so.
    fn content_before(&self) -> Option<&Json> {
        self.unsigned.get("prev_content").or(self.prev_content.as_ref())
    }

    /// The room that takes this one's place, and what is said of it.
    fn upgrade(&self) -> Option<(OwnedRoomId, String)> {
        let replacement = RoomId::parse(self.content["replacement_room"].as_str()?).ok()?;
        Some((replacement, self.content["body"].as_str().unwrap_or_default().to_owned()))
    }

    /// Whom this event invites.
    fn invites(&self) -> Option<OwnedUserId> {
        let who = UserId::parse(self.state_key.as_deref()?).ok()?;
        (self.kind == "m.room.member" && self.membership() == "invite").then_some(who)
    }
}
