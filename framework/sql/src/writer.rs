//! Group commit: many callers wait for durability, one task gathers what they want to write and commits once per round.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::{Db, SqlError, Step, Tx};

/// Says how a round of operations becomes statements. Implementors gather all rows for one table into one statement.
#[async_trait]
pub trait Apply: Send + Sync + 'static {
    /// What a caller wants written.
    type Op: Send + Sync + 'static;
    /// What the caller learns after the commit.
    type Done: Send + 'static;

    /// Writes `ops` in order and returns as many answers, in the same order.
    ///
    /// When a round of several fails, each of its operations is tried again alone, so that one bad operation fails no other.
    /// Therefore nothing in memory may change here: that is what [`Apply::committed`] is for.
    async fn apply(&self, ops: &[Self::Op], tx: &mut Tx<'_>) -> Result<Vec<Self::Done>, SqlError>;

    /// What a round writes, where nothing has to be read for it: then the whole round is one call of the engine, and
    /// [`Apply::apply`] is not asked. `None`, as by default: ask it.
    ///
    /// # Errors
    /// As for [`Apply::apply`].
    fn prepare<'a>(&self, _ops: &'a [Self::Op]) -> Result<Option<Round<'a, Self::Done>>, SqlError> {
        Ok(None)
    }

    /// As [`Apply::prepare`], for what has to be read before. The writing task is the only one that writes what it reads, so nothing
    /// changes between the reading and the round.
    ///
    /// # Errors
    /// As for [`Apply::apply`].
    async fn prepare_from<'a>(&self, ops: &'a [Self::Op], _db: &Db) -> Result<Option<Round<'a, Self::Done>>, SqlError> {
        self.prepare(ops)
    }

    /// As [`Apply::prepare_from`], without asking what is nearly always answered in the same way: the round takes that answer for
    /// granted, and is one that [conflicts](SqlError::Conflict) where it is wrong. Then nothing of it is written, and
    /// [`Apply::guessed_wrong`] and [`Apply::prepare_from`] are called. `None`, as by default: there is nothing to guess.
    ///
    /// # Errors
    /// As for [`Apply::apply`].
    async fn guess<'a>(&self, _ops: &'a [Self::Op], _db: &Db) -> Result<Option<Round<'a, Self::Done>>, SqlError> {
        Ok(None)
    }

    /// A round that was guessed was in conflict with what is there.
    fn guessed_wrong(&self) {}

    /// Called after the commit and before anyone is answered, in commit order.
    fn committed(&self, _ops: &[Self::Op], _done: &[Self::Done]) {}
}

/// A round of operations as statements.
#[derive(Debug)]
pub struct Round<'a, D> {
    /// The statements, in order.
    pub steps: Vec<Step<'a>>,
    /// What the callers learn after the commit.
    pub done: Vec<D>,
}

/// Why a write did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// The disk is full. Nothing was written; the same write may succeed later.
    #[error("the database has no room left")]
    Full,
    /// A uniqueness rule refused the operation.
    #[error("the row is there already")]
    Conflict,
    /// The statement or the commit failed. Nothing was written.
    #[error("{0}")]
    Failed(Arc<SqlError>),
    /// The writer has been closed.
    #[error("the store is closed")]
    Closed,
}

impl From<SqlError> for WriteError {
    fn from(error: SqlError) -> Self {
        match error {
            SqlError::Full(_) => Self::Full,
            SqlError::Conflict(_) => Self::Conflict,
            other => Self::Failed(Arc::new(other)),
        }
    }
}

/// Limits of a [`Writer`].
#[derive(Debug, Clone, Copy)]
pub struct WriterOptions {
    /// How many operations one commit may hold.
    pub max_batch: usize,
    /// How many operations may wait; at the bound, [`Writer::submit`] waits for room.
    pub queue: usize,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self { max_batch: 512, queue: 4096 }
    }
}

/// How often a round waits for other tasks to have their turn.
const YIELDS: usize = 4;

/// After so long without a round, one operation alone waits for nobody.
const CALM: Duration = Duration::from_millis(3);

type Answer<A> = oneshot::Sender<Result<<A as Apply>::Done, WriteError>>;
type Job<A> = (<A as Apply>::Op, Answer<A>);

