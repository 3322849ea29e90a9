//! A network that does what the test says.

mod caps;
mod convert;
mod script;
mod session;

use std::fmt;

use async_trait::async_trait;
use serde::Deserialize;

pub use self::{
    script::{Heard, Said, Script},
    session::ScriptedSession,
};
use crate::network::{
    ConfigIssue, Context, Host, Identity, IdentityMode, MatrixEvent, MatrixKind, MatrixOp, Network, NetworkInfo,
    Reject, RemoteOp, RoomKind, SessionId, op::carry_over,
};

/// A network whose rooms (`#lobby`), users (`bob`) and messages (`m1`) are plain text, and whose server is the test: see [`Script`].
///
/// It tells the network `room` → `alice: hi` through the relay and `hi` through a session of alice's own; emotes as `* alice waves`,
/// edits as `alice: hi*`, redactions as `alice takes back m1`. Rooms named `=owner=user` are private. A file that is called
/// `upload` is stored, and its link is told.
pub struct ScriptedNetwork {
    script: Script,
    host: Host<Self>,
}

impl fmt::Debug for ScriptedNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScriptedNetwork")
    }
}

/// Holds the script; in YAML, nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptedConfig {
    /// What the test drives the network with.
    #[serde(skip)]
    pub script: Script,
}

#[async_trait]
impl Network for ScriptedNetwork {
    type Room = String;
    type User = String;
    type Message = String;
    type Config = ScriptedConfig;
    type Session = ScriptedSession;

    const INFO: NetworkInfo =
        NetworkInfo { id: "test", name: "Test", modes: &[IdentityMode::Relay, IdentityMode::AutoPuppet] };

    async fn start(config: ScriptedConfig, host: Host<Self>) -> Result<Self, ConfigIssue> {
        config.script.attach(host.clone());
        Ok(Self { script: config.script, host })
    }

    fn session(&self, id: SessionId, identity: Identity) -> ScriptedSession {
        ScriptedSession::new(self.script.clone(), self.host.clone(), id, identity)
    }

    fn to_remote(&self, event: &MatrixEvent<Self>, context: &Context<Self>) -> Result<Vec<RemoteOp<Self>>, Reject> {
        if self.script.has_panics()
            && let MatrixKind::Message { body, .. } = &event.kind
            && body.text.to_plain() == "panic"
        {
            session::told_to_panic();
        }
        convert::to_remote(event, context)
    }

    fn to_matrix(&self, event: &Heard, _: &Context<Self>) -> Result<Vec<MatrixOp<Self>>, Reject> {
        if self.script.has_panics() && matches!(event, Heard::Message { sender, .. } if sender == "panic") {
            session::told_to_panic();
        }
        Ok(carry_over(event))
    }

    fn room_kind(&self, room: &String) -> RoomKind<String> {
        let direct = room.strip_prefix('=').and_then(|rest| rest.split_once('='));
        let parsed = direct.and_then(|(owner, with)| Some((ruma::UserId::parse(owner).ok()?, with.to_owned())));
        parsed.map_or(RoomKind::Shared, |(owner, with)| RoomKind::Direct { owner, with })
    }

    fn direct_room(&self, owner: &ruma::UserId, with: &String) -> Option<String> {
        Some(format!("={owner}={with}"))
    }
}
