//! Lanes in memory: a window on what the database holds.
//!
//! The database is the queue; memory holds the next few rows of each lane that has something to do, fed by what was just
//! committed. A lane whose window is full, or that comes when the shared budget is spent, reads on from the database later.
//! A lane with nothing to do is not in memory at all.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::store::{InboxRow, OutboxRow};

/// How many rows of one lane are held in memory; at the bound, the lane reads on from the database.
const WINDOW: usize = 256;
/// How many bytes of rows all lanes of one kind may hold together; at the bound, lanes read on from the database.
const BUDGET: usize = 32 * 1024 * 1024;

/// What stands in a lane.
pub(crate) trait Place {
    /// Its place in the order.
    fn seq(&self) -> i64;
    /// The lane it stands in.
    fn lane(&self) -> &str;
    /// About how many bytes it takes.
    fn size(&self) -> usize;
}

impl Place for InboxRow {
    fn seq(&self) -> i64 {
        self.seq
    }
    fn lane(&self) -> &str {
        &self.lane
    }
    fn size(&self) -> usize {
        self.body.len() + 256
    }
}

impl Place for OutboxRow {
    fn seq(&self) -> i64 {
        self.seq
    }
    fn lane(&self) -> &str {
        &self.lane
    }
    fn size(&self) -> usize {
        self.op.len() + 512
    }
}

/// What a lane has next.
#[derive(Debug)]
pub(crate) enum Next<T> {
    /// These rows, in order.
    Rows(Vec<Arc<T>>),
    /// Whatever the database holds behind `after`; hand it to [`Queues::loaded`] together with `left`.
    Load {
        /// The place in the order behind which to read.
        after: i64,
        /// The newest row that is known to be there.
        left: i64,
    },
    /// Nothing: the lane has been let go, and its worker must end.
    Idle,
}

/// All lanes of one kind.
pub(crate) struct Queues<T> {
    inner: Mutex<Inner<T>>,
    /// Lanes that have something to do and nobody who does it. Bounded by the number of lanes: each is in it at most once.
    ready: mpsc::UnboundedSender<String>,
}

struct Inner<T> {
    lanes: HashMap<String, Lane<T>>,
    bytes: usize,
}

struct Lane<T> {
    rows: VecDeque<Arc<T>>,
    /// The newest row that was left in the database, where one was and has not been read since.
    left: Option<i64>,
    /// The newest row that was taken.
    taken: i64,
}

