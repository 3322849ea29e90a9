//! Saying lines to a channel or to somebody, several at once, and finding out what became of each.

use std::time::Duration;

use landbridge::network::{Delivered, IdempotencyKey, Reject, RemoteOp, SendError};
use tokio::time::Instant;

use super::{
    IrcNetwork,
    deliver::{refused_because, rejected, taken},
    heard::Expected,
    session::{IrcSession, target},
};
use crate::{
    convert::{
        ids::IrcRoom,
        outgoing::{How, Wire},
    },
    message::{IrcText, Tags, Target},
    numerics::RefusedBecause,
    session::{Cap, Command, MessageKind, Outcome, Outgoing, SendKind},
    wire::Handle,
};

/// How long the bot is given to hear what may have been said.
const HEARING: Duration = Duration::from_secs(2);

/// What became of a line.
type Said = Result<Delivered<String>, SendError>;

/// One line.
#[derive(Debug, Clone)]
pub(super) struct Line {
    kind: SendKind,
    text: IrcText,
    tags: Vec<(String, String)>,
    key: String,
}

impl Line {
    /// The line that an operation says; `None` for one that does something else.
    pub(super) fn of(wire: Wire, key: &IdempotencyKey) -> Option<Result<Self, SendError>> {
        let (kind, text, tags) = match wire {
            Wire::Say { how, text, tags } => {
                let kind = match how {
                    How::Message => SendKind::Privmsg,
                    How::Notice => SendKind::Notice,
                    How::Action => SendKind::Action,
                };
                (kind, text, tags)
            }
            Wire::Tags(tags) => (SendKind::Tags, String::new(), tags),
            _ => return None,
        };
        let text = IrcText::new(text).map_err(|error| SendError::Bug(error.to_string()));
        Some(text.map(|text| Self { kind, text, tags, key: key.to_string() }))
    }

    fn command(&self, target: &Target) -> Command {
        let mut tags = Tags::default();
        self.tags.iter().for_each(|(name, value)| tags.insert(&format!("+{name}"), value));
        let (target, text, key) = (target.clone(), self.text.clone(), Some(self.key.as_str().into()));
        Command::Send(Outgoing { target, kind: self.kind, text, tags, key })
    }

    /// How others hear it.
    fn heard_as(&self) -> Option<MessageKind> {
        match self.kind {
            SendKind::Privmsg => Some(MessageKind::Privmsg),
            SendKind::Notice => Some(MessageKind::Notice),
            SendKind::Action => Some(MessageKind::Action),
            SendKind::Tags => None,
        }
    }
}

impl IrcSession {
    /// Says one line.
    pub(super) async fn say(&self, room: &IrcRoom, line: Line, attempt: u32) -> Said {
        if attempt > 1
            && let Some(id) = self.shared.heard.find(&line.key)
        {
            return Ok(Delivered { id });
        }
        self.say_all(room, &[line]).await.pop().unwrap_or(Err(SendError::Disconnected))
    }

    /// Says several operations' lines, as far as they are lines; then does the others one by one.
    pub(super) async fn do_all(&self, ops: &[(RemoteOp<IrcNetwork>, IdempotencyKey)]) -> Vec<Said> {
        let lines: Vec<_> =
            ops.iter().map_while(|(op, key)| Line::of(Wire::decode(&op.wire).ok()?, key)?.ok()).collect();
        let mut results = match ops.first() {
            Some((op, _)) if !lines.is_empty() => self.say_all(&op.room, &lines).await,
            _ => Vec::new(),
        };
        for (op, key) in ops.iter().skip(lines.len()) {
            let waits = results.last().is_some_and(|last| last.as_ref().is_err_and(|error| !error.is_final()));
            results.push(if waits { Err(SendError::Disconnected) } else { self.do_op(op, key, 1).await });
        }
        results
    }

    /// Says lines in this order: one result for each.
    async fn say_all(&self, room: &IrcRoom, lines: &[Line]) -> Vec<Said> {
        let all = |error: SendError| lines.iter().map(|_| Err(error.clone())).collect();
        let Some(target) = target(room) else { return all(SendError::Rejected(Reject::UnknownTarget)) };
        let handle = match self.link.handle() {
            Ok(handle) => handle,
            Err(error) => return all(error),
        };
        if let Err(error) = self.be_in(&target).await {
            return all(error);
        }
        self.expect(&handle, &target, lines);
        let outcomes = said(&handle, &target, lines).await;
        let results = self.once_more(&handle, &target, lines, outcomes).await;
        self.shared.heard.expect_no_more(lines.iter().map(|line| line.key.as_str()));
        if let Target::Nick(nick) = &target {
            self.link.talks(self.shared.fold(nick.as_str()));
        }
        results
    }

