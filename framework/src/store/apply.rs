//! How a round of changes becomes statements: all rows for one table in one statement.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use landbridge_sql::{Apply, BatchSql, Db, Round, Row, SqlError, Statements, Tx, Value};

use super::{
    Change, InboxRow, MessageRow, OutboxRow, dead_letters, inbox, jobs, mappings, members, messages, notes, outbox,
    pictures, revoked, seen, users,
};

/// What became of a change.
#[derive(Debug, Clone, Default)]
pub(crate) struct Committed {
    /// The inbox rows that were new, with their place in the order.
    pub(crate) inbox: Vec<Arc<InboxRow>>,
    /// For each of the change's [`Heard`](super::Heard): whether anything in it was new.
    pub(crate) fresh: Vec<bool>,
    /// The outbox rows, with their place in the order.
    pub(crate) outbox: Vec<Arc<OutboxRow>>,
    /// What came back of our own: the rows it closed, and the name the other side gave.
    pub(crate) closed: Vec<(OutboxRow, Option<String>)>,
}

/// After something was heard again, so many rounds are asked for: what is repeated comes in numbers.
const DOUBT: u32 = 64;

/// How many places in the order are reserved at once. A restart passes over those that were not given out.
const RESERVE: i64 = 10_000;

/// Hears of each commit, in commit order, before anybody is answered. Must be quick.
pub(crate) trait Listener: Send + Sync + 'static {
    /// One change was committed.
    fn committed(&self, done: &Committed);
}

/// All tables.
pub(crate) struct Tables {
    /// The next place in the order. A round that fails leaves a gap, which hurts nobody.
    next: AtomicI64,
    /// The first place that is not reserved. What was given out is reserved by the same commit at the latest.
    reserved: AtomicI64,
    /// What [`reserved`](Self::reserved) becomes with the commit.
    reserving: AtomicI64,
    /// How many rounds more are not guessed.
    doubt: AtomicU32,
    listener: Arc<dyn Listener>,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables").field("next", &self.next).finish_non_exhaustive()
    }
}

/// The first place in the order that no row ever had: rows go when they are done, so that only what was reserved says it. A database of a
/// build that reserved nothing has its rows.
pub(super) async fn next_seq(db: &Db) -> Result<i64, SqlError> {
    let row = db
        .fetch_optional(
            "SELECT MAX(seq) FROM (SELECT MAX(seq) + 1 AS seq FROM inbox UNION ALL SELECT MAX(seq) + 1 FROM outbox \
             UNION ALL SELECT MAX(number) + 1 FROM dead_letter \
             UNION ALL SELECT position FROM cursor WHERE stream = $1) AS newest",
            &[Value::from(seen::PLACES)],
        )
        .await?;
    Ok(row.map(|row| row.opt_int(0)).transpose()?.flatten().unwrap_or(1))
}

impl Tables {
    pub(super) fn new(next: i64, listener: Arc<dyn Listener>) -> Self {
        let (reserved, reserving) = (AtomicI64::new(next), AtomicI64::new(next));
        Self { next: AtomicI64::new(next), reserved, reserving, doubt: AtomicU32::new(0), listener }
    }

