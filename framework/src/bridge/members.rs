//! Which virtual users should be in which rooms, and which are: what is wanted is stored at once, and made true beside the lanes,
//! so that a channel of a thousand people holds up no message.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use parking_lot::RwLock;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use tokio::sync::mpsc;

use super::{HomeserverError, homeserver::Membership, parts::Parts, stripes::Stripes, virtual_users::VirtualUsers};
use crate::{
    network::{Network, RemoteId},
    store::{Change, MemberRow, MemberState},
};

/// How many virtual users join or leave at the same time.
const AT_ONCE: usize = 16;
/// The waits while the homeserver cannot be reached.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How long somebody who is kept out is let in to say what they said before.
const LINGER: Duration = Duration::from_secs(2);

/// All virtual users in rooms.
pub(crate) struct Members<N: Network> {
    parts: Arc<Parts<N>>,
    users: Arc<VirtualUsers<N>>,
    rooms: RwLock<HashMap<OwnedRoomId, Room<N::User>>>,
    locks: Stripes,
    /// Those of whom something else is wanted than is. Bounded by their number.
    unsettled: mpsc::UnboundedSender<(OwnedRoomId, N::User)>,
}

struct Room<U> {
    people: HashMap<U, Person>,
    /// Grows with each change of who is wanted, or of a name.
    version: u64,
}

#[derive(Debug, Clone, Default)]
struct Person {
    name: Option<String>,
    wanted: MemberState,
    reason: Option<String>,
    actual: MemberState,
}

impl<U> Default for Room<U> {
    fn default() -> Self {
        Self { people: HashMap::new(), version: 0 }
    }
}

/// A virtual user in a room: the remote id, the name they go by, the Matrix id.
pub(crate) type Known<U> = (U, String, OwnedUserId);

impl<N: Network> Members<N> {
    /// Takes what the store held. The returned future makes true what is wanted, for ever.
    pub(crate) fn new(
        parts: &Arc<Parts<N>>,
        users: &Arc<VirtualUsers<N>>,
        rows: Vec<MemberRow>,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send + use<N>) {
        let (unsettled, work) = mpsc::unbounded_channel();
        let members = Arc::new(Self {
            parts: Arc::clone(parts),
            users: Arc::clone(users),
            rooms: RwLock::default(),
            locks: Stripes::default(),
            unsettled,
        });
        for row in rows {
            members.load(row);
        }
        let settling =
            {
                let members = Arc::downgrade(&members);
                stream::unfold(work, |mut work| async { work.recv().await.map(|next| (next, work)) })
                    .for_each_concurrent(AT_ONCE, move |(room, user)| {
                        let members = members.upgrade();
                        async move {
                            if let Some(members) = members {
                                members.settle_patiently(&room, &user).await;
                            }
                        }
                    })
            };
        (members, settling)
    }

    fn load(&self, row: MemberRow) {
        let (Ok(room_id), Some(user)) = (RoomId::parse(&row.room_id), N::User::decode(&row.remote)) else { return };
        let person = Person {
            name: (!row.name.is_empty()).then_some(row.name),
            wanted: row.wanted,
            reason: row.reason,
            actual: row.actual,
        };
        if person.wanted != person.actual {
            let _ = self.unsettled.send((room_id.clone(), user.clone()));
        }
        self.rooms.write().entry(room_id).or_default().people.insert(user, person);
    }

    /// Wants a virtual user in a room, or out of it. Returns what to store, where that is news; [`Members::wake`] must follow. Who is kept
    /// out stays so until they are [pardoned](Self::pardon), or wanted in it.
    pub(crate) fn want(
        &self,
        room_id: &RoomId,
        user: &N::User,
        name: Option<&str>,
        wanted: MemberState,
        reason: Option<&str>,
    ) -> Option<MemberRow> {
        let mut rooms = self.rooms.write();
        let room = rooms.entry(room_id.to_owned()).or_default();
        let person = room.people.entry(user.clone()).or_default();
        let renamed = name.is_some() && person.name.as_deref() != name;
        let is_so = person.wanted == wanted && !(wanted == MemberState::Joined && renamed);
        if is_so || (person.wanted, wanted) == (MemberState::Banned, MemberState::Left) {
            return None;
        }
        if let Some(name) = name {
            person.name = Some(name.to_owned());
        }
        person.wanted = wanted;
        person.reason = reason.map(str::to_owned);
        room.version += 1;
        Some(row(room_id, user, person))
    }

