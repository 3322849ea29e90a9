//! Filling a room up with what was said elsewhere before: many events in one commit, at the end of the room or before everything that
//! was said in it (`docs/adr/0010-history.md`).

mod branch;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, UserId, events::StateEventType};
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};
use tokio::sync::oneshot;

use self::branch::Branch;
use super::{
    Direction, Event, MemberProfile, Membership, MembershipChange, RoomError, Rooms,
    actor::Command,
    build::{self, Draft},
    core::{Batch, Core},
    membership::{MEMBER, member_content},
    mentions,
};
use crate::{
    store::{
        StoreError,
        names::{self, EventName, Named},
    },
    stream::Position,
};

/// What a room has to have in it for somebody to have said something.
const MESSAGES: [&str; 8] = [
    "m.room.message",
    "m.room.encrypted",
    "m.sticker",
    "m.reaction",
    "m.poll.start",
    "org.matrix.msc3381.poll.start",
    "m.call.invite",
    "m.beacon",
];
/// How many events are looked at at once for the first message of a room.
const AT_ONCE: usize = 500;

/// Where the events of a batch go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackfillPlace {
    /// To the end of the room.
    Forward,
    /// Before everything that was said in the room.
    History,
    /// To the end of the room while nobody has said anything, else before what was said.
    ForwardIfNoMessages,
}

/// A batch of events of an application service.
#[derive(Debug, Clone)]
pub struct Backfill {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Whose names the events have.
    pub appservice: String,
    /// Who asks; invites those who are to speak and may not come in by themselves.
    pub sender: OwnedUserId,
    /// The events, oldest first.
    pub events: Vec<BackfillEvent>,
    /// Where they go.
    pub place: BackfillPlace,
    /// Whether they notify as other events do, where they go to the end.
    pub notify: bool,
    /// What those are called who speak.
    pub profiles: HashMap<OwnedUserId, MemberProfile>,
}

/// One message event of a batch.
#[derive(Debug, Clone)]
pub struct BackfillEvent {
    /// Who said it.
    pub sender: OwnedUserId,
    /// Its type.
    pub kind: String,
    /// Its content, a JSON object. It may name other events as the application service does.
    pub content: Box<RawValue>,
    /// When it was said; `None`: now.
    pub ts: Option<MilliSecondsSinceUnixEpoch>,
    /// What the application service calls it. One that is known already is not written again.
    pub name: Option<OwnedEventId>,
}

impl Rooms {
    /// Fills a room up, and returns after everything of it is durable: the ids of the events, in their order. An event whose name is
    /// known stays as it was. Where one event is refused, nothing is written.
    ///
    /// Who is not in the room at that place comes in for the batch: at the end of the room by joining and leaving again, in its history
    /// by a membership that nobody is shown and that is not part of the room's state.
    ///
    /// # Errors
    /// [`RoomError::NotFound`] where there is no such room, [`RoomError::Forbidden`] where its rules refuse,
    /// [`RoomError::InvalidParam`] where a name is given twice or is another event's, and as for [`Rooms::send`].
    pub async fn backfill(&self, backfill: Backfill) -> Result<Vec<OwnedEventId>, RoomError> {
        let room_id = backfill.room_id.clone();
        let (tell, told) = oneshot::channel();
        self.tasks.ask(&room_id, Command::Backfill(Box::new(backfill), tell)).await?;
        told.await.map_err(|_| RoomError::Unavailable(StoreError::Closed))
    }
}

/// Where the next event of a batch goes.
enum Spot {
    End,
    History(Branch),
}

/// A batch on its way into the room.
struct Filling<'a> {
    appservice: &'a str,
    inviter: &'a UserId,
    profiles: &'a HashMap<OwnedUserId, MemberProfile>,
    spot: Spot,
    quiet: bool,
    /// What the names mean that contents may hold.
    meanings: HashMap<String, String>,
    /// Events of this batch.
    made: HashSet<OwnedEventId>,
    /// Reactions of this batch: who reacted to what in which way.
    reactions: HashMap<Reaction, OwnedEventId>,
    /// Who was found in the room, and who came for the batch.
    present: HashSet<OwnedUserId>,
    guests: Vec<OwnedUserId>,
}

/// Who reacted, to what, and in which way.
type Reaction = (OwnedUserId, OwnedEventId, String);