impl<T: Place> Queues<T> {
    /// Makes it, and the stream of lanes that need a worker.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<String>) {
        let (ready, needy) = mpsc::unbounded_channel();
        (Self { inner: Mutex::new(Inner { lanes: HashMap::new(), bytes: 0 }), ready }, needy)
    }

    /// Puts a row that was just committed into its lane. Rows come in commit order.
    pub(crate) fn push(&self, row: &Arc<T>) {
        let mut inner = self.inner.lock();
        let Inner { lanes, bytes } = &mut *inner;
        let lane = match lanes.entry(row.lane().to_owned()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let _ = self.ready.send(entry.key().clone());
                entry.insert(Lane { rows: VecDeque::new(), left: None, taken: 0 })
            }
        };
        if lane.left.is_some() || lane.rows.len() >= WINDOW || *bytes >= BUDGET {
            lane.left = Some(row.seq());
        } else {
            *bytes += row.size();
            lane.rows.push_back(Arc::clone(row));
        }
    }

    /// Says that the database holds rows of a lane up to `newest`: at start.
    pub(crate) fn wake(&self, lane: &str, newest: i64) {
        let mut inner = self.inner.lock();
        if let Entry::Vacant(entry) = inner.lanes.entry(lane.to_owned()) {
            let _ = self.ready.send(lane.to_owned());
            entry.insert(Lane { rows: VecDeque::new(), left: Some(newest), taken: 0 });
        }
    }

    /// Takes at most `most` rows of a lane.
    pub(crate) fn take(&self, name: &str, most: usize) -> Next<T> {
        let mut inner = self.inner.lock();
        let Inner { lanes, bytes } = &mut *inner;
        let Some(lane) = lanes.get_mut(name) else { return Next::Idle };
        if lane.rows.is_empty() {
            if let Some(left) = lane.left {
                return Next::Load { after: lane.taken, left };
            }
            lanes.remove(name);
            return Next::Idle;
        }
        let rows: Vec<Arc<T>> = lane.rows.drain(..most.min(lane.rows.len())).collect();
        *bytes = bytes.saturating_sub(rows.iter().map(|row| row.size()).sum());
        lane.taken = rows.last().map_or(lane.taken, |row| row.seq());
        Next::Rows(rows)
    }

    /// Whether a lane has something to do, or somebody who does it.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.inner.lock().lanes.contains_key(name)
    }

    /// How many rows a lane could take at once, by what is known in memory.
    pub(crate) fn waiting(&self, name: &str) -> usize {
        let inner = self.inner.lock();
        inner.lanes.get(name).map_or(0, |lane| lane.rows.len() + lane.left.map_or(0, |_| WINDOW))
    }

    /// Hands over what the database held: at most `limit` rows were asked for, when the newest known one was `left`.
    pub(crate) fn loaded(&self, name: &str, rows: Vec<T>, limit: usize, left: i64) {
        let mut inner = self.inner.lock();
        let Inner { lanes, bytes } = &mut *inner;
        let Some(lane) = lanes.get_mut(name) else { return };
        // All was read, and nothing was left there since the reading began. (A row may also have gone meanwhile.)
        let newest = rows.last().map_or(left, |row| row.seq().max(left));
        if rows.len() < limit && lane.left.is_none_or(|now| now <= newest) {
            lane.left = None;
        }
        *bytes += rows.iter().map(Place::size).sum::<usize>();
        lane.rows.extend(rows.into_iter().map(Arc::new));
    }

    /// A worker broke down with what it had taken: the lane is read again from its beginning. Whatever was done is not there any more.
    pub(crate) fn again(&self, name: &str) {
        let mut inner = self.inner.lock();
        let Inner { lanes, bytes } = &mut *inner;
        let lane = lanes.entry(name.to_owned()).or_insert(Lane { rows: VecDeque::new(), left: None, taken: 0 });
        *bytes = bytes.saturating_sub(lane.rows.iter().map(|row| row.size()).sum());
        let newest = lane.rows.back().map_or(lane.taken, |row| row.seq());
        lane.rows.clear();
        lane.left = lane.left.max(Some(newest));
        lane.taken = 0;
    }

    /// How many lanes have something to do.
    pub(crate) fn lanes(&self) -> usize {
        self.inner.lock().lanes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    struct Row(i64);
    impl Place for Row {
        fn seq(&self) -> i64 {
            self.0
        }
        fn lane(&self) -> &str {
            "lane"
        }
        fn size(&self) -> usize {
            1
        }
    }

    /// Takes everything, reading from `table` where it must, and says in which order.
    fn drain(queues: &Queues<Row>, table: &[i64]) -> Vec<i64> {
        let mut out = Vec::new();
        loop {
            match queues.take("lane", 7) {
                Next::Rows(rows) => out.extend(rows.iter().map(|row| row.0)),
                Next::Load { after, left } => {
                    let rows: Vec<Row> =
                        table.iter().filter(|seq| **seq > after).take(50).map(|seq| Row(*seq)).collect();
                    queues.loaded("lane", rows, 50, left);
                }
                Next::Idle => return out,
            }
        }
    }

    #[test]
    fn a_lane_longer_than_the_window_is_read_from_the_table_in_order() {
        let (queues, mut needy) = Queues::new();
        let table: Vec<i64> = (1..=2000).collect();
        for seq in &table {
            queues.push(&Arc::new(Row(*seq)));
        }
        assert_eq!(needy.try_recv().unwrap(), "lane");
        assert!(needy.try_recv().is_err(), "a lane asks for one worker");
        assert_eq!(drain(&queues, &table), table);
        assert_eq!(queues.lanes(), 0);
    }

    #[test]
    fn rows_committed_while_the_table_is_read_are_neither_lost_nor_doubled() {
        let (queues, _needy) = Queues::new();
        queues.wake("lane", 3);
        let Next::Load { after, left } = queues.take("lane", 7) else { panic!("it reads first") };
        // Row 4 is committed after the reading, row 3 within it.
        queues.push(&Arc::new(Row(4)));
        queues.loaded("lane", vec![Row(after + 1), Row(2), Row(3)], 50, left);
        assert_eq!(drain(&queues, &[1, 2, 3, 4]), [1, 2, 3, 4]);
    }

    #[test]
    fn a_row_that_went_meanwhile_does_not_keep_the_lane_busy() {
        let (queues, _needy) = Queues::<Row>::new();
        queues.wake("lane", 3);
        assert_eq!(drain(&queues, &[]), [0; 0]);
    }

    #[test]
    fn a_worker_that_broke_down_loses_nothing() {
        let (queues, _needy) = Queues::new();
        for seq in 1..=5 {
            queues.push(&Arc::new(Row(seq)));
        }
        let Next::Rows(rows) = queues.take("lane", 2) else { panic!("there are rows") };
        assert_eq!(rows.len(), 2);
        // It had done the first.
        queues.again("lane");
        assert_eq!(drain(&queues, &[2, 3, 4, 5]), [2, 3, 4, 5]);
    }
}
