//! Numerics and standard replies.

use std::{sync::Arc, time::Instant};

use super::{
    super::{EventKind, RejectedBecause, Rejection, Session, batch::Context, confirm::Complaint},
    channel_at, nick_at,
};
use crate::{
    message::{Message, Source},
    numerics::{self, JoinProblem, Meaning, NickProblem, RefusedBecause},
};

impl Session {
    /// Takes a numeric. Whether it was a complaint: then it also answers the command it was about.
    pub(super) fn receive_numeric(&mut self, number: u16, message: &Message, context: &Context, now: Instant) -> bool {
        match number {
            numerics::RPL_WELCOME => self.receive_welcome(message, now),
            numerics::RPL_ISUPPORT => self.receive_isupport(message),
            numerics::RPL_ENDOFMOTD | numerics::ERR_NOMOTD => self.go_online(now),
            numerics::RPL_CHANNELMODEIS => self.receive_channel_modes(message, context),
            numerics::RPL_NOTOPIC | numerics::RPL_TOPIC => self.receive_topic_reply(number, message, context),
            numerics::RPL_TOPICWHOTIME => self.receive_topic_set_by(message, context),
            numerics::RPL_NAMREPLY => self.receive_names(message),
            numerics::RPL_ENDOFNAMES => self.receive_end_of_names(message, context),
            numerics::RPL_AWAY => self.receive_is_away(message, context),
            numerics::RPL_MONOFFLINE => self.receive_offline(message),
            numerics::RPL_VISIBLEHOST => self.receive_visible_host(message),
            numerics::RPL_LOGGEDIN..=numerics::RPL_SASLMECHS => self.receive_sasl(number, message),
            numerics::ERR_LINKCHANNEL => return self.receive_forward(message, context),
            numerics::RPL_TRYAGAIN => return self.receive_try_again(message, context),
            _ => return self.receive_complaint(number, message, context),
        }
        false
    }

    fn receive_isupport(&mut self, message: &Message) {
        let was_online = self.is_online();
        let isupport = Arc::make_mut(&mut self.isupport);
        // The first parameter is us, the last is "are supported by this server".
        for token in message.params.iter().skip(1).filter(|token| !token.contains(' ')) {
            isupport.apply(token);
        }
        self.channels.refold(self.isupport.casemapping);
        if was_online {
            self.share_isupport();
            self.tell_change();
        }
    }

    fn receive_channel_modes(&mut self, message: &Message, context: &Context) {
        let Some(channel) = channel_at(message, 1) else { return };
        let changes = self.isupport.modes.parse(&message.params[2..]);
        let channel = self.spelled(channel);
        self.tell(message, context, EventKind::ChannelModes { channel, by: None, changes });
    }

    fn receive_topic_reply(&mut self, number: u16, message: &Message, context: &Context) {
        let Some(channel) = channel_at(message, 1) else { return };
        let topic = if number == numerics::RPL_TOPIC { message.param(2).unwrap_or_default() } else { "" }.to_owned();
        let channel = self.spelled(channel);
        self.tell(message, context, EventKind::Topic { channel, topic, by: None });
    }

    fn receive_topic_set_by(&mut self, message: &Message, context: &Context) {
        let (Some(channel), Some(by)) = (channel_at(message, 1), message.param(2)) else { return };
        let at = message.param(3).and_then(|at| at.parse().ok());
        let channel = self.spelled(channel);
        self.tell(message, context, EventKind::TopicSetBy { channel, by: by.to_owned(), at });
    }

    /// `353 me = #channel :@alice bob!u@h`
    fn receive_names(&mut self, message: &Message) {
        let (Some(channel), Some(list)) = (message.param(message.params.len().wrapping_sub(2)), message.last()) else {
            return;
        };
        for entry in list.split_ascii_whitespace() {
            let (ranks, raw) = self.isupport.modes.split_ranks(entry);
            if let Some(who) = Source::parse(raw) {
                self.channels.list(channel, &who, ranks);
            }
        }
    }

    fn receive_end_of_names(&mut self, message: &Message, context: &Context) {
        let Some(channel) = channel_at(message, 1) else { return };
        if let Some(members) = self.channels.list_ends(channel.as_str()) {
            let channel = self.spelled(channel);
            self.tell(message, context, EventKind::Names { channel, members });
        }
    }

    /// `301 me nick :words`: whom we said something to is away.
    fn receive_is_away(&mut self, message: &Message, context: &Context) {
        if let (Some(nick), Some(words)) = (nick_at(message, 1), message.param(2)) {
            self.tell(message, context, EventKind::IsAway { nick, message: words.to_owned() });
        }
    }

    /// `731 me :nick,nick`: the nick that we want is free.
    fn receive_offline(&mut self, message: &Message) {
        let wanted = self.identity.nick.clone();
        let nicks = message.last().unwrap_or_default().split(',');
        let mut nicks = nicks.map(|target| target.split('!').next().unwrap_or_default());
        if nicks.any(|nick| self.isupport.casemapping.eq(nick, wanted.as_str())) {
            self.take_wanted();
        }
    }

    /// `396 me host :is now your displayed host`
    fn receive_visible_host(&mut self, message: &Message) {
        let Some(host) = message.param(1) else { return };
        let (user, host) = host.split_once('@').map_or((None, host), |(user, host)| (Some(user.to_owned()), host));
        self.learn_me(&Source { name: String::new(), user, host: Some(host.to_owned()) });
    }

