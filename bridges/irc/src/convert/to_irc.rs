//! What happened in Matrix → what IRC must be told.
//!
//! IRC users see ordinary lines. What IRC has no word for becomes what IRC users bear: a reply begins with the nick it
//! answers, an edit is said again with an asterisk, a reaction or redaction is said only where the network has a tag or a command
//! for it, a file is a link, and a message of many lines is its first lines and a link.

mod lines;

use landbridge::network::{
    Level, MatrixKind, Membership, OpKind, Power, Reject, Target, Whom,
    event::{Body, MatrixEvent},
    op::{Context, RemoteOp},
};

use super::{
    ids::{IrcRoom, IrcUser},
    outgoing::{How, Who, Wire, facts, rank_for},
};
use crate::config::LineOptions;

/// The event as the framework gives it.
pub type Event = MatrixEvent<IrcRoom, IrcUser, String>;
/// What is stored in the outbox.
pub type Op = RemoteOp<IrcRoom, String>;

/// Turns an event into operations, in order.
///
/// # Errors
/// [`Reject`] says why it cannot cross.
pub fn to_irc(event: &Event, context: &Context<IrcUser>, options: &LineOptions) -> Result<Vec<Op>, Reject> {
    if matches!(event.room, IrcRoom::Query { .. }) && !event.sender.own_session {
        return Err(Reject::Policy("private messages need a connection of your own to IRC".to_owned()));
    }
    let convert = Convert { event, context, options };
    match &event.kind {
        MatrixKind::Message { body, reply_to } => convert.message(body, reply_to.as_ref()),
        MatrixKind::Edit { target, body } => convert.edit(target, body),
        MatrixKind::Redact { target, reason } => Ok(convert.redact(target, reason.as_deref())),
        MatrixKind::React { target, key } => Ok(convert.react(target, key, true)),
        MatrixKind::Unreact { target, key } => Ok(convert.react(target, key, false)),
        MatrixKind::Topic(topic) => Ok(convert.topic(topic)),
        MatrixKind::Name(_) => Ok(Vec::new()),
        MatrixKind::Member { membership, reason } => Ok(convert.member(*membership, reason.as_deref())),
        MatrixKind::Act { on, membership, reason } => convert.act(on, *membership, reason.as_deref()),
        MatrixKind::Expel { user_id, reason, .. } => {
            let reason = Some(reason.clone().unwrap_or_else(|| format!("removed by {}", event.sender.display_name)));
            Ok(vec![convert.control(&Wire::Expel { user_id: user_id.clone(), reason })])
        }
        MatrixKind::DisplayName(name) if event.sender.own_session => {
            Ok(vec![convert.control(&Wire::Rename(name.clone()))])
        }
        MatrixKind::Power(powers) => Ok(powers.iter().filter_map(|power| convert.power(power)).collect()),
        // IRC keeps no ban of a Matrix user that could be lifted, and the channel stays the same when its room moves.
        MatrixKind::DisplayName(_) | MatrixKind::Pardon { .. } | MatrixKind::Upgrade { .. } => Ok(Vec::new()),
    }
}

/// Whom a message answers.
struct Address {
    /// By what name.
    name: String,
    /// The first words of what is answered, where nothing else shows them.
    quote: Option<String>,
}

struct Convert<'a> {
    event: &'a Event,
    context: &'a Context<IrcUser>,
    options: &'a LineOptions,
}

