//! One connection to the network: the bot's, or a puppet's.

use std::{
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

use async_trait::async_trait;
use landbridge::{
    Millis,
    network::{
        Caps, ConnectionError, ConnectionState, Dedupe, Delivered, Ephemeral, Found, Idempotency, IdempotencyKey,
        Identity, Landed, Level, Profile, Receipt, Reject, RemoteEvent, RemoteOp, RoomInfo, SendError, Session,
        SessionId, host::Closed,
    },
};
use parking_lot::Mutex;
use ruma::OwnedUserId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{IrcNetwork, link::Link, observer::Observer, shared::Shared};
use crate::{
    convert::{
        ids::{IrcRoom, IrcUser},
        nick,
        outgoing::{Wire, facts},
    },
    isupport::Isupport,
    message::{Channel, IrcText, Nick, Target},
    numerics::EndClass,
    session::{self, Cap, Command, Limits, Role, SaslMethod, SendKind},
};

/// How long a message of ours that may have been sent is waited for in the bot's stream.
const HEARING: Duration = Duration::from_secs(5);

/// How many lines are said to a room before the first must be confirmed.
const TOGETHER: usize = 16;
/// How long we stay out of a channel that we were put out of.
const REJOIN_AFTER: Duration = Duration::from_secs(30);

/// One connection to the network: the bot's, or a puppet's.
#[derive(Debug)]
pub struct IrcSession {
    pub(super) id: SessionId,
    identity: Identity,
    pub(super) shared: Arc<Shared>,
    pub(super) link: Arc<Link>,
    /// What became of the last thing that we told the framework.
    pub(super) told: Mutex<Option<Receipt>>,
    /// The host of the server that it is connected to, or was.
    pub(super) host: Mutex<String>,
    /// How often operators have ended it lately.
    pub(super) kills: AtomicU32,
}

impl IrcSession {
    pub(super) fn new(id: SessionId, identity: Identity, shared: Arc<Shared>) -> Self {
        let link = Arc::new(Link::new());
        shared.links.lock().insert(id.clone(), Arc::downgrade(&link));
        Self { id, identity, shared, link, told: Mutex::default(), host: Mutex::default(), kills: AtomicU32::new(0) }
    }

    /// The Matrix user whose puppet this is.
    pub(super) fn puppet_of(&self) -> Option<&OwnedUserId> {
        match &self.identity {
            Identity::AutoPuppet { user_id, .. } | Identity::Login { user_id, .. } => Some(user_id),
            Identity::Relay | Identity::Gateway => None,
        }
    }

    /// The nick for a display name.
    pub(super) fn nick_for(&self, user_id: &OwnedUserId, display_name: &str) -> Result<Nick, ConnectionError> {
        let max = self.shared.policy.isupport().and_then(|isupport| isupport.nick_len).unwrap_or(30);
        let nick = nick::nick(display_name, user_id, &self.shared.config.puppets.nick, max);
        Nick::new(&nick).map_err(|error| ConnectionError::Config(error.to_string()))
    }

    /// Who we are on the network.
    pub(super) fn irc_identity(&self) -> Result<session::Identity, ConnectionError> {
        let config = &self.shared.config;
        let password = config.password.as_ref().map(|secret| session::Secret::new(secret.0.as_str())).transpose();
        let password = password.map_err(|error| ConnectionError::Config(error.to_string()))?;
        let (Some(user_id), Identity::AutoPuppet { display_name, .. }) = (self.puppet_of(), &self.identity) else {
            return self.bot_identity(password);
        };
        let realname = config.puppets.realname.replace("{user_id}", user_id.as_str()).replace("{name}", display_name);
        Ok(session::Identity {
            nick: self.nick_for(user_id, display_name)?,
            username: IrcText::one_line(&self.username(user_id)),
            realname: IrcText::one_line(&realname),
            password,
            sasl: None,
            role: Role::Puppet,
        })
    }

    /// The user name (ident) of a puppet: the plain localpart, unless another puppet has it.
    pub(super) fn username(&self, user_id: &OwnedUserId) -> String {
        let plain = nick::username(user_id, true);
        if self.shared.puppets.lock().username_taken(&plain, user_id) { nick::username(user_id, false) } else { plain }
    }

    fn bot_identity(&self, password: Option<session::Secret>) -> Result<session::Identity, ConnectionError> {
        let bot = &self.shared.config.bot;
        let wrong = |error: &dyn std::fmt::Display| ConnectionError::Config(error.to_string());
        let sasl = bot.sasl.as_ref().map(|sasl| {
            let method = match &sasl.password {
                Some(password) if sasl.mechanism == crate::config::SaslMechanism::Plain => {
                    SaslMethod::Plain(session::Secret::new(password.0.as_str()).map_err(|error| wrong(&error))?)
                }
                _ => SaslMethod::External,
            };
            let account = sasl.account.as_deref().map(IrcText::one_line);
            Ok::<_, ConnectionError>(session::Sasl { account, method, required: sasl.required })
        });
        Ok(session::Identity {
            nick: Nick::new(&bot.nick).map_err(|error| wrong(&error))?,
            username: IrcText::one_line(&bot.username),
            realname: IrcText::one_line(&bot.realname),
            password,
            sasl: sasl.transpose()?,
            role: Role::Observer,
        })
    }

    /// Tells the framework what happened. IRC has nothing to acknowledge, so that the next line need not wait until this one is
    /// durable; but it waits until this one has its place.
    ///
    /// # Errors
    /// [`Closed`] when the framework is stopping: the event was not kept.
    pub(super) async fn tell(&self, event: RemoteEvent<IrcNetwork>, dedupe: Dedupe<String>) -> Result<(), Closed> {
        let receipt = self.shared.host.offer(&self.id, event, dedupe).await?;
        *self.told.lock() = Some(receipt);
        Ok(())
    }

    /// Enters a channel again, some time after we were put out of it.
    pub(super) fn rejoin_later(&self, channel: Channel) {
        let (shared, link) = (Arc::clone(&self.shared), Arc::clone(&self.link));
        tokio::spawn(async move {
            tokio::time::sleep(REJOIN_AFTER).await;
            let wanted =
                shared.with_channel(channel.as_str(), |state| state.room.is_some() && state.observer != Observer::Here);
            if let (true, Ok(handle)) = (wanted, link.handle()) {
                let key = shared.channel_key(&channel);
                // Its success and its failure are told as events.
                let _ = handle.submit(Command::Join { channel, key }).await;
            }
        });
    }

    /// Tells the framework that we are connected, and the nick we have.
    pub(super) fn tell_connected(&self, nick: &str) {
        self.shared.host.state(&self.id, ConnectionState::Connected { name: Some(nick.to_owned()) });
    }

    /// How much text fits into a line to a target.
    fn text_max(&self, target: &Target) -> usize {
        let handle = self.link.handle().ok();
        let limits = handle.map_or_else(Limits::default, |handle| handle.limits());
        limits.text(SendKind::Privmsg, target)
    }
}

#[async_trait]
impl Session<IrcNetwork> for IrcSession {
    async fn run(&self, stop: CancellationToken) -> Result<(), ConnectionError> {
        self.shared.host.state(&self.id, ConnectionState::Connecting);
        let connection = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            connection = self.open() => connection?,
        };
        let began = Instant::now();
        let ending = self.listen(connection, &stop).await;
        if stop.is_cancelled() {
            return Ok(());
        }
        if !ending.was_online && !matches!(ending.class, EndClass::TlsOnly(_)) {
            self.shared.try_next_server();
        }
        Err(self.ended(&ending, began.elapsed()))
    }

    fn caps(&self, room: &IrcRoom) -> Caps {
        let online = self.link.handle().ok().and_then(|handle| handle.online()).or_else(|| self.shared.online());
        let isupport =
            online.as_ref().map(|online| Arc::clone(&online.isupport)).or_else(|| self.shared.policy.isupport());
        let has = |cap| online.as_ref().is_some_and(|online| online.caps.has(cap));
        let reach = |tag: &str| {
            has(Cap::MessageTags) && isupport.as_ref().is_some_and(|isupport| isupport.client_tag_allowed(tag))
        };
        let target = target(room);
        let mut caps = Caps {
            text_max_bytes: target.as_ref().map(|target| self.text_max(target)),
            formatting: Level::Partial,
            media: Level::Fallback,
            reply: if reach("draft/reply") { Level::Full } else { Level::Fallback },
            edit: Level::Fallback,
            redact: if has(Cap::MessageRedaction) { Level::Full } else { Level::Drop },
            react: if reach("draft/react") && reach("draft/reply") { Level::Full } else { Level::Drop },
            typing: if self.shows_typing() { Level::Full } else { Level::Drop },
            receipts: Level::Drop,
            topic: Level::Full,
            name: Level::Drop,
            member_actions: Level::Full,
            idempotency: if reach("landbridge/key") { Idempotency::EchoTagged } else { Idempotency::AckOnly },
            ..Caps::default()
        };
        if reach("draft/reply") {
            caps.facts.insert(facts::TAGS.to_owned(), String::new());
        }
        if let Some(isupport) = isupport {
            add_facts(&mut caps, &isupport);
        }
        caps
    }

    async fn deliver(
        &self,
        op: &RemoteOp<IrcNetwork>,
        key: &IdempotencyKey,
        attempt: u32,
    ) -> Result<Delivered<String>, SendError> {
        self.do_op(op, key, attempt).await
    }

    fn window(&self) -> usize {
        // What the bot itself says nobody hears for us: where a complaint could be about several lines, it says one at a time.
        if self.puppet_of().is_none() && self.shared.policy.flood.enabled { 1 } else { TOGETHER }
    }

    async fn deliver_all(
        &self,
        ops: &[(RemoteOp<IrcNetwork>, IdempotencyKey)],
    ) -> Vec<Result<Delivered<String>, SendError>> {
        self.do_all(ops).await
    }

    async fn reconcile(&self, op: &RemoteOp<IrcNetwork>, key: &IdempotencyKey, _: Millis) -> Landed<String> {
        if matches!(Wire::decode(&op.wire), Ok(Wire::Invite(_))) {
            return Landed::CannotTell;
        }
        let key = key.to_string();
        if let IrcRoom::Channel(name) = &op.room
            && let Ok(channel) = channel(name)
        {
            // Before the bot is there, nothing is repeated.
            self.shared.observed(&channel).await;
        }
        let begun = Instant::now();
        loop {
            let more = self.shared.heard.more();
            if let Some(id) = self.shared.heard.find(&key) {
                return Landed::Yes { id };
            }
            let (replayed, goes_on) = match &op.room {
                IrcRoom::Channel(name) => self
                    .shared
                    .with_channel(name, |state| (state.history.all_repeated(), state.history.may_go_on_until())),
                IrcRoom::Query { .. } => (None, None),
            };
            let until = goes_on.map_or(begun + HEARING, |at| at.max(begun + HEARING));
            // A server that is repeating what was said is heard out, however much that is.
            match replayed {
                Some(replayed) if replayed <= Instant::now() => return Landed::No,
                None if until <= Instant::now() => return Landed::CannotTell,
                // Whichever comes first: more is heard, all was repeated, or the time is over.
                _ => drop(tokio::time::timeout_at(replayed.unwrap_or(until), more).await),
            }
        }
    }

    async fn ephemeral(&self, event: &Ephemeral<IrcNetwork>) {
        self.show(event).await;
    }

    async fn enter(&self, room: &IrcRoom) -> Result<(), SendError> {
        let IrcRoom::Channel(name) = room else { return Ok(()) };
        let channel = channel(name)?;
        self.shared.with_channel(name, |state| state.room = Some(room.clone()));
        if self.link.is_in(&self.shared.fold(name)) {
            // It was entered before it was mapped, and what it holds was told to nobody.
            self.tell_again(room, channel).await
        } else {
            self.join(&channel).await
        }
    }

    async fn leave(&self, room: &IrcRoom) -> Result<(), SendError> {
        let IrcRoom::Channel(name) = room else { return Ok(()) };
        let folded = self.shared.fold(name);
        self.shared.channels.lock().remove(&folded);
        if self.link.is_in(&folded) {
            self.part(&channel(name)?, None).await?;
        }
        Ok(())
    }

    async fn room_info(&self, room: &IrcRoom) -> Result<RoomInfo, SendError> {
        let IrcRoom::Channel(name) = room else { return Ok(RoomInfo::default()) };
        if !self.shared.config.portals.allows(name) {
            let why = format!("{name} may not be bridged");
            return Err(SendError::Rejected(Reject::Policy(why)));
        }
        let channel = channel(name)?;
        self.link.soon_connected().await?;
        let is_channel = self.shared.online().is_some_and(|online| online.isupport.is_channel(name));
        if !is_channel && self.shared.online().is_some() {
            return Err(SendError::Rejected(Reject::Forbidden(format!("{name} is no channel on this network"))));
        }
        self.join(&channel).await?;
        let topic = self.shared.with_channel(name, |state| state.topic.clone());
        Ok(RoomInfo { name: Some(name.clone()), topic, public: None })
    }

    async fn user_info(&self, user: &IrcUser) -> Result<Profile, SendError> {
        Ok(Profile { name: user.nick().map(str::to_owned), avatar: None })
    }

    async fn resolve(&self, query: &str) -> Result<Found<IrcRoom, IrcUser>, SendError> {
        let query = query.trim();
        let user = Nick::new(query).ok().map(|nick| self.shared.user(nick.as_str()));
        Ok(Found { room: IrcRoom::channel(query).and_then(|_| self.shared.room(query)), user })
    }
}

fn add_facts(caps: &mut Caps, isupport: &Isupport) {
    use crate::casemapping::Casemapping;
    let casemapping = match isupport.casemapping {
        Casemapping::Ascii => "ascii",
        Casemapping::Rfc1459 => "rfc1459",
        Casemapping::Rfc1459Strict => "rfc1459-strict",
    };
    caps.facts.insert(facts::CASEMAPPING.to_owned(), casemapping.to_owned());
    if let Some(len) = isupport.topic_len {
        caps.facts.insert(facts::TOPIC_LEN.to_owned(), len.to_string());
    }
}

/// Where the messages of a room go; `None` for somebody of whom only a hash is known.
pub(super) fn target(room: &IrcRoom) -> Option<Target> {
    match room {
        IrcRoom::Channel(name) => Channel::new(name).ok().map(Target::Channel),
        IrcRoom::Query { with, .. } => Nick::new(with.nick()?).ok().map(Target::Nick),
    }
}

pub(super) fn channel(name: &str) -> Result<Channel, SendError> {
    Channel::new(name).map_err(|error| SendError::Rejected(Reject::Forbidden(error.to_string())))
}
