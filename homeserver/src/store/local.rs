//! Small writes of the services: lists of statements that commit in one round with everybody else's.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use landbridge_sql::{Db, Row, SqlError, Step, Tx};
use parking_lot::Mutex;

use super::{
    Store, StoreError, Write, device_keys,
    lately::{Lately, Topic},
    statement::Statement,
};
use crate::stream::Position;

/// Reads from and writes to the tables of accounts, devices, media and application services.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    store: Store,
}

/// What became of a write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    /// How many rows the last statement touched.
    pub(crate) rows: u64,
}

impl Local {
    pub(crate) const fn new(store: Store) -> Self {
        Self { store }
    }

    pub(crate) fn db(&self) -> &Db {
        self.store.db()
    }

    /// Where the log ends now.
    pub(crate) fn head(&self) -> Position {
        self.store.head()
    }

    /// Whether something may have been written after a place in the log; see [`Lately::may_have`].
    pub(crate) fn may_have(&self, topic: Topic, key: &str, after: Position) -> bool {
        self.store.lately().may_have(topic, key, after)
    }

    /// Whether something of a topic may have been written after a place in the log; see [`Lately::may_have_any`].
    pub(crate) fn may_have_any(&self, topic: Topic, after: Position) -> bool {
        self.store.lately().may_have_any(topic, after)
    }

    /// Writes the statements in one transaction. Those that say where they stand in the log get a place in it and wake its
    /// readers.
    pub(crate) async fn write(&self, statements: Vec<Statement>) -> Result<Written, StoreError> {
        let rows = Arc::new(AtomicU64::new(0));
        let wakes = statements.iter().any(Statement::is_placed);
        let lately = self.store.lately().clone();
        self.store.write(Box::new(Statements { statements, wakes, rows: rows.clone(), lately })).await?;
        Ok(Written { rows: rows.load(Ordering::Acquire) })
    }

    /// Reads, decides by what was read, and writes what was decided, in one transaction of the one writer: nothing changes in between,
    /// whoever else writes, and nothing is left behind by a crash. `decide` gets the rows of each of `reads`; where it refuses, nothing is
    /// written. It may be asked again after a failed round, so it changes nothing itself. The write gets a place in the log and wakes its
    /// readers.
    pub(crate) async fn change<D, E>(
        &self,
        reads: Vec<Statement>,
        decide: impl Fn(&[Vec<Row>]) -> Result<(Vec<Statement>, D), E> + Send + Sync + 'static,
    ) -> Result<D, E>
    where
        D: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.decided(reads, decide, true).await
    }

    /// As [`Self::change`], for statements that do not say where they stand in the log: nobody is woken.
    pub(crate) async fn change_quietly<D, E>(
        &self,
        reads: Vec<Statement>,
        decide: impl Fn(&[Vec<Row>]) -> Result<(Vec<Statement>, D), E> + Send + Sync + 'static,
    ) -> Result<D, E>
    where
        D: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.decided(reads, decide, false).await
    }

    async fn decided<F, D, E>(&self, reads: Vec<Statement>, decide: F, wakes: bool) -> Result<D, E>
    where
        F: Fn(&[Vec<Row>]) -> Result<(Vec<Statement>, D), E> + Send + Sync + 'static,
        D: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let outcome = Arc::new(Mutex::new(None));
        let (lately, topics) = (self.store.lately().clone(), Mutex::default());
        let change = Change { reads, decide, wakes, outcome: outcome.clone(), topics, lately };
        self.store.write(Box::new(change)).await?;
        let decided = outcome.lock().take();
        decided.unwrap_or_else(|| Err(StoreError::Closed.into()))
    }

    /// Takes one key of each device (user, device, algorithm); each one-time key is given to one taker.
    pub(crate) async fn claim(&self, wanted: Vec<(String, String, String)>) -> Result<Vec<Claimed>, StoreError> {
        let found = Arc::new(Mutex::new(Vec::new()));
        let lately = self.store.lately().clone();
        self.store.write(Box::new(Claim { wanted, found: found.clone(), lately })).await?;
        let found = std::mem::take(&mut *found.lock());
        Ok(found)
    }
}

