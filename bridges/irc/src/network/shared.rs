//! What all sessions of one network share.

use std::{
    collections::{HashMap, HashSet},
    fs,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use landbridge::network::{ConfigIssue, ConnectionError, Host, SessionId};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    IrcNetwork,
    heard::Heard,
    history::History,
    link::Link,
    observer::Observer,
    own::{OwnNicks, PuppetTable},
};
use crate::{
    casemapping::Casemapping,
    config::{FloodOptions, IrcConfig, Server, Tls},
    convert::ids::{IrcRoom, IrcUser},
    message::{Channel, IrcText},
    session::{Flood, Online, Policy, Timing},
    wire::{Endpoint, Roots, TlsClient, TlsIdentity, TlsSettings},
};

/// How many speakers of a channel are remembered; beyond that all are forgotten, and stay members until they leave again.
const MAX_SPOKEN: usize = 20_000;

/// What all sessions of one network share.
pub(super) struct Shared {
    pub(super) config: IrcConfig,
    pub(super) host: Host<IrcNetwork>,
    pub(super) policy: Arc<Policy>,
    /// For the bot, and for puppets (which have no certificate), in the order of the configuration.
    endpoints: [Vec<Endpoint>; 2],
    /// Which server is tried next.
    next_server: AtomicUsize,
    /// The puppets, as their own connections know them.
    pub(super) puppets: Mutex<PuppetTable>,
    /// The puppets, as the bot sees them.
    pub(super) own: Mutex<OwnNicks>,
    /// The sessions that are connected, or were.
    pub(super) links: Mutex<HashMap<SessionId, Weak<Link>>>,
    /// How the latest session that came online is connected.
    online: Mutex<Option<Arc<Online>>>,
    pub(super) channels: Mutex<HashMap<String, ChannelState>>,
    /// Hosts that want to be reached over TLS though the configuration does not say so.
    tls_only: Mutex<HashMap<String, TlsOnly>>,
    /// What the bot has heard of our own.
    pub(super) heard: Heard,
    /// The bot has entered or left a channel.
    pub(super) observer_moved: Notify,
}

/// How a host is to be reached that wants TLS ([sts](https://ircv3.net/specs/extensions/sts)). Known as long as the process lives.
#[derive(Debug)]
struct TlsOnly {
    port: u16,
    /// Until when; not said yet, or for ever: `None`.
    until: Option<tokio::time::Instant>,
}

/// A channel, as the bot knows it. The key of the map is its name as the server folds it.
#[derive(Debug, Default)]
pub(super) struct ChannelState {
    /// The id by which the framework knows it.
    pub(super) room: Option<IrcRoom>,
    /// Whether the bot is in it.
    pub(super) observer: Observer,
    /// Its topic, where known.
    pub(super) topic: Option<String>,
    /// Who has spoken, for those who become members only then.
    pub(super) spoken: HashSet<IrcUser>,
    /// The power of those who have, or had, any: as the framework was told.
    pub(super) powers: HashMap<IrcUser, i64>,
    /// What the server repeated of what was said before the bot came in this time.
    pub(super) history: History,
}

impl ChannelState {
    /// The framework was told that somebody has this power.
    pub(super) fn has_power(&mut self, user: IrcUser, level: i64) {
        if self.powers.len() >= MAX_SPOKEN {
            self.powers.clear();
        }
        self.powers.insert(user, level);
    }