impl Core {
    /// Fills the room up: gives an event of it, for its place, and the ids of all. Everything written before is committed.
    pub(super) async fn backfill(
        &mut self,
        backfill: Backfill,
        batch: &mut Batch,
    ) -> Result<(Arc<Event>, Vec<OwnedEventId>), RoomError> {
        let known = self.known_names(&backfill).await?;
        let known_id = |event: &BackfillEvent| event.name.as_ref().and_then(|name| known.get(name.as_str()));
        let news = backfill.events.iter().filter(|event| known_id(event).is_none()).count();
        let end = self.heads.last().cloned().ok_or_else(|| RoomError::Internal("a room without an end".into()))?;
        let mut ids = Vec::with_capacity(backfill.events.len());
        if news == 0 {
            ids.extend(backfill.events.iter().filter_map(known_id).cloned());
            return Ok((end, ids));
        }
        let spot = self.spot(backfill.place, news, batch).await?;
        let mut filling = Filling {
            appservice: &backfill.appservice,
            inviter: &backfill.sender,
            profiles: &backfill.profiles,
            quiet: !backfill.notify || matches!(spot, Spot::History(_)),
            spot,
            meanings: self.meanings(&backfill, &known).await?,
            made: HashSet::new(),
            reactions: HashMap::new(),
            present: HashSet::new(),
            guests: Vec::new(),
        };
        let mut last_ts = None;
        for event in &backfill.events {
            let event_id = match known_id(event) {
                Some(event_id) => event_id.clone(),
                None => self.fill_in(&mut filling, event, batch).await?,
            };
            last_ts = event.ts.or(last_ts);
            ids.push(event_id);
        }
        for guest in std::mem::take(&mut filling.guests) {
            self.change_for_batch(&mut filling, &guest, &guest, Membership::Leave, last_ts, batch).await?;
        }
        Ok((end, ids))
    }

    /// Which names of a batch are known, and the events they mean. Refuses names that cannot be told apart from others.
    async fn known_names(&self, backfill: &Backfill) -> Result<HashMap<String, OwnedEventId>, RoomError> {
        let mut given = BTreeSet::new();
        for name in backfill.events.iter().filter_map(|event| event.name.as_ref()) {
            if !given.insert(name.to_string()) {
                return Err(RoomError::InvalidParam(format!("{name} is given to two events")));
            }
        }
        if given.is_empty() {
            return Ok(HashMap::new());
        }
        let store = &self.context.store;
        let named = names::by_name(store.db(), &backfill.appservice, &given).await?;
        if let Some((name, _)) = named.iter().find(|(_, named)| named.room != self.room.nid) {
            return Err(RoomError::InvalidParam(format!("{name} is an event of another room")));
        }
        let names: Vec<OwnedEventId> = backfill.events.iter().filter_map(|event| event.name.clone()).collect();
        if let Some(real) = store.events_by_id(&names).await?.first() {
            return Err(RoomError::InvalidParam(format!("{} is an event that has another origin", real.event_id)));
        }
        Ok(named.into_iter().map(|(name, Named { event_id, .. })| (name, event_id)).collect())
    }

    /// What the names mean that the contents of a batch hold.
    async fn meanings(
        &self,
        backfill: &Backfill,
        known: &HashMap<String, OwnedEventId>,
    ) -> Result<HashMap<String, String>, RoomError> {
        let mut mentioned = BTreeSet::new();
        for event in &backfill.events {
            if let Ok(content) = serde_json::from_str(event.content.get()) {
                mentions::mentioned(&content, &mut mentioned);
            }
        }
        let named = names::by_name(self.context.store.db(), &backfill.appservice, &mentioned).await?;
        let named = named.into_iter().map(|(name, named)| (name, named.event_id.to_string()));
        Ok(named.chain(known.iter().map(|(name, id)| (name.clone(), id.to_string()))).collect())
    }

    /// Adds one event of a batch, whoever has to come in for it; or finds the reaction that was there before.
    async fn fill_in(
        &mut self,
        filling: &mut Filling<'_>,
        event: &BackfillEvent,
        batch: &mut Batch,
    ) -> Result<OwnedEventId, RoomError> {
        let mut content = event.content.clone();
        let mut value: Value =
            serde_json::from_str(content.get()).map_err(|error| RoomError::BadJson(error.to_string()))?;
        if mentions::replace(&mut value, &filling.meanings) {
            content = to_raw_value(&value).map_err(|error| RoomError::BadJson(error.to_string()))?;
        }
        let reaction = reaction(event, &value);
        let before = match &reaction {
            Some(reaction) => self.reacted(filling, reaction).await?,
            None => None,
        };
        let (event_id, number) = match before {
            Some(event_id) => (event_id, self.context.store.next_event_nid()),
            None => {
                let ts = event.ts.unwrap_or_else(|| self.context.clock.now());
                self.let_in(filling, &event.sender, ts, batch).await?;
                let draft = Draft::new(&event.kind, None, &event.sender, build::canonical(&content)?, ts)?;
                let made = self.add(filling, draft, batch).await?;
                filling.made.insert(made.event_id.clone());
                (made.event_id.clone(), made.nid)
            }
        };
        if let Some(reaction) = reaction {
            filling.reactions.insert(reaction, event_id.clone());
        }
        if let Some(name) = &event.name {
            filling.meanings.insert(name.to_string(), event_id.to_string());
            let appservice = filling.appservice.to_owned();
            let event_id = event_id.clone();
            batch.names.push(EventName { appservice, name: name.to_string(), event_id, number: number.0 });
        }
        Ok(event_id)
    }

    async fn add(
        &mut self,
        filling: &mut Filling<'_>,
        mut draft: Draft,
        batch: &mut Batch,
    ) -> Result<Arc<Event>, RoomError> {
        draft.quiet = filling.quiet;
        match &mut filling.spot {
            Spot::End => self.append(draft, batch).await,
            Spot::History(branch) => branch.append(self, draft, batch).await,
        }
    }

