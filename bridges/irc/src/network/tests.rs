//! The network against a recorder in place of the framework and a small server in place of IRC.

use std::sync::Arc;

use landbridge::{
    Millis,
    network::{
        Body, ConnectionState, Context, Ephemeral, EphemeralKind, Level, MatrixEvent, MatrixKind, Membership,
        Network as _, Power, Presence, RemoteOp, RoomKind, SendError, Sender, Session as _, Target, Whom,
        ids::IdempotencyKey,
    },
};
use ruma::{OwnedUserId, event_id, user_id};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;

mod invitations;
mod ircd;
mod observer;
mod power;
mod presence;
mod recorder;
mod whole;

use ircd::{Ircd, Person};
use recorder::{Recorder, network};

/// A network with its bot in `#lobby`, and somebody there.
struct Scene {
    ircd: Ircd,
    network: IrcNetwork,
    told: Arc<Recorder>,
    bot: Arc<IrcSession>,
    bob: Person,
    lobby: IrcRoom,
    stop: CancellationToken,
    /// Ends the bot alone.
    stop_bot: CancellationToken,
    bot_runs: JoinHandle<()>,
}

impl Scene {
    async fn start() -> Self {
        Self::with("{}").await
    }

    /// With these settings (JSON) besides the server.
    async fn with(settings: &str) -> Self {
        Self::over(Ircd::start().await, settings).await
    }

    /// Over this server.
    async fn over(ircd: Ircd, settings: &str) -> Self {
        let mut scene = Self::prepared(ircd, settings).await;
        scene.bob.send("JOIN #lobby");
        scene.bob.send("TOPIC #lobby :welcome");
        scene.bot_enters().await.unwrap();
        scene
    }

    /// Over this server, where the bot is not yet.
    async fn prepared(ircd: Ircd, settings: &str) -> Self {
        let (network, told) = network(&ircd.config(settings)).await;
        let bob = ircd.person("Bob", "bob");
        let (stop, stop_bot) = (CancellationToken::new(), CancellationToken::new());
        let bot = Arc::new(network.session(SessionId::Relay, Identity::Relay));
        let lobby = IrcRoom::channel("#lobby").unwrap();
        Self { ircd, network, told, bot, bob, lobby, stop, stop_bot, bot_runs: tokio::spawn(async {}) }
    }

    /// The bot connects and enters the lobby.
    async fn bot_enters(&mut self) -> Result<(), SendError> {
        self.told.states.lock().retain(|(session, _)| *session != SessionId::Relay);
        self.stop_bot = self.stop.child_token();
        self.bot = Arc::new(self.network.session(SessionId::Relay, Identity::Relay));
        let (bot, stop) = (Arc::clone(&self.bot), self.stop_bot.clone());
        self.bot_runs = tokio::spawn(async move { drop(bot.run(stop).await) });
        self.told.connected(&SessionId::Relay).await;
        self.bot.enter(&self.lobby).await
    }

    /// The bot leaves the network.
    async fn bot_quits(&mut self) {
        self.stop_bot.cancel();
        (&mut self.bot_runs).await.unwrap();
    }

    /// The running puppet of a Matrix user.
    async fn puppet(&self, name: &str) -> Arc<IrcSession> {
        let user_id = OwnedUserId::try_from(format!("@{name}:here")).unwrap();
        let identity = Identity::AutoPuppet { user_id: user_id.clone(), display_name: name.to_owned() };
        let id = SessionId::User(user_id);
        self.told.states.lock().retain(|(session, _)| *session != id);
        let session = run(&self.network, id.clone(), identity, &self.stop);
        self.told.connected(&id).await;
        session
    }

    async fn say(&self, session: &IrcSession, text: &str) -> Result<(), SendError> {
        for op in self.ops(MatrixKind::Message { body: Body::plain(text), reply_to: None }) {
            session.deliver(&op, &IdempotencyKey([7; 16]), 1).await?;
        }
        Ok(())
    }

