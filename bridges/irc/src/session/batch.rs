//! Batches ([batch](https://ircv3.net/specs/extensions/batch)): lines that belong together.

use std::collections::HashMap;

use crate::message::Message;

/// Most batches open at a time; the oldest is forgotten when one more begins.
const MAX_OPEN: usize = 64;

/// The open batches of a connection.
#[derive(Debug, Default)]
pub(super) struct Batches {
    open: HashMap<Box<str>, Batch>,
    begun: u64,
}

/// What a line inherits from the batches around it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Context {
    /// In a history batch.
    pub(super) history: bool,
    /// In a netsplit batch.
    pub(super) netsplit: bool,
    /// In a netjoin batch.
    pub(super) netjoin: bool,
    /// The label of the command that the batch answers.
    pub(super) label: Option<Box<str>>,
}

#[derive(Debug)]
struct Batch {
    context: Context,
    /// Of what it is the history, where it says so and is not part of one itself.
    history_of: Option<Box<str>>,
    number: u64,
}

/// What a BATCH line did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Ended the answer to the command with this label.
    pub(super) answered: Option<Box<str>>,
    /// Began the history of this, or ended it.
    pub(super) history: Option<(Box<str>, bool)>,
}

impl Batches {
    /// Takes in a BATCH line.
    pub(super) fn receive(&mut self, message: &Message) -> Change {
        let Some(reference) = message.param(0) else { return Change::default() };
        if let Some(reference) = reference.strip_prefix('-') {
            let Some(ended) = self.open.remove(reference) else { return Change::default() };
            return Change { answered: ended.context.label, history: ended.history_of.map(|of| (of, true)) };
        }
        let Some(reference) = reference.strip_prefix('+') else { return Change::default() };
        // What is inside inherits; a label is the outermost batch's.
        let mut context = Context { label: None, ..self.context(message) };
        let within = context.history;
        match message.param(1).unwrap_or_default() {
            "chathistory" | "draft/chathistory" | "history" | "znc.in/playback" => context.history = true,
            "netsplit" => context.netsplit = true,
            "netjoin" => context.netjoin = true,
            _ => {}
        }
        context.label = message.tags.get("label").map(Box::from);
        self.begun += 1;
        if self.open.len() >= MAX_OPEN {
            let oldest = self.open.iter().min_by_key(|(_, batch)| batch.number).map(|(name, _)| name.clone());
            oldest.and_then(|name| self.open.remove(&name));
        }
        let history_of = message.param(2).filter(|_| context.history && !within).map(Box::from);
        let history = history_of.clone().map(|of| (of, false));
        self.open.insert(reference.into(), Batch { context, history_of, number: self.begun });
        Change { answered: None, history }
    }

    /// What a line inherits.
    pub(super) fn context(&self, message: &Message) -> Context {
        message
            .tags
            .get("batch")
            .and_then(|name| self.open.get(name))
            .map(|batch| batch.context.clone())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(batches: &mut Batches, line: &str) -> Change {
        batches.receive(&Message::parse(line).unwrap())
    }

    fn context(batches: &Batches, line: &str) -> Context {
        batches.context(&Message::parse(line).unwrap())
    }

    #[test]
    fn a_line_inherits_from_every_batch_around_it() {
        let mut batches = Batches::default();
        receive(&mut batches, "@label=x :s BATCH +1 labeled-response");
        receive(&mut batches, "@batch=1 :s BATCH +2 chathistory #c");
        receive(&mut batches, "@batch=2 :s BATCH +3 netsplit a.b c.d");
        assert_eq!(context(&batches, "@batch=1 JOIN #c").label.as_deref(), Some("x"));
        assert_eq!(context(&batches, "@batch=3 QUIT"), Context { history: true, netsplit: true, ..Context::default() });
        assert_eq!(context(&batches, "@batch=nope QUIT"), Context::default());
        assert_eq!(receive(&mut batches, "BATCH -3"), Change::default());
        assert_eq!(receive(&mut batches, "BATCH -1"), Change { answered: Some("x".into()), history: None });
        assert_eq!(receive(&mut batches, "BATCH -1"), Change::default());
    }

    #[test]
    fn a_history_begins_and_ends_whatever_is_in_it() {
        let mut batches = Batches::default();
        let history = |ends| Change { answered: None, history: Some(("#c".into(), ends)) };
        assert_eq!(receive(&mut batches, "BATCH +1 chathistory #c"), history(false));
        assert_eq!(receive(&mut batches, "@batch=1 :s BATCH +2 chathistory #c"), Change::default());
        assert_eq!(receive(&mut batches, "@batch=1 :s BATCH +3 netsplit a.b c.d"), Change::default());
        assert_eq!(receive(&mut batches, "BATCH -2"), Change::default());
        assert_eq!(receive(&mut batches, "BATCH -1"), history(true));
        // Of one that does not say what it is of, nobody can say more.
        assert_eq!(receive(&mut batches, "BATCH +4 history"), Change::default());
    }

    #[test]
    fn a_server_that_never_ends_a_batch_fills_no_memory() {
        let mut batches = Batches::default();
        for number in 0..10_000 {
            receive(&mut batches, &format!("BATCH +{number} chathistory #c"));
        }
        assert_eq!(batches.open.len(), MAX_OPEN);
        assert!(context(&batches, "@batch=9999 QUIT").history);
        for odd in ["BATCH", "BATCH x", "BATCH +", "BATCH -"] {
            receive(&mut batches, odd);
        }
    }
}
