//! From the open socket to the end of the welcome: PASS, CAP, NICK, USER, AUTHENTICATE.

use std::time::{Duration, Instant};

use super::{
    Cap, CapSet, EventKind, Phase, Role, Session,
    nick::Ladder,
    sasl::{self, Exchange},
    sts::Sts,
};
use crate::{
    message::{Message, Nick},
    numerics::{self, EndClass, NickProblem},
};

/// How long the welcome may take after `001` on a server that never ends it.
const WELCOME: Duration = Duration::from_secs(10);

/// A registration under way.
#[derive(Debug)]
pub(super) struct Registration {
    until: Instant,
    ladder: Ladder,
    /// What the server offers of what we can use.
    offered: CapSet,
    /// The value of its `sasl` capability.
    mechanisms: Option<Box<str>>,
    /// What we asked for and were not answered.
    asked: CapSet,
    /// Whether CAP END was sent.
    negotiated: bool,
    exchange: Option<Exchange>,
    /// `001` came.
    welcomed: bool,
}

impl Registration {
    pub(super) fn deadline(&self) -> Instant {
        self.exchange.as_ref().map_or(self.until, |exchange| exchange.deadline.min(self.until))
    }
}

impl Session {
    /// The socket is open: registration begins.
    pub fn connected(&mut self, now: Instant) {
        let ladder = Ladder::new(self.identity.nick.as_str(), self.isupport.nick_len);
        if let Some(password) = &self.identity.password {
            let pass = Message::new("PASS", [password.expose()]);
            self.send_now(&pass);
        }
        self.send_now(&Message::new("CAP", ["LS", "302"]));
        self.send_now(&Message::new("NICK", [ladder.current()]));
        let (user, realname) = (self.identity.username.as_str(), self.identity.realname.as_str());
        let user = user.split(' ').find(|word| !word.is_empty() && !word.starts_with(':')).unwrap_or("user");
        let realname = if realname.is_empty() { user } else { realname };
        // Servers cut both far shorter; the line must fit whatever they are.
        let (user, realname) = (cut(user, 64), cut(realname, 300));
        self.send_now(&Message::new("USER", [user, "0", "*", realname]));
        self.clock.heard = Some(now);
        self.phase = Phase::Registering(Box::new(Registration {
            until: now + self.policy.timing.registration,
            ladder,
            offered: CapSet::default(),
            mechanisms: None,
            asked: CapSet::default(),
            negotiated: false,
            exchange: None,
            welcomed: false,
        }));
    }

    pub(super) fn tick_registration(&mut self, now: Instant) {
        let Phase::Registering(registration) = &mut self.phase else { return };
        if registration.exchange.as_ref().is_some_and(|exchange| exchange.deadline <= now) {
            registration.exchange = None;
            self.send_now(&sasl::abort());
            self.sasl_failed(EndClass::Transient, "the server did not answer");
        } else if registration.until <= now {
            if registration.welcomed {
                self.go_online(now);
            } else {
                self.end(EndClass::Transient, "the server did not register us in time");
            }
        }
    }

    /// `CAP * LS [*] :list` and the like.
    pub(super) fn receive_cap(&mut self, message: &Message, now: Instant) {
        let list = message.last().unwrap_or_default().to_owned();
        match message.param(1).unwrap_or_default().to_ascii_uppercase().as_str() {
            "LS" => {
                self.offer(&list);
                if self.ending.is_some() {
                    return;
                }
                if message.params.len() < 4 || message.param(2) != Some("*") {
                    self.request(now);
                }
            }
            "NEW" => {
                self.offer(&list);
                self.request_new(&list);
            }
            "DEL" => {
                caps_of(&list).for_each(|cap| self.disable(cap));
                self.tell_change();
            }
            "ACK" => self.acknowledged(&list, now),
            "NAK" => self.refused_caps(&list, now),
            _ => {}
        }
    }

    fn offer(&mut self, list: &str) {
        let mut sts = None;
        let Phase::Registering(registration) = &mut self.phase else { return };
        for entry in list.split_ascii_whitespace() {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            if let Some(cap) = Cap::of(name) {
                registration.offered.insert(cap);
            }
            match name {
                "sasl" => registration.mechanisms = Some(value.into()),
                "sts" => sts = Some(Sts::parse(value)),
                _ => {}
            }
        }
        match sts {
            Some(Sts { port: Some(port), .. }) if !self.over_tls => {
                self.end(EndClass::TlsOnly(port), "the server wants to be reached over TLS");
            }
            Some(Sts { duration: Some(duration), .. }) if self.over_tls => {
                self.tell_plain(EventKind::TlsOnly(duration));
            }
            _ => {}
        }
    }

    /// Asks for everything that we can use of what is offered.
    fn request(&mut self, now: Instant) {
        let wanted = self.wanted();
        let Phase::Registering(registration) = &mut self.phase else { return };
        let asked: CapSet = registration.offered.iter().filter(|cap| wanted.has(*cap)).collect();
        registration.asked = asked;
        if asked.is_empty() {
            self.caps_settled(now);
        } else {
            self.send_now(&cap_request(asked));
        }
    }

