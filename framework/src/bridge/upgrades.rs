//! A room that was upgraded goes on in another: the mapping moves there.
//!
//! That is a stored job from the commit that hears of it until the commit that moves the mapping. Meanwhile what is said in the new room
//! waits, and so does what the old one takes no longer.

use std::{sync::Arc, time::Duration};

use ruma::{OwnedRoomId, RoomId};

use super::{
    HomeserverError,
    mappings::{MappingKind, RoomMapping, remember},
    rooms::{Job, RoomError, Rooms},
};
use crate::{
    network::Network,
    store::{Change, JobRow, MemberState},
};

/// The waits for an invitation into the new room.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// After this long the rooms stay as they are.
const PATIENCE: Duration = Duration::from_hours(24);

/// Whether a mapping has moved.
#[derive(Debug, PartialEq, Eq)]
enum Moved {
    /// It has, or need not.
    Done,
    /// We are not let into the new room yet.
    NotYet,
}

impl<N: Network> Rooms<N> {
    /// A room is followed into its replacement. Returns the job, to be stored in the commit that settles what said so.
    pub(crate) fn follow(self: &Arc<Self>, from: &RoomId, to: &RoomId) -> Result<JobRow, serde_json::Error> {
        let job: Job<N::Room, N::User> = Job::Upgrade { from: from.to_owned(), to: to.to_owned() };
        let row = JobRow { name: name(from), data: serde_json::to_string(&job)?, at: self.parts.clock.now().0 };
        self.resume_upgrade(from.to_owned(), to.to_owned(), row.at);
        Ok(row)
    }

    /// Follows, however long it takes until we are let in. Begun once for each room.
    pub(super) fn resume_upgrade(self: &Arc<Self>, from: OwnedRoomId, to: OwnedRoomId, since: i64) {
        if self.parts.mappings.begin_move(&from, &to) {
            let rooms = Arc::clone(self);
            self.tasks.spawn(async move { rooms.follow_patiently(&from, &to, since).await });
        }
    }

    async fn follow_patiently(&self, from: &RoomId, to: &RoomId, since: i64) {
        let mut wait = FIRST_WAIT;
        loop {
            let invited = self.invited.notified();
            match self.move_to(from, to).await {
                Ok(Moved::Done) => break,
                Ok(Moved::NotYet) if self.parts.clock.now().since(crate::Millis(since)) > PATIENCE => {
                    tracing::warn!(room.id = %from, replacement = %to, "nobody let us into the upgraded room");
                    if self.stay(from).await.is_ok() {
                        break;
                    }
                }
                Ok(Moved::NotYet) => {
                    tracing::info!(room.id = %from, replacement = %to, "waiting to be invited into the upgraded room");
                }
                Err(error) => tracing::warn!(room.id = %from, %error, "an upgraded room cannot be followed yet"),
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = invited => {}
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        self.parts.mappings.end_move(from);
    }

    async fn move_to(&self, from: &RoomId, to: &RoomId) -> Result<Moved, RoomError> {
        let Some(mapping) = self.parts.mappings.by_room(from) else { return self.stay(from).await };
        let spokesman = self.spokesman(&mapping);
        match self.parts.homeserver.join(&spokesman, to).await {
            Ok(()) => {}
            Err(HomeserverError::Forbidden(_) | HomeserverError::NotFound(_) | HomeserverError::Refused(_)) => {
                return Ok(Moved::NotYet);
            }
            Err(error) => return Err(error.into()),
        }
        let create = self.parts.homeserver.state(&spokesman, to, "m.room.create", "").await?.unwrap_or_default();
        if create["predecessor"]["room_id"].as_str() != Some(from.as_str()) || self.parts.mappings.by_room(to).is_some()
        {
            tracing::warn!(room.id = %from, replacement = %to, "a room that does not name this one as its predecessor is not followed");
            return self.stay(from).await;
        }
        let _one_at_a_time = self.locks.lock(&mapping.remote).await;
        let moved = RoomMapping { room_id: to.to_owned(), deserted: false, ..(*mapping).clone() };
        let people = self.members.snapshot(from, None).map(|(_, people)| people).unwrap_or_default();
        let mut members: Vec<_> = self.members.want_nobody(from).into_iter().map(|(_, row)| row).collect();
        let joining = people
            .iter()
            .filter_map(|(user, name, _)| self.members.want(to, user, Some(name), MemberState::Joined, None));
        members.extend(joining);
        let kept_out = self.members.kept_out(from);
        let banned = kept_out
            .iter()
            .filter_map(|(user, reason)| self.members.want(to, user, None, MemberState::Banned, reason.as_deref()));
        members.extend(banned);
        let change = Change {
            unmap: vec![from.to_string()],
            members,
            jobs_done: vec![name(from)],
            moves: vec![(from.to_string(), to.to_string())],
            ..remember(&moved, self.parts.clock.now())
        };
        self.parts.store.commit(change).await.map_err(|error| RoomError::Store(error.to_string()))?;
        self.parts.mappings.replace(from, moved);
        tracing::info!(room.id = %from, replacement = %to, "the mapping of an upgraded room has moved");
        for (user, ..) in &people {
            self.members.wake(to, user);
            self.members.wake(from, user);
        }
        for (user, _) in &kept_out {
            self.members.wake(to, user);
        }
        self.move_alias(&mapping, to).await;
        Ok(Moved::Done)
    }

    /// The portal's alias leads to the new room. Homeservers do that themselves, if who upgraded had the power.
    async fn move_alias(&self, mapping: &RoomMapping<N::Room>, to: &RoomId) {
        let alias = self
            .parts
            .names
            .alias(&*self.parts.network, &mapping.remote)
            .filter(|_| mapping.kind == MappingKind::Portal);
        let Some(alias) = alias else { return };
        let moved = match self.parts.homeserver.resolve_alias(&alias).await {
            Ok(Some(now)) if now == to => Ok(()),
            Ok(_) => self.parts.homeserver.move_alias(&alias, to).await,
            Err(error) => Err(error),
        };
        if let Err(error) = moved {
            tracing::warn!(room.alias = %alias, room.id = %to, %error, "a portal's alias was not moved");
        }
    }

    /// The mapping stays where it is.
    async fn stay(&self, from: &RoomId) -> Result<Moved, RoomError> {
        let change = Change { jobs_done: vec![name(from)], ..Change::default() };
        self.parts.store.commit(change).await.map_err(|error| RoomError::Store(error.to_string()))?;
        Ok(Moved::Done)
    }
}

fn name(from: &RoomId) -> String {
    format!("upgrade:{from}")
}
