//! What happened in Matrix → what XMPP must be told.

use landbridge::network::{
    Level, MatrixKind, Media, Membership, OpKind, Power, Reject, RemoteId as _, Target, Whom,
    event::{Body, MatrixEvent},
    op::{Context, RemoteOp},
};

use super::{
    ids::{XmppMessage, XmppRoom, XmppUser},
    incoming::LONGEST_KEY,
    outgoing::{Answer, File, Say, ToBe, Wire, invites},
    styling,
};
use crate::{
    jid::{Jid, escape},
    muc::token::Marks,
};

/// The event as the framework gives it.
pub type Event = MatrixEvent<XmppRoom, XmppUser, XmppMessage>;
/// What is stored in the outbox.
pub type Op = RemoteOp<XmppRoom, XmppMessage>;

/// What a conversion knows of the bridge.
#[derive(Debug, Clone)]
pub struct Own {
    /// The component's domain.
    pub domain: String,
    /// What marks our messages.
    pub marks: Marks,
}

impl Own {
    /// The bare address of a Matrix user.
    pub fn jid(&self, user_id: &ruma::UserId) -> Option<Jid> {
        Jid::parse(&format!("{}@{}", escape::node_of(user_id)?, self.domain))
    }

    /// The Matrix user of an address of ours.
    pub fn user(&self, jid: &Jid) -> Option<ruma::OwnedUserId> {
        if jid.domain() == self.domain { escape::user_of(jid.node()?) } else { None }
    }
}

/// Turns an event into operations, in order.
///
/// # Errors
/// [`Reject`] says why it cannot cross.
pub fn to_xmpp(event: &Event, context: &Context<XmppUser>, own: &Own) -> Result<Vec<Op>, Reject> {
    if matches!(event.room, XmppRoom::Direct { .. }) && !event.sender.own_session {
        return Err(Reject::Policy("private messages need an address of your own on XMPP".to_owned()));
    }
    let convert = Convert { event, context, own };
    Ok(match &event.kind {
        MatrixKind::Message { body, reply_to } => convert.message(body, reply_to.as_ref()),
        MatrixKind::Edit { target, body } => convert.edit(target, body),
        MatrixKind::Redact { target, reason } => convert.redact(target, reason.as_deref()),
        MatrixKind::React { target, key } => convert.react(target, key, true)?,
        MatrixKind::Unreact { target, key } => convert.react(target, key, false)?,
        MatrixKind::Topic(topic) => convert.in_room(Wire::Subject(topic.clone())),
        MatrixKind::Name(name) => convert.in_room(Wire::Name(name.clone())),
        MatrixKind::Upgrade { .. } => Vec::new(),
        MatrixKind::Member { membership, reason } => convert.member(*membership, reason.as_deref()),
        MatrixKind::Act { on, membership, reason } => convert.act(on.encode(), *membership, reason.as_deref()),
        MatrixKind::Expel { user_id, reason, banned } => convert.expel(user_id, *banned, reason.as_deref()),
        MatrixKind::Pardon { user_id, reason } => {
            let address = own.jid(user_id).map(|jid| jid.to_string());
            address.map(|user| convert.act(user, Membership::Unban, reason.as_deref())).unwrap_or_default()
        }
        MatrixKind::Power(changes) => changes.iter().flat_map(|change| convert.power(change)).collect(),
        MatrixKind::DisplayName(name) if event.sender.own_session => vec![convert.control(&Wire::Rename(name.clone()))],
        MatrixKind::DisplayName(_) => Vec::new(),
    })
}

struct Convert<'a> {
    event: &'a Event,
    context: &'a Context<XmppUser>,
    own: &'a Own,
}

