//! Everything that a scenario needs at once: a homeserver, an IRC server, and the bridge between.

use std::{net::SocketAddr, path::PathBuf};

use serde_json::{Value, json};
use url::Url;

use crate::{
    HostileIrcd, Inspircd, IrcUser, Ircd, Landbridge, MatrixUser, Ngircd, Port, Postgres, Room, Synapse, Workdir, http,
    transcript::eventually,
};

/// Which homeserver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// The one in the binary: `landbridge up`.
    Embedded,
    /// A Synapse beside it: `landbridge run`.
    Synapse,
}

/// Which IRC server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// ngIRCd.
    Ngircd,
    /// InspIRCd.
    Inspircd,
}

/// Which database the bridge keeps its things in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum With {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// A running IRC server of either kind.
#[derive(Debug)]
pub enum Irc {
    /// ngIRCd.
    Ngircd(Ngircd),
    /// InspIRCd.
    Inspircd(Inspircd),
    /// One that misbehaves.
    Hostile(HostileIrcd),
}

impl Irc {
    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Ngircd(server) => server.address(),
            Self::Inspircd(server) => server.address(),
            Self::Hostile(server) => server.address(),
        }
    }

    /// The server, if it is a real one.
    pub fn real(&mut self) -> Option<&mut Ircd> {
        match self {
            Self::Ngircd(server) => Some(server),
            Self::Inspircd(server) => Some(server),
            Self::Hostile(_) => None,
        }
    }

    /// The bridge's `irc:` section. The real servers are set up without flood limits, as for a bridge that is trusted, so the
    /// bridge needs none there.
    fn config(&self, channels: &[&str]) -> Value {
        let address = self.address();
        let channels: Vec<_> = channels.iter().map(|channel| json!({ "channel": channel })).collect();
        json!({
            "servers": [{ "host": address.ip(), "port": address.port(), "tls": false }],
            "channels": channels,
            "flood": { "enabled": !self.is_unlimited() },
        })
    }

    /// Whether it lets the bridge say as much as it likes.
    fn is_unlimited(&self) -> bool {
        match self {
            Self::Ngircd(_) => true,
            Self::Inspircd(server) => !server.is_limited(),
            Self::Hostile(_) => false,
        }
    }

    /// Kills the server.
    pub fn kill(&mut self) {
        if let Some(server) = self.real() {
            server.kill();
        }
    }

    /// Starts it again on the same port.
    pub async fn start_again(&mut self) {
        if let Some(server) = self.real() {
            server.start_again().await;
        }
    }
}

/// A homeserver, an IRC server, and the bridge between them.
#[derive(Debug)]
pub struct Deployment {
    /// The bridge, and with [`On::Embedded`] the homeserver in it.
    pub bridge: Landbridge,
    /// The IRC server.
    pub irc: Irc,
    /// The Synapse, with [`On::Synapse`].
    pub synapse: Option<Synapse>,
    /// The cluster of the bridge's store, with [`With::Postgres`].
    pub postgres: Option<Postgres>,
    url: Url,
    port: Port,
    dir: Workdir,
}

impl Deployment {
    /// Starts everything, with these channels plumbed or made portals from the start.
    pub async fn start(on: On, over: Over, with: With, channels: &[&str]) -> Self {
        let irc = match over {
            Over::Ngircd => Irc::Ngircd(Ngircd::start().await),
            Over::Inspircd => Irc::Inspircd(Inspircd::start().await),
        };
        Self::beside(irc, on, with, channels).await
    }

    /// Starts everything but the IRC server, which is there already.
    pub async fn beside(irc: Irc, on: On, with: With, channels: &[&str]) -> Self {
        let (dir, port) = (Workdir::new("landbridge"), Port::free());
        let mut deployment = match on {
            On::Embedded => Self::up(irc, channels, dir, port),
            On::Synapse => Self::beside_synapse(irc, with, channels, dir, port).await,
        };
        deployment.ready().await;
        deployment
    }

    fn up(irc: Irc, channels: &[&str], dir: Workdir, port: Port) -> Self {
        let mut arguments = vec!["up".to_owned(), "--data".to_owned(), dir.path().join("data").display().to_string()];
        arguments.extend(["--listen".to_owned(), port.address().to_string()]);
        arguments.extend(["--irc".to_owned(), irc.address().to_string()]);
        if irc.is_unlimited() {
            arguments.push("--irc-unlimited".to_owned());
        }
        for channel in channels {
            arguments.extend(["--channel".to_owned(), (*channel).to_owned()]);
        }
        let bridge = Landbridge::start(dir.path(), arguments);
        let url = Url::parse(&format!("http://{}", port.address())).expect("a URL");
        Self { bridge, irc, synapse: None, postgres: None, url, port, dir }
    }

