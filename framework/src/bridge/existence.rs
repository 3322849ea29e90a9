//! Whether there is a Matrix user, for networks that let strangers write to any address that reads as a Matrix id.
//!
//! Only the word of a user's own homeserver counts, and ours is that of its own users alone. Of others' users nobody is asked: a
//! homeserver says "not found" also of a server that it does not reach, or that does not tell strangers, and whoever cannot be told from
//! somebody is taken for somebody, so that nothing said to them is lost. Nor can strangers have ours call any server they name.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use ruma::{OwnedUserId, UserId};
use tokio::sync::{Semaphore, watch};

use super::{Homeserver, HomeserverError, Names};
use crate::{
    clock::{Clock, Millis},
    network::host::Busy,
};

/// How long somebody who was found is taken to be there.
const THERE: Duration = Duration::from_hours(1);
/// How long an answer holds that there is nobody, or that nobody can tell.
const OTHERWISE: Duration = Duration::from_mins(1);
/// How many answers of each kind are remembered.
const MOST: usize = 5_000;
/// How many questions the homeserver is asked at once.
const AT_ONCE: usize = 4;
/// How many users may be asked about and not answered yet.
const MOST_OPEN: usize = 1_000;
/// How long the homeserver may take; then nobody can tell.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the homeserver who is there, each once for a while.
pub(crate) struct Existence {
    homeserver: Arc<dyn Homeserver>,
    names: Names,
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
    few: Semaphore,
}

/// What is known, and what is being asked. Strangers make up names of nobody; those push out no names of somebody.
#[derive(Default)]
struct Known {
    there: Answers,
    nobody: Answers,
    open: HashMap<OwnedUserId, watch::Receiver<Option<bool>>>,
}

/// Who was found, or not, and until when that holds.
#[derive(Default)]
struct Answers(HashMap<OwnedUserId, Millis>);

impl Answers {
    fn hold(&self, user_id: &UserId, now: Millis) -> bool {
        self.0.get(user_id).is_some_and(|until| now < *until)
    }

    /// At the bound what holds no longer is forgotten; where that is nothing, everything.
    fn remember(&mut self, user_id: OwnedUserId, now: Millis, until: Millis) {
        if self.0.len() >= MOST {
            self.0.retain(|_, until| now < *until);
        }
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(user_id, until);
    }
}

impl Existence {
    pub(crate) fn new(homeserver: Arc<dyn Homeserver>, names: Names, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { homeserver, names, clock, known: Mutex::default(), few: Semaphore::new(AT_ONCE) })
    }

    /// See [`Host::exists`](crate::network::Host::exists).
    pub(crate) async fn of(self: &Arc<Self>, user_id: &UserId) -> Result<bool, Busy> {
        if self.names.is_ours(user_id) {
            return Ok(false);
        }
        if user_id.server_name() != self.names.server_name {
            return Ok(true);
        }
        let mut answer = {
            let (mut known, now) = (self.known.lock(), self.clock.now());
            if known.there.hold(user_id, now) {
                return Ok(true);
            }
            if known.nobody.hold(user_id, now) {
                return Ok(false);
            }
            match known.open.get(user_id) {
                Some(answer) => answer.clone(),
                None if known.open.len() >= MOST_OPEN => return Err(Busy),
                None => {
                    let (told, answer) = watch::channel(None);
                    known.open.insert(user_id.to_owned(), answer.clone());
                    // Whoever asks may go away; who asked the same would wait for nothing.
                    tokio::spawn(Arc::clone(self).ask(user_id.to_owned(), told));
                    answer
                }
            }
        };
        let found = answer.wait_for(Option::is_some).await;
        Ok(found.ok().and_then(|found| *found).unwrap_or(true))
    }

    /// Asks the homeserver, in its turn, and tells everybody who waits for the answer.
    async fn ask(self: Arc<Self>, user_id: OwnedUserId, told: watch::Sender<Option<bool>>) {
        let found = {
            // Never closed.
            let _turn = self.few.acquire().await;
            tokio::time::timeout(PATIENCE, self.homeserver.has_profile(&user_id)).await
        };
        let (there, lasts) = match found {
            Ok(Ok(true)) => (true, THERE),
            Ok(Ok(false)) => (false, OTHERWISE),
            // It does not tell us: they may share no room with the bot.
            Ok(Err(HomeserverError::Forbidden(_))) => (true, THERE),
            Ok(Err(error)) => {
                tracing::debug!(user.id = %user_id, %error, "nobody can tell whether there is such a user");
                (true, OTHERWISE)
            }
            Err(_) => (true, OTHERWISE),
        };
        {
            let (mut known, now) = (self.known.lock(), self.clock.now());
            let answers = if there { &mut known.there } else { &mut known.nobody };
            answers.remember(user_id.clone(), now, now + lasts);
            known.open.remove(&user_id);
        }
        told.send_replace(Some(there));
    }
}

#[cfg(test)]
mod tests;
