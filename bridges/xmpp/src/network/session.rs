//! The bridge's own session, which is the link, and those of Matrix users, which are addresses on it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use landbridge::{
    Millis,
    network::{
        Caps, Confirmation, ConnectionError, ConnectionState, Delivered, Ephemeral, Found, Idempotency, IdempotencyKey,
        Identity, Landed, Level, Profile, Reject, RemoteId as _, RemoteOp, RoomInfo, SendError, Session, SessionId,
    },
};
use tokio_util::sync::CancellationToken;

use super::{XmppNetwork, among::say_all, shared::Shared};
use crate::{
    convert::ids::{XmppMessage, XmppRoom, XmppUser},
    jid::Jid,
    muc::{SeatId, nick},
};

/// How long somebody who asks for a room waits for the link.
const SOON: Duration = Duration::from_secs(10);
/// How many messages of one room are on their way at once: each comes back from the room, but need not be waited for before the next.
const TOGETHER: usize = 32;
/// How long a session that ends waits to hear whether everything ends.
const LAST_WORD: Duration = Duration::from_millis(100);

/// One session.
#[derive(Debug)]
pub struct XmppSession {
    pub(super) id: SessionId,
    pub(super) seat: SeatId,
    pub(super) shared: Arc<Shared>,
}

impl XmppSession {
    pub(super) fn new(id: SessionId, identity: Identity, shared: Arc<Shared>) -> Self {
        let seat = match identity {
            Identity::AutoPuppet { user_id, display_name } => {
                shared.is_called(&user_id, &display_name);
                SeatId::Puppet(user_id)
            }
            Identity::Login { user_id, .. } => SeatId::Puppet(user_id),
            Identity::Relay | Identity::Gateway => SeatId::Listener,
        };
        Self { id, seat, shared }
    }

    /// The life of a Matrix user's session: as long as the link, whenever that is.
    async fn sit(&self, stop: CancellationToken) -> Result<(), ConnectionError> {
        let SeatId::Puppet(user_id) = &self.seat else { return Ok(()) };
        if self.shared.own.jid(user_id).is_none() {
            return Err(ConnectionError::Config("the user id cannot be an XMPP address".to_owned()));
        }
        let mut outlet = self.shared.outlet.subscribe();
        let told = async {
            loop {
                // The sender lives as long as `self.shared`.
                let _ = outlet.wait_for(Option::is_some).await;
                let name = nick::candidate(&self.shared.display_name(user_id), user_id, 0);
                self.shared.host.state(&self.id, ConnectionState::Connected { name: Some(name) });
                let _ = outlet.wait_for(Option::is_none).await;
                let why = "the link to the XMPP server is down".to_owned();
                self.shared.host.state(&self.id, ConnectionState::Disconnected(why));
            }
        };
        stop.run_until_cancelled(told).await;
        // Who stops with the whole bridge stays in their seats: after a restart, nobody has noticed.
        tokio::time::sleep(LAST_WORD).await;
        if !self.shared.stopping.lock().is_cancelled() {
            self.leave_everything().await;
        }
        Ok(())
    }

    async fn leave_everything(&self) {
        let rooms: Vec<Jid> = self.shared.rooms.lock().keys().cloned().collect();
        for room in rooms {
            let out = self.shared.with_room(&room, |state| state.room.leave(&self.seat, None));
            self.shared.send_all(out.unwrap_or_default()).await;
        }
    }

    /// Waits a while for the link.
    pub(super) async fn soon_linked(&self) -> Result<(), SendError> {
        let mut outlet = self.shared.outlet.subscribe();
        match tokio::time::timeout(SOON, outlet.wait_for(Option::is_some)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(SendError::Disconnected),
        }
    }
}

#[async_trait]
impl Session<XmppNetwork> for XmppSession {
    async fn run(&self, stop: CancellationToken) -> Result<(), ConnectionError> {
        self.shared.host.state(&self.id, ConnectionState::Connecting);
        match &self.seat {
            SeatId::Listener => self.run_link(stop).await,
            SeatId::Puppet(_) => self.sit(stop).await,
        }
    }

