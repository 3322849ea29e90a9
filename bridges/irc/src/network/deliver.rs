//! What the framework wants said and done, and what became of it.

use std::time::Duration;

use landbridge::network::{Delivered, IdempotencyKey, Reject, RemoteOp, SendError, SessionId};

use super::{
    IrcNetwork,
    say::Line,
    session::{IrcSession, channel, target},
};
use crate::{
    convert::{ids::IrcRoom, outgoing::Wire},
    message::{Channel, IrcText, Nick, Target},
    numerics::{JoinProblem, RefusedBecause},
    session::{Command, NotSent, Outcome, Receipt, RejectedBecause, Rejection},
};

/// How long to wait when a server says "later".
const LATER: Duration = Duration::from_secs(30);
/// The server's complaint could have been about it.
const SUSPECTED: &str = "the server refused one of several lines and did not say which";

impl IrcSession {
    /// Does one operation.
    pub(super) async fn do_op(
        &self,
        op: &RemoteOp<IrcNetwork>,
        key: &IdempotencyKey,
        attempt: u32,
    ) -> Result<Delivered<String>, SendError> {
        let wire = Wire::decode(&op.wire)
            .map_err(|error| SendError::Bug(format!("the stored operation cannot be read: {error}")))?;
        match wire {
            wire @ (Wire::Say { .. } | Wire::Tags(_)) => match Line::of(wire, key) {
                Some(line) => self.say(&op.room, line?, attempt).await,
                None => Err(SendError::Bug("this says nothing".to_owned())),
            },
            Wire::Rename(name) => {
                if let Some(user_id) = self.puppet_of().filter(|_| self.shared.config.puppets.follow_display_name)
                    && let Ok(nick) = self.nick_for(user_id, &name)
                {
                    self.link.want_nick(nick);
                }
                Ok(Delivered::unnamed())
            }
            Wire::Power { who, level } => self.empower(op, who, level).await,
            Wire::Redact { id, reason } => self.redact(op, &id, reason.as_deref()).await,
            Wire::Expel { user_id, reason } => self.expel(op, &user_id, reason).await,
            Wire::Invite(nick) => self.invite(&op.room, &nick).await,
            control => self.control(op, control).await,
        }
    }

    /// Enters the channel of a target, if that is one and we are not in it. A puppet waits until the bot hears what is said there.
    pub(super) async fn be_in(&self, target: &Target) -> Result<(), SendError> {
        let Target::Channel(channel) = target else { return Ok(()) };
        if self.puppet_of().is_some() {
            self.shared.observed(channel).await;
        }
        if self.link.is_in(&self.shared.fold(channel.as_str())) {
            return Ok(());
        }
        let joined = self.join(channel).await;
        if let Err(SendError::Rejected(Reject::NotInRoom(_))) = &joined
            && self.puppet_of().is_some()
            && self.be_invited(channel).await
        {
            return self.join(channel).await;
        }
        joined
    }

    /// Has the bot invite us; whether it could.
    async fn be_invited(&self, channel: &Channel) -> bool {
        let Ok(own) = self.link.handle() else { return false };
        let Some(nick) = own.online().map(|online| online.nick.clone()) else { return false };
        let Some(bot) = self.shared.link(&SessionId::Relay).and_then(|bot| bot.handle().ok()) else { return false };
        let invite = Command::Invite { channel: channel.clone(), nick };
        matches!(bot.run(invite).await, Outcome::Accepted(_))
    }

    /// Enters a channel.
    pub(super) async fn join(&self, channel: &Channel) -> Result<(), SendError> {
        let key = self.shared.channel_key(channel);
        let outcome = self.link.handle()?.run(Command::Join { channel: channel.clone(), key }).await;
        match outcome {
            Outcome::Accepted(_) => {
                self.link.entered(self.shared.fold(channel.as_str()));
                Ok(())
            }
            // Nothing was said yet: it can simply be done again.
            Outcome::Unknown(_) | Outcome::Suspected(_) => Err(SendError::Disconnected),
            outcome => taken(outcome).map(drop),
        }
    }