    /// Has the bot listen for lines that show it no key.
    fn expect(&self, handle: &Handle, target: &Target, lines: &[Line]) {
        let (Some(user_id), Target::Channel(channel)) = (self.puppet_of(), target) else { return };
        if handle.online().is_none_or(|online| online.caps.has(Cap::MessageTags)) {
            return;
        }
        let channel = self.shared.fold(channel.as_str());
        self.shared.heard.expect(lines.iter().filter_map(|line| {
            let (key, text) = (line.key.clone(), line.text.as_str().to_owned());
            Some(Expected { key, user_id: user_id.clone(), channel: channel.clone(), kind: line.heard_as()?, text })
        }));
    }

    /// We may have been put out without hearing of it (P3): where nothing crossed any more, in case of doubt, enter and say it
    /// once more.
    async fn once_more(
        &self,
        handle: &Handle,
        target: &Target,
        lines: &[Line],
        mut outcomes: Vec<Outcome>,
    ) -> Vec<Said> {
        let first = outcomes.iter().position(is_outside);
        let Some((first, channel)) =
            first.zip(target.channel()).filter(|(first, _)| outcomes.iter().skip(*first).all(is_outside))
        else {
            return self.settle(lines, outcomes).await;
        };
        self.link.left(&self.shared.fold(channel.as_str()));
        let refused = outcomes.split_off(first);
        let mut results = self.settle(lines, outcomes).await;
        match self.be_in(target).await {
            Ok(()) => {
                let again = &lines[first..];
                let outcomes = said(handle, target, again).await;
                results.extend(self.settle(again, outcomes).await);
            }
            Err(error) => results.extend(refused.iter().map(|_| Err(error.clone()))),
        }
        results
    }

    /// What became of each line. What the server left open, the bot may have heard.
    async fn settle(&self, lines: &[Line], outcomes: Vec<Outcome>) -> Vec<Said> {
        let until = Instant::now() + HEARING;
        let (mut results, mut refusals, mut unheard) = (Vec::with_capacity(lines.len()), Vec::new(), Vec::new());
        for (line, outcome) in lines.iter().zip(outcomes) {
            let suspected = matches!(outcome, Outcome::Suspected(_));
            if let Outcome::Suspected(Some(rejection)) = &outcome {
                refusals.push(rejection.clone());
            }
            let said = taken(outcome).map(|receipt| Delivered { id: receipt.msgid.map(String::from) });
            results.push(match said {
                Err(SendError::MaybeSent(why)) => match self.shared.heard.find_until(&line.key, until).await {
                    Some(id) => Ok(Delivered { id }),
                    None => {
                        if suspected {
                            unheard.push(results.len());
                        }
                        Err(SendError::MaybeSent(why))
                    }
                },
                said => said,
            });
        }
        // As many were not heard as were refused: then it was these.
        if unheard.len() == refusals.len() {
            for (index, rejection) in unheard.into_iter().zip(&refusals) {
                results[index] = Err(rejected(rejection));
            }
        }
        results
    }
}

/// Has the server told lines, in this order.
async fn said(handle: &Handle, target: &Target, lines: &[Line]) -> Vec<Outcome> {
    let commands = lines.iter().map(|line| line.command(target)).collect();
    let pending = match handle.submit_all(commands).await {
        Ok(pending) => pending,
        Err(not_sent) => return lines.iter().map(|_| Outcome::NotSent(not_sent)).collect(),
    };
    let mut outcomes = Vec::with_capacity(pending.len());
    for pending in pending {
        outcomes.push(pending.outcome().await);
    }
    outcomes
}

/// Whether a line was refused as if we were not in the channel.
fn is_outside(outcome: &Outcome) -> bool {
    use RefusedBecause::{CannotSend, NoSuchChannel, NotInChannel};
    matches!(refused_because(outcome), Some(NotInChannel | CannotSend | NoSuchChannel))
}
