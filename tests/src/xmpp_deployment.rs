//! A homeserver, an XMPP server, and the bridge between.

use serde_json::{Value, json};
use url::Url;

use crate::{
    Ejabberd, Landbridge, MatrixUser, On, Port, Prosody, Room, Synapse, Workdir, XmppUser, Xmppd, http,
    transcript::eventually,
};

/// A homeserver, an XMPP server, and the bridge between them, a process each, or homeserver and bridge in one.
#[derive(Debug)]
pub struct XmppDeployment {
    /// The bridge, and the homeserver in it if it is in the same process.
    pub bridge: Landbridge,
    /// The XMPP server.
    pub xmpp: Xmppd,
    /// The homeserver.
    pub homeserver: XmppHomeserver,
    port: Port,
    dir: Workdir,
}

/// The homeserver beside the bridge.
#[derive(Debug)]
pub enum XmppHomeserver {
    /// Ours.
    Embedded(Landbridge, Port),
    /// Ours, in the process of the bridge, at this port of it.
    Within(Url),
    /// Synapse.
    Synapse(Synapse),
}

impl XmppHomeserver {
    fn url(&self) -> Url {
        match self {
            Self::Embedded(_, port) => Url::parse(&format!("http://{}", port.address())).expect("a URL"),
            Self::Within(url) => url.clone(),
            Self::Synapse(synapse) => synapse.url(),
        }
    }
}

impl XmppDeployment {
    /// Starts everything over Prosody.
    pub async fn over_prosody(on: On) -> Self {
        Self::beside(Prosody::start().await, on, json!({})).await
    }

    /// Starts everything over ejabberd.
    pub async fn over_ejabberd(on: On) -> Self {
        Self::beside(Ejabberd::start().await, on, json!({})).await
    }

    /// Starts everything over Prosody, homeserver and bridge in one process.
    pub async fn in_one_over_prosody() -> Self {
        Self::in_one_beside(Prosody::start().await, json!({})).await
    }

    /// Starts homeserver and bridge in one process, as `landbridge up` does; `changes` are merged into the bridge's configuration.
    pub async fn in_one_beside(xmpp: Xmppd, changes: Value) -> Self {
        Self::in_one_with(xmpp, changes, &[]).await
    }

    /// The same with more on the command line.
    pub async fn in_one_with(xmpp: Xmppd, changes: Value, more: &[&str]) -> Self {
        let (dir, port) = (Workdir::new("landbridge"), Port::free());
        let mut config = section(&xmpp);
        merge(&mut config, changes);
        let config = dir.write("landbridge.yaml", &config.to_string()).display().to_string();
        let (data, listen) = (dir.path().join("data").display().to_string(), port.address().to_string());
        let arguments = [&["up", "--data", &data, "--listen", &listen, "--bridge", &config], more].concat();
        let bridge = Landbridge::start(dir.path(), arguments);
        let url = Url::parse(&format!("http://{listen}")).expect("a URL");
        let mut deployment = Self { bridge, xmpp, homeserver: XmppHomeserver::Within(url), port, dir };
        deployment.ready().await;
        deployment
    }