    fn request_new(&mut self, list: &str) {
        let wanted = self.wanted();
        let new: CapSet = caps_of(list).filter(|cap| wanted.has(*cap) && !self.caps.has(*cap)).collect();
        if !new.is_empty() && matches!(self.phase, Phase::Online(_)) {
            self.send_now(&cap_request(new));
        }
    }

    fn acknowledged(&mut self, list: &str, now: Instant) {
        let mut login = false;
        for entry in list.split_ascii_whitespace() {
            let (off, name) = entry.strip_prefix('-').map_or((false, entry), |name| (true, name));
            let Some(cap) = Cap::of(name) else { continue };
            if off {
                self.disable(cap);
            } else {
                login |= cap == Cap::Sasl && !self.caps.has(cap);
                self.caps.insert(cap);
            }
            if let Phase::Registering(registration) = &mut self.phase {
                registration.asked.remove(cap);
            }
        }
        match &self.phase {
            Phase::Registering(registration) if registration.asked.is_empty() => self.caps_settled(now),
            Phase::Online(None) => {
                self.tell_change();
                if login && self.me.account.is_none() {
                    self.log_in_late(now);
                }
            }
            _ => {}
        }
    }

    /// A request is refused as a whole: what was refused together is asked for one by one.
    fn refused_caps(&mut self, list: &str, now: Instant) {
        let refused: Vec<Cap> = caps_of(list).collect();
        let Phase::Registering(registration) = &mut self.phase else { return };
        if let [one] = refused[..] {
            registration.asked.remove(one);
        } else if refused.is_empty() {
            // The server does not say what it refused: then it was all of it.
            registration.asked = CapSet::default();
        } else {
            for cap in refused {
                self.send_now(&cap_request([cap].into_iter().collect()));
            }
            return;
        }
        if registration.asked.is_empty() {
            self.caps_settled(now);
        }
    }

    fn disable(&mut self, cap: Cap) {
        self.caps.remove(cap);
        self.changed = true;
    }

    /// Every request is answered: log in, or end the negotiation.
    fn caps_settled(&mut self, now: Instant) {
        let Phase::Registering(registration) = &mut self.phase else { return };
        if registration.negotiated || registration.exchange.is_some() {
            return;
        }
        let Some(sasl) = &self.identity.sasl else { return self.end_negotiation() };
        if !self.caps.has(Cap::Sasl) {
            return self.sasl_failed(EndClass::Transient, "the server offers no login: its services may be away");
        }
        if !sasl::is_offered(sasl, registration.mechanisms.as_deref()) {
            return self.sasl_failed(EndClass::Config, "the server does not offer this way to log in");
        }
        registration.exchange = Some(Exchange::new(now + self.policy.timing.sasl));
        let start = sasl::start(sasl);
        self.send_now(&start);
    }

    fn end_negotiation(&mut self) {
        if let Phase::Registering(registration) = &mut self.phase
            && !registration.welcomed
            && !std::mem::replace(&mut registration.negotiated, true)
        {
            registration.exchange = None;
            self.send_now(&Message::new("CAP", ["END"]));
        }
    }

    fn log_in_late(&mut self, now: Instant) {
        let Some(sasl) = &self.identity.sasl else { return };
        let start = sasl::start(sasl);
        self.phase = Phase::Online(Some(Exchange::new(now + self.policy.timing.sasl)));
        self.send_now(&start);
    }

    /// `AUTHENTICATE +`.
    pub(super) fn receive_authenticate(&mut self, now: Instant) {
        let exchange = match &mut self.phase {
            Phase::Registering(registration) => registration.exchange.as_mut(),
            Phase::Online(exchange) => exchange.as_mut(),
            Phase::Idle => None,
        };
        let (Some(exchange), Some(sasl)) = (exchange, &self.identity.sasl) else { return };
        exchange.deadline = now + self.policy.timing.sasl;
        for line in exchange.answer(sasl) {
            self.send_now(&line);
        }
    }

    /// 900–908. Every way out of the exchange leads on: the server waits for our CAP END, and we never wait for its
    /// next word without a deadline.
    pub(super) fn receive_sasl(&mut self, number: u16, message: &Message) {
        let text = message.last().unwrap_or_default().to_owned();
        match number {
            numerics::RPL_LOGGEDIN => {
                self.me.account = message.param(2).filter(|account| *account != "*").map(Box::from);
                self.changed = true;
            }
            numerics::RPL_LOGGEDOUT => {
                self.me.account = None;
                self.changed = true;
            }
            numerics::RPL_SASLSUCCESS | numerics::ERR_SASLALREADY => self.sasl_done(),
            numerics::ERR_NICKLOCKED
            | numerics::ERR_SASLFAIL
            | numerics::ERR_SASLTOOLONG
            | numerics::ERR_SASLABORTED => {
                let class =
                    if number == numerics::ERR_SASLABORTED { EndClass::Transient } else { EndClass::BadCredentials };
                if self.take_exchange() {
                    self.sasl_failed(class, &text);
                }
            }
            // The list of mechanisms: some servers follow it with 904, some do not.
            numerics::RPL_SASLMECHS => {
                let ours = self.identity.sasl.as_ref().is_some_and(|sasl| sasl::is_offered(sasl, message.param(1)));
                if !ours && self.take_exchange() {
                    self.sasl_failed(EndClass::Config, "the server does not offer this way to log in");
                }
            }
            _ => {}
        }
    }

