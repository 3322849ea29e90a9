//! The live part of a session, which others can reach while it runs.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use landbridge::network::SendError;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::{absence::Absence, ephemeral::Shown};
use crate::{message::Nick, wire::Handle};

/// How many people are remembered as partners of private messages; beyond that all are forgotten, and a notice from them waits
/// for their next message.
const MAX_TALKED: usize = 1000;
/// How long somebody who asks for a channel waits for the connection.
const SOON: Duration = Duration::from_secs(10);

/// The live part of a session, which others can reach while it runs.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) handle: watch::Sender<Option<Handle>>,
    /// The channels we are in, folded.
    pub(super) joined: Mutex<HashSet<String>>,
    /// With whom private messages were exchanged, folded.
    talked: Mutex<HashSet<String>>,
    /// What the network was told last of our user's typing.
    pub(super) shown: Mutex<Shown>,
    pub(super) absence: Absence,
    /// Who is away, folded, and their words, as far as our user was told.
    away: Mutex<HashMap<String, String>>,
    /// The nick that is wanted but not yet asked for.
    pub(super) wanted_nick: Mutex<Option<Nick>>,
    pub(super) nick_wanted: Notify,
}

impl Link {
    pub(super) fn new() -> Self {
        Self {
            handle: watch::Sender::default(),
            joined: Mutex::default(),
            talked: Mutex::default(),
            shown: Mutex::default(),
            absence: Absence::default(),
            away: Mutex::default(),
            wanted_nick: Mutex::default(),
            nick_wanted: Notify::new(),
        }
    }

    /// The way to the server, while there is one.
    pub(super) fn handle(&self) -> Result<Handle, SendError> {
        self.handle.borrow().clone().filter(|handle| handle.online().is_some()).ok_or(SendError::Disconnected)
    }

    /// Waits a while for the connection: somebody waits for an answer, and it may be on its way.
    pub(super) async fn soon_connected(&self) -> Result<(), SendError> {
        let connected = async {
            loop {
                let mut handles = self.handle.subscribe();
                let handle = handles.wait_for(Option::is_some).await.ok().and_then(|handle| handle.clone());
                if let Some(handle) = handle
                    && handle.until_online().await.is_some()
                {
                    return;
                }
                // That connection ended before it began; another one takes its place.
                let _ = handles.changed().await;
            }
        };
        tokio::time::timeout(SOON, connected).await.map_err(|_| SendError::Disconnected)
    }

    pub(super) fn is_in(&self, channel: &str) -> bool {
        self.joined.lock().contains(channel)
    }

    pub(super) fn entered(&self, channel: String) {
        self.joined.lock().insert(channel);
    }

    pub(super) fn left(&self, channel: &str) {
        self.joined.lock().remove(channel);
    }

    /// Private messages are exchanged with somebody (folded).
    pub(super) fn talks(&self, with: String) {
        let mut talked = self.talked.lock();
        if talked.len() >= MAX_TALKED {
            talked.clear();
        }
        talked.insert(with);
    }

    /// Somebody (folded) is away. Whether that is news.
    pub(super) fn is_away(&self, nick: String, words: &str) -> bool {
        let mut away = self.away.lock();
        if away.len() >= MAX_TALKED {
            away.clear();
        }
        away.insert(nick, words.to_owned()).is_none_or(|before| before != words)
    }

    /// Somebody (folded) says something: they are there.
    pub(super) fn is_back(&self, nick: &str) {
        self.away.lock().remove(nick);
    }

    pub(super) fn has_talked(&self, with: &str) -> bool {
        self.talked.lock().contains(with)
    }

    /// Asks for a nick, when the time has come for another.
    pub(super) fn want_nick(&self, nick: Nick) {
        *self.wanted_nick.lock() = Some(nick);
        self.nick_wanted.notify_one();
    }
}