    fn ops(&self, kind: MatrixKind<IrcUser, String>) -> Vec<RemoteOp<IrcNetwork>> {
        let event = MatrixEvent::<IrcNetwork> {
            event_id: event_id!("$1").to_owned(),
            room: self.lobby.clone(),
            sender: Sender {
                user_id: user_id!("@alice:here").to_owned(),
                display_name: "alice".into(),
                own_session: true,
            },
            at: Millis(0),
            kind,
        };
        let context = Context::<IrcNetwork> {
            caps: self.bot.caps(&self.lobby),
            members: Vec::new(),
            puppets: vec![(user_id!("@alice:here").to_owned(), "alice".into())],
            server_name: "here".into(),
        };
        self.network.to_remote(&event, &context).unwrap()
    }

    /// Everything that the framework was told anybody said, in order.
    fn said(&self) -> Vec<String> {
        let events = self.told.events.lock();
        events
            .iter()
            .filter_map(|(_, event, _)| match event {
                RemoteEvent::<IrcNetwork>::Message { sender, body, room, .. } => {
                    Some(format!("{room:?} {sender:?}: {}", body.text.to_plain()))
                }
                _ => None,
            })
            .collect()
    }

    /// Waits until everything that Bob has said until now was told.
    async fn caught_up(&self) {
        let marker = format!("marker {}", self.said().len());
        self.bob.send(&format!("PRIVMSG #lobby :{marker}"));
        self.told.until(&marker, |_| self.said().iter().any(|line| line.ends_with(&marker)).then_some(())).await;
    }
}

fn run(network: &IrcNetwork, id: SessionId, identity: Identity, stop: &CancellationToken) -> Arc<IrcSession> {
    let session = Arc::new(network.session(id, identity));
    let (running, stop) = (Arc::clone(&session), stop.clone());
    tokio::spawn(async move { running.run(stop).await });
    session
}

#[tokio::test]
async fn what_is_said_crosses_once_and_comes_back_never() {
    let scene = Scene::start().await;
    let alice = scene.puppet("alice").await;
    scene.say(&alice, "hello").await.unwrap();
    scene.bob.hears(":alice!~alice@127.0.0.1 PRIVMSG #lobby :hello").await;
    scene.bob.send("PRIVMSG #lobby :hi \x02alice\x02");
    scene.bob.send("PRIVMSG #lobby :\x01ACTION waves\x01");
    scene.bob.send("PRIVMSG #lobby :\x02\x0304\x0f");
    scene.bob.send("PRIVMSG #lobby :\x01ACTION\x01");
    scene.say(&alice, "again").await.unwrap();
    scene.caught_up().await;
    assert_eq!(scene.said()[..2], ["#lobby bob: hi alice", "#lobby bob: waves"]);
    assert_eq!(scene.said().len(), 3, "{:?}", scene.said());
    assert_eq!(scene.bob.count(":alice!~alice@127.0.0.1 PRIVMSG #lobby :hello"), 1);
}

#[tokio::test]
async fn members_and_topic_are_told_when_the_channel_is_entered() {
    let scene = Scene::start().await;
    let bob = IrcUser::new("bob", crate::casemapping::Casemapping::Ascii);
    let members = scene.told.event("members", |event| match event {
        RemoteEvent::<IrcNetwork>::Members { members, .. } => Some(members.clone()),
        _ => None,
    });
    assert_eq!(members.await, [(bob.clone(), Some("Bob".to_owned()))]);
    let topic = |event: &RemoteEvent<IrcNetwork>| match event {
        RemoteEvent::<IrcNetwork>::Topic { topic, .. } => Some(topic.clone()),
        _ => None,
    };
    assert_eq!(scene.told.event("a topic", topic).await, "welcome");
    scene.puppet("alice").await;
    scene.bob.send("NICK Robert");
    let renamed = |event: &RemoteEvent<IrcNetwork>| match event {
        RemoteEvent::<IrcNetwork>::Renamed { from, to, .. } => Some((from.clone(), to.clone())),
        _ => None,
    };
    assert_eq!(scene.told.event("a rename", renamed).await.0, bob);
    scene.bob.quits();
    let left = |event: &RemoteEvent<IrcNetwork>| match event {
        RemoteEvent::<IrcNetwork>::Member { who, membership: Membership::Leave, .. } => Some(format!("{who:?}")),
        _ => None,
    };
    assert_eq!(scene.told.event("a leave", left).await, "robert");
}