    /// Whether something was heard again a short while ago.
    fn is_in_doubt(&self) -> bool {
        let less = |doubt: u32| doubt.checked_sub(1);
        self.doubt.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    /// What a round writes, where it needs nothing but steps.
    async fn round<'a>(&self, ops: &'a [Change], db: &Db, guess: bool) -> Result<Round<'a, Committed>, SqlError> {
        let wanted = Wanted::of(ops);
        let marks: &[_] = if guess { &[] } else { &wanted.marks };
        let (marks, positions, echoed) = tokio::try_join!(
            found(db, &seen::FIND, marks),
            found(db, &seen::FIND_CURSOR, &wanted.streams),
            found(db, &outbox::BY_KEY, &wanted.keys),
        )?;
        let (statements, done) = self.statements(ops, Known::read(&marks, &positions, &echoed)?)?;
        Ok(Round { steps: statements.into_steps(), done })
    }

    fn seq(&self) -> i64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Reserves more places, where a round gave out some that are not. One round is written at a time.
    fn reserve(&self, to: &mut Statements) -> Result<(), SqlError> {
        let next = self.next.load(Ordering::Relaxed);
        if next > self.reserved.load(Ordering::Relaxed) {
            self.reserving.store(next + RESERVE, Ordering::Relaxed);
            seen::reserve(next + RESERVE, to)?;
        }
        Ok(())
    }

    fn heard(
        &self,
        ops: &[Change],
        known: &mut Known,
        done: &mut [Committed],
        to: &mut Statements,
    ) -> Result<(), SqlError> {
        let heard: Vec<_> = ops.iter().flat_map(|op| &op.heard).collect();
        if !heard.is_empty() {
            let (marks, positions) = (std::mem::take(&mut known.marks), std::mem::take(&mut known.positions));
            let mut verdicts = seen::sift(&heard, marks, positions, to)?.into_iter();
            for (op, done) in ops.iter().zip(&mut *done) {
                for (heard, verdict) in op.heard.iter().zip(&mut verdicts) {
                    done.fresh.push(verdict.contains(&true));
                    let rows = heard.rows.iter().enumerate().zip(verdict).filter(|(_, new)| *new);
                    for ((index, row), _) in rows {
                        match heard.decided.get(&index) {
                            Some(decided) => done.outbox.extend(decided.iter().map(|row| self.decided(row))),
                            None => done.inbox.push(Arc::new(InboxRow { seq: self.seq(), ..row.clone() })),
                        }
                    }
                }
            }
        }
        for (op, done) in ops.iter().zip(&mut *done) {
            let revived = op.revive_inbox.iter();
            done.inbox.extend(revived.map(|row| Arc::new(InboxRow { seq: self.seq(), ..row.clone() })));
        }
        let rows: Vec<&InboxRow> = done.iter().flat_map(|done| done.inbox.iter().map(|row| &**row)).collect();
        inbox::insert(&rows, to)
    }

    /// Closes the rows of what came back, and says what to remember of them.
    fn echoes(ops: &[Change], known: &Known, done: &mut [Committed]) -> (Vec<[i64; 1]>, Vec<MessageRow>) {
        let (mut closed, mut remember) = (Vec::new(), Vec::new());
        for (op, done) in ops.iter().zip(done) {
            for echo in &op.echoes {
                let row = known.echoed.get(&echo.idem).filter(|row| row.direction == echo.direction);
                if let Some(row) = row {
                    closed.push([row.seq]);
                    remember.extend(row.to_remember(echo.name.as_deref()));
                    done.closed.push((row.clone(), echo.name.clone()));
                }
            }
        }
        (closed, remember)
    }

    /// Everything that a round writes, but what is taken back.
    fn statements(&self, ops: &[Change], mut known: Known) -> Result<(Statements, Vec<Committed>), SqlError> {
        let (mut done, mut statements) = (vec![Committed::default(); ops.len()], Statements::default());
        let to = &mut statements;
        self.heard(ops, &mut known, &mut done, to)?;
        inbox::delete(&numbers(ops, |op| &op.inbox_done), to)?;
        self.outbox(ops, &mut done);
        let rows: Vec<&OutboxRow> = done.iter().flat_map(|done| done.outbox.iter().map(|row| &**row)).collect();
        outbox::insert(&rows, to)?;
        let (mut closed, remembered) = Self::echoes(ops, &known, &mut done);
        // A claim is waited for, a release is not: where a round holds both of one row, the claim is the later one.
        outbox::release(&gather(ops, |op| &op.release), to)?;
        outbox::claim(&numbers(ops, |op| &op.claim), to)?;
        outbox::rewrite(&gather(ops, |op| &op.rewrite), to)?;
        outbox::move_to(&gather(ops, |op| &op.move_to), to)?;
        outbox::withdraw(&gather(ops, |op| &op.withdraw), to)?;
        outbox::follow(&gather(ops, |op| &op.moves), to)?;
        closed.extend(numbers(ops, |op| &op.outbox_done));
        outbox::delete(&closed, to)?;
        let mut messages = gather(ops, |op| &op.messages);
        messages.extend(&remembered);
        messages::insert(&messages, to)?;
        messages::delete(&texts(ops, |op| &op.messages_gone), to)?;
        dead_letters::delete(&numbers(ops, |op| &op.unpark), to)?;
        dead_letters::insert(&gather(ops, |op| &op.park), to)?;
        users::insert(&gather(ops, |op| &op.users), to)?;
        pictures::insert(&gather(ops, |op| &op.pictures), to)?;
        notes::insert(&gather(ops, |op| &op.notes), to)?;
        revoked::insert(&gather(ops, |op| &op.revoke), to)?;
        members::insert(&gather(ops, |op| &op.members), to)?;
        members::delete(&gather(ops, |op| &op.members_gone), to)?;
        mappings::insert(&gather(ops, |op| &op.mappings), to)?;
        mappings::desert(&gather(ops, |op| &op.deserted), to)?;
        mappings::delete(&texts(ops, |op| &op.unmap), to)?;
        jobs::insert(&gather(ops, |op| &op.jobs), to)?;
        jobs::delete(&texts(ops, |op| &op.jobs_done), to)?;
        self.reserve(to)?;
        Ok((statements, done))
    }

    fn outbox(&self, ops: &[Change], done: &mut [Committed]) {
        for (op, done) in ops.iter().zip(done) {
            done.outbox.extend(op.outbox.iter().map(|row| self.decided(row)));
        }
    }

    /// A decision, with its place in the order.
    fn decided(&self, row: &OutboxRow) -> Arc<OutboxRow> {
        Arc::new(OutboxRow { seq: self.seq(), fresh: true, ..row.clone() })
    }
}

