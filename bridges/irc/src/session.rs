//! One client session as a state machine that does no I/O: lines, commands and the time go in; lines, events and
//! outcomes come out.
//!
//! ```text
//! connected, receive, unreadable, command, cancel, tick, closed ─► Session ─► next_line, next_event, next_outcome
//!                                                                        └──► deadline, ending
//! ```
//! Whoever drives it asks for everything that comes out after each thing that went in, and comes back with
//! [`Session::tick`] at the deadline.

mod batch;
mod caps;
mod channels;
mod clock;
mod command;
mod confirm;
mod event;
mod flood;
mod limits;
mod nick;
mod receive;
mod registration;
mod sasl;
mod send;
mod settings;
mod sts;
mod tell;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, sync::Arc, time::Instant};

use batch::Batches;
pub use caps::{Cap, CapSet};
use channels::Channels;
pub use command::{Command, Evidence, NotSent, Outcome, Outgoing, Receipt, RejectedBecause, Rejection, SendKind};
pub use confirm::CommandId;
use confirm::Flights;
pub use event::{Event, EventKind, Incoming, Member, MessageKind, Meta, Online, Recipient};
use flood::Queue;
pub use limits::Limits;
use registration::Registration;
use send::Waiting;
pub use settings::{Flood, Identity, Policy, Role, Sasl, SaslMethod, Secret, Timing};

use crate::{
    isupport::Isupport,
    message::{Channel, IrcText, Nick},
    numerics::EndClass,
};

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// What to do next.
    pub class: EndClass,
    /// Why, in the server's words or ours.
    pub why: String,
    /// Whether the session had been registered: a bridge resets its back-off after one that was.
    pub was_online: bool,
}

/// One client session. Say [`Session::connected`] first.
#[derive(Debug)]
pub struct Session {
    policy: Arc<Policy>,
    identity: Identity,
    phase: Phase,
    me: Me,
    server: Box<str>,
    isupport: Arc<Isupport>,
    caps: CapSet,
    batches: Batches,
    channels: Channels,
    queue: Queue<Waiting>,
    flights: Flights,
    labels: u64,
    /// Lines that wait for nothing: PONG and registration.
    urgent: VecDeque<String>,
    events: VecDeque<Event>,
    outcomes: VecDeque<(CommandId, Outcome)>,
    clock: Clock,
    quit: Option<Quit>,
    /// What the server said before it ends the connection.
    verdict: Option<(EndClass, String)>,
    ending: Option<Ending>,
    changed: bool,
    /// Whether there is TLS below.
    over_tls: bool,
}

/// Most urgent lines that wait; PONGs beyond are not sent.
const MAX_URGENT: usize = 64;

#[derive(Debug)]
enum Phase {
    /// No socket yet.
    Idle,
    Registering(Box<Registration>),
    /// Registered; a login that came later may be under way.
    Online(Option<sasl::Exchange>),
}

/// Us, as the server sees us.
#[derive(Debug)]
struct Me {
    nick: Nick,
    user: Option<Box<str>>,
    host: Option<Box<str>>,
    account: Option<Box<str>>,
    /// The server gave us another nick by force: we do not fight over it.
    renamed_by_force: bool,
    /// The nick we asked for in order to get the wanted one back.
    regaining: bool,
    /// The server tells us when the wanted nick is free.
    watching: bool,
}

#[derive(Debug, Default)]
struct Clock {
    /// When the last line came.
    heard: Option<Instant>,
    /// When we asked whether somebody is there.
    pinged: Option<Instant>,
    /// When nothing was read the last time, because nobody took our events.
    deaf_until: Option<Instant>,
    /// When to ask for the wanted nick again.
    regain: Option<Instant>,
}

#[derive(Debug)]
struct Quit {
    id: CommandId,
    reason: Option<IrcText>,
    /// When we stop waiting: for the queue before QUIT is sent, for the server's goodbye after.
    until: Instant,
    sent: bool,
}

impl Session {
    /// A session before it has a socket.
    pub fn new(policy: Arc<Policy>, identity: Identity) -> Self {
        let isupport = policy.isupport().unwrap_or_default();
        let mut channels = Channels::new(identity.role == Role::Observer);
        channels.refold(isupport.casemapping);
        let me = Me {
            nick: identity.nick.clone(),
            user: None,
            host: None,
            account: None,
            renamed_by_force: false,
            regaining: false,
            watching: false,
        };
        Self {
            policy,
            identity,
            phase: Phase::Idle,
            me,
            server: "".into(),
            isupport,
            caps: CapSet::default(),
            batches: Batches::default(),
            channels,
            queue: Queue::default(),
            flights: Flights::default(),
            labels: 0,
            urgent: VecDeque::new(),
            events: VecDeque::new(),
            outcomes: VecDeque::new(),
            clock: Clock::default(),
            quit: None,
            verdict: None,
            ending: None,
            changed: false,
            over_tls: false,
        }
    }

    /// Says whether there is TLS below: what the server demands of the transport depends on it.
    #[must_use]
    pub fn over_tls(self, over_tls: bool) -> Self {
        Self { over_tls, ..self }
    }

    /// The next thing that happened.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Events that wait to be taken.
    pub fn waiting_events(&self) -> usize {
        self.events.len()
    }

    /// The next command that is done. Each command comes out of here exactly once.
    pub fn next_outcome(&mut self) -> Option<(CommandId, Outcome)> {
        self.outcomes.pop_front()
    }

    /// How it ended, if it has: write what [`Session::next_line`] still gives, close the socket, and that is all.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// How we are connected; `None` before registration is done.
    pub fn online(&self) -> Option<Online> {
        matches!(self.phase, Phase::Online(_)).then(|| Online {
            nick: self.me.nick.clone(),
            server: self.server.clone(),
            account: self.me.account.clone(),
            isupport: Arc::clone(&self.isupport),
            caps: self.caps,
        })
    }

    /// How much text fits into a line now.
    pub fn limits(&self) -> Limits {
        Limits::new(&self.isupport, self.me.nick.as_str(), self.me.user.as_deref(), self.me.host.as_deref())
    }

    /// Whether what [`Session::online`] and [`Session::limits`] say changed since this was last asked.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The channels we are in.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels.names()
    }

    /// Who is in a channel; `None` if we are not. Empty if members are not tracked.
    pub fn members(&self, channel: &Channel) -> Option<Vec<Member>> {
        self.channels.is_in(channel.as_str()).then(|| self.channels.members(channel.as_str()))
    }

    /// Ends the session: what waits is not sent, what was written is unknown.
    fn end(&mut self, class: EndClass, why: impl Into<String>) {
        if self.ending.is_some() {
            return;
        }
        let was_online = matches!(self.phase, Phase::Online(_));
        self.ending = Some(Ending { class, why: why.into(), was_online });
        for waiting in self.queue.clear() {
            if let Some(id) = waiting.id {
                self.outcomes.push_back((id, Outcome::NotSent(NotSent::NotConnected)));
            }
        }
        let lost = self.flights.lost();
        self.outcomes.extend(lost);
        if let Some(quit) = self.quit.take() {
            let receipt = Receipt { by: Evidence::Fence, msgid: None, time: None, truncated: false };
            self.outcomes.push_back((quit.id, Outcome::Accepted(receipt)));
        }
    }

    fn fold(&self, name: &str) -> Box<str> {
        self.isupport.casemapping.fold(name).into()
    }

    fn is_me(&self, nick: &str) -> bool {
        self.isupport.casemapping.eq(nick, self.me.nick.as_str())
    }
}
