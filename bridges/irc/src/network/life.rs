//! The life of a connection: opened, listened to, ended.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use landbridge::network::{CancellationToken, ConnectionError};
use tokio::time::Instant;

use super::{absence::AWAY_AGAIN, ephemeral::Shown, session::IrcSession};
use crate::{
    message::IrcText,
    numerics::EndClass,
    session::{Command, Ending, EventKind, Online},
    wire::{Connection, OpenError},
};

/// How long a session stays away after an operator ended it; four times as long after each further time.
const AFTER_A_KILL: Duration = Duration::from_secs(10);
/// A connection that lasted this long has atoned for the KILLs before it.
const FORGIVEN_AFTER: Duration = Duration::from_secs(3600);

impl IrcSession {
    pub(super) async fn open(&self) -> Result<Connection, ConnectionError> {
        let is_bot = self.puppet_of().is_none();
        let endpoint = self.shared.endpoint(is_bot)?;
        endpoint.host.clone_into(&mut self.host.lock());
        Connection::open(&endpoint, Arc::clone(&self.shared.policy), self.irc_identity()?).await.map_err(|error| {
            self.shared.try_next_server();
            open_error(&error)
        })
    }

    /// Reads events until the connection ends. `Err` means that the framework is stopping.
    pub(super) async fn listen(&self, connection: Connection, stop: &CancellationToken) -> Ending {
        let Connection { handle, mut events, driver } = connection;
        self.link.handle.send_replace(Some(handle.clone()));
        let driver = tokio::spawn(driver.run());
        let _stop_driver_with_us = AbortOnDrop(driver.abort_handle());
        let mut quitting = false;
        let (mut nick_at, mut away_at) = (Instant::now(), Instant::now());
        let mut is_online = false;
        loop {
            tokio::select! {
                () = stop.cancelled(), if !quitting => {
                    quitting = true;
                    let _ = handle.submit(Command::Quit(None)).await;
                }
                () = self.nick_change(nick_at), if !quitting => {
                    nick_at = Instant::now() + self.shared.config.puppets.nick_interval;
                    let wanted = self.link.wanted_nick.lock().take();
                    if let Some(nick) = wanted {
                        let _ = handle.submit(Command::Nick(nick)).await;
                    }
                }
                words = self.link.absence.to_tell(away_at), if is_online && !quitting => {
                    away_at = Instant::now() + AWAY_AGAIN;
                    let words = words.map(|words| IrcText::one_line(&words));
                    let _ = handle.submit(Command::Away(words)).await;
                }
                event = events.next() => {
                    let Some(event) = event else { break };
                    if let EventKind::Online(online) | EventKind::Changed(online) = &event.kind {
                        self.came_online(online, matches!(event.kind, EventKind::Online(_)));
                        is_online = true;
                    }
                    if let EventKind::TlsOnly(duration) = event.kind {
                        self.shared.use_tls_for(&self.host.lock(), duration);
                    }
                    let heard = match self.puppet_of() {
                        Some(user_id) => self.hear_as_puppet(user_id, event).await,
                        None => self.hear_as_bot(event).await,
                    };
                    if heard.is_err() && !quitting {
                        // The framework is stopping and keeps nothing more: what follows must not count as heard.
                        quitting = true;
                        let _ = handle.submit(Command::Quit(None)).await;
                    }
                }
            }
        }
        let ended = driver.await;
        self.went_offline();
        // What was told is kept in the order of telling: with the last, everything is.
        let last = self.told.lock().take();
        if let Some(last) = last {
            let _ = last.await;
        }
        ended.unwrap_or_else(|_| Ending {
            class: EndClass::Transient,
            why: "the task of the connection failed".to_owned(),
            was_online: false,
        })
    }

    /// What the framework must do about the end of a connection that lasted so long.
    pub(super) fn ended(&self, ending: &Ending, lasted: Duration) -> ConnectionError {
        if lasted > FORGIVEN_AFTER {
            self.kills.store(0, Ordering::Relaxed);
        }
        if let EndClass::TlsOnly(port) = ending.class {
            self.shared.use_tls(&self.host.lock(), port);
        }
        if ending.class != EndClass::Killed {
            return connection_error(ending.class, ending.why.clone());
        }
        // Coming back at once after a KILL is an offence on most networks, and more so each time.
        let before = self.kills.fetch_add(1, Ordering::Relaxed).min(3);
        let after = Some(AFTER_A_KILL * 4_u32.pow(before));
        ConnectionError::Throttled { reason: ending.why.clone(), after }
    }

    /// Waits until a change of nick is wanted and may be made (P16: a storm of display names is not one of nicks).
    async fn nick_change(&self, earliest: Instant) {
        while self.link.wanted_nick.lock().is_none() {
            self.link.nick_wanted.notified().await;
        }
        tokio::time::sleep_until(earliest).await;
    }

    fn came_online(&self, online: &Online, first: bool) {
        self.shared.set_online(Arc::new(online.clone()));
        if !first {
            return;
        }
        match self.puppet_of() {
            Some(user_id) => {
                // Before anything can be joined: the bot must know whom it sees.
                let username = self.username(user_id);
                self.shared.puppets.lock().online(user_id, online.nick.as_str(), &username);
            }
            None => self.shared.own.lock().reset(online.isupport.casemapping),
        }
        self.tell_connected(online.nick.as_str());
    }

    fn went_offline(&self) {
        *self.link.shown.lock() = Shown::default();
        self.link.absence.untold();
        self.link.handle.send_replace(None);
        self.link.joined.lock().clear();
        match self.puppet_of() {
            Some(user_id) => self.shared.puppets.lock().offline(user_id),
            None => self.shared.channels.lock().values_mut().for_each(|channel| channel.observer.gone()),
        }
    }
}

fn open_error(error: &OpenError) -> ConnectionError {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    connection_error(error.class(), format!("{error}{cause}"))
}

/// What the framework must do about the end of a connection.
fn connection_error(class: EndClass, why: String) -> ConnectionError {
    match class {
        EndClass::Requested | EndClass::Transient | EndClass::TlsOnly(_) => ConnectionError::Transient(why),
        EndClass::Throttled => ConnectionError::Throttled { reason: why, after: Some(Duration::from_secs(120)) },
        EndClass::Killed => ConnectionError::Throttled { reason: why, after: Some(AFTER_A_KILL) },
        EndClass::Banned => ConnectionError::Banned(why),
        EndClass::BadCredentials => ConnectionError::BadCredentials(why),
        EndClass::Config => ConnectionError::Config(why),
    }
}

/// Ends a task when the one who waits for it is dropped.
struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