    /// Leaves a channel.
    pub(super) async fn part(&self, channel: &Channel, reason: Option<IrcText>) -> Result<(), SendError> {
        self.link.left(&self.shared.fold(channel.as_str()));
        let outcome = self.link.handle()?.run(Command::Part { channel: channel.clone(), reason }).await;
        match outcome {
            // We are not there: that is what was wanted.
            Outcome::Rejected(_)
            | Outcome::Unknown(_)
            | Outcome::Suspected(_)
            | Outcome::NotSent(NotSent::NotConnected) => Ok(()),
            outcome => taken(outcome).map(drop),
        }
    }

    /// Takes a message back: by ourselves, or by the bot where that may do more.
    async fn redact(
        &self,
        op: &RemoteOp<IrcNetwork>,
        id: &str,
        reason: Option<&str>,
    ) -> Result<Delivered<String>, SendError> {
        let Some(target) = target(&op.room) else { return Err(SendError::Rejected(Reject::UnknownTarget)) };
        self.be_in(&target).await?;
        let (msgid, reason) = (IrcText::one_line(id), reason.map(IrcText::one_line));
        let command = Command::Redact { target: target.clone(), msgid, reason };
        let mut outcome = self.link.handle()?.run(command.clone()).await;
        if matches!(outcome, Outcome::Rejected(_)) && target.channel().is_some() {
            outcome = self.by_bot(command).await.unwrap_or(outcome);
        }
        match outcome {
            // Doing it twice is doing it once.
            Outcome::Unknown(_) | Outcome::Suspected(_) => Err(SendError::Disconnected),
            outcome => taken(outcome).map(|_| Delivered::unnamed()),
        }
    }

    /// Does what takes power in a channel: by ourselves, or by the bot where we have too little.
    pub(super) async fn by_whoever_may(&self, command: Command) -> Result<Outcome, SendError> {
        let outcome = self.link.handle()?.run(command.clone()).await;
        if refused_because(&outcome) != Some(RefusedBecause::NotPrivileged) {
            return Ok(outcome);
        }
        Ok(self.by_bot(command).await.unwrap_or(outcome))
    }

    /// Has the bot do what we may not; nothing where it may not either.
    async fn by_bot(&self, command: Command) -> Option<Outcome> {
        self.puppet_of()?;
        let bot = self.shared.link(&SessionId::Relay)?.handle().ok()?;
        let outcome = bot.run(command).await;
        matches!(outcome, Outcome::Accepted(_)).then_some(outcome)
    }

    /// Makes another's puppet leave.
    async fn expel(
        &self,
        op: &RemoteOp<IrcNetwork>,
        user_id: &ruma::UserId,
        reason: Option<String>,
    ) -> Result<Delivered<String>, SendError> {
        let IrcRoom::Channel(name) = &op.room else { return Ok(Delivered::unnamed()) };
        let folded = self.shared.fold(name);
        let Some(link) = self.shared.link(&SessionId::User(user_id.to_owned())) else {
            return Ok(Delivered::unnamed());
        };
        let Ok(handle) = link.handle() else { return Ok(Delivered::unnamed()) };
        if link.is_in(&folded) {
            link.left(&folded);
            let reason = reason.map(|reason| IrcText::one_line(&reason));
            // What becomes of it does not matter: nothing is said there for this user any more.
            let _ = handle.run(Command::Part { channel: channel(name)?, reason }).await;
        }
        Ok(Delivered::unnamed())
    }

    /// Changes something in a channel: by ourselves, or by the bot where that may do more.
    async fn control(&self, op: &RemoteOp<IrcNetwork>, wire: Wire) -> Result<Delivered<String>, SendError> {
        let IrcRoom::Channel(name) = &op.room else { return Ok(Delivered::unnamed()) };
        let channel = channel(name)?;
        if let Wire::Part(reason) = wire {
            if self.link.is_in(&self.shared.fold(name)) {
                self.part(&channel, reason.map(|reason| IrcText::one_line(&reason))).await?;
            }
            return Ok(Delivered::unnamed());
        }
        let command = command(wire, &channel)?;
        self.be_in(&Target::Channel(channel)).await?;
        match self.by_whoever_may(command).await? {
            // Doing it twice is doing it once.
            Outcome::Unknown(_) | Outcome::Suspected(_) => Err(SendError::Disconnected),
            outcome => taken(outcome).map(|_| Delivered::unnamed()),
        }
    }
}