    /// The network keeps a virtual user out no longer. What else is to be done is as for [`Members::want`].
    pub(crate) fn pardon(&self, room_id: &RoomId, user: &N::User) -> Option<MemberRow> {
        let mut rooms = self.rooms.write();
        let person = rooms.get_mut(room_id)?.people.get_mut(user)?;
        if person.wanted != MemberState::Banned {
            return None;
        }
        (person.wanted, person.reason) = (MemberState::Left, None);
        Some(row(room_id, user, person))
    }

    /// A virtual user who is about to say something goes by this name.
    pub(crate) fn named(&self, room_id: &RoomId, user: &N::User, name: &str) {
        let mut rooms = self.rooms.write();
        let room = rooms.entry(room_id.to_owned()).or_default();
        let person = room.people.entry(user.clone()).or_default();
        if person.name.as_deref() != Some(name) {
            person.name = Some(name.to_owned());
            room.version += 1;
        }
    }

    /// Makes the virtual users in a room exactly these. Returns what to store, and of whom.
    pub(crate) fn want_exactly(
        &self,
        room_id: &RoomId,
        members: &[(N::User, Option<String>)],
    ) -> Vec<(N::User, MemberRow)> {
        let named: HashSet<&N::User> = members.iter().map(|(user, _)| user).collect();
        let gone: Vec<N::User> = {
            let rooms = self.rooms.read();
            let people = rooms.get(room_id).into_iter().flat_map(|room| &room.people);
            people
                .filter(|(user, person)| person.wanted == MemberState::Joined && !named.contains(user))
                .map(|(user, _)| user.clone())
                .collect()
        };
        let left = gone.into_iter().filter_map(|user| {
            let row = self.want(room_id, &user, None, MemberState::Left, None)?;
            Some((user, row))
        });
        let mut rows: Vec<_> = left.collect();
        rows.extend(members.iter().filter_map(|(user, name)| {
            let row = self.want(room_id, user, name.as_deref(), MemberState::Joined, None)?;
            Some((user.clone(), row))
        }));
        rows
    }

    /// Begins to make true what is wanted of a virtual user.
    pub(crate) fn wake(&self, room_id: &RoomId, user: &N::User) {
        // The receiver is gone only when the bridge is stopping.
        let _ = self.unsettled.send((room_id.to_owned(), user.clone()));
    }

    fn wake_later(&self, room_id: &RoomId, user: &N::User) {
        let (unsettled, room_id, user) = (self.unsettled.clone(), room_id.to_owned(), user.clone());
        tokio::spawn(async move {
            tokio::time::sleep(LINGER).await;
            let _ = unsettled.send((room_id, user));
        });
    }

    /// Who is in a room, as the network sees it, and a number that changes when that does.
    pub(crate) fn snapshot(&self, room_id: &RoomId, unless: Option<u64>) -> Option<(u64, Vec<Known<N::User>>)> {
        let rooms = self.rooms.read();
        let Some(room) = rooms.get(room_id) else { return (unless != Some(0)).then(|| (0, Vec::new())) };
        if unless == Some(room.version) {
            return None;
        }
        let wanted = room.people.iter().filter(|(_, person)| person.wanted == MemberState::Joined);
        let people = wanted.filter_map(|(user, person)| {
            let name = person.name.clone().unwrap_or_else(|| user.encode());
            Some((user.clone(), name, self.parts.names.user_id(&*self.parts.network, user)?))
        });
        Some((room.version, people.collect()))
    }

