//! The whole bridge: a simulated homeserver, the framework, the network, and a small IRC server.

use std::{sync::Arc, time::Duration};

use landbridge::{
    SystemClock,
    bridge::{Bridge, Setup},
    dispatch::{DispatchOptions, Kill},
    http::{Appservice, NetworkDirectory, router},
    matrix::{Client, ClientHomeserver, RetryPolicy},
    network::IdentityMode,
    sessions::SessionOptions,
    testing::{SimHomeserver, SimRoom, SimUser, names, registration},
};
use landbridge_registration::Registration;
use tempfile::TempDir;

use super::ircd::{Ircd, Person};
use crate::{IrcNetwork, config::IrcConfig};

/// A homeserver, an IRC server, the bridge between, and Alice (Matrix) with Bob (IRC) in `#lobby`.
struct Whole {
    homeserver: SimHomeserver,
    ircd: Ircd,
    bridge: Option<Bridge<IrcNetwork>>,
    alice: SimUser,
    bob: Person,
    room: SimRoom,
    registration: Registration,
    folder: TempDir,
}

async fn start(
    homeserver: &SimHomeserver,
    registration: &Registration,
    config: &str,
    folder: &TempDir,
) -> Bridge<IrcNetwork> {
    let client = Client::with_policy(homeserver.transport(), registration.as_token.clone(), RetryPolicy::once());
    let names = names("irc", "here");
    let matrix = ClientHomeserver::new(client, None, "irc".to_owned(), names.bot.clone());
    let setup = Setup {
        bridge_id: "irc".to_owned(),
        epoch: "1".to_owned(),
        database: format!("sqlite:{}", folder.path().join("bridge.db").display()),
        durability: Default::default(),
        names: names.clone(),
        sessions: SessionOptions { mode: IdentityMode::AutoPuppet, ..SessionOptions::default() },
        dispatch: DispatchOptions { first_wait: Duration::from_millis(20), ..DispatchOptions::default() },
        plumbed: Vec::new(),
        display_name: None,
        permissions: Default::default(),
        retention: Default::default(),
        chance: landbridge::chance::Chance::from_seed(1),
        metrics: landbridge::metrics::Metrics::default(),
        kill: Kill::default(),
    };
    let config: IrcConfig = serde_json::from_str(config).unwrap();
    let bridge = Bridge::<IrcNetwork>::start(setup, config, Arc::new(matrix), Arc::new(SystemClock)).await.unwrap();
    let directory = Arc::new(NetworkDirectory::new(Arc::clone(bridge.network()), names));
    let appservice = Appservice {
        hs_token: registration.hs_token.clone(),
        intake: bridge.intake(),
        directory,
        metrics: landbridge::metrics::Metrics::new(),
    };
    homeserver.connect(router(appservice, Default::default()));
    bridge
}

impl Whole {
    async fn start() -> Self {
        let ircd = Ircd::start().await;
        let homeserver = SimHomeserver::new("here");
        let folder = TempDir::new().unwrap();
        let registration = registration("irc", "here");
        homeserver.register(registration.clone());
        let bob = ircd.person("Bob", "bob");
        bob.send("JOIN #lobby");
        let bridge = start(&homeserver, &registration, &ircd.config("{}"), &folder).await;
        ircd.until_registered("landbridge").await;
        let alice = homeserver.user("alice");
        let room = alice.joins("#irc_#lobby:here").await.unwrap();
        Self { homeserver, ircd, bridge: Some(bridge), alice, bob, room, registration, folder }
    }
}