impl Convert<'_> {
    fn is_muc(&self) -> bool {
        matches!(self.event.room, XmppRoom::Muc(_))
    }

    fn id(&self, part: usize) -> String {
        self.own.marks.message_id(self.event.event_id.as_str(), part)
    }

    fn control(&self, wire: &Wire) -> Op {
        Op::control(self.event.room.clone(), wire.encode())
    }

    fn in_room(&self, wire: Wire) -> Vec<Op> {
        if self.is_muc() { vec![self.control(&wire)] } else { Vec::new() }
    }

    fn send(&self, say: Say) -> Op {
        Op::send(self.event.room.clone(), Wire::Say(say).encode())
    }

    /// The text, and each file, is a message of its own.
    fn message(&self, body: &Body, reply_to: Option<&Target<XmppUser, XmppMessage>>) -> Vec<Op> {
        let mut ops = Vec::new();
        if !body.text.is_blank() || body.media.is_empty() {
            let (text, unstyled) = self.text(body);
            let (quotation, answers) = reply_to.map(|target| self.answer(target)).unwrap_or_default();
            let body = format!("{quotation}{text}");
            ops.push(self.send(Say { id: self.id(0), body, unstyled, answers, ..Say::default() }));
        }
        for file in &body.media {
            ops.push(self.send(self.file(file, ops.len())));
        }
        ops
    }

    fn text(&self, body: &Body) -> (String, bool) {
        let (text, unstyled) = styling::encode(&body.text);
        let name = &self.event.sender.display_name;
        let text = match (self.event.sender.own_session, body.emote) {
            (true, true) => format!("/me {text}"),
            (true, false) => text,
            (false, true) => format!("* {name} {text}"),
            (false, false) if text.contains('\n') => format!("<{name}>\n{text}"),
            (false, false) => format!("<{name}> {text}"),
        };
        (text, unstyled)
    }

    fn file(&self, file: &Media, part: usize) -> Say {
        let url = file.url.clone().unwrap_or_default();
        let prefix = if self.event.sender.own_session {
            String::new()
        } else {
            format!("<{}> ", self.event.sender.display_name)
        };
        let body = if url.is_empty() { format!("{prefix}(a file: {})", file.name) } else { format!("{prefix}{url}") };
        let shared = (!url.is_empty()).then(|| File {
            url,
            mxc: file.mxc.as_ref().map(ToString::to_string),
            name: file.name.clone(),
            mime: file.mime.clone(),
            size: file.size,
        });
        Say { id: self.id(part), body, unstyled: true, file: shared, ..Say::default() }
    }

    /// What repeats a message for those whose client cannot show it, and how the others are told.
    fn answer(&self, target: &Target<XmppUser, XmppMessage>) -> (String, Option<Answer>) {
        let Some(message) = target.messages.first() else { return (String::new(), None) };
        let author = self.name_of(target);
        let excerpt = target.excerpt.as_deref().unwrap_or("…");
        let quotation = format!("> {author}: {excerpt}\n");
        let nick = self.is_muc().then(|| author.to_owned());
        let answer = Answer { id: message.id().to_owned(), quoted: quotation.chars().count(), nick };
        (quotation, Some(answer))
    }

    /// The nick of who said something.
    fn name_of<'a>(&'a self, target: &'a Target<XmppUser, XmppMessage>) -> &'a str {
        let author = target.author.as_ref();
        let member = author.and_then(|author| self.context.members.iter().find(|(user, ..)| user == author));
        member.map_or(target.author_name.as_str(), |(_, name, _)| name)
    }

    fn edit(&self, target: &Target<XmppUser, XmppMessage>, body: &Body) -> Vec<Op> {
        // A file's caption, where it has one, is a message before the file's.
        let captioned = target.messages.len() > body.media.len();
        let say = match body.media.first() {
            None => self.corrected(body),
            Some(_) if captioned && body.text.is_blank() => return self.uncaption(target),
            Some(_) if captioned => self.corrected(body),
            Some(_) if body.text.is_blank() => return Vec::new(),
            Some(file) => {
                let (say, text) = (self.file(file, 0), self.corrected(body));
                Say { body: format!("{}\n{}", text.body, file.url.as_deref().unwrap_or(&file.name)), ..say }
            }
        };
        let replaces = (!target.messages.is_empty()).then(|| self.own.marks.message_id(target.event_id.as_str(), 0));
        let kind = target.messages.first().map_or(OpKind::Send, |message| OpKind::Edit(message.clone()));
        let wire = Wire::Say(Say { replaces, ..say });
        vec![Op { kind, ..Op::send(self.event.room.clone(), wire.encode()) }]
    }

    fn corrected(&self, body: &Body) -> Say {
        let (body, unstyled) = self.text(body);
        Say { id: self.id(0), body, unstyled, ..Say::default() }
    }

    /// A file stays without its caption.
    fn uncaption(&self, target: &Target<XmppUser, XmppMessage>) -> Vec<Op> {
        let caption = target.messages.iter().take(1);
        caption.map(|message| self.retract(0, message, target.author.is_none(), None)).collect()
    }

    fn redact(&self, target: &Target<XmppUser, XmppMessage>, reason: Option<&str>) -> Vec<Op> {
        let messages = target.messages.iter().enumerate();
        messages.map(|(part, message)| self.retract(part, message, target.author.is_none(), reason)).collect()
    }

    fn retract(&self, part: usize, message: &XmppMessage, own: bool, reason: Option<&str>) -> Op {
        let reason = reason.map(str::to_owned);
        let wire = Wire::Retract { id: self.id(part), target: message.id().to_owned(), own, reason };
        Op { kind: OpKind::Redact(message.clone()), ..Op::control(self.event.room.clone(), wire.encode()) }
    }

    fn react(&self, target: &Target<XmppUser, XmppMessage>, key: &str, on: bool) -> Result<Vec<Op>, Reject> {
        let Some(message) = target.messages.last().filter(|_| self.context.caps.react >= Level::Partial) else {
            return Ok(Vec::new());
        };
        // Others show what they are given: an address of a file, or a whole sentence, would stand below the message.
        if key.starts_with("mxc://") {
            return Err(Reject::Unsupported("a reaction with a picture that has no name".to_owned()));
        }
        if key.chars().count() > LONGEST_KEY {
            return Err(Reject::Unsupported(format!("a reaction of more than {LONGEST_KEY} characters")));
        }
        let key = key.replace(['\r', '\n'], " ");
        let wire = Wire::React { id: self.id(0), target: message.id().to_owned(), key, on };
        let kind = if on { OpKind::React(message.clone()) } else { OpKind::Control };
        Ok(vec![Op { room: self.event.room.clone(), kind, wire: wire.encode(), upload: None }])
    }

    fn member(&self, membership: Membership, reason: Option<&str>) -> Vec<Op> {
        let has_puppet = self.context.puppets.iter().any(|(user_id, _)| *user_id == self.event.sender.user_id);
        let reason = reason.map(str::to_owned);
        match membership {
            Membership::Leave if has_puppet => self.in_room(Wire::Part(reason)),
            // An earlier life of the bridge may have left them a seat.
            Membership::Leave => self.in_room(Wire::Expel { user_id: self.event.sender.user_id.clone(), reason }),
            _ => Vec::new(),
        }
    }

    fn expel(&self, user_id: &ruma::UserId, banned: bool, reason: Option<&str>) -> Vec<Op> {
        let why = reason.map_or_else(|| format!("removed by {}", self.event.sender.display_name), str::to_owned);
        let mut ops = self.in_room(Wire::Expel { user_id: user_id.to_owned(), reason: Some(why) });
        if banned && let Some(jid) = self.own.jid(user_id) {
            ops.extend(self.act(jid.to_string(), Membership::Ban, reason));
        }
        ops
    }

    fn act(&self, user: String, membership: Membership, reason: Option<&str>) -> Vec<Op> {
        let to_be = match membership {
            Membership::Kick => ToBe::Kicked,
            Membership::Ban => ToBe::Banned,
            Membership::Unban => ToBe::Unbanned,
            Membership::Invite => ToBe::Invited,
            Membership::Join | Membership::Leave => return Vec::new(),
        };
        let sender = &self.event.sender;
        let reason = match to_be {
            ToBe::Invited if !sender.own_session => Some(invites(&sender.display_name, reason)),
            _ => reason.map(str::to_owned),
        };
        self.in_room(Wire::Act { user, to_be, reason })
    }

    fn power(&self, change: &Power<XmppUser>) -> Vec<Op> {
        let user = match &change.who {
            Whom::Remote(user) => Some(user.encode()),
            Whom::Matrix(user_id) => self.own.jid(user_id).map(|jid| jid.to_string()),
        };
        let (before, now) = (rank(change.before), rank(change.level));
        if before == now {
            return Vec::new();
        }
        user.map(|user| self.in_room(Wire::Act { user, to_be: now, reason: None })).unwrap_or_default()
    }
}

/// What a power is in a room.
fn rank(level: i64) -> ToBe {
    match level {
        100.. => ToBe::Owner,
        75..=99 => ToBe::Admin,
        50..=74 => ToBe::Moderator,
        0..=49 => ToBe::Participant,
        _ => ToBe::Visitor,
    }
}

#[cfg(test)]
mod tests;