/// A handle to the one task that writes. Cheap to clone; the task ends when the last handle is gone.
pub struct Writer<A: Apply> {
    jobs: mpsc::Sender<Job<A>>,
}

impl<A: Apply> std::fmt::Debug for Writer<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("waiting", &(self.jobs.max_capacity() - self.jobs.capacity())).finish()
    }
}

impl<A: Apply> Clone for Writer<A> {
    fn clone(&self) -> Self {
        Self { jobs: self.jobs.clone() }
    }
}

impl<A: Apply> Writer<A> {
    /// Starts the writing task. Awaiting the returned handle after dropping all writers waits for the last commit.
    pub fn start(db: Db, apply: Arc<A>, options: WriterOptions) -> (Self, JoinHandle<()>) {
        let (jobs, queue) = mpsc::channel(options.queue.max(1));
        let task = tokio::spawn(run(db, apply, queue, options.max_batch.max(1)));
        (Self { jobs }, task)
    }

    /// Writes one operation and returns after it is durable.
    ///
    /// # Errors
    /// [`WriteError`]; then nothing of this operation was written.
    pub async fn submit(&self, op: A::Op) -> Result<A::Done, WriteError> {
        self.enqueue(op).await?.await.map_err(|_| WriteError::Closed)?
    }

    /// Queues one operation, in order, and returns a receiver that answers after it is durable: a caller can queue its next
    /// operation without waiting for the commit of this one.
    ///
    /// # Errors
    /// [`WriteError::Closed`] after the writing task has ended.
    pub async fn enqueue(&self, op: A::Op) -> Result<oneshot::Receiver<Result<A::Done, WriteError>>, WriteError> {
        let (answer, receiver) = oneshot::channel();
        self.jobs.send((op, answer)).await.map_err(|_| WriteError::Closed)?;
        Ok(receiver)
    }

    /// How many operations wait for their commit.
    pub fn waiting(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity()
    }
}

async fn run<A: Apply>(db: Db, apply: Arc<A>, mut queue: mpsc::Receiver<Job<A>>, max_batch: usize) {
    let mut jobs: Vec<Job<A>> = Vec::with_capacity(max_batch);
    let mut ended: Option<Instant> = None;
    while queue.recv_many(&mut jobs, max_batch).await > 0 {
        let is_calm = ended.is_none_or(|ended| ended.elapsed() > CALM);
        if jobs.len() > 1 || !is_calm {
            gather(&mut jobs, &mut queue, max_batch).await;
        }
        let (ops, answers): (Vec<A::Op>, Vec<Answer<A>>) = jobs.drain(..).unzip();
        match commit(&db, &*apply, &ops).await {
            Ok(done) => {
                for (answer, done) in answers.into_iter().zip(done) {
                    // A caller that went away does not undo what is durable.
                    let _ = answer.send(Ok(done));
                }
            }
            Err(error) if ops.len() == 1 => {
                let error = WriteError::from(error);
                for answer in answers {
                    let _ = answer.send(Err(error.clone()));
                }
            }
            Err(error) => {
                tracing::debug!(%error, operations = ops.len(), "a round failed; each operation is tried alone");
                one_by_one(&db, &*apply, ops, answers).await;
            }
        }
        ended = Some(Instant::now());
    }
}

/// Lets those who are about to write do so, as long as some do: a commit costs about as much for many as for one.
async fn gather<J>(jobs: &mut Vec<J>, queue: &mut mpsc::Receiver<J>, max_batch: usize) {
    for _ in 0..YIELDS {
        let before = jobs.len();
        tokio::task::yield_now().await;
        while jobs.len() < max_batch
            && let Ok(job) = queue.try_recv()
        {
            jobs.push(job);
        }
        if jobs.len() == before {
            return;
        }
    }
}

async fn one_by_one<A: Apply>(db: &Db, apply: &A, ops: Vec<A::Op>, answers: Vec<Answer<A>>) {
    for (op, answer) in ops.into_iter().zip(answers) {
        let done = commit(db, apply, std::slice::from_ref(&op)).await;
        let _ = answer.send(match done {
            Ok(done) => done.into_iter().next().ok_or(WriteError::Closed),
            Err(error) => Err(WriteError::from(error)),
        });
    }
}

