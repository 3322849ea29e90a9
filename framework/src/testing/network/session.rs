//! A session of the scripted network.

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{
    ScriptedNetwork,
    script::{Outcome, PANIC, Script},
};
use crate::{
    clock::Millis,
    network::{
        Caps, ConnectionError, ConnectionState, Delivered, Ephemeral, Host, IdempotencyKey, Identity, Landed, Reject,
        RemoteOp, RoomInfo, SendError, Session, SessionId, one_after_another,
    },
};

/// A session of a [`ScriptedNetwork`].
#[derive(Debug)]
pub struct ScriptedSession {
    script: Script,
    host: Host<ScriptedNetwork>,
    id: SessionId,
    name: Option<String>,
}

impl ScriptedSession {
    pub(super) fn new(script: Script, host: Host<ScriptedNetwork>, id: SessionId, identity: Identity) -> Self {
        let name = match identity {
            Identity::AutoPuppet { display_name, .. } => Some(display_name),
            Identity::Relay | Identity::Login { .. } | Identity::Gateway => None,
        };
        Self { script, host, id, name }
    }

    async fn until_cut(&self) -> ConnectionError {
        let mut changes = self.script.changes();
        loop {
            changes.mark_unchanged();
            if let Some(error) = self.script.take_cut(&self.id) {
                return error;
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

#[async_trait]
impl Session<ScriptedNetwork> for ScriptedSession {
    async fn run(&self, stop: CancellationToken) -> Result<(), ConnectionError> {
        if let Some(admitted) = self.script.admit(&self.id) {
            admitted?;
        }
        self.host.state(&self.id, ConnectionState::Connected { name: self.name.clone() });
        let ended = stop.run_until_cancelled(self.until_cut()).await;
        self.script.left(&self.id);
        if ended == Some(ConnectionError::Config(PANIC.to_owned())) {
            told_to_panic();
        }
        ended.map_or(Ok(()), Err)
    }

    fn caps(&self, _: &String) -> Caps {
        self.script.current_caps()
    }

    async fn deliver(
        &self,
        op: &RemoteOp<ScriptedNetwork>,
        key: &IdempotencyKey,
        _: u32,
    ) -> Result<Delivered<String>, SendError> {
        if !self.script.is_connected(&self.id) {
            return Err(SendError::Disconnected);
        }
        if let Some(keep) = self.script.withheld(&self.id) {
            return Err(SendError::Withheld { why: "you are muted".to_owned(), keep });
        }
        match self.script.next_outcome() {
            None => Ok(Delivered::named(self.script.land(&self.id, op, key))),
            Some(Outcome::Fail(error)) => Err(error),
            Some(Outcome::Maybe { landed }) => {
                if landed {
                    self.script.land(&self.id, op, key);
                }
                Err(SendError::MaybeSent("the answer was lost".to_owned()))
            }
        }
    }

    async fn may_speak(&self, _: &String) {
        let mut changes = self.script.changes();
        while self.script.is_withheld(&self.id) {
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn window(&self) -> usize {
        self.script.window()
    }

    async fn deliver_all(
        &self,
        ops: &[(RemoteOp<ScriptedNetwork>, IdempotencyKey)],
    ) -> Vec<Result<Delivered<String>, SendError>> {
        self.script.is_told_at_once(ops.len());
        one_after_another(self, ops).await
    }

    async fn reconcile(&self, _: &RemoteOp<ScriptedNetwork>, key: &IdempotencyKey, since: Millis) -> Landed<String> {
        self.script.is_asked_since(since);
        if self.script.is_unasked() {
            return Landed::NotNow;
        }
        match self.script.landed(key) {
            None => Landed::CannotTell,
            Some(None) => Landed::No,
            Some(id) => Landed::Yes { id },
        }
    }

    async fn ephemeral(&self, event: &Ephemeral<ScriptedNetwork>) {
        self.script.tell(event);
    }

    async fn room_info(&self, _: &String) -> Result<RoomInfo, SendError> {
        if self.script.is_closed() {
            return Err(SendError::Rejected(Reject::Forbidden("there is no such place".to_owned())));
        }
        Ok(RoomInfo::default())
    }

    async fn enter(&self, room: &String) -> Result<(), SendError> {
        self.script.enter(room, true);
        Ok(())
    }

    async fn leave(&self, room: &String) -> Result<(), SendError> {
        self.script.enter(room, false);
        Ok(())
    }
}

#[expect(clippy::panic, reason = "the test wants to see what becomes of it")]
pub(super) fn told_to_panic() {
    panic!("told to panic");
}
