//! The network against a recorder in place of the framework and a small server in place of XMPP.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use landbridge::{
    Millis,
    network::{
        Body, IdempotencyKey, Landed, Library, MatrixKind, PictureContent, SendError, Sender, Session as _,
        event::MatrixEvent as Said,
        host::{Busy, Closed},
    },
    testing::Recorder,
};
use ruma::{OwnedUserId, event_id, user_id};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::*;
use crate::{
    jid::Jid,
    muc::SeatState,
    stanza::{Element, ElementExt as _, ns},
};

mod doors;
mod invitations;
mod presence;
mod private;
mod rooms;
mod seats;
mod server;

use server::{Server, TEA};

const KEY: IdempotencyKey = IdempotencyKey([7; 16]);
const NOON: Millis = Millis(1_767_268_800_000);
const LISTENER: &str = "bridge@matrix.test/matrix";
const ALICE: &str = "alice%here@matrix.test/matrix";

/// Keeps notes and knows who is there, as the framework does.
#[derive(Default)]
struct Shelf {
    notes: parking_lot::Mutex<BTreeMap<(String, String), String>>,
    /// Matrix users of whom something else is known than that they are there; nothing, where the homeserver has not answered yet.
    people: watch::Sender<BTreeMap<OwnedUserId, Option<Result<bool, Busy>>>>,
}

impl Shelf {
    /// What the homeserver says of a user, if anything.
    fn says(&self, user_id: &UserId, found: Option<Result<bool, Busy>>) {
        self.people.send_modify(|people| {
            people.insert(user_id.to_owned(), found);
        });
    }
}

#[async_trait]
impl Library for Shelf {
    async fn exists(&self, user_id: &UserId) -> Result<bool, Busy> {
        let mut people = self.people.subscribe();
        let people = people.wait_for(|people| people.get(user_id) != Some(&None)).await.unwrap();
        people.get(user_id).copied().flatten().unwrap_or(Ok(true))
    }

    async fn note(&self, topic: &str, name: &str) -> Result<Option<String>, Closed> {
        Ok(self.notes.lock().get(&(topic.to_owned(), name.to_owned())).cloned())
    }

    async fn notes(&self, topic: &str) -> Result<Vec<(String, String)>, Closed> {
        let all = self.notes.lock();
        let under = all.iter().filter(|((known, _), _)| known == topic);
        Ok(under.map(|((_, name), text)| (name.clone(), text.clone())).collect())
    }

    async fn set_note(&self, topic: &str, name: &str, text: &str) -> Result<(), Closed> {
        // As a disk does, it takes a while.
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        let key = (topic.to_owned(), name.to_owned());
        match text {
            "" => self.notes.lock().remove(&key),
            _ => self.notes.lock().insert(key, text.to_owned()),
        };
        Ok(())
    }

    async fn picture_of(&self, _: &UserId, _: usize) -> Result<Option<PictureContent>, Closed> {
        Ok(None)
    }
}

/// The listener in `tea`, and a Matrix user's session.
struct Scene {
    server: Server,
    network: XmppNetwork,
    told: Arc<Recorder<XmppNetwork>>,
    shelf: Arc<Shelf>,
    listener: Arc<XmppSession>,
    alice: Arc<XmppSession>,
    running: Option<AbortOnDropHandle<()>>,
}

impl Scene {
    /// At noon, when the room was last heard.
    async fn start() -> Self {
        let mut scene = Self::before(Server::start(NOON).await, Arc::default()).await;
        scene.links().await;
        scene
    }

    /// The bridge is started again, with the notes of its earlier life; the link is up.
    async fn lives_again(&mut self) {
        self.server.breaks();
        self.is_unlinked().await;
        self.running = None;
        let next = Self::before(Server::start(NOON).await, Arc::clone(&self.shelf)).await;
        *self = next;
        self.connects().await;
    }

    /// Nothing runs yet but the server.
    async fn before(server: Server, shelf: Arc<Shelf>) -> Self {
        let (told, host) = Recorder::new();
        let host = host.with_library(Arc::clone(&shelf) as _);
        *told.heard_until.lock() = Some(NOON);
        let network = XmppNetwork::start(server.config(), host).await.unwrap();
        let listener = Arc::new(network.session(SessionId::Relay, Identity::Relay));
        let user_id = user_id!("@alice:here").to_owned();
        let identity = Identity::AutoPuppet { user_id: user_id.clone(), display_name: "alice".to_owned() };
        let alice = Arc::new(network.session(SessionId::User(user_id), identity));
        Self { server, network, told, shelf, listener, alice, running: None }
    }