    /// `470 me #wanted #other :Forwarding`: the JOIN of the other one follows.
    fn receive_forward(&mut self, message: &Message, context: &Context) -> bool {
        let (Some(from), Some(to)) = (channel_at(message, 1), channel_at(message, 2)) else {
            // Some servers use the number for a refusal only.
            return self.receive_complaint(numerics::ERR_LINKCHANNEL, message, context);
        };
        let text = message.last().unwrap_or_default().to_owned();
        self.reject(message, context, numerics::ERR_LINKCHANNEL, RejectedBecause::Forwarded, None);
        self.tell(message, context, EventKind::Forwarded { from, to, text });
        true
    }

    /// `263 me JOIN :Please wait a while and try again`: a refusal only of what we are known to have asked.
    fn receive_try_again(&mut self, message: &Message, context: &Context) -> bool {
        let why = RejectedBecause::Command(RefusedBecause::TooFast);
        let verb = message.param(1).map(str::to_owned);
        self.reject(message, context, numerics::RPL_TRYAGAIN, why, verb.as_deref())
    }

    fn receive_complaint(&mut self, number: u16, message: &Message, context: &Context) -> bool {
        let subject = message.param(1).unwrap_or_default();
        let joining = self.flights.is_joining(&self.fold(subject));
        if number == numerics::ERR_UNAVAILRESOURCE && !self.isupport.is_channel(subject) {
            self.nick_complaint(number, NickProblem::Unavailable, message, context);
            return true;
        }
        match numerics::meaning(number, joining) {
            Meaning::Reply => return false,
            Meaning::Nick(problem) => self.nick_complaint(number, problem, message, context),
            Meaning::Join(problem) => self.join_complaint(number, problem, message, context),
            Meaning::Refused(because) => {
                // A join that the server made us try (a redirect, a services' order) fails with these numbers too.
                if let Some(problem) = unmistakable_join_problem(number) {
                    self.join_complaint(number, problem, message, context);
                } else {
                    self.refusal(number, because, message, context);
                }
            }
            Meaning::Fatal(class) => {
                if !self.is_online() || number == numerics::ERR_YOUREBANNEDCREEP {
                    self.verdict = Some((class, message.last().unwrap_or_default().to_owned()));
                } else {
                    self.refusal(number, RefusedBecause::Other, message, context);
                }
            }
        }
        true
    }

    fn nick_complaint(&mut self, number: u16, problem: NickProblem, message: &Message, context: &Context) {
        if !self.is_online() {
            let text = message.last().unwrap_or_default().to_owned();
            return self.nick_refused(problem, &text);
        }
        if !self.reject(message, context, number, RejectedBecause::Nick(problem), Some("NICK")) {
            self.me.regaining = false;
        }
    }

    fn join_complaint(&mut self, number: u16, problem: JoinProblem, message: &Message, context: &Context) {
        self.reject(message, context, number, RejectedBecause::Join(problem), None);
        if let Some(channel) = channel_at(message, 1) {
            let text = message.last().unwrap_or_default().to_owned();
            self.tell(message, context, EventKind::JoinFailed { channel, problem, text });
        }
    }

    fn refusal(&mut self, number: u16, because: RefusedBecause, message: &Message, context: &Context) {
        let verb = match number {
            numerics::ERR_UNKNOWNCOMMAND | numerics::ERR_NEEDMOREPARAMS | numerics::ERR_DISABLED => {
                message.param(1).map(str::to_owned)
            }
            numerics::ERR_NORECIPIENT | numerics::ERR_NOTEXTTOSEND => Some("PRIVMSG".to_owned()),
            _ => None,
        };
        self.reject(message, context, number, RejectedBecause::Command(because), verb.as_deref());
        if !self.is_online() {
            // Part of the registration, which knows by itself how to go on.
            return;
        }
        let text = message.last().unwrap_or_default().to_owned();
        let target = message.param(1).filter(|_| message.params.len() > 2).map(str::to_owned);
        self.tell(message, context, EventKind::Refused { numeric: number, target, because, text });
    }

    /// `FAIL command code [context…] :words` ([standard replies](https://ircv3.net/specs/extensions/standard-replies)).
    pub(super) fn receive_fail(&mut self, message: &Message, context: &Context) {
        let because = RefusedBecause::Other;
        let verb = message.param(0).filter(|verb| *verb != "*").map(str::to_owned);
        self.reject(message, context, 0, RejectedBecause::Command(because), verb.as_deref());
        let text = message.params.get(1..).unwrap_or_default().join(" ");
        self.tell(message, context, EventKind::Refused { numeric: 0, target: None, because, text });
    }

    /// Answers the command that a complaint is about. Whether there was one.
    fn reject(
        &mut self,
        message: &Message,
        context: &Context,
        numeric: u16,
        why: RejectedBecause,
        verb: Option<&str>,
    ) -> bool {
        let middle = message.params.len().saturating_sub(1);
        let names: Vec<Box<str>> =
            message.params.get(1..middle).unwrap_or_default().iter().map(|name| self.fold(name)).collect();
        let text = message.last().unwrap_or_default().to_owned();
        let complaint = Complaint {
            label: context.label.as_deref(),
            verb,
            names: &names,
            rejection: Rejection { numeric, why, text },
        };
        let (meant, done) = self.flights.refused(complaint);
        self.done(done);
        meant
    }
}

/// Numbers that only a join is answered with, whether or not we remember asking.
fn unmistakable_join_problem(number: u16) -> Option<JoinProblem> {
    let only = [
        numerics::ERR_TOOMANYCHANNELS,
        numerics::ERR_CHANNELISFULL,
        numerics::ERR_INVITEONLYCHAN,
        numerics::ERR_BANNEDFROMCHAN,
        numerics::ERR_BADCHANNELKEY,
    ];
    only.contains(&number).then(|| numerics::join_problem(number)).flatten()
}