    /// Starts everything but the XMPP server, which is there already; `changes` are merged into the bridge's configuration.
    pub async fn beside(xmpp: Xmppd, on: On, changes: Value) -> Self {
        let (dir, port) = (Workdir::new("landbridge"), Port::free());
        let registration = dir.path().join("registration.yaml");
        let (url, file) = (format!("http://{}", port.address()), registration.display().to_string());
        let arguments = [
            "registration",
            "generate",
            "--network",
            "xmpp",
            "--url",
            &url,
            "--server-name",
            "localhost",
            "--output",
            &file,
        ];
        let made = Landbridge::run(dir.path(), arguments);
        assert!(made.status.success(), "registration generate: {}", String::from_utf8_lossy(&made.stderr));
        let mut homeserver = match on {
            On::Synapse => XmppHomeserver::Synapse(Synapse::start(&[&registration]).await),
            On::Embedded => {
                let own = Port::free();
                let data = dir.path().join("data").display().to_string();
                let listen = own.address().to_string();
                let arguments = ["up", "--data", &data, "--listen", &listen, "--appservice", &file];
                let folder = dir.folder("homeserver");
                XmppHomeserver::Embedded(Landbridge::start(&folder, arguments), own)
            }
        };
        until_answers(&mut homeserver).await;
        let mut config = json!({
            "homeserver": { "url": homeserver.url(), "server_name": "localhost" },
            "listen": port.address(),
            "registration": registration,
            "database": format!("sqlite:{}", dir.path().join("bridge.db").display()),
        });
        merge(&mut config, section(&xmpp));
        merge(&mut config, changes);
        let config = dir.write("landbridge.yaml", &config.to_string());
        let bridge = Landbridge::start(dir.path(), ["run".into(), "--config".into(), config.into_os_string()]);
        let mut deployment = Self { bridge, xmpp, homeserver, port, dir };
        deployment.ready().await;
        deployment
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

    async fn ready(&mut self) {
        let below = if matches!(self.homeserver, XmppHomeserver::Within(_)) { "/_landbridge/xmpp" } else { "" };
        let health = format!("http://{}{below}/health", self.port.address());
        let http = http();
        let healthy =
            async |_: &crate::Process| http.get(&health).send().await.is_ok_and(|answer| answer.status().is_success());
        self.bridge.process().until("the bridge answers", healthy).await;
    }

    /// The path of the bridge's configuration.
    pub fn config(&self) -> std::path::PathBuf {
        self.dir.path().join("landbridge.yaml")
    }

    /// The folder of the bridge's files.
    pub fn folder(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Where the homeserver answers.
    pub fn url(&self) -> Url {
        self.homeserver.url()
    }

    /// The address of a room.
    pub fn room(&self, name: &str) -> String {
        self.xmpp.room(name)
    }

    /// The alias of a room's portal.
    pub fn alias(&self, name: &str) -> String {
        format!("#xmpp_{}:localhost", self.room(name).replace('@', "=40"))
    }

    /// The virtual user of somebody with an account.
    pub fn ghost(&self, name: &str) -> String {
        format!("@xmpp_{name}=40{}:localhost", self.xmpp.domain())
    }

    /// The address of a Matrix user.
    pub fn puppet(&self, name: &str) -> String {
        format!("{name}%localhost@matrix.{}", self.xmpp.domain())
    }

    /// Somebody new on Matrix.
    pub async fn matrix(&self, name: &str) -> MatrixUser {
        MatrixUser::register(&self.homeserver.url(), name).await
    }

    /// Somebody new on XMPP.
    pub async fn xmpp(&self, name: &str) -> XmppUser {
        XmppUser::connect(self.xmpp.clients(), self.xmpp.domain(), name).await
    }

    /// Somebody new on XMPP who is in a room, which is made if it is not there.
    pub async fn xmpp_in(&self, room: &str, name: &str) -> XmppUser {
        let user = self.xmpp(name).await;
        user.joins(&self.room(room), name).await;
        user
    }

    /// Joins a room's portal by its alias.
    pub async fn join<'a>(&self, user: &'a MatrixUser, room: &str) -> Room<'a> {
        user.joins(&self.alias(room)).await
    }

    /// Bob on XMPP and a Matrix user meet in the room `tea`: Bob, the room's address, the room in Matrix, and Bob as Matrix knows him.
    pub async fn in_tea<'a>(&self, user: &'a MatrixUser) -> (XmppUser, String, Room<'a>, String) {
        let bob = self.xmpp_in("tea", "bob").await;
        let room = self.join(user, "tea").await;
        let ghost = self.until_member(&room, "bob").await;
        (bob, self.room("tea"), room, ghost)
    }

    /// A room of a Matrix user's own, in which the bot has power too, joined to `room`, of which the bridge is an owner because `owner`
    /// made it so.
    pub async fn own_room<'a>(&self, user: &'a MatrixUser, owner: &XmppUser, room: &str) -> Room<'a> {
        owner.affiliates(&self.room(room), &self.bot_jid(), "owner").await;
        let own = user.creates_room(json!({ "name": "Her room", "preset": "public_chat" })).await;
        own.invites(&self.bot()).await;
        own.sees_membership(&self.bot(), "join").await;
        own.gives_power(&self.bot(), 90).await;
        own.says(&format!("!xmpp plumb {}", self.room(room))).await;
        own.sees_some(&self.bot(), "that it is joined", |event| event.body().contains("now joined")).await;
        own
    }

    /// The bridge's own Matrix user.
    pub fn bot(&self) -> String {
        "@xmppbot:localhost".to_owned()
    }

    /// The bridge's own occupant of rooms.
    pub fn bot_jid(&self) -> String {
        format!("bridge@matrix.{}", self.xmpp.domain())
    }

    /// The Matrix user who goes by this name in a room.
    pub async fn until_member(&self, room: &Room<'_>, name: &str) -> String {
        eventually(&format!("{name} is in the room"), || async {
            room.members()
                .await
                .into_iter()
                .find(|(id, called)| id.starts_with("@xmpp_") && called.as_deref() == Some(name))
                .map(|(id, _)| id)
        })
        .await
    }
}

/// What the bridge is told of an XMPP server.
fn section(xmpp: &Xmppd) -> Value {
    let address = xmpp.component();
    json!({
        // The servers of the tests are at private addresses.
        "bridge": { "media": { "fetch_private": true } },
        "xmpp": {
            "component": {
                "domain": format!("matrix.{}", xmpp.domain()), "secret": "s3cret", "host": address.ip(), "port": address.port(),
            },
        },
    })
}

async fn until_answers(homeserver: &mut XmppHomeserver) {
    let url = homeserver.url();
    let XmppHomeserver::Embedded(landbridge, _) = homeserver else { return };
    let versions = format!("{}_matrix/client/versions", url.as_str());
    let http = http();
    let answers =
        async |_: &crate::Process| http.get(&versions).send().await.is_ok_and(|answer| answer.status().is_success());
    landbridge.process().until("the homeserver answers", answers).await;
}

/// Puts what is in one object into another.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