    fn caps(&self, room: &XmppRoom) -> Caps {
        let muc = matches!(room, XmppRoom::Muc(_));
        Caps {
            text_max_bytes: Some(self.shared.config.component.max_stanza_bytes / 4),
            formatting: Level::Partial,
            media: Level::Full,
            reply: Level::Full,
            edit: Level::Full,
            redact: Level::Full,
            react: Level::Full,
            typing: Level::Full,
            receipts: Level::Full,
            topic: if muc { Level::Full } else { Level::Drop },
            name: if muc { Level::Full } else { Level::Drop },
            member_actions: if muc { Level::Full } else { Level::Drop },
            idempotency: if muc { Idempotency::EchoTagged } else { Idempotency::None },
            ..Caps::default()
        }
    }

    async fn deliver(
        &self,
        op: &RemoteOp<XmppNetwork>,
        key: &IdempotencyKey,
        attempt: u32,
    ) -> Result<Delivered<XmppMessage>, SendError> {
        self.do_op(op, key, attempt).await
    }

    fn window(&self) -> usize {
        TOGETHER
    }

    async fn deliver_among(
        &self,
        ops: &[(Arc<Self>, RemoteOp<XmppNetwork>, IdempotencyKey)],
    ) -> Vec<Confirmation<XmppNetwork>> {
        say_all(ops).await
    }

    async fn may_speak(&self, room: &XmppRoom) {
        match room {
            XmppRoom::Muc(jid) => self.until_voiced(jid).await,
            XmppRoom::Direct { .. } => std::future::pending().await,
        }
    }

    async fn reconcile(&self, op: &RemoteOp<XmppNetwork>, key: &IdempotencyKey, since: Millis) -> Landed<XmppMessage> {
        self.find_out(op, key, since).await
    }

    async fn ephemeral(&self, event: &Ephemeral<XmppNetwork>) {
        self.show(event).await;
    }

    async fn enter(&self, room: &XmppRoom) -> Result<(), SendError> {
        let XmppRoom::Muc(jid) = room else { return Ok(()) };
        self.shared.know_room(jid, |state| state.wanted = true);
        self.listen_in(jid).await
    }

    async fn call_back(&self, room: &XmppRoom) -> Result<(), SendError> {
        if let XmppRoom::Muc(jid) = room {
            self.shared.is_wanted_back(jid).await;
        }
        self.enter(room).await
    }

    async fn leave(&self, room: &XmppRoom) -> Result<(), SendError> {
        let XmppRoom::Muc(jid) = room else { return Ok(()) };
        let Some(mut state) = self.shared.rooms.lock().remove(jid) else { return Ok(()) };
        let seats: Vec<SeatId> = state.room.seats().map(|(id, _)| id.clone()).collect();
        for seat in seats {
            let out = state.room.leave(&seat, None);
            self.shared.send_all(out).await;
        }
        Ok(())
    }

    async fn room_info(&self, room: &XmppRoom) -> Result<RoomInfo, SendError> {
        let XmppRoom::Muc(jid) = room else { return Ok(RoomInfo::default()) };
        if !self.shared.config.allows(jid.as_str()) {
            return Err(SendError::Rejected(Reject::Policy(format!("{jid} may not be bridged"))));
        }
        self.soon_linked().await?;
        let info = self.ask_room(jid).await?;
        // Somebody wants the room anew, whatever was.
        self.shared.is_wanted_back(jid).await;
        self.listen_in(jid).await?;
        Ok(info)
    }

    async fn user_info(&self, user: &XmppUser) -> Result<Profile, SendError> {
        let nick = {
            let rooms = self.shared.rooms.lock();
            rooms.values().find_map(|state| state.room.find(user).map(|occupant| occupant.nick.clone()))
        };
        let node = user.jid().and_then(|jid| jid.node().map(str::to_owned));
        Ok(Profile { name: nick.or(node), avatar: None })
    }

    async fn resolve(&self, query: &str) -> Result<Found<XmppRoom, XmppUser>, SendError> {
        let query = query.trim().trim_start_matches("xmpp:");
        let jid = Jid::parse(query).filter(|jid| jid.domain() != self.shared.own.domain);
        let user = jid.as_ref().filter(|jid| jid.node().is_some()).map(XmppUser::of_jid);
        Ok(Found { room: jid.and_then(|jid| XmppRoom::decode(jid.bare_str())), user })
    }
}