/// The number that the first question of a [`Local::change`] was answered with.
pub(crate) fn first_number(found: &[Vec<Row>]) -> Result<i64, SqlError> {
    found.first().and_then(|rows| rows.first()).map_or(Ok(0), |row| row.int(0))
}

/// A key id and the key's JSON, if there was one.
pub(crate) type Claimed = Option<(String, String)>;

struct Statements {
    statements: Vec<Statement>,
    wakes: bool,
    rows: Arc<AtomicU64>,
    lately: Arc<Lately>,
}

impl Write for Statements {
    fn steps(&self, position: Position) -> Option<Vec<Step<'_>>> {
        let mut steps: Vec<_> = self.statements.iter().map(|statement| statement.step(position.0)).collect();
        // Only read after the commit; a round that runs again overwrites it.
        if let Some(Step::One { touched, .. }) = steps.last_mut() {
            *touched = Some(self.rows.clone());
        }
        Some(steps)
    }

    fn committed(&self, mut position: Position) {
        // Without a place of its own it is newer than what was read at the end of the log.
        position.0 += i64::from(!self.wakes);
        for (topic, key) in self.statements.iter().filter_map(Statement::topic) {
            self.lately.note(topic, key, position);
        }
    }

    fn wakes(&self) -> bool {
        self.wakes
    }
}

/// A write that depends on what is there.
struct Change<F, D, E> {
    reads: Vec<Statement>,
    decide: F,
    wakes: bool,
    /// What was decided in the last attempt; only read after the commit.
    outcome: Arc<Mutex<Option<Result<D, E>>>>,
    /// What the last attempt wrote.
    topics: Mutex<Vec<(Topic, String)>>,
    lately: Arc<Lately>,
}

#[async_trait]
impl<F, D, E> Write for Change<F, D, E>
where
    F: Fn(&[Vec<Row>]) -> Result<(Vec<Statement>, D), E> + Send + Sync + 'static,
    D: Send + 'static,
    E: Send + 'static,
{
    async fn write(&self, tx: &mut Tx<'_>, position: Position) -> Result<(), SqlError> {
        let mut found = Vec::with_capacity(self.reads.len());
        for read in &self.reads {
            found.push(read.fetch(tx).await?);
        }
        let (statements, outcome) = match (self.decide)(&found) {
            Ok((statements, done)) => (statements, Ok(done)),
            Err(refusal) => (Vec::new(), Err(refusal)),
        };
        *self.outcome.lock() = Some(outcome);
        let topics = statements.iter().filter_map(Statement::topic);
        *self.topics.lock() = topics.map(|(topic, key)| (topic, key.to_owned())).collect();
        for statement in &statements {
            tx.execute_step(statement.step(position.0)).await?;
        }
        Ok(())
    }

    fn committed(&self, mut position: Position) {
        // Without a place of its own it is newer than what was read at the end of the log.
        position.0 += i64::from(!self.wakes);
        for (topic, key) in self.topics.lock().iter() {
            self.lately.note(*topic, key, position);
        }
    }

    fn wakes(&self) -> bool {
        self.wakes
    }
}

struct Claim {
    wanted: Vec<(String, String, String)>,
    found: Arc<Mutex<Vec<Claimed>>>,
    lately: Arc<Lately>,
}

#[async_trait]
impl Write for Claim {
    async fn write(&self, tx: &mut Tx<'_>, position: Position) -> Result<(), SqlError> {
        let mut found = Vec::with_capacity(self.wanted.len());
        for (user, device, algorithm) in &self.wanted {
            found.push(device_keys::claim(tx, user, device, algorithm, position.0).await?);
        }
        *self.found.lock() = found;
        Ok(())
    }

    fn committed(&self, position: Position) {
        for (user, ..) in &self.wanted {
            self.lately.note(Topic::KeyCounts, user, position);
        }
    }

    /// The device sees how many keys it has left.
    fn wakes(&self) -> bool {
        true
    }
}
