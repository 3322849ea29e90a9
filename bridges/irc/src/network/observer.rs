//! Whether the bot is in a channel, and the puppets that wait for it.
//!
//! What people say in a channel crosses as the bot hears it. A puppet that speaks where the bot is not yet, or no longer, gets
//! answers that nobody passes on, and most servers do not repeat them.

use std::time::Duration;

use tokio::time::Instant;

use super::shared::Shared;
use crate::message::Channel;

/// How long puppets wait for the bot in a channel, from when it left or was first missed. One that does not come keeps nobody from
/// speaking for ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether the bot is in a channel.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Observer {
    /// Nobody has asked yet, and it was not there.
    #[default]
    NotYet,
    /// It hears what is said there.
    Here,
    /// It is missed since then, and will come.
    MissedSince(Instant),
    /// The server does not let it in. What is said there is not heard, however long one waits.
    ShutOut,
}

impl Observer {
    /// It left, or its connection ended: since now, unless it was missed before or is not let in.
    pub(super) fn gone(&mut self) {
        if *self == Self::Here {
            *self = Self::MissedSince(Instant::now());
        }
    }

    /// Until when a puppet waits for it; `None` where it need not.
    fn awaited_until(&mut self) -> Option<Instant> {
        match *self {
            Self::Here | Self::ShutOut => None,
            Self::MissedSince(since) => Some(since + PATIENCE),
            Self::NotYet => {
                let now = Instant::now();
                *self = Self::MissedSince(now);
                Some(now + PATIENCE)
            }
        }
    }
}

impl Shared {
    /// The bot's place in a channel is another.
    pub(super) fn observer_is(&self, channel: &Channel, observer: Observer) {
        self.with_channel(channel.as_str(), |state| state.observer = observer);
        self.observer_moved.notify_waiters();
    }

    /// Waits until the bot is in a channel, is not let in, or has been missed for too long.
    pub(super) async fn observed(&self, channel: &Channel) {
        loop {
            let moved = self.observer_moved.notified();
            let until = self.with_channel(channel.as_str(), |state| state.observer.awaited_until());
            let Some(until) = until else { return };
            if tokio::time::timeout_at(until, moved).await.is_err() {
                return;
            }
        }
    }
}