    /// Whether an exchange was under way; it is not any more.
    fn take_exchange(&mut self) -> bool {
        match &mut self.phase {
            Phase::Registering(registration) => registration.exchange.take().is_some(),
            Phase::Online(exchange) => exchange.take().is_some(),
            Phase::Idle => false,
        }
    }

    fn sasl_done(&mut self) {
        if self.take_exchange() {
            self.end_negotiation();
        }
    }

    fn sasl_failed(&mut self, class: EndClass, why: &str) {
        let required = self.identity.sasl.as_ref().is_some_and(|sasl| sasl.required);
        if required && matches!(self.phase, Phase::Registering(_)) {
            self.send_now(&Message::new("QUIT", [] as [&str; 0]));
            return self.end(class, format!("login failed: {why}"));
        }
        self.login_failed(why);
        self.end_negotiation();
    }

    pub(super) fn login_failed(&mut self, why: &str) {
        self.tell_plain(EventKind::LoginFailed { text: why.to_owned() });
    }

    /// A nick was refused before we were registered: the next one.
    pub(super) fn nick_refused(&mut self, problem: NickProblem, text: &str) {
        let Phase::Registering(registration) = &mut self.phase else { return };
        if registration.welcomed {
            return;
        }
        match registration.ladder.next(problem) {
            Some(nick) => {
                let nick = Message::new("NICK", [nick]);
                self.send_now(&nick);
            }
            None => self.end(EndClass::Config, format!("no nick can be had: {text}")),
        }
    }

    /// `001`: whatever we asked for, this is our nick.
    pub(super) fn receive_welcome(&mut self, message: &Message, now: Instant) {
        let Phase::Registering(registration) = &mut self.phase else { return };
        let late = !registration.negotiated && !registration.welcomed;
        registration.welcomed = true;
        registration.until = registration.until.min(now + WELCOME);
        if late && self.identity.sasl.is_some() {
            self.sasl_failed(EndClass::Transient, "the server registered us without asking who we are");
        }
        if let Some(nick) = message.param(0).and_then(|nick| Nick::new(nick).ok()) {
            self.me.nick = nick;
        }
        if let Some(source) = &message.source {
            self.server = source.name.as_str().into();
        }
        // "Welcome to the network alice!~al@host", if the server is so kind.
        let source = message.last().and_then(|text| text.rsplit(' ').next()).and_then(crate::message::Source::parse);
        if let Some(source) = source.filter(|source| self.is_me(&source.name) && source.host.is_some()) {
            self.learn_me(&source);
        }
        // What was known of the network was a guess; now it says so itself.
        self.isupport = std::sync::Arc::default();
        self.channels.refold(self.isupport.casemapping);
    }

    /// The welcome is over: commands may go.
    pub(super) fn go_online(&mut self, now: Instant) {
        if !matches!(&self.phase, Phase::Registering(registration) if registration.welcomed) {
            return;
        }
        self.phase = Phase::Online(None);
        self.share_isupport();
        self.changed = true;
        self.schedule_regain(now);
        self.watch_wanted();
        if let Some(online) = self.online() {
            self.tell_plain(EventKind::Online(online));
        }
    }

    /// What a session has use for.
    fn wanted(&self) -> CapSet {
        let needed = |cap: &Cap| match cap {
            Cap::Sasl => self.identity.sasl.is_some(),
            // What others do is told by the observer; a thousand puppets need not hear it a thousand times.
            Cap::AccountNotify
            | Cap::ExtendedJoin
            | Cap::MultiPrefix
            | Cap::UserhostInNames
            | Cap::Chathistory
            | Cap::InviteNotify
            | Cap::AwayNotify => self.identity.role == Role::Observer,
            _ => true,
        };
        Cap::ALL.into_iter().filter(needed).collect()
    }
}

fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

fn caps_of(list: &str) -> impl Iterator<Item = Cap> {
    list.split_ascii_whitespace().filter_map(|entry| Cap::of(entry.split('=').next().unwrap_or_default()))
}

fn cap_request(caps: CapSet) -> Message {
    let names: Vec<_> = caps.iter().map(Cap::name).collect();
    Message::new("CAP", ["REQ", &names.join(" ")])
}