impl Convert<'_> {
    fn message(&self, body: &Body, reply_to: Option<&Target<IrcUser, String>>) -> Result<Vec<Op>, Reject> {
        let tags = reply_to.map(|target| self.reply_tags(target)).unwrap_or_default();
        let address = reply_to.map(|target| Address {
            name: self.name_of(target),
            // A client that knows the tag shows what is answered.
            quote: target.excerpt.as_deref().filter(|_| tags.is_empty()).and_then(|words| self.quote(words)),
        });
        self.say(body, address.as_ref(), None, &tags)
    }

    /// The whole new text, with the asterisk that IRC users put before a correction.
    fn edit(&self, target: &Target<IrcUser, String>, body: &Body) -> Result<Vec<Op>, Reject> {
        let unchanged = target.excerpt.as_deref().is_some_and(|before| before.trim() == body.text.to_plain().trim());
        if unchanged && body.media.is_empty() {
            return Ok(Vec::new());
        }
        self.say(body, None, Some("* "), &self.reply_tags(target))
    }

    fn say(
        &self,
        body: &Body,
        address: Option<&Address>,
        mark: Option<&str>,
        tags: &[(String, String)],
    ) -> Result<Vec<Op>, Reject> {
        let how = match body {
            Body { emote: true, .. } if self.event.sender.own_session && mark.is_none() => How::Action,
            Body { notice: true, .. } => How::Notice,
            _ => How::Message,
        };
        let speech = lines::Speech {
            body,
            how,
            address,
            mark,
            speaker: (!self.event.sender.own_session).then_some(self.event.sender.display_name.as_str()),
            max_bytes: self.context.caps.text_max_bytes.unwrap_or(lines::USUAL_BYTES),
        };
        let said = speech.lines(self.context, self.options)?;
        let mut ops: Vec<Op> = said
            .lines
            .into_iter()
            .enumerate()
            .map(|(number, text)| {
                let tags = if number == 0 { tags.to_vec() } else { Vec::new() };
                Op::send(self.event.room.clone(), Wire::Say { how, text, tags }.encode())
            })
            .collect();
        if let (Some(upload), Some(last)) = (said.upload, ops.last_mut()) {
            last.upload = Some(upload);
        }
        Ok(ops)
    }

    /// Tells a client that knows the tag which message is answered. Both names of the tag are in use.
    fn reply_tags(&self, target: &Target<IrcUser, String>) -> Vec<(String, String)> {
        match target.messages.first() {
            Some(message) if self.has_tags() => {
                ["reply", "draft/reply"].map(|name| (name.to_owned(), message.clone())).to_vec()
            }
            _ => Vec::new(),
        }
    }

    fn has_tags(&self) -> bool {
        self.context.caps.facts.contains_key(facts::TAGS)
    }

    /// The nick of who said something.
    fn name_of(&self, target: &Target<IrcUser, String>) -> String {
        let member =
            target.author.as_ref().and_then(|author| self.context.members.iter().find(|(user, ..)| user == author));
        member.map_or(&target.author_name, |(_, name, _)| name).clone()
    }

    fn react(&self, target: &Target<IrcUser, String>, key: &str, on: bool) -> Vec<Op> {
        let Some(message) = target.messages.last().filter(|_| self.context.caps.react >= Level::Partial) else {
            return Vec::new();
        };
        let name = if on { "draft/react" } else { "draft/unreact" };
        let key: String = key.chars().filter(|c| !c.is_control()).take(32).collect();
        let tags = vec![(name.to_owned(), key), ("draft/reply".to_owned(), message.clone())];
        let kind = if on { OpKind::React(message.clone()) } else { OpKind::Control };
        vec![Op { room: self.event.room.clone(), kind, wire: Wire::Tags(tags).encode(), upload: None }]
    }

    /// The first words of what is answered.
    fn quote(&self, words: &str) -> Option<String> {
        let quote = lines::one_line(words, self.options.quote);
        (self.options.quote > 0 && !quote.is_empty()).then_some(quote)
    }

    fn redact(&self, target: &Target<IrcUser, String>, reason: Option<&str>) -> Vec<Op> {
        if self.context.caps.redact < Level::Partial {
            return Vec::new();
        }
        let reason = reason.map(|reason| lines::one_line(reason, 200)).filter(|reason| !reason.is_empty());
        let redact = |id: &String| Op {
            room: self.event.room.clone(),
            kind: OpKind::Redact(id.clone()),
            wire: Wire::Redact { id: id.clone(), reason: reason.clone() }.encode(),
            upload: None,
        };
        target.messages.iter().map(redact).collect()
    }

    /// A change of power that is one of rank.
    fn power(&self, power: &Power<IrcUser>) -> Option<Op> {
        if !matches!(self.event.room, IrcRoom::Channel(_)) || rank_for(power.level) == rank_for(power.before) {
            return None;
        }
        let who = match &power.who {
            Whom::Remote(user) => Who::Nick(self.nick_of(user)?),
            Whom::Matrix(user_id) => Who::Puppet(user_id.clone()),
        };
        Some(self.control(&Wire::Power { who, level: power.level }))
    }

    /// The nick of a member, as it is written.
    fn nick_of(&self, user: &IrcUser) -> Option<String> {
        let member = self.context.members.iter().find(|(member, ..)| member == user).map(|(_, name, _)| name.as_str());
        member.or_else(|| user.nick()).map(str::to_owned)
    }

    fn topic(&self, topic: &str) -> Vec<Op> {
        if !matches!(self.event.room, IrcRoom::Channel(_)) {
            return Vec::new();
        }
        let max = self
            .context
            .caps
            .facts
            .get(facts::TOPIC_LEN)
            .and_then(|len| len.parse().ok())
            .unwrap_or(lines::USUAL_BYTES);
        vec![self.control(&Wire::Topic(lines::one_line(topic, max)))]
    }

    fn member(&self, membership: Membership, reason: Option<&str>) -> Vec<Op> {
        // Whoever never spoke has no connection that could leave.
        let has_puppet = self.context.puppets.iter().any(|(user_id, _)| *user_id == self.event.sender.user_id);
        if membership != Membership::Leave || !has_puppet || !matches!(self.event.room, IrcRoom::Channel(_)) {
            return Vec::new();
        }
        vec![self.control(&Wire::Part(reason.map(|reason| lines::one_line(reason, 200))))]
    }

    fn act(&self, on: &IrcUser, membership: Membership, reason: Option<&str>) -> Result<Vec<Op>, Reject> {
        if !matches!(self.event.room, IrcRoom::Channel(_)) {
            return Ok(Vec::new());
        }
        let Some(nick) = self.nick_of(on) else { return Err(Reject::UnknownTarget) };
        let reason = reason.map(|reason| lines::one_line(reason, 200));
        let wires = match membership {
            Membership::Kick => vec![Wire::Kick { nick, reason }],
            Membership::Ban => vec![Wire::Ban { nick: nick.clone(), on: true }, Wire::Kick { nick, reason }],
            Membership::Unban => vec![Wire::Ban { nick, on: false }],
            Membership::Invite => vec![Wire::Invite(nick)],
            Membership::Join | Membership::Leave => Vec::new(),
        };
        Ok(wires.iter().map(|wire| self.control(wire)).collect())
    }

    fn control(&self, wire: &Wire) -> Op {
        Op::control(self.event.room.clone(), wire.encode())
    }
}

#[cfg(test)]
mod tests;