#[tokio::test]
async fn p2_forced_renames_and_squatters_are_told_apart() {
    let scene = Scene::start().await;
    let alice = scene.puppet("alice").await;
    scene.say(&alice, "one").await.unwrap();
    scene.ircd.force_nick("alice", "Guest7");
    scene.say(&alice, "two").await.unwrap();
    scene.bob.hears(":Guest7!~alice@127.0.0.1 PRIVMSG #lobby :two").await;
    let squatter = scene.ircd.person("alice", "mallory");
    squatter.send("JOIN #lobby");
    squatter.send("PRIVMSG #lobby :I am alice");
    scene.say(&alice, "three").await.unwrap();
    scene.caught_up().await;
    assert_eq!(scene.said()[0], "#lobby alice: I am alice");
    assert_eq!(scene.said().len(), 2, "{:?}", scene.said());
}

#[tokio::test]
async fn private_messages_reach_the_puppets_user_and_go_back() {
    let scene = Scene::start().await;
    let alice = scene.puppet("alice").await;
    scene.bob.send("NOTICE alice :greetings from services");
    scene.bob.send("PRIVMSG alice :psst");
    scene.told.until("a private message", |_| (!scene.said().is_empty()).then_some(())).await;
    assert_eq!(scene.said(), ["pm bob @alice:here bob: psst"]);
    let mut op = scene.ops(MatrixKind::Message { body: Body::plain("yes?"), reply_to: None }).remove(0);
    op.room = IrcRoom::decode("pm bob @alice:here").unwrap();
    alice.deliver(&op, &IdempotencyKey([8; 16]), 1).await.unwrap();
    scene.bob.hears(":alice!~alice@127.0.0.1 PRIVMSG bob :yes?").await;
    op.room = IrcRoom::decode("pm nobody @alice:here").unwrap();
    let refused = alice.deliver(&op, &IdempotencyKey([9; 16]), 1).await;
    assert!(matches!(refused, Err(SendError::Rejected(_))), "{refused:?}");
}

#[tokio::test]
async fn kicks_cross_both_ways() {
    let scene = Scene::start().await;
    let alice = scene.puppet("alice").await;
    scene.say(&alice, "hello").await.unwrap();
    let on = IrcUser::new("carol", crate::casemapping::Casemapping::Ascii);
    let carol = scene.ircd.person("carol", "carol");
    carol.send("JOIN #lobby");
    for op in scene.ops(MatrixKind::Act { on, membership: Membership::Kick, reason: Some("spam".into()) }) {
        alice.deliver(&op, &IdempotencyKey([7; 16]), 1).await.unwrap();
    }
    carol.hears(":alice!~alice@127.0.0.1 KICK #lobby carol :spam").await;
    scene.bob.send("KICK #lobby alice :out");
    let expelled = |event: &RemoteEvent<IrcNetwork>| match event {
        RemoteEvent::<IrcNetwork>::Expelled { user_id, by, .. } => Some((user_id.clone(), format!("{by:?}"))),
        _ => None,
    };
    let (user_id, by) = scene.told.event("an expulsion", expelled).await;
    assert_eq!((user_id.as_str(), by.as_str()), ("@alice:here", "Some(bob)"));
    // P3: what the puppet says next brings it back.
    scene.say(&alice, "back").await.unwrap();
    scene.bob.hears(":alice!~alice@127.0.0.1 PRIVMSG #lobby :back").await;
}

/// Says three lines at once, of which the server refuses the second and does not say which it was.
async fn three_of_which_one_is_refused(settings: &str) {
    let scene = Scene::with(settings).await;
    let alice = scene.puppet("alice").await;
    scene.say(&alice, "hello").await.unwrap();
    scene.ircd.forbid("badword");
    let lines = ["first", "a badword", "third"].into_iter().enumerate().flat_map(|(number, text)| {
        let ops = scene.ops(MatrixKind::Message { body: Body::plain(text), reply_to: None });
        ops.into_iter().map(move |op| (op, IdempotencyKey([number as u8; 16])))
    });
    let results = alice.deliver_all(&lines.collect::<Vec<_>>()).await;
    assert!(matches!(results[..], [Ok(_), Err(SendError::Rejected(_)), Ok(_)]), "{results:?}");
    scene.bob.hears(":alice!~alice@127.0.0.1 PRIVMSG #lobby :third").await;
}

