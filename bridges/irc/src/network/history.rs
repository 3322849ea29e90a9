//! How far a channel's history has been heard since the bot came in.

use std::time::Duration;

use tokio::time::Instant;

/// How long after the end of a history, or after its last line where no end is told, everything in it counts as heard.
const REPLAYED: Duration = Duration::from_secs(1);
/// How long it may take until the next line of a history is read, or has its place in the store.
const READING: Duration = Duration::from_secs(60);

/// What the server repeats of a channel after the bot came in.
#[derive(Debug, Default)]
pub(super) struct History {
    /// When it last repeated a line that had been heard before the bot came in this time: the history reaches back to what was heard,
    /// so one of our own messages that is not in it was never said.
    overlaps: Option<Instant>,
    /// When the last line of the history was read; a time that does not come while there is more.
    read: Option<Instant>,
    /// Whether the server has begun to repeat and not said yet that this was all.
    is_open: bool,
}

impl History {
    /// The server begins to repeat.
    pub(super) fn begins(&mut self) {
        self.is_open = true;
        self.reads();
    }

    /// A line is being read, and that may take a while.
    pub(super) fn reads(&mut self) {
        self.read = Some(Instant::now() + READING);
    }

    /// A line was read. More follow where the server has not said that this was all, however long it takes a breath in between.
    pub(super) fn has_read(&mut self) {
        if !self.is_open {
            self.read = Some(Instant::now());
        }
    }

    /// That was all.
    pub(super) fn ends(&mut self) {
        self.is_open = false;
        self.has_read();
    }

    /// A line of it had been heard before.
    pub(super) fn reaches_back(&mut self) {
        self.overlaps = Some(Instant::now());
    }

    /// When the server counts as having repeated all that was said before we came: `None` where what it repeated does not reach back to
    /// what was heard.
    pub(super) fn all_repeated(&self) -> Option<Instant> {
        Some(self.overlaps?.max(self.read?) + REPLAYED)
    }

    /// Until when it may still be repeating, if it does at all.
    pub(super) fn may_go_on_until(&self) -> Option<Instant> {
        self.read.map(|read| read + REPLAYED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_history_is_heard_out_however_long_the_server_takes_a_breath() {
        let second = Duration::from_secs(1);
        let mut history = History::default();
        assert_eq!((history.all_repeated(), history.may_go_on_until()), (None, None));
        history.begins();
        history.reads();
        history.has_read();
        history.reaches_back();
        tokio::time::advance(10 * second).await;
        assert!(
            history.all_repeated().is_some_and(|at| at > Instant::now()),
            "the server has not said that this was all"
        );
        history.reads();
        history.has_read();
        history.ends();
        assert_eq!(history.all_repeated(), Some(Instant::now() + second));
        // Of a server that tells no end, the last line is it.
        let mut history = History::default();
        history.reads();
        assert!(history.may_go_on_until().is_some_and(|at| at > Instant::now() + 10 * second));
        history.has_read();
        assert_eq!(history.may_go_on_until(), Some(Instant::now() + second));
        assert_eq!(history.all_repeated(), None, "nothing in it is known");
        history.reaches_back();
        assert_eq!(history.all_repeated(), Some(Instant::now() + second));
    }
}