    /// Somebody speaks.
    pub(super) fn speaks(&mut self, user: IrcUser) {
        if self.spoken.len() >= MAX_SPOKEN {
            self.spoken.clear();
        }
        self.spoken.insert(user);
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(config: IrcConfig, host: Host<IrcNetwork>) -> Result<Self, ConfigIssue> {
        let endpoints = |with_identity| {
            let numbered = config.servers.iter().enumerate();
            numbered.map(|(number, server)| endpoint(number, server, with_identity)).collect::<Result<Vec<_>, _>>()
        };
        let shared = Self {
            endpoints: [endpoints(true)?, endpoints(false)?],
            policy: Policy::new(Timing::default(), flood(&config.flood)),
            next_server: AtomicUsize::new(0),
            puppets: Mutex::default(),
            own: Mutex::default(),
            links: Mutex::default(),
            online: Mutex::default(),
            channels: Mutex::default(),
            tls_only: Mutex::default(),
            heard: Heard::default(),
            observer_moved: Notify::new(),
            host,
            config,
        };
        Ok(shared)
    }

    /// The server to try now.
    ///
    /// # Errors
    /// The configuration names none, or one that wants TLS for which the settings do not work.
    pub(super) fn endpoint(&self, is_bot: bool) -> Result<Endpoint, ConnectionError> {
        let endpoints = &self.endpoints[usize::from(!is_bot)];
        let number = self.next_server.load(Ordering::Relaxed) % endpoints.len().max(1);
        let (Some(endpoint), Some(server)) = (endpoints.get(number), self.config.servers.get(number)) else {
            return Err(ConnectionError::Config("no server is configured".to_owned()));
        };
        let Some(port) = self.tls_port(&endpoint.host).filter(|_| endpoint.tls.is_none()) else {
            return Ok(endpoint.clone());
        };
        let tls = tls(&server.tls, is_bot, &format!("irc.servers[{number}].tls"));
        let tls = tls.map_err(|issue| ConnectionError::Config(issue.to_string()))?;
        Ok(Endpoint { port, ..endpoint.clone() }.with_tls(tls))
    }

    /// A host is to be reached over TLS, at this port, from now on.
    pub(super) fn use_tls(&self, host: &str, port: u16) {
        self.tls_only.lock().insert(host.to_owned(), TlsOnly { port, until: None });
    }

    /// A host said over TLS for how long it is to be reached no other way.
    pub(super) fn use_tls_for(&self, host: &str, duration: Duration) {
        let mut hosts = self.tls_only.lock();
        if duration.is_zero() {
            hosts.remove(host);
        } else if let Some(policy) = hosts.get_mut(host) {
            policy.until = tokio::time::Instant::now().checked_add(duration);
        }
    }

    fn tls_port(&self, host: &str) -> Option<u16> {
        let hosts = self.tls_only.lock();
        let policy = hosts.get(host)?;
        policy.until.is_none_or(|until| until > tokio::time::Instant::now()).then_some(policy.port)
    }

    /// The server failed: the next one is tried from now on.
    pub(super) fn try_next_server(&self) {
        self.next_server.fetch_add(1, Ordering::Relaxed);
    }

    /// How the server folds names; its usual way until it was asked.
    pub(super) fn casemapping(&self) -> Casemapping {
        self.policy.isupport().map(|isupport| isupport.casemapping).unwrap_or_default()
    }

    /// A session is online.
    pub(super) fn set_online(&self, online: Arc<Online>) {
        *self.online.lock() = Some(online);
    }

    /// How the latest session that came online is connected: what another can expect.
    pub(super) fn online(&self) -> Option<Arc<Online>> {
        self.online.lock().clone()
    }

    /// The user who goes by a nick.
    pub(super) fn user(&self, nick: &str) -> IrcUser {
        IrcUser::new(nick, self.casemapping())
    }

    /// The room of a channel: the one by whose id the framework knows it, or the one it would be.
    pub(super) fn room(&self, channel: &str) -> Option<IrcRoom> {
        let folded = self.fold(channel);
        let known = self.channels.lock().get(&folded).and_then(|state| state.room.clone());
        known.or_else(|| IrcRoom::channel(&folded))
    }

    /// Changes what is known of a channel.
    pub(super) fn with_channel<T>(&self, channel: &str, change: impl FnOnce(&mut ChannelState) -> T) -> T {
        change(self.channels.lock().entry(self.fold(channel)).or_default())
    }

    /// A channel's name as the server folds it. Where that is unknown, only what every server folds.
    pub(super) fn fold(&self, channel: &str) -> String {
        let casemapping = self.policy.isupport().map_or(Casemapping::Ascii, |isupport| isupport.casemapping);
        casemapping.fold(channel).into_owned()
    }

    /// The key of a channel, if the configuration has one.
    pub(super) fn channel_key(&self, channel: &Channel) -> Option<IrcText> {
        let wanted = self.fold(channel.as_str());
        let plumbed = self
            .config
            .channels
            .iter()
            .find(|plumbed| plumbed.key.is_some() && self.fold(&plumbed.channel) == wanted)?;
        plumbed.key.as_ref().and_then(|key| IrcText::new(key.0.as_str()).ok())
    }

    /// A connected session.
    pub(super) fn link(&self, id: &SessionId) -> Option<Arc<Link>> {
        self.links.lock().get(id).and_then(Weak::upgrade)
    }
}

fn flood(options: &FloodOptions) -> Flood {
    if !options.enabled {
        return Flood::off();
    }
    let per_line = Duration::from_millis(options.line_milliseconds.into());
    Flood { lead: per_line * options.burst, per_line, ..Flood::default() }
}

fn endpoint(number: usize, server: &Server, with_identity: bool) -> Result<Endpoint, ConfigIssue> {
    let endpoint = Endpoint::plain(server.host.clone(), server.port());
    if !server.tls.enabled {
        return Ok(endpoint);
    }
    tls(&server.tls, with_identity, &format!("irc.servers[{number}].tls")).map(|tls| endpoint.with_tls(tls))
}

fn tls(options: &Tls, with_identity: bool, path: &str) -> Result<TlsClient, ConfigIssue> {
    let read = |key: &str, file: &std::path::Path| {
        fs::read(file).map_err(|error| {
            ConfigIssue::fatal(format!("{path}.{key}"), error.to_string(), "name a file that can be read")
        })
    };
    let roots = match &options.ca {
        Some(file) => Roots::Pem(read("ca", file)?),
        None => Roots::System,
    };
    let identity = match (&options.certificate, with_identity) {
        (Some(file), true) => {
            let certificate = read("certificate", file)?;
            let key = options.key.as_ref().map(|file| read("key", file)).transpose()?;
            let identity = TlsIdentity::from_pem(&certificate, key.as_ref().unwrap_or(&certificate));
            Some(identity.map_err(|error| {
                ConfigIssue::fatal(
                    format!("{path}.certificate"),
                    error.to_string(),
                    "put certificate and key there in PEM",
                )
            })?)
        }
        _ => None,
    };
    let settings = TlsSettings {
        roots,
        accept_any_certificate: options.accept_any_certificate,
        server_name: options.server_name.clone(),
    };
    let client = TlsClient::new(&settings)
        .map_err(|error| ConfigIssue::fatal(path, error.to_string(), "correct the settings of TLS"))?;
    match identity {
        None => Ok(client),
        Some(identity) => client.with_identity(&identity).map_err(|error| {
            ConfigIssue::fatal(
                format!("{path}.certificate"),
                error.to_string(),
                "give certificate and key that belong together",
            )
        }),
    }
}