/// What has to be read before a round is written.
struct Wanted<'a> {
    marks: Vec<[&'a str; 1]>,
    streams: Vec<[&'a str; 1]>,
    keys: Vec<[&'a str; 1]>,
}

impl<'a> Wanted<'a> {
    fn of(ops: &'a [Change]) -> Self {
        let heard: Vec<_> = ops.iter().flat_map(|op| &op.heard).collect();
        let keys = ops.iter().flat_map(|op| op.echoes.iter().map(|echo| [echo.idem.as_str()])).collect();
        Self { marks: seen::marks(&heard), streams: seen::streams(&heard), keys }
    }
}

/// What was read of it.
#[derive(Default)]
struct Known {
    /// Marks that were seen before.
    marks: HashSet<String>,
    /// How far streams were heard.
    positions: HashMap<String, i64>,
    /// The rows of what came back, by their keys.
    echoed: HashMap<String, OutboxRow>,
}

impl Known {
    fn read(marks: &[Row], positions: &[Row], echoed: &[Row]) -> Result<Self, SqlError> {
        let echoed = echoed.iter().map(outbox::read).map(|row| row.map(|row| (row.idem.clone(), row)));
        Ok(Self {
            marks: marks.iter().map(|row| row.text(0)).collect::<Result<_, _>>()?,
            positions: positions.iter().map(|row| Ok((row.text(0)?, row.int(1)?))).collect::<Result<_, SqlError>>()?,
            echoed: echoed.collect::<Result<_, _>>()?,
        })
    }
}

/// What is taken back depends on what the round writes before.
fn takes_back(ops: &[Change]) -> bool {
    ops.iter().any(|op| !op.taken_back.is_empty())
}

async fn found(db: &Db, sql: &'static BatchSql, rows: &[[&str; 1]]) -> Result<Vec<Row>, SqlError> {
    if rows.is_empty() { Ok(Vec::new()) } else { db.fetch_rows(sql, rows).await }
}

/// All rows of one kind, over all changes.
fn gather<'a, T>(ops: &'a [Change], of: impl Fn(&'a Change) -> &'a Vec<T>) -> Vec<&'a T> {
    ops.iter().flat_map(of).collect()
}

fn numbers<'a>(ops: &'a [Change], of: impl Fn(&'a Change) -> &'a Vec<i64>) -> Vec<[i64; 1]> {
    ops.iter().flat_map(of).map(|seq| [*seq]).collect()
}

fn texts<'a>(ops: &'a [Change], of: impl Fn(&'a Change) -> &'a Vec<String>) -> Vec<[&'a str; 1]> {
    ops.iter().flat_map(of).map(|text| [text.as_str()]).collect()
}

#[async_trait]
impl Apply for Tables {
    type Op = Change;
    type Done = Committed;

    async fn apply(&self, ops: &[Change], tx: &mut Tx<'_>) -> Result<Vec<Committed>, SqlError> {
        let wanted = Wanted::of(ops);
        let marks = tx.fetch_rows(&seen::FIND, &wanted.marks).await?;
        let positions = tx.fetch_rows(&seen::FIND_CURSOR, &wanted.streams).await?;
        let echoed = tx.fetch_rows(&outbox::BY_KEY, &wanted.keys).await?;
        let (statements, done) = self.statements(ops, Known::read(&marks, &positions, &echoed)?)?;
        statements.run(tx).await?;
        revoked::take_back(&gather(ops, |op| &op.taken_back), tx).await?;
        Ok(done)
    }

    async fn prepare_from<'a>(&self, ops: &'a [Change], db: &Db) -> Result<Option<Round<'a, Committed>>, SqlError> {
        if takes_back(ops) { Ok(None) } else { self.round(ops, db, false).await.map(Some) }
    }

    /// What is heard is new, but for repetitions after a fault. PostgreSQL is asked all the same: it writes each conflict into its log.
    async fn guess<'a>(&self, ops: &'a [Change], db: &Db) -> Result<Option<Round<'a, Committed>>, SqlError> {
        let heard = ops.iter().any(|op| !op.heard.is_empty());
        if !heard || takes_back(ops) || !matches!(db, Db::Sqlite { .. }) || self.is_in_doubt() {
            return Ok(None);
        }
        self.round(ops, db, true).await.map(Some)
    }

    fn guessed_wrong(&self) {
        self.doubt.store(DOUBT, Ordering::Relaxed);
    }

    fn committed(&self, _ops: &[Change], done: &[Committed]) {
        self.reserved.store(self.reserving.load(Ordering::Relaxed), Ordering::Relaxed);
        for done in done {
            self.listener.committed(done);
        }
    }
}