    /// The name a virtual user goes by.
    pub(crate) fn name(&self, room_id: &RoomId, user: &N::User) -> Option<String> {
        self.rooms.read().get(room_id)?.people.get(user)?.name.clone()
    }

    /// Somebody in Matrix put a virtual user out: they are not brought back until they say something.
    pub(crate) fn put_out(&self, room_id: &RoomId, user: &N::User) -> Option<MemberRow> {
        let mut rooms = self.rooms.write();
        let person = rooms.get_mut(room_id)?.people.get_mut(user)?;
        (person.wanted, person.actual) = (MemberState::Left, MemberState::Left);
        Some(row(room_id, user, person))
    }

    /// Whom the network keeps out of a room, and why.
    pub(crate) fn kept_out(&self, room_id: &RoomId) -> Vec<(N::User, Option<String>)> {
        let rooms = self.rooms.read();
        let people = rooms.get(room_id).into_iter().flat_map(|room| &room.people);
        let banned = people.filter(|(_, person)| person.wanted == MemberState::Banned);
        banned.map(|(user, person)| (user.clone(), person.reason.clone())).collect()
    }

    /// A Matrix room is mapped no longer: nobody is wanted there. Who is kept out stays so.
    pub(crate) fn want_nobody(&self, room_id: &RoomId) -> Vec<(N::User, MemberRow)> {
        self.want_exactly(room_id, &[])
    }

    /// Makes sure that a virtual user is registered, named and in a room, because they are about to say something there.
    pub(crate) async fn ensure_joined(&self, room_id: &RoomId, user: &N::User) -> Result<OwnedUserId, HomeserverError> {
        self.bring(room_id, user, true).await
    }

    async fn bring(&self, room_id: &RoomId, user: &N::User, speaks: bool) -> Result<OwnedUserId, HomeserverError> {
        let (name, actual) = {
            let rooms = self.rooms.read();
            let person = rooms.get(room_id).and_then(|room| room.people.get(user));
            person.map_or((None, MemberState::Left), |person| (person.name.clone(), person.actual))
        };
        let id = self.users.ensure(user, name.as_deref()).await?;
        if actual != MemberState::Joined {
            let _one_at_a_time = self.locks.lock((room_id, user)).await;
            let actual = self.actual(room_id, user);
            if actual == MemberState::Banned {
                self.lift(room_id, &id).await?;
            }
            if actual != MemberState::Joined {
                self.enter(room_id, &id).await?;
                self.now(room_id, user, MemberState::Joined, speaks).await;
            }
        }
        Ok(id)
    }

    /// Lets somebody in again whom the bot kept out. Where somebody else did already, there is nothing to do.
    async fn lift(&self, room_id: &RoomId, id: &UserId) -> Result<(), HomeserverError> {
        let bot = &self.parts.names.bot;
        match self.parts.homeserver.set_membership(bot, room_id, id, Membership::Unban, None).await {
            Err(HomeserverError::Forbidden(_) | HomeserverError::Refused(_) | HomeserverError::NotFound(_)) => Ok(()),
            other => other,
        }
    }

    /// The homeserver says that a virtual user whom we took to be in a room is not.
    pub(crate) fn not_joined(&self, room_id: &RoomId, user: &N::User) {
        let mut rooms = self.rooms.write();
        let person = rooms.get_mut(room_id).and_then(|room| room.people.get_mut(user));
        if let Some(person) = person.filter(|person| person.actual == MemberState::Joined) {
            person.actual = MemberState::Left;
        }
    }

    /// A virtual user is in a room that they made or were invited to.
    pub(crate) async fn joined(&self, room_id: &RoomId, user: &N::User) {
        self.want(room_id, user, None, MemberState::Joined, None);
        self.now(room_id, user, MemberState::Joined, true).await;
    }

    /// Whether a virtual user is in a room.
    pub(crate) fn is_actual(&self, room_id: &RoomId, user: &N::User) -> bool {
        self.actual(room_id, user) == MemberState::Joined
    }