    /// The reaction of a user to an event in this way, where there is one: nobody reacts twice in the same way, and bridges give new
    /// names to reactions that they send again.
    async fn reacted(&self, filling: &Filling<'_>, reaction: &Reaction) -> Result<Option<OwnedEventId>, RoomError> {
        if let Some(event_id) = filling.reactions.get(reaction) {
            return Ok(Some(event_id.clone()));
        }
        let (sender, target, key) = reaction;
        if filling.made.contains(target) {
            return Ok(None);
        }
        let store = &self.context.store;
        let events = store.events(&store.annotations(self.room.nid, target, sender).await?).await?;
        let same = events.into_iter().find(|event| {
            let content: Value = serde_json::from_str(event.content.get()).unwrap_or_default();
            content["m.relates_to"]["key"] == *key
        });
        Ok(same.map(|event| event.event_id.clone()))
    }

    /// Sees to it that somebody is in the room who is to speak.
    async fn let_in(
        &mut self,
        filling: &mut Filling<'_>,
        user: &UserId,
        ts: MilliSecondsSinceUnixEpoch,
        batch: &mut Batch,
    ) -> Result<(), RoomError> {
        if filling.present.contains(user) {
            return Ok(());
        }
        let stands = match &filling.spot {
            Spot::End => self.state_event(&StateEventType::RoomMember, user.as_str()).await?,
            Spot::History(branch) => branch.member(self, user).await?,
        };
        let stands = stands.and_then(|event| event.membership());
        if stands != Some(Membership::Join) {
            let inviter = filling.inviter.to_owned();
            let joins = self.change_for_batch(filling, user, user, Membership::Join, Some(ts), batch).await;
            match joins {
                Err(RoomError::Forbidden(_)) if !matches!(stands, Some(Membership::Invite | Membership::Ban)) => {
                    self.change_for_batch(filling, &inviter, user, Membership::Invite, Some(ts), batch).await?;
                    self.change_for_batch(filling, user, user, Membership::Join, Some(ts), batch).await?;
                }
                joins => joins?,
            }
            if matches!(filling.spot, Spot::End) {
                filling.guests.push(user.to_owned());
            }
        }
        filling.present.insert(user.to_owned());
        Ok(())
    }

    async fn change_for_batch(
        &mut self,
        filling: &mut Filling<'_>,
        sender: &UserId,
        target: &UserId,
        membership: Membership,
        ts: Option<MilliSecondsSinceUnixEpoch>,
        batch: &mut Batch,
    ) -> Result<(), RoomError> {
        let ts = ts.unwrap_or_else(|| self.context.clock.now());
        let mut change = MembershipChange::new(self.room.room_id.clone(), sender, target, membership);
        change.profile = filling.profiles.get(target).cloned().unwrap_or_default();
        let draft = Draft::new(MEMBER, Some(target.as_str()), sender, member_content(&change)?, ts)?;
        self.add(filling, draft, batch).await.map(drop)
    }

    /// Where a batch goes that has this many events to be written.
    async fn spot(&mut self, place: BackfillPlace, news: usize, batch: &mut Batch) -> Result<Spot, RoomError> {
        let before = match (place, self.room.history()) {
            (BackfillPlace::Forward, _) => return Ok(Spot::End),
            (_, Some(place)) => place,
            (_, None) => match self.first_message().await? {
                Some(first) => Position(first.0 - 1),
                None if place == BackfillPlace::ForwardIfNoMessages => return Ok(Spot::End),
                None => self.heads.iter().map(|head| head.position()).max().unwrap_or_default(),
            },
        };
        batch.history = Some(before).filter(|_| self.room.history().is_none());
        Branch::after(self, before, news, batch).await.map(Spot::History)
    }

    /// Where in the log the first thing stands that somebody said in the room.
    async fn first_message(&self) -> Result<Option<Position>, RoomError> {
        let mut after = Position::START;
        loop {
            let store = &self.context.store;
            let events = store.room_log(self.room.nid, after, Position::END, Direction::Forward, AT_ONCE).await?;
            let is_message = |event: &&Arc<Event>| !event.is_state() && MESSAGES.contains(&&*event.kind.to_string());
            if let Some(first) = events.iter().find(is_message) {
                return Ok(Some(first.position()));
            }
            match events.last() {
                Some(last) if events.len() == AT_ONCE => after = last.position(),
                _ => return Ok(None),
            }
        }
    }
}

/// What an event reacts to, if it is a reaction.
fn reaction(event: &BackfillEvent, content: &Value) -> Option<Reaction> {
    let relation = content.get("m.relates_to").filter(|_| event.kind == "m.reaction")?;
    if relation.get("rel_type")? != "m.annotation" {
        return None;
    }
    let target = OwnedEventId::try_from(relation.get("event_id")?.as_str()?).ok()?;
    Some((event.sender.clone(), target, relation.get("key")?.as_str()?.to_owned()))
}
