//! Many Matrix users in one room: everybody hears of everybody, and only what counts is looked at.
//!
//! The bridge's own part alone, over a real server: no homeserver stands behind it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use landbridge::{
    Network, Session,
    network::{
        ConnectionState, Dedupe, Host, IdempotencyKey, Identity, Ingested, RemoteEvent, RemoteOp, SessionId,
        async_trait,
        host::{Backend, Closed},
    },
};
use landbridge_tests::{Prosody, XmppUser};
use landbridge_xmpp::{
    XmppConfig, XmppNetwork,
    convert::{
        ids::{XmppMessage, XmppRoom, XmppUser as Person},
        outgoing::{Say, Wire},
    },
};
use ruma::UserId;
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// How many Matrix users speak.
const MANY: usize = 300;

/// What stands behind the host: it counts, and forgets.
#[derive(Default)]
struct Counting {
    told: std::sync::atomic::AtomicUsize,
}

#[async_trait]
impl Backend<XmppNetwork> for Counting {
    async fn ingest(
        &self,
        _session: &SessionId,
        _event: RemoteEvent<XmppNetwork>,
        _dedupe: Dedupe<XmppMessage>,
    ) -> Result<Ingested, Closed> {
        self.told.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(Ingested::New)
    }

    fn state(&self, _session: &SessionId, _state: ConnectionState) {}

    fn typing(&self, _session: &SessionId, _room: XmppRoom, _who: Person, _typing: bool) {}

    async fn rooms(&self) -> Result<Vec<XmppRoom>, Closed> {
        Ok(Vec::new())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_take_their_seats() {
    let prosody = Prosody::start().await;
    let bob = XmppUser::connect(prosody.clients(), "xmpp.test", "bob").await;
    bob.joins("tea@muc.xmpp.test", "bob").await;
    let address = prosody.component();
    let config: XmppConfig = serde_json::from_value(json!({
        "component": { "domain": "matrix.xmpp.test", "secret": "s3cret", "host": address.ip(), "port": address.port() },
    }))
    .expect("a configuration");
    let backend = Arc::new(Counting::default());
    let network = XmppNetwork::start(config, Host::new(backend.clone())).await.expect("a network");
    let room = XmppRoom::muc("tea@muc.xmpp.test").expect("a room");
    let stop = CancellationToken::new();
    let relay = Arc::new(network.session(SessionId::Relay, Identity::Relay));
    let running = tokio::spawn({
        let (relay, stop) = (relay.clone(), stop.clone());
        async move { relay.run(stop).await }
    });
    relay.room_info(&room).await.expect("the room is there");
    relay.enter(&room).await.expect("it lets us in");

    let (began, before) = (Instant::now(), memory());
    // One after the other, as the lane of a room delivers.
    for n in 0..MANY {
        let user_id = UserId::parse(format!("@u{n}:hs.test")).expect("a user id");
        let identity = Identity::AutoPuppet { user_id: user_id.clone(), display_name: format!("u{n}") };
        let session = network.session(SessionId::User(user_id), identity);
        let say = Say { id: format!("id-{n}"), body: format!("I am {n}"), ..Say::default() };
        let op = RemoteOp::<XmppNetwork>::send(room.clone(), Wire::Say(say).encode());
        let delivered = session.deliver(&op, &IdempotencyKey([0; 16]), 1).await.expect("it is taken");
        assert!(delivered.id.is_some(), "the room gave it an id");
    }
    let (took, grown) = (began.elapsed(), memory().saturating_sub(before));
    println!("{MANY} seats and as many messages in {took:?}, {} kB more memory", grown / 1024);
    for n in 0..MANY {
        bob.sees("tea@muc.xmpp.test", &format!("u{n}"), &format!("I am {n}")).await;
    }
    assert!(took < Duration::from_secs(150), "{took:?}");
    assert!(grown < 64 << 20, "{grown} bytes");
    // None of ours was told of as somebody else: the members, Bob, and hardly more.
    assert!(backend.told.load(std::sync::atomic::Ordering::Relaxed) < 10, "{:?}", backend.told);
    assert!(!running.is_finished(), "the link is still there");
    stop.cancel();
}

/// How much memory this process holds, in bytes (Linux).
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or_default() * 1024
}