fn command(wire: Wire, channel: &Channel) -> Result<Command, SendError> {
    let nick =
        |nick: String| Nick::new(&nick).map_err(|error| SendError::Rejected(Reject::Forbidden(error.to_string())));
    let channel = channel.clone();
    Ok(match wire {
        Wire::Topic(topic) => Command::Topic { channel, topic: IrcText::one_line(&topic) },
        Wire::Kick { nick: whom, reason } => {
            Command::Kick { channel, nick: nick(whom)?, reason: reason.map(|reason| IrcText::one_line(&reason)) }
        }
        Wire::Ban { nick: whom, on } => {
            let mask = format!("{}!*@*", nick(whom)?);
            let sign = if on { "+b" } else { "-b" };
            Command::Mode {
                target: Target::Channel(channel),
                changes: vec![IrcText::one_line(sign), IrcText::one_line(&mask)],
            }
        }
        Wire::Say { .. }
        | Wire::Tags(_)
        | Wire::Redact { .. }
        | Wire::Power { .. }
        | Wire::Part(_)
        | Wire::Expel { .. }
        | Wire::Invite(_)
        | Wire::Rename(_) => {
            return Err(SendError::Bug("this is no control".to_owned()));
        }
    })
}

/// Why the server refused a command, if it did.
pub(super) fn refused_because(outcome: &Outcome) -> Option<RefusedBecause> {
    match outcome {
        Outcome::Rejected(Rejection { why: RejectedBecause::Command(because), .. }) => Some(*because),
        _ => None,
    }
}

/// Whether the server took it.
pub(super) fn taken(outcome: Outcome) -> Result<Receipt, SendError> {
    match outcome {
        Outcome::Accepted(receipt) => Ok(receipt),
        Outcome::Rejected(rejection) => Err(rejected(&rejection)),
        Outcome::NotSent(why) => Err(not_sent(why)),
        Outcome::Unknown(why) => Err(SendError::MaybeSent(why.to_owned())),
        Outcome::Suspected(_) => Err(SendError::MaybeSent(SUSPECTED.to_owned())),
    }
}

pub(super) fn rejected(rejection: &Rejection) -> SendError {
    let text = rejection.text.clone();
    match rejection.why {
        RejectedBecause::Join(JoinProblem::Throttled | JoinProblem::Unavailable)
        | RejectedBecause::Command(RefusedBecause::TooFast) => SendError::RetryAfter(LATER),
        RejectedBecause::Join(problem) => {
            SendError::Rejected(Reject::NotInRoom(format!("{} ({text})", explain(problem))))
        }
        RejectedBecause::Forwarded => {
            SendError::Rejected(Reject::NotInRoom(format!("the network sends us on to another channel ({text})")))
        }
        RejectedBecause::Command(RefusedBecause::NotInChannel) => SendError::Rejected(Reject::NotInRoom(text)),
        RejectedBecause::Command(_) | RejectedBecause::Nick(_) => SendError::Rejected(Reject::Forbidden(text)),
    }
}

/// Why a channel cannot be entered, in words for people.
pub(super) fn explain(problem: JoinProblem) -> &'static str {
    match problem {
        JoinProblem::NoSuchChannel => "there is no such channel",
        JoinProblem::TooManyChannels => "the connection is in as many channels as it may be",
        JoinProblem::Full => "the channel is full",
        JoinProblem::InviteOnly => "the channel is by invitation only",
        JoinProblem::Banned => "banned from the channel",
        JoinProblem::BadKey => "the channel needs a key",
        JoinProblem::NeedsAccount => "the channel is for registered users only",
        JoinProblem::NeedsTls => "the channel is for users with TLS only",
        JoinProblem::OpersOnly => "the channel is for operators only",
        JoinProblem::Throttled | JoinProblem::Unavailable => "the channel cannot be entered right now",
    }
}

fn not_sent(why: NotSent) -> SendError {
    match why {
        NotSent::QueueFull { retry_after } => SendError::RetryAfter(retry_after),
        NotSent::Cancelled => SendError::RetryAfter(Duration::from_secs(1)),
        NotSent::NotConnected => SendError::Disconnected,
        NotSent::TooLong { .. } => SendError::Rejected(Reject::TooLong { max: 400 }),
        NotSent::Malformed => SendError::Bug("the line cannot be written".to_owned()),
        NotSent::Unsupported => SendError::Unsupported,
    }
}