    /// The link goes up, and the listener enters the room, which nobody waits for for long.
    async fn links(&mut self) {
        self.connects().await;
        let entered = tokio::time::timeout(Duration::from_secs(20), self.listener.enter(&tea())).await;
        entered.expect("the room answers at once").unwrap();
    }

    /// The link goes up.
    async fn connects(&mut self) {
        self.running = None;
        self.told.states.lock().clear();
        let listener = Arc::clone(&self.listener);
        let running = tokio::spawn(async move {
            let _ = listener.run(CancellationToken::new()).await;
        });
        self.running = Some(AbortOnDropHandle::new(running));
        self.told.connected(&SessionId::Relay).await;
    }

    /// Waits until the link is down.
    async fn is_unlinked(&self) {
        let mut outlet = self.listener.shared.outlet.subscribe();
        outlet.wait_for(Option::is_none).await.unwrap();
    }

    /// Alice says something in the room.
    fn event(&self, text: &str) -> MatrixEvent<XmppNetwork> {
        let user_id = user_id!("@alice:here").to_owned();
        Said {
            event_id: event_id!("$1").to_owned(),
            room: tea(),
            sender: Sender { user_id, display_name: "alice".into(), own_session: true },
            at: NOON,
            kind: MatrixKind::Message { body: Body::plain(text), reply_to: None },
        }
    }

    fn context(&self) -> Context<XmppNetwork> {
        Context::<XmppNetwork> {
            caps: self.alice.caps(&tea()),
            members: Vec::new(),
            puppets: vec![(user_id!("@alice:here").to_owned(), "alice".into())],
            server_name: "here".into(),
        }
    }

    fn op(&self, text: &str) -> RemoteOp<XmppNetwork> {
        self.network.to_remote(&self.event(text), &self.context()).unwrap().remove(0)
    }

    async fn hears(&self, text: &str) {
        let said = |event: &RemoteEvent<XmppNetwork>| match event {
            RemoteEvent::<XmppNetwork>::Message { body, .. } => (body.text.to_plain() == text).then_some(()),
            _ => None,
        };
        self.told.event(text, said).await;
    }
}

fn tea() -> XmppRoom {
    XmppRoom::muc(TEA).unwrap()
}

fn from(name: &'static str, who: &str, to: &str, kind: &str) -> Element {
    Element::stanza(name, who, to, kind)
}

fn body(text: &str) -> Element {
    Element::bare("body", ns::COMPONENT).with_text(text)
}

/// The presence of an occupant whom the room calls by this id.
fn occupant(nick: &str, kind: &str, id: &str) -> Element {
    let item = Element::bare("item", ns::MUC_USER).with("affiliation", "none").with("role", "participant");
    let presence = from("presence", &format!("{TEA}/{nick}"), LISTENER, kind);
    let presence = presence.child(Element::bare("x", ns::MUC_USER).child(item));
    presence.child(Element::bare("occupant-id", ns::OCCUPANT_ID).with("id", id))
}

fn gone(nick: &str, to: &str, codes: &[&str]) -> Element {
    let code = |code: &&str| Element::bare("status", ns::MUC_USER).with("code", *code);
    let presence = from("presence", &format!("{TEA}/{nick}"), to, "unavailable");
    presence.child(Element::bare("x", ns::MUC_USER).with_children(codes.iter().map(code)))
}

impl Scene {
    /// Alice says something in the room.
    async fn alice_says(&self, text: &str) -> Result<(), SendError> {
        self.alice.deliver(&self.op(text), &KEY, 1).await.map(drop)
    }

    async fn settles(&self) {
        self.server.until_answered(&self.told).await;
    }

    /// What the framework was told, beside who is there.
    fn events(&self) -> Vec<RemoteEvent<XmppNetwork>> {
        let events = self.told.events.lock();
        let all = events.iter().map(|(_, event, _)| event.clone());
        all.filter(|event| !matches!(event, RemoteEvent::<XmppNetwork>::Members { .. })).collect()
    }

    fn state(&self, seat: &XmppSession) -> SeatState {
        let room = Jid::parse(TEA).unwrap();
        seat.shared.with_room(&room, |state| state.room.state_of(&seat.seat)).unwrap()
    }
}