#[tokio::test]
async fn of_several_lines_the_refused_one_is_known_by_its_ping() {
    three_of_which_one_is_refused("{}").await;
}

#[tokio::test]
async fn of_several_lines_under_one_ping_the_refused_one_is_known_by_what_the_bot_heard() {
    three_of_which_one_is_refused(r#"{"flood": {"burst": 100}}"#).await;
}

#[tokio::test]
async fn p3_who_was_put_out_unheard_says_all_of_it_again_in_order() {
    let scene = Scene::start().await;
    let alice = scene.puppet("alice").await;
    scene.say(&alice, "hello").await.unwrap();
    scene.ircd.remove("#lobby", "alice");
    let lines = ["one", "two", "three"].into_iter().enumerate().flat_map(|(number, text)| {
        let ops = scene.ops(MatrixKind::Message { body: Body::plain(text), reply_to: None });
        ops.into_iter().map(move |op| (op, IdempotencyKey([number as u8; 16])))
    });
    let results = alice.deliver_all(&lines.collect::<Vec<_>>()).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let heard: Vec<String> = scene.bob.lines().into_iter().filter(|line| line.contains("PRIVMSG #lobby")).collect();
    let said = ["hello", "one", "two", "three"].map(|text| format!(":alice!~alice@127.0.0.1 PRIVMSG #lobby :{text}"));
    assert_eq!(heard, said);
}

#[tokio::test]
async fn p4_lines_actions_topics_and_joins_keep_their_order() {
    let scene = Scene::start().await;
    scene.caught_up().await;
    scene.told.events.lock().clear();
    let carol = scene.ircd.person("carol", "carol");
    carol.send("JOIN #lobby");
    carol.send("PRIVMSG #lobby :one");
    carol.send("PRIVMSG #lobby :\x01ACTION two\x01");
    carol.send("TOPIC #lobby :three");
    carol.send("NOTICE #lobby :four");
    carol.quits();
    scene.caught_up().await;
    let kinds: Vec<_> =
        scene.told.events.lock().iter().map(|(_, event, _)| serde_json::to_value(event).unwrap()).collect();
    let kinds: Vec<_> = kinds.iter().map(|event| event.as_object().unwrap().keys().next().unwrap().clone()).collect();
    assert_eq!(kinds[..6], ["member", "message", "message", "topic", "message", "member"]);
}

#[tokio::test]
async fn p5_a_netsplit_leaves_no_zombies() {
    let scene = Scene::start().await;
    let carol = scene.ircd.person("carol", "carol");
    carol.send("JOIN #lobby");
    scene.ircd.quit_of("carol", "irc.one.test irc.two.test");
    let left = |event: &RemoteEvent<IrcNetwork>| match event {
        RemoteEvent::<IrcNetwork>::Member { who, membership: Membership::Leave, .. } => Some(format!("{who:?}")),
        _ => None,
    };
    assert_eq!(scene.told.event("a leave", left).await, "carol");
}

/// The power that the framework was told last.
#[tokio::test]
async fn what_is_taken_back_is_taken_back_on_both_sides() {
    let scene = Scene::over(Ircd::start_with("message-tags draft/message-redaction").await, "{}").await;
    let alice = scene.puppet("alice").await;
    scene.say(&alice, "hello").await.unwrap();
    let target = Target {
        event_id: event_id!("$2").to_owned(),
        messages: vec!["m1".to_owned()],
        author: None,
        author_name: "alice".to_owned(),
        excerpt: None,
    };
    for op in scene.ops(MatrixKind::Redact { target, reason: None }) {
        alice.deliver(&op, &IdempotencyKey([5; 16]), 1).await.unwrap();
    }
    scene.ircd.until("alice: REDACT #lobby m1").await;
    scene.ircd.announce("#lobby", ":alice!~alice@127.0.0.1 REDACT #lobby m1");
    scene.ircd.announce("#lobby", ":Bob!~bob@127.0.0.1 REDACT #lobby m2 :a slip");
    let redacted = |event: &RemoteEvent<IrcNetwork>| match event {
        RemoteEvent::<IrcNetwork>::Redact { target, reason, .. } => Some((target.clone(), reason.clone())),
        _ => None,
    };
    let first = scene.told.event("a redaction", redacted).await;
    assert_eq!(first, ("m2".to_owned(), Some("a slip".to_owned())), "her own came from Matrix");
}

#[tokio::test]
async fn an_invitation_brings_the_bot_into_a_bridged_channel_and_no_other() {
    let scene = Scene::start().await;
    scene.ircd.shut("#closed", true);
    let closed = IrcRoom::channel("#closed").unwrap();
    assert!(scene.bot.enter(&closed).await.is_err(), "by invitation only");
    scene.ircd.tell("landbridge", ":Bob!~bob@127.0.0.1 INVITE landbridge #elsewhere");
    scene.ircd.shut("#closed", false);
    scene.ircd.tell("landbridge", ":Bob!~bob@127.0.0.1 INVITE landbridge #closed");
    scene.told.until("the channel", |_| scene.bot.link.is_in("#closed").then_some(())).await;
    assert_eq!(scene.ircd.count_lines("JOIN #elsewhere"), 0);
}

#[tokio::test]
async fn a_host_that_wants_tls_is_reached_over_tls_until_it_says_otherwise() {
    let (network, _) = network(r#"{"servers": ["irc://irc.example:6667", "irc://other.example"]}"#).await;
    let endpoint = || {
        let endpoint = network.0.endpoint(true).unwrap();
        (endpoint.host, endpoint.port, endpoint.tls.is_some())
    };
    network.0.use_tls("irc.example", 6700);
    assert_eq!(endpoint(), ("irc.example".to_owned(), 6700, true));
    network.0.use_tls_for("irc.example", std::time::Duration::from_secs(60));
    assert_eq!(endpoint(), ("irc.example".to_owned(), 6700, true));
    network.0.use_tls_for("irc.example", std::time::Duration::ZERO);
    assert_eq!(endpoint(), ("irc.example".to_owned(), 6667, false));
    network.0.try_next_server();
    assert_eq!(endpoint(), ("other.example".to_owned(), 6667, false));
}

#[tokio::test]
async fn p20_words_to_everybody_are_no_conversation() {
    let scene = Scene::start().await;
    scene.puppet("alice").await;
    for nick in ["alice", "landbridge"] {
        scene.ircd.tell(nick, ":oper!o@h PRIVMSG $$* :to all");
        scene.ircd.tell(nick, ":oper!o@h NOTICE $$*.test :to all");
        scene.ircd.tell(nick, &format!(":irc.test NOTICE {nick} :from the server"));
    }
    scene.bob.send("PRIVMSG alice :psst");
    scene.caught_up().await;
    scene.told.until("the private message", |_| (scene.said().len() == 2).then_some(())).await;
    assert!(scene.said().iter().all(|line| !line.contains("to all")), "{:?}", scene.said());
}

#[tokio::test]
async fn lazy_members_are_those_who_spoke() {
    let scene = Scene::with(r#"{"membership": "lazy"}"#).await;
    let carol = scene.ircd.person("carol", "carol");
    carol.send("JOIN #lobby");
    let dora = scene.ircd.person("dora", "dora");
    dora.send("JOIN #lobby");
    dora.send("PRIVMSG #lobby :hi");
    carol.quits();
    dora.quits();
    scene.caught_up().await;
    let members: Vec<String> = scene
        .told
        .events
        .lock()
        .iter()
        .filter_map(|(_, event, _)| match event {
            RemoteEvent::<IrcNetwork>::Member { who, membership, .. } => Some(format!("{who:?} {membership:?}")),
            RemoteEvent::<IrcNetwork>::Members { .. } => Some("all".to_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(members, ["dora Leave"]);
}

#[tokio::test]
async fn the_bot_speaks_for_those_without_a_connection() {
    let scene = Scene::start().await;
    let mut op = scene.ops(MatrixKind::Message { body: Body::plain("x"), reply_to: None }).remove(0);
    op.wire = crate::convert::outgoing::Wire::Say {
        how: crate::convert::outgoing::How::Message,
        text: "<carol> hi".into(),
        tags: Vec::new(),
    }
    .encode();
    scene.bot.deliver(&op, &IdempotencyKey([3; 16]), 1).await.unwrap();
    scene.bob.hears(":landbridge!~landbrdge@127.0.0.1 PRIVMSG #lobby :<carol> hi").await;
    scene.caught_up().await;
    assert_eq!(scene.said().len(), 1, "{:?}", scene.said());
}

#[tokio::test]
async fn p13_a_channel_that_sends_us_on_is_not_entered() {
    let scene = Scene::start().await;
    scene.ircd.forward("#old", "#new");
    let refused = scene.bot.enter(&IrcRoom::channel("#old").unwrap()).await;
    assert!(matches!(refused, Err(SendError::Rejected(_))), "{refused:?}");
    scene.ircd.until("landbridge: PART #new :this channel is not bridged").await;
}

#[tokio::test]
async fn p16_a_storm_of_display_names_is_one_nick() {
    let scene = Scene::start().await;
    let alice = scene.puppet("alice").await;
    scene.say(&alice, "hello").await.unwrap();
    for number in 0..20 {
        for op in scene.ops(MatrixKind::DisplayName(format!("Alice{number}"))) {
            alice.deliver(&op, &IdempotencyKey([number; 16]), 1).await.unwrap();
        }
    }
    let renamed = scene.told.until("another nick", |told| {
        told.states.lock().iter().find_map(|(_, state)| match state {
            ConnectionState::Connected { name: Some(name) } if name.starts_with("Alice") => Some(name.clone()),
            _ => None,
        })
    });
    renamed.await;
    scene.caught_up().await;
    assert_eq!(scene.ircd.count_lines(" NICK Alice"), 1);
}

#[tokio::test]
async fn a_lost_connection_is_told_and_another_takes_its_place() {
    let scene = Scene::start().await;
    let id = SessionId::User(user_id!("@alice:here").to_owned());
    let identity = Identity::AutoPuppet { user_id: user_id!("@alice:here").to_owned(), display_name: "alice".into() };
    let alice = Arc::new(scene.network.session(id.clone(), identity));
    let (running, stop) = (Arc::clone(&alice), scene.stop.clone());
    let ended = tokio::spawn(async move { running.run(stop).await });
    scene.told.connected(&id).await;
    scene.ircd.quit_of("alice", "Killed");
    let ended = ended.await.unwrap();
    assert!(ended.is_err(), "{ended:?}");
    assert_eq!(scene.say(&alice, "x").await, Err(SendError::Disconnected));
    let again = scene.puppet("alice").await;
    scene.say(&again, "back").await.unwrap();
    scene.bob.hears(":alice!~alice@127.0.0.1 PRIVMSG #lobby :back").await;
}

#[tokio::test]
async fn stopping_says_goodbye() {
    let scene = Scene::start().await;
    scene.puppet("alice").await;
    scene.stop.cancel();
    scene.ircd.until("alice: QUIT").await;
    scene.ircd.until("landbridge: QUIT").await;
}

#[tokio::test]
async fn aliases_and_localparts_name_rooms_and_users_of_irc() {
    let (network, _) = network("{}").await;
    let room = network.room_from_alias("#lobby").unwrap();
    assert_eq!(room, IrcRoom::channel("#Lobby").unwrap());
    assert_eq!(network.room_alias(&room).as_deref(), Some("#lobby"));
    assert_eq!(network.room_from_alias("lobby"), None);
    assert_eq!(network.room_from_alias("pm=20bob=20=40alice=3ahere"), None);
    let bob = network.user_from_localpart("bob").unwrap();
    assert_eq!(network.user_localpart(&bob), "bob");
    assert_eq!(network.user_from_localpart("Bob"), None);
    // On a server that folds as RFC 1459 does, `bob[1]` is `bob{1}`.
    assert_eq!(network.user_from_localpart("bob=5b1=5d"), None);
    assert!(network.user_from_localpart("bob=7b1=7d").is_some());
    let direct = network.direct_room(user_id!("@alice:here"), &bob).unwrap();
    assert_eq!(network.room_kind(&direct), RoomKind::Direct { owner: user_id!("@alice:here").to_owned(), with: bob });
    assert_eq!(network.room_alias(&direct), None);
}