#[tokio::test]
async fn people_talk_and_everything_arrives_once() {
    let whole = Whole::start().await;
    whole.bob.send("PRIVMSG #lobby :hello");
    whole.room.hears("@irc_bob:here", "hello").await;
    whole.alice.says(&whole.room, "hi Bob");
    whole.bob.hears(":alice!~alice@127.0.0.1 PRIVMSG #lobby :hi Bob").await;
    whole.bob.send("PRIVMSG #lobby :alice: how are you?");
    let event = whole.room.hears("@irc_bob:here", "alice: how are you?").await;
    assert_eq!(event["content"]["m.mentions"]["user_ids"][0], "@alice:here", "{event}");
    whole.alice.says(&whole.room, "fine");
    whole.bob.hears(":alice!~alice@127.0.0.1 PRIVMSG #lobby :fine").await;
    whole.bob.send("PRIVMSG #lobby :good");
    whole.room.hears("@irc_bob:here", "good").await;
    assert_eq!(whole.room.messages().len(), 5, "{:?}", whole.room.messages());
}

#[tokio::test]
async fn membership_topic_and_names_follow() {
    let whole = Whole::start().await;
    whole.room.has("@irc_bob:here", "join").await;
    let carol = whole.ircd.person("carol", "carol");
    carol.send("JOIN #lobby");
    whole.room.has("@irc_carol:here", "join").await;
    carol.send("NICK caroline");
    whole.room.has("@irc_caroline:here", "join").await;
    whole.room.has("@irc_carol:here", "leave").await;
    carol.send("TOPIC #lobby :about things");
    let topic =
        |event: &serde_json::Value| event["type"] == "m.room.topic" && event["content"]["topic"] == "about things";
    whole.room.sees("the topic", topic).await;
    carol.quits();
    whole.room.has("@irc_caroline:here", "leave").await;
    whole.alice.sets(&whole.room, "m.room.topic", serde_json::json!({ "topic": "new topic" }));
    whole.bob.hears(":alice!~alice@127.0.0.1 TOPIC #lobby :new topic").await;
}

#[tokio::test]
async fn private_messages_make_a_room() {
    let whole = Whole::start().await;
    whole.alice.says(&whole.room, "hi");
    whole.bob.hears(":alice!~alice@127.0.0.1 PRIVMSG #lobby :hi").await;
    whole.bob.send("PRIVMSG alice :psst");
    let chat = loop {
        if let Some(room) = whole.homeserver.rooms().into_iter().find(|room| room.id != whole.room.id) {
            break room;
        }
        tokio::task::yield_now().await;
    };
    chat.has("@alice:here", "invite").await;
    whole.alice.joins(&chat.id).await.unwrap();
    chat.hears("@irc_bob:here", "psst").await;
    whole.alice.says(&chat, "what?");
    whole.bob.hears(":alice!~alice@127.0.0.1 PRIVMSG bob :what?").await;
}

#[tokio::test]
async fn a_restart_loses_nothing_and_doubles_nothing() {
    let mut whole = Whole::start().await;
    whole.alice.says(&whole.room, "before");
    whole.bob.hears(":alice!~alice@127.0.0.1 PRIVMSG #lobby :before").await;
    whole.homeserver.disconnect();
    whole.bridge.take().unwrap().stop(Duration::from_secs(5)).await;
    whole.alice.says(&whole.room, "meanwhile");
    whole.bridge = Some(start(&whole.homeserver, &whole.registration, &whole.ircd.config("{}"), &whole.folder).await);
    whole.bob.hears(":alice!~alice@127.0.0.1 PRIVMSG #lobby :meanwhile").await;
    whole.bob.send("PRIVMSG #lobby :after");
    whole.room.hears("@irc_bob:here", "after").await;
    assert_eq!(whole.bob.count(":alice!~alice@127.0.0.1 PRIVMSG #lobby :before"), 1);
    assert_eq!(whole.bob.count(":alice!~alice@127.0.0.1 PRIVMSG #lobby :meanwhile"), 1);
}

#[tokio::test]
async fn a_channel_that_cannot_be_entered_has_no_portal() {
    let whole = Whole::start().await;
    whole.ircd.forward("#old", "#new");
    assert!(whole.alice.joins("#irc_#old:here").await.is_none());
    assert!(whole.alice.joins("#irc_nonsense:here").await.is_none());
}
