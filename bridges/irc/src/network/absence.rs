//! Whether our user is away, as the network is told ([AWAY]).
//!
//! [AWAY]: https://modern.ircdocs.horse/#away-message

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Duration, Instant, sleep_until},
};

/// The shortest time between two changes of AWAY. What changes in between is left out; what it is at the end is told.
pub(super) const AWAY_AGAIN: Duration = Duration::from_secs(20);

/// What our user is, and what the network was told of it: the words of who is away, `None` for who is there.
#[derive(Debug, Default)]
pub(super) struct Absence {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    told: Option<String>,
    wanted: Option<String>,
}

impl Absence {
    /// Our user is this from now on.
    pub(super) fn want(&self, words: Option<String>) {
        self.state.lock().wanted = words;
        self.changed.notify_one();
    }

    /// The connection is gone: the next one begins as who is there.
    pub(super) fn untold(&self) {
        self.state.lock().told = None;
    }

    /// Waits until the network has to be told something else than it was told last, and not before `earliest`.
    pub(super) async fn to_tell(&self, earliest: Instant) -> Option<String> {
        loop {
            if self.take(false).is_none() {
                self.changed.notified().await;
                continue;
            }
            sleep_until(earliest).await;
            if let Some(words) = self.take(true) {
                return words;
            }
        }
    }

    /// What has to be told, if anything; `tells` it.
    fn take(&self, tells: bool) -> Option<Option<String>> {
        let mut state = self.state.lock();
        let news = (state.told != state.wanted).then(|| state.wanted.clone())?;
        if tells {
            state.told.clone_from(&news);
        }
        Some(news)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_changes_quickly_is_left_out_and_what_it_comes_to_is_told() {
        let (absence, now) = (Absence::default(), Instant::now());
        assert_eq!(absence.to_tell(now).now_or_never(), None, "who is there says nothing");
        absence.want(Some("at lunch".to_owned()));
        assert_eq!(absence.to_tell(now).await, Some("at lunch".to_owned()));
        absence.want(Some("at tea".to_owned()));
        absence.want(None);
        assert_eq!(absence.to_tell(now + AWAY_AGAIN).now_or_never(), None, "too soon");
        assert_eq!(absence.to_tell(now + AWAY_AGAIN).await, None, "back again, told later");
        assert_eq!(now.elapsed(), AWAY_AGAIN);
        absence.want(Some("at tea".to_owned()));
        absence.want(None);
        assert_eq!(absence.to_tell(now).now_or_never(), None, "nothing has changed");
        absence.want(Some("at home".to_owned()));
        assert_eq!(absence.to_tell(now).await, Some("at home".to_owned()));
        absence.untold();
        assert_eq!(absence.to_tell(now).await, Some("at home".to_owned()), "a new connection is told, too");
    }
}