async fn commit<A: Apply>(db: &Db, apply: &A, ops: &[A::Op]) -> Result<Vec<A::Done>, SqlError> {
    if let Some(Round { steps, done }) = apply.guess(ops, db).await? {
        match db.commit_round(steps).await {
            Ok(()) => {
                apply.committed(ops, &done);
                return Ok(done);
            }
            Err(SqlError::Conflict(_)) => apply.guessed_wrong(),
            Err(error) => return Err(error),
        }
    }
    let done = match apply.prepare_from(ops, db).await? {
        Some(Round { steps, done }) => {
            db.commit_round(steps).await?;
            done
        }
        None => {
            let mut tx = db.begin().await?;
            let done = apply.apply(ops, &mut tx).await?;
            tx.commit().await?;
            done
        }
    };
    apply.committed(ops, &done);
    Ok(done)
}

#[cfg(test)]
mod tests {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    };

    use super::*;
    use crate::{BatchSql, DbOptions, Migration};

    const STEPS: &[Migration] = &[Migration {
        version: 1,
        name: "init",
        sqlite: "CREATE TABLE note (id TEXT PRIMARY KEY, n BIGINT NOT NULL, raw BLOB); CREATE TABLE other (id TEXT)",
        postgres: "CREATE TABLE note (id TEXT PRIMARY KEY, n BIGINT NOT NULL, raw BYTEA); CREATE TABLE other (id TEXT)",
    }];

    static INSERT: LazyLock<BatchSql> = LazyLock::new(|| {
        BatchSql::new(
            "INSERT INTO note (id, n, raw) SELECT value->>0, CAST(value->>1 AS BIGINT), {bytes:2} FROM {rows} WHERE true",
        )
    });

    struct Notes;

    #[async_trait]
    impl Apply for Notes {
        type Op = (String, i64);
        type Done = i64;
        async fn apply(&self, ops: &[Self::Op], tx: &mut Tx<'_>) -> Result<Vec<i64>, SqlError> {
            let rows: Vec<(&str, i64, &str)> = ops.iter().map(|(id, n)| (id.as_str(), *n, "00ff")).collect();
            tx.execute_rows(&INSERT, &rows).await?;
            Ok(ops.iter().map(|(_, n)| *n).collect())
        }
    }

    /// The same, without reading.
    struct Prepared;

    #[async_trait]
    impl Apply for Prepared {
        type Op = (String, i64);
        type Done = i64;
        async fn apply(&self, _: &[Self::Op], _: &mut Tx<'_>) -> Result<Vec<i64>, SqlError> {
            unreachable!("it is prepared")
        }
        fn prepare<'a>(&self, ops: &'a [Self::Op]) -> Result<Option<Round<'a, i64>>, SqlError> {
            let rows: Vec<(&str, i64, &str)> = ops.iter().map(|(id, n)| (id.as_str(), *n, "00ff")).collect();
            let twice: Vec<(String, i64, &str)> = ops.iter().map(|(id, n)| (format!("{id}2"), *n, "00ff")).collect();
            let steps = vec![
                Step::Rows(&INSERT, serde_json::to_string(&rows).unwrap()),
                Step::Rows(&INSERT, serde_json::to_string(&twice).unwrap()),
            ];
            Ok(Some(Round { steps, done: ops.iter().map(|(_, n)| *n).collect() }))
        }
    }

    async fn prepared_story(address: &str) {
        let db = Db::open(address, STEPS, DbOptions::default()).await.unwrap();
        let (writer, task) = Writer::start(db.clone(), Arc::new(Prepared), WriterOptions::default());
        assert_eq!(writer.submit(("x".to_owned(), 1)).await.unwrap(), 1);
        // The second statement of a round fails: nothing is left of the first, and the next round is not in its transaction.
        let (one, two) = tokio::join!(writer.submit(("y".to_owned(), 2)), writer.submit(("x".to_owned(), 3)));
        assert_eq!((one.unwrap(), two.is_err()), (2, true));
        assert!(matches!(writer.submit(("".to_owned(), 4)).await, Ok(4)));
        let rows = db.fetch_all("SELECT id FROM note ORDER BY id", &[]).await.unwrap();
        let ids: Vec<String> = rows.iter().map(|row| row.text(0).unwrap()).collect();
        assert_eq!(ids, ["", "2", "x", "x2", "y", "y2"]);
        drop(writer);
        task.await.unwrap();
        db.close().await;
    }

    #[tokio::test]
    async fn a_prepared_round_is_one_transaction() {
        let dir = tempfile::tempdir().unwrap();
        prepared_story(&format!("sqlite:{}", dir.path().join("t.db").display())).await;
    }

    async fn told_story(address: &str) {
        let db = Db::open(address, STEPS, DbOptions::default()).await.unwrap();
        let rows = [("a", 1, "00"), ("b", 2, "00"), ("c", 2, "00")];
        let (raised, dropped, noted) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default(), Arc::default());
        raised.store(9, Ordering::Release);
        dropped.store(9, Ordering::Release);
        let one = |sql, values, touched: &Arc<AtomicU64>| Step::One { sql, values, touched: Some(touched.clone()) };
        let steps = vec![
            Step::Rows(&INSERT, serde_json::to_string(&rows).unwrap()),
            // On PostgreSQL these two become one statement.
            one("UPDATE note SET n = $2 WHERE n = $1", vec![2.into(), 3.into()], &raised),
            one("INSERT INTO other (id) VALUES ($1)", vec!["x".into()], &noted),
            one("DELETE FROM note WHERE id = $1", vec!["nobody".into()], &dropped),
        ];
        db.commit_round(steps).await.unwrap();
        let told = [&raised, &noted, &dropped].map(|told| told.load(Ordering::Acquire));
        assert_eq!(told, [2, 1, 0]);
        db.close().await;
    }

    #[tokio::test]
    async fn a_round_tells_how_many_rows_each_of_its_statements_touched() {
        let dir = tempfile::tempdir().unwrap();
        told_story(&format!("sqlite:{}", dir.path().join("t.db").display())).await;
    }

    async fn story(address: &str) {
        let db = Db::open(address, STEPS, DbOptions::default()).await.unwrap();
        let (writer, task) = Writer::start(db.clone(), Arc::new(Notes), WriterOptions::default());
        // Many callers, one bad among them: only the bad one hears of it.
        let mut receivers = Vec::new();
        for (id, n) in [("a", 1), ("b", 2), ("a", 3), ("c", 4)] {
            receivers.push(writer.enqueue((id.to_owned(), n)).await.unwrap());
        }
        let mut answers = Vec::new();
        for receiver in receivers {
            answers.push(receiver.await.unwrap().map_err(|error| error.to_string()));
        }
        assert_eq!(answers, [Ok(1), Ok(2), Err("the row is there already".to_owned()), Ok(4)]);
        let rows =
            db.fetch_all("SELECT id, n, raw FROM note WHERE n > $1 ORDER BY id", &[Value::from(1)]).await.unwrap();
        let ids: Vec<String> = rows.iter().map(|row| row.text(0).unwrap()).collect();
        assert_eq!(ids, ["b", "c"]);
        assert_eq!(rows[0].bytes(2).unwrap(), [0, 255]);
        assert!(matches!(rows[0].int(0), Err(SqlError::Corrupt { column: 0, .. })));
        drop(writer);
        task.await.unwrap();
        db.close().await;
    }
    use crate::Value;

    async fn emptied(address: &str) {
        let db = Db::open(address, STEPS, DbOptions::default()).await.unwrap();
        db.commit_round(vec![
            Step::One { sql: "DELETE FROM note", values: vec![], touched: None },
            Step::One { sql: "DELETE FROM other", values: vec![], touched: None },
        ])
        .await
        .unwrap();
        db.close().await;
    }

    #[tokio::test]
    async fn a_bad_operation_fails_alone() {
        let dir = tempfile::tempdir().unwrap();
        story(&format!("sqlite:{}", dir.path().join("t.db").display())).await;
        if let Ok(address) = std::env::var("TEST_POSTGRES_URL") {
            story(&address).await;
            emptied(&address).await;
            prepared_story(&address).await;
            emptied(&address).await;
            told_story(&address).await;
            emptied(&address).await;
        }
    }

    #[tokio::test]
    async fn an_address_of_neither_kind_is_refused_without_its_password() {
        let error = Db::open("mysql://root:hunter2@host/db", STEPS, DbOptions::default()).await.unwrap_err();
        assert_eq!(error.to_string(), "\"mysql\" is not a database address; expected sqlite:PATH or postgres://…");
    }
}
