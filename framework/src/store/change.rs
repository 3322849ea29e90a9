//! What one caller wants written, all or nothing.

use std::collections::HashMap;

use super::{
    InboxRow, MappingRow, MemberRow, MessageRow, NoteRow, OutboxRow, PictureRow, UserRow, dead_letters::DeadLetterRow,
    jobs::JobRow,
};
use crate::network::Direction;

/// Rows for every table. Within one change they are written in the order of the fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// Things heard, each kept unless its mark was seen before.
    pub(crate) heard: Vec<Heard>,
    /// Our own events and messages, heard again.
    pub(crate) echoes: Vec<Echo>,
    /// Inbox rows that are done with.
    pub(crate) inbox_done: Vec<i64>,
    /// Things decided. Their `seq` is given at the commit.
    pub(crate) outbox: Vec<OutboxRow>,
    /// Outbox rows that are being delivered from now on: after a crash nobody knows whether they were.
    pub(crate) claim: Vec<i64>,
    /// Outbox rows that were certainly not delivered after all: how often they were tried, and the last error.
    pub(crate) release: Vec<(i64, u32, String)>,
    /// Outbox rows whose operation changed, and what is remembered of it: a file was stored.
    pub(crate) rewrite: Vec<(i64, String, Option<String>)>,
    /// Outbox rows that stand in another lane from now on.
    pub(crate) move_to: Vec<(i64, String)>,
    /// What stands aside and is not to be said any more.
    pub(crate) withdraw: Vec<Withdrawal>,
    /// Rooms that were followed into another: what is to be said in the one is said in the other.
    pub(crate) moves: Vec<(String, String)>,
    /// Outbox rows that are done with.
    pub(crate) outbox_done: Vec<i64>,
    /// Messages to remember.
    pub(crate) messages: Vec<MessageRow>,
    /// Events to forget: reactions that were taken back.
    pub(crate) messages_gone: Vec<String>,
    /// Things to park.
    pub(crate) park: Vec<DeadLetterRow>,
    /// Dead letters to forget.
    pub(crate) unpark: Vec<i64>,
    /// Dead letters that go back to where they were.
    pub(crate) revive_inbox: Vec<InboxRow>,
    /// Virtual users to remember.
    pub(crate) users: Vec<UserRow>,
    /// Pictures to remember.
    pub(crate) pictures: Vec<PictureRow>,
    /// Notes to keep.
    pub(crate) notes: Vec<NoteRow>,
    /// Files whose links are taken back, and when.
    pub(crate) revoke: Vec<(String, i64)>,
    /// Messages that were taken back, and when: links to their files lead nowhere any more, unless another message brought them too.
    pub(crate) taken_back: Vec<(String, i64)>,
    /// Members to remember.
    pub(crate) members: Vec<MemberRow>,
    /// Members to forget.
    pub(crate) members_gone: Vec<(String, String)>,
    /// Room mappings to remember.
    pub(crate) mappings: Vec<MappingRow>,
    /// Matrix rooms that the owner of the conversation has left, or is in again.
    pub(crate) deserted: Vec<(String, bool)>,
    /// Matrix rooms that are mapped no longer.
    pub(crate) unmap: Vec<String>,
    /// Jobs to remember.
    pub(crate) jobs: Vec<JobRow>,
    /// Jobs that are done.
    pub(crate) jobs_done: Vec<String>,
}

impl Change {
    /// What it decides, where it does nothing else.
    pub(crate) fn only_outbox(self) -> Option<Vec<OutboxRow>> {
        let Self { outbox, .. } = self;
        let rest = Self { outbox: Vec::new(), ..self };
        (rest == Self::default()).then_some(outbox)
    }

    /// Adds what another change writes.
    pub(crate) fn merge(&mut self, other: Self) {
        let Self {
            heard,
            echoes,
            inbox_done,
            outbox,
            claim,
            release,
            rewrite,
            move_to,
            withdraw,
            moves,
            outbox_done,
            messages,
            messages_gone,
            park,
            unpark,
            revive_inbox,
            users,
            pictures,
            notes,
            revoke,
            taken_back,
            members,
            members_gone,
            mappings,
            deserted,
            unmap,
            jobs,
            jobs_done,
        } = other;
        self.heard.extend(heard);
        self.echoes.extend(echoes);
        self.inbox_done.extend(inbox_done);
        self.outbox.extend(outbox);
        self.claim.extend(claim);
        self.release.extend(release);
        self.rewrite.extend(rewrite);
        self.move_to.extend(move_to);
        self.withdraw.extend(withdraw);
        self.moves.extend(moves);
        self.outbox_done.extend(outbox_done);
        self.messages.extend(messages);
        self.messages_gone.extend(messages_gone);
        self.park.extend(park);
        self.unpark.extend(unpark);
        self.revive_inbox.extend(revive_inbox);
        self.users.extend(users);
        self.pictures.extend(pictures);
        self.notes.extend(notes);
        self.revoke.extend(revoke);
        self.taken_back.extend(taken_back);
        self.members.extend(members);
        self.members_gone.extend(members_gone);
        self.mappings.extend(mappings);
        self.deserted.extend(deserted);
        self.unmap.extend(unmap);
        self.jobs.extend(jobs);
        self.jobs_done.extend(jobs_done);
    }
}

/// Outbox rows towards the network that nobody has claimed, and that are not to be said any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Withdrawal {
    /// In which lanes: in this one, or in all whose names begin so.
    pub(crate) lanes: Standing,
    /// From which Matrix event; from any, where none is named.
    pub(crate) source: Option<String>,
}

/// Some lanes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// One.
    Only(String),
    /// All whose names begin so.
    From(String),
}

/// Things heard together, and how they are recognised when they are heard again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// The mark of all of them together: where it was seen before, none is kept.
    pub(crate) together: Option<String>,
    /// A stream and a position: where the stream was heard that far, none is kept.
    pub(crate) cursor: Option<(String, i64)>,
    /// A stream and how far it was heard by now: nothing is left out because of it.
    pub(crate) reached: Option<(String, i64)>,
    /// The things, in order. A row whose `mark` is empty is always kept.
    pub(crate) rows: Vec<InboxRow>,
    /// What some of them have become already, by their index: if they are new, that is kept in their stead.
    pub(crate) decided: HashMap<usize, Vec<OutboxRow>>,
}

/// Something of our own that came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Echo {
    /// Which way it went.
    pub(crate) direction: Direction,
    /// The key it was said under.
    pub(crate) idem: String,
    /// The name the other side gave it: an event id, or a remote id.
    pub(crate) name: Option<String>,
}