#[tokio::test]
async fn what_may_have_been_said_is_looked_for_from_when_it_may_have_been() {
    let mut scene = Scene::start().await;
    let op = scene.op("hello");
    scene.server.breaks_at_next_message();
    let said = scene.alice.deliver(&op, &KEY, 1).await;
    assert!(matches!(said, Err(SendError::MaybeSent(_))), "{said:?}");
    scene.is_unlinked().await;
    // The room was heard on, and nobody could be asked until now.
    let later = NOON + Duration::from_mins(5);
    scene.server.is_at(later);
    *scene.told.heard_until.lock() = Some(later);
    scene.links().await;
    let landed = scene.alice.reconcile(&op, &KEY, NOON).await;
    assert!(matches!(landed, Landed::Yes { id: Some(_) }), "{landed:?}");
    assert_eq!(scene.server.count("hello"), 1);
}

#[tokio::test]
async fn while_the_archive_is_busy_nobody_can_tell_yet() {
    let mut scene = Scene::start().await;
    let op = scene.op("hello");
    scene.server.breaks_at_next_message();
    scene.alice.deliver(&op, &KEY, 1).await.unwrap_err();
    scene.is_unlinked().await;
    *scene.told.heard_until.lock() = None;
    scene.server.archive_is_busy(1);
    scene.links().await;
    assert_eq!(scene.alice.reconcile(&op, &KEY, NOON).await, Landed::NotNow);
    assert!(matches!(scene.alice.reconcile(&op, &KEY, NOON).await, Landed::Yes { .. }));
}

#[tokio::test]
async fn what_was_missed_is_fetched_from_an_archive_that_was_busy_at_first() {
    let mut scene = Scene::start().await;
    scene.server.breaks();
    scene.is_unlinked().await;
    scene.server.says_unheard("bob", "where are you?");
    scene.server.archive_is_busy(2);
    scene.links().await;
    scene.hears("where are you?").await;
}

#[tokio::test]
async fn a_room_that_could_not_be_asked_for_a_seat_is_asked_over_the_next_link() {
    let mut scene = Scene::start().await;
    scene.server.breaks();
    scene.is_unlinked().await;
    let room = Jid::parse(TEA).unwrap();
    for seat in [&scene.listener.seat, &scene.alice.seat] {
        assert_eq!(scene.alice.shared.be_in(&room, seat).await, Err(SendError::Disconnected));
    }
    scene.links().await;
    let op = scene.op("hello");
    let said = tokio::time::timeout(Duration::from_secs(20), scene.alice.deliver(&op, &KEY, 1)).await;
    let said = said.expect("nobody waits for what was never sent");
    assert!(said.is_ok_and(|said| said.id.is_some()));
}

#[tokio::test]
async fn however_many_are_in_doubt_the_archive_is_read_for_all_of_them_together() {
    let mut scene = Scene::start().await;
    let op = scene.op("hello");
    scene.server.breaks_at_next_message();
    scene.alice.deliver(&op, &KEY, 1).await.unwrap_err();
    scene.is_unlinked().await;
    *scene.told.heard_until.lock() = None;
    scene.links().await;
    let asks = |stanza: &Element| stanza.get_child("query", ns::MAM).is_some();
    let asked = || scene.server.came().into_iter().filter(asks).count();
    let before = asked();
    let mut other = scene.event("never said");
    other.event_id = event_id!("$2").to_owned();
    let unsaid = scene.network.to_remote(&other, &scene.context()).unwrap().remove(0);
    let ops = [&op, &unsaid, &op, &unsaid, &op, &unsaid];
    let landed = join_all(ops.map(|op| scene.alice.reconcile(op, &KEY, NOON))).await;
    let yes = |landed: &Landed<_>| matches!(landed, Landed::Yes { id: Some(_) });
    assert_eq!(landed.iter().map(yes).collect::<Vec<_>>(), [true, false, true, false, true, false], "{landed:?}");
    assert_eq!(landed[1], Landed::No);
    assert!(asked() - before <= 2, "asked {} times", asked() - before);
    let room = Jid::parse(TEA).unwrap();
    let is_kept = scene.alice.shared.with_room(&room, |state| state.shelf.try_lock().unwrap().is_some());
    assert_eq!(is_kept, Some(false), "nobody needs it any more");
}