    async fn beside_synapse(irc: Irc, with: With, channels: &[&str], dir: Workdir, port: Port) -> Self {
        let registration = dir.path().join("registration.yaml");
        let url = format!("http://{}", port.address());
        let (url, file) = (url.as_str(), registration.display().to_string());
        let arguments = ["registration", "generate", "--url", url, "--server-name", "localhost", "--output", &file];
        let made = Landbridge::run(dir.path(), arguments);
        assert!(made.status.success(), "registration generate: {}", String::from_utf8_lossy(&made.stderr));
        let synapse = Synapse::start(&[&registration]).await;
        let postgres = match with {
            With::Sqlite => None,
            With::Postgres => Some(Postgres::start().await),
        };
        let store = match &postgres {
            None => format!("sqlite:{}", dir.path().join("bridge.db").display()),
            Some(cluster) => cluster.database("bridge"),
        };
        let config = json!({
            "homeserver": { "url": synapse.url(), "server_name": synapse.server_name() },
            "listen": port.address(),
            "registration": registration,
            "database": store,
            "irc": irc.config(channels),
        });
        let config = dir.write("landbridge.yaml", &config.to_string());
        let bridge = Landbridge::start(dir.path(), ["run".into(), "--config".into(), config.into_os_string()]);
        Self { url: synapse.url(), synapse: Some(synapse), bridge, irc, postgres, port, dir }
    }

    /// Starts the bridge again after it was killed or stopped, and waits until it answers.
    pub async fn start_again(&mut self) {
        self.start_again_with(&[]).await;
    }

    /// Starts the bridge again with variables of the environment, and waits until it answers.
    pub async fn start_again_with(&mut self, environment: &[(&str, &str)]) {
        self.bridge.start_again(environment);
        self.ready().await;
    }

    /// Stops the bridge, changes its configuration (of `landbridge run`), and starts it again.
    pub async fn reconfigure(&mut self, change: impl FnOnce(&mut Value)) {
        self.bridge.stop().await;
        let path = self.dir.path().join("landbridge.yaml");
        let text = std::fs::read_to_string(&path).expect("only `run` has a configuration");
        let mut config = serde_json::from_str(&text).expect("it was written as JSON");
        change(&mut config);
        self.dir.write("landbridge.yaml", &config.to_string());
        self.start_again().await;
    }

    async fn ready(&mut self) {
        let health = self.health();
        let http = http();
        let healthy = async |_: &crate::Process| {
            http.get(health.clone()).send().await.is_ok_and(|answer| answer.status().is_success())
        };
        self.bridge.process().until("landbridge answers", healthy).await;
    }

    /// Where the bridge says how it is.
    pub fn health(&self) -> Url {
        let below = if self.synapse.is_some() { "" } else { "/_landbridge/irc" };
        Url::parse(&format!("http://{}{below}/health", self.port.address())).expect("a URL")
    }

    /// The homeserver's base URL.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The folder of the bridge's files.
    pub fn folder(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// The name of the homeserver.
    pub fn server_name(&self) -> &'static str {
        "localhost"
    }

    /// The alias of a channel's portal.
    pub fn alias(&self, channel: &str) -> String {
        format!("#irc_{channel}:{}", self.server_name())
    }

    /// The virtual user of somebody on IRC.
    pub fn ghost(&self, nick: &str) -> String {
        format!("@irc_{}:{}", nick.to_ascii_lowercase(), self.server_name())
    }

    /// The bridge's own Matrix user.
    pub fn bot(&self) -> String {
        format!("@ircbot:{}", self.server_name())
    }

    /// Somebody new on Matrix.
    pub async fn matrix(&self, name: &str) -> MatrixUser {
        MatrixUser::register(&self.url, name).await
    }

    /// Somebody on IRC.
    pub async fn irc(&self, nick: &str) -> IrcUser {
        IrcUser::connect(self.irc.address(), nick).await
    }

    /// Somebody on IRC who is in a channel.
    pub async fn irc_in(&self, channel: &str, nick: &str) -> IrcUser {
        let user = self.irc(nick).await;
        user.joins(channel).await;
        user
    }

    /// Joins a channel's portal by its alias.
    pub async fn join<'a>(&self, user: &'a MatrixUser, channel: &str) -> Room<'a> {
        user.joins(&self.alias(channel)).await
    }

    /// Waits until somebody on IRC is a member of the Matrix room.
    pub async fn until_member(&self, room: &Room<'_>, nick: &str) {
        let ghost = self.ghost(nick);
        eventually(&format!("{ghost} is in the room"), || async {
            room.members().await.contains_key(&ghost).then_some(())
        })
        .await;
    }

    /// Waits until somebody with this nick is on the IRC server.
    pub async fn until_on_irc(&self, nick: &str) {
        let asker = IrcUser::connect(self.irc.address(), "whoasks").await;
        eventually(&format!("{nick} is on IRC"), || async { asker.is_on(nick).await.then_some(()) }).await;
        asker.quits("");
    }
}
