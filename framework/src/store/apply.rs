//! How a round of changes becomes statements: all rows for one table in one statement.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use async_trait::async_trait;
use landbridge_sql::{Apply, Db, SqlError, Tx};

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

/// Hears of each commit, in commit order, before anybody is answered. Must be quick.
pub(crate) trait Listener: Send + Sync + 'static {
    /// One change was committed.
    fn committed(&self, done: &Committed);
}

/// All tables.
pub(crate) struct Tables {
    /// The next place in the order. A round that fails leaves a gap, which hurts nobody.
    next: AtomicI64,
    listener: Arc<dyn Listener>,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables").field("next", &self.next).finish_non_exhaustive()
    }
}

/// The first place in the order that no row ever had, as far as anybody can tell.
pub(super) async fn next_seq(db: &Db) -> Result<i64, SqlError> {
    let row = db
        .fetch_optional(
            "SELECT MAX(seq) FROM (SELECT MAX(seq) AS seq FROM inbox UNION ALL SELECT MAX(seq) FROM outbox \
             UNION ALL SELECT MAX(number) FROM dead_letter) AS newest",
            &[],
        )
        .await?;
    Ok(row.map(|row| row.opt_int(0)).transpose()?.flatten().unwrap_or(0) + 1)
}

impl Tables {
    pub(super) fn new(next: i64, listener: Arc<dyn Listener>) -> Self {
        Self { next: AtomicI64::new(next), listener }
    }

    fn seq(&self) -> i64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    async fn heard(&self, ops: &[Change], done: &mut [Committed], tx: &mut Tx<'_>) -> Result<(), SqlError> {
        let heard: Vec<_> = ops.iter().flat_map(|op| &op.heard).collect();
        if !heard.is_empty() {
            let mut verdicts = seen::sift(&heard, tx).await?.into_iter();
            for (op, done) in ops.iter().zip(&mut *done) {
                for (heard, verdict) in op.heard.iter().zip(&mut verdicts) {
                    done.fresh.push(verdict.contains(&true));
                    let new = heard.rows.iter().zip(verdict).filter(|(_, new)| *new);
                    done.inbox.extend(new.map(|(row, _)| Arc::new(InboxRow { seq: self.seq(), ..row.clone() })));
                }
            }
        }
        for (op, done) in ops.iter().zip(&mut *done) {
            let revived = op.revive_inbox.iter();
            done.inbox.extend(revived.map(|row| Arc::new(InboxRow { seq: self.seq(), ..row.clone() })));
        }
        let rows: Vec<&InboxRow> = done.iter().flat_map(|done| done.inbox.iter().map(|row| &**row)).collect();
        inbox::insert(&rows, tx).await
    }

    /// Closes the rows of what came back, and says what to remember of them.
    async fn echoes(
        ops: &[Change],
        done: &mut [Committed],
        tx: &mut Tx<'_>,
    ) -> Result<(Vec<[i64; 1]>, Vec<MessageRow>), SqlError> {
        let keys: Vec<[&str; 1]> =
            ops.iter().flat_map(|op| op.echoes.iter().map(|echo| [echo.idem.as_str()])).collect();
        let (mut closed, mut remember) = (Vec::new(), Vec::new());
        if keys.is_empty() {
            return Ok((closed, remember));
        }
        let rows = outbox::by_keys(&keys, tx).await?;
        for (op, done) in ops.iter().zip(done) {
            for echo in &op.echoes {
                let row = rows.iter().find(|row| row.idem == echo.idem && row.direction == echo.direction);
                if let Some(row) = row {
                    closed.push([row.seq]);
                    remember.extend(row.to_remember(echo.name.as_deref()));
                    done.closed.push((row.clone(), echo.name.clone()));
                }
            }
        }
        Ok((closed, remember))
    }

    fn outbox(&self, ops: &[Change], done: &mut [Committed]) {
        for (op, done) in ops.iter().zip(done) {
            done.outbox = op
                .outbox
                .iter()
                .map(|row| Arc::new(OutboxRow { seq: self.seq(), fresh: true, ..row.clone() }))
                .collect();
        }
    }
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
        let mut done = vec![Committed::default(); ops.len()];
        self.heard(ops, &mut done, tx).await?;
        inbox::delete(&numbers(ops, |op| &op.inbox_done), tx).await?;
        self.outbox(ops, &mut done);
        let rows: Vec<&OutboxRow> = done.iter().flat_map(|done| done.outbox.iter().map(|row| &**row)).collect();
        outbox::insert(&rows, tx).await?;
        let (mut closed, remembered) = Self::echoes(ops, &mut done, tx).await?;
        // A claim is waited for, a release is not: where a round holds both of one row, the claim is the later one.
        outbox::release(&gather(ops, |op| &op.release), tx).await?;
        outbox::claim(&numbers(ops, |op| &op.claim), tx).await?;
        outbox::rewrite(&gather(ops, |op| &op.rewrite), tx).await?;
        outbox::move_to(&gather(ops, |op| &op.move_to), tx).await?;
        outbox::follow(&gather(ops, |op| &op.moves), tx).await?;
        closed.extend(numbers(ops, |op| &op.outbox_done));
        outbox::delete(&closed, tx).await?;
        let mut messages = gather(ops, |op| &op.messages);
        messages.extend(&remembered);
        messages::insert(&messages, tx).await?;
        messages::delete(&texts(ops, |op| &op.messages_gone), tx).await?;
        dead_letters::delete(&numbers(ops, |op| &op.unpark), tx).await?;
        dead_letters::insert(&gather(ops, |op| &op.park), tx).await?;
        users::insert(&gather(ops, |op| &op.users), tx).await?;
        pictures::insert(&gather(ops, |op| &op.pictures), tx).await?;
        notes::insert(&gather(ops, |op| &op.notes), tx).await?;
        revoked::insert(&gather(ops, |op| &op.revoke), tx).await?;
        revoked::take_back(&gather(ops, |op| &op.taken_back), tx).await?;
        members::insert(&gather(ops, |op| &op.members), tx).await?;
        members::delete(&gather(ops, |op| &op.members_gone), tx).await?;
        mappings::insert(&gather(ops, |op| &op.mappings), tx).await?;
        mappings::delete(&texts(ops, |op| &op.unmap), tx).await?;
        jobs::insert(&gather(ops, |op| &op.jobs), tx).await?;
        jobs::delete(&texts(ops, |op| &op.jobs_done), tx).await?;
        Ok(done)
    }

    fn committed(&self, _ops: &[Change], done: &[Committed]) {
        for done in done {
            self.listener.committed(done);
        }
    }
}