    fn actual(&self, room_id: &RoomId, user: &N::User) -> MemberState {
        let rooms = self.rooms.read();
        rooms.get(room_id).and_then(|room| room.people.get(user)).map(|person| person.actual).unwrap_or_default()
    }

    /// Joins; where that needs an invitation, the bot invites first.
    async fn enter(&self, room_id: &RoomId, id: &UserId) -> Result<(), HomeserverError> {
        match self.parts.homeserver.join(id, room_id).await {
            Err(HomeserverError::Forbidden(_) | HomeserverError::Refused(_) | HomeserverError::NotFound(_)) => {}
            other => return other,
        }
        let bot = &self.parts.names.bot;
        let invited = self.parts.homeserver.set_membership(bot, room_id, id, Membership::Invite, None).await;
        match self.parts.homeserver.join(id, room_id).await {
            Ok(()) => Ok(()),
            Err(error) => Err(invited.err().unwrap_or(error)),
        }
    }

    async fn settle_patiently(&self, room_id: &RoomId, user: &N::User) {
        let mut wait = FIRST_WAIT;
        loop {
            match self.settle(room_id, user).await {
                Ok(()) if self.is_settled(room_id, user) => return,
                // Something else is wanted since.
                Ok(()) => continue,
                Err(HomeserverError::Limited(after)) => tokio::time::sleep(after.unwrap_or(wait)).await,
                Err(HomeserverError::Unavailable(_)) => tokio::time::sleep(wait).await,
                Err(error) => {
                    tracing::warn!(room.id = %room_id, remote.user = ?user, %error, "a virtual user cannot come or go");
                    self.give_up(room_id, user).await;
                    return;
                }
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn settle(&self, room_id: &RoomId, user: &N::User) -> Result<(), HomeserverError> {
        let person = self.rooms.read().get(room_id).and_then(|room| room.people.get(user)).cloned();
        let Some(person) = person else { return Ok(()) };
        match person.wanted {
            // Also brings a new name to those who are there already.
            MemberState::Joined => self.bring(room_id, user, false).await.map(drop),
            MemberState::Left => self.take_out(room_id, user, person.reason.as_deref()).await,
            MemberState::Banned => self.keep_out(room_id, user, person.reason.as_deref()).await,
        }
    }

    async fn take_out(&self, room_id: &RoomId, user: &N::User, reason: Option<&str>) -> Result<(), HomeserverError> {
        let _one_at_a_time = self.locks.lock((room_id, user)).await;
        if self.wanted(room_id, user) != MemberState::Left {
            return Ok(());
        }
        let id = self.users.id(user)?;
        match self.actual(room_id, user) {
            MemberState::Left => {}
            MemberState::Banned => self.lift(room_id, &id).await?,
            MemberState::Joined => {
                let leave = self.parts.homeserver.set_membership(&id, room_id, &id, Membership::Leave, reason);
                match leave.await {
                    // Whoever is not there has left.
                    Ok(()) | Err(HomeserverError::Forbidden(_) | HomeserverError::NotFound(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        self.now(room_id, user, MemberState::Left, false).await;
        Ok(())
    }

    /// The bot keeps somebody out, unless that is done already: by somebody in Matrix, or before a crash. Where it may not, they are only
    /// taken out.
    async fn keep_out(&self, room_id: &RoomId, user: &N::User, reason: Option<&str>) -> Result<(), HomeserverError> {
        let _one_at_a_time = self.locks.lock((room_id, user)).await;
        let (wanted, actual) = (self.wanted(room_id, user), self.actual(room_id, user));
        if wanted != MemberState::Banned || actual == MemberState::Banned {
            return Ok(());
        }
        match self.ban(room_id, &self.users.id(user)?, reason).await {
            Ok(()) => self.now(room_id, user, MemberState::Banned, false).await,
            Err(error @ (HomeserverError::Limited(_) | HomeserverError::Unavailable(_))) => return Err(error),
            Err(error) => {
                tracing::info!(room.id = %room_id, remote.user = ?user, %error, "not banned in Matrix, only taken out");
                if let Some(person) = self.rooms.write().get_mut(room_id).and_then(|room| room.people.get_mut(user)) {
                    person.wanted = MemberState::Left;
                }
                if actual == MemberState::Left {
                    self.now(room_id, user, MemberState::Left, false).await;
                }
            }
        }
        Ok(())
    }

    async fn ban(&self, room_id: &RoomId, id: &UserId, reason: Option<&str>) -> Result<(), HomeserverError> {
        let bot = &self.parts.names.bot;
        match self.parts.homeserver.state(bot, room_id, "m.room.member", id.as_str()).await {
            Ok(Some(member)) if member["membership"] == "ban" => return Ok(()),
            Err(error @ (HomeserverError::Limited(_) | HomeserverError::Unavailable(_))) => return Err(error),
            // Where the bot may not look, the attempt tells.
            Ok(_) | Err(_) => {}
        }
        self.parts.homeserver.set_membership(bot, room_id, id, Membership::Ban, reason).await
    }

    fn is_settled(&self, room_id: &RoomId, user: &N::User) -> bool {
        let rooms = self.rooms.read();
        let person = rooms.get(room_id).and_then(|room| room.people.get(user));
        person.is_none_or(|person| person.wanted == person.actual)
    }

    /// Whether the network has somebody in the remote room of a room, so that their virtual user is there, or is to be.
    pub(crate) fn is_wanted(&self, room_id: &RoomId, user: &N::User) -> bool {
        self.wanted(room_id, user) == MemberState::Joined
    }

    fn wanted(&self, room_id: &RoomId, user: &N::User) -> MemberState {
        let rooms = self.rooms.read();
        rooms.get(room_id).and_then(|room| room.people.get(user)).map(|person| person.wanted).unwrap_or_default()
    }

    /// What a virtual user is has changed. Not waited for: what is forgotten in a crash is done again, to no effect.
    async fn now(&self, room_id: &RoomId, user: &N::User, actual: MemberState, speaks: bool) {
        self.parts.kill.pass("matrix.member").await;
        let change = {
            let mut rooms = self.rooms.write();
            let room = rooms.entry(room_id.to_owned()).or_default();
            let person = room.people.entry(user.clone()).or_default();
            person.actual = actual;
            match person.wanted {
                MemberState::Left if speaks => {
                    person.wanted = MemberState::Joined;
                    room.version += 1;
                }
                MemberState::Banned if speaks => self.wake_later(room_id, user),
                _ => {}
            }
            if (person.wanted, person.actual) != (MemberState::Left, MemberState::Left) {
                Change { members: vec![row(room_id, user, person)], ..Change::default() }
            } else {
                room.people.remove(user);
                Change { members_gone: vec![(room_id.to_string(), user.encode())], ..Change::default() }
            }
        };
        if let Err(error) = self.parts.store.enqueue(change).await {
            tracing::debug!(%error, "a membership was not stored");
        }
    }

    async fn give_up(&self, room_id: &RoomId, user: &N::User) {
        let change = {
            let mut rooms = self.rooms.write();
            let Some(person) = rooms.get_mut(room_id).and_then(|room| room.people.get_mut(user)) else { return };
            person.wanted = person.actual;
            Change { members: vec![row(room_id, user, person)], ..Change::default() }
        };
        if let Err(error) = self.parts.store.enqueue(change).await {
            tracing::debug!(%error, "a membership was not stored");
        }
    }
}

fn row<U: RemoteId>(room_id: &RoomId, user: &U, person: &Person) -> MemberRow {
    MemberRow {
        room_id: room_id.to_string(),
        remote: user.encode(),
        name: person.name.clone().unwrap_or_default(),
        wanted: person.wanted,
        reason: person.reason.clone(),
        actual: person.actual,
    }
}
