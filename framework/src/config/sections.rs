//! What can be written, section by section.

use std::{net::SocketAddr, time::Duration};

use landbridge_outward::Reach;
use landbridge_registration::ServiceUrl;
use ruma::{OwnedRoomOrAliasId, OwnedServerName, OwnedUserId};
use serde::Deserialize;

use super::units::{ByteSize, Span};
use crate::{
    bridge::{Names, Permissions, Retention, Role},
    dispatch::StatusForm,
    network::{IdentityMode, Network},
    sessions::SessionOptions,
};

/// `homeserver:`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HomeserverSection {
    /// Where it answers.
    pub url: ServiceUrl,
    /// Its name, as in user ids.
    pub server_name: OwnedServerName,
}

/// `bridge:`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BridgeSection {
    /// What the localparts of virtual users start with; `{id}_` unless given.
    pub user_prefix: Option<String>,
    /// What the localparts of portals' aliases start with; `{id}_` unless given.
    pub alias_prefix: Option<String>,
    /// The bot's display name.
    pub display_name: Option<String>,
    /// How Matrix users appear on the network; the network's own default unless given.
    pub mode: Option<IdentityMode>,
    /// Who may give the bot any command.
    pub admins: Vec<OwnedUserId>,
    /// Who may give it which.
    pub permissions: PermissionsSection,
    /// How the sender hears what became of a message.
    pub status: StatusForm,
    /// For how long messages are remembered.
    pub history: HistorySection,
    /// Rooms that are there already, joined to remote rooms.
    pub rooms: Vec<PlumbedRoom>,
    /// The sessions of Matrix users.
    pub puppets: PuppetsSection,
    /// How long a message may wait for a network that is down before its sender is told that it did not cross.
    pub give_up_after: Span,
    /// What becomes of a message of which nobody can tell whether it was said.
    pub when_unknown: UnknownPolicy,
    /// Files.
    pub media: MediaSection,
}

/// `bridge.rooms[]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlumbedRoom {
    /// The Matrix room: `!id` or `#alias`.
    pub room: OwnedRoomOrAliasId,
    /// The remote room, as [`RemoteId::encode`](crate::network::RemoteId::encode) writes it.
    pub remote: String,
}

/// `bridge.puppets`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PuppetsSection {
    /// How many Matrix users may have a session of their own at a time; the others speak through the bot.
    pub max: usize,
    /// A session ends when its user has said nothing for this long.
    pub idle_after: Span,
    /// How many sessions may be connecting at a time.
    pub connects_at_once: usize,
}

impl Default for PuppetsSection {
    fn default() -> Self {
        let SessionOptions { max_puppets, idle_after, connects_at_once, .. } = SessionOptions::default();
        Self { max: max_puppets, idle_after: Span(idle_after), connects_at_once }
    }
}

/// `bridge.when_unknown`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownPolicy {
    /// Its sender is told that it may not have crossed; it is not said again.
    #[default]
    Tell,
    /// It is said again: perhaps twice, but never not at all.
    Resend,
}

/// `bridge.permissions`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PermissionsSection {
    /// Who may join rooms to remote rooms, and part them.
    pub plumb: Role,
    /// Who may see how things are.
    pub status: Role,
    /// Who may take back a link to a file.
    pub revoke: Role,
}

impl Default for PermissionsSection {
    fn default() -> Self {
        let Permissions { plumb, status, revoke, .. } = Permissions::default();
        Self { plumb, status, revoke }
    }
}

/// `bridge.history`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HistorySection {
    /// A message can be answered, changed or taken back on the other side for this long.
    pub keep_for: Span,
    /// So many messages are remembered at most.
    pub keep_most: u64,
}

impl Default for HistorySection {
    fn default() -> Self {
        let Retention { keep_for, keep_most } = Retention::default();
        Self { keep_for: Span(keep_for), keep_most }
    }
}

/// `metrics:`
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSection {
    /// Where `/metrics` (and `/health`) are served, instead of where everything else is.
    pub listen: Option<SocketAddr>,
}

/// `bridge.media`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MediaSection {
    /// The largest file that crosses, either way.
    pub max_size: ByteSize,
    /// Whether files that people on the network link to are fetched and stored in Matrix, where the network says that they are files.
    pub fetch: bool,
    /// Whether they are fetched from addresses that are not of the public Internet, too: whoever sends a link chooses the address.
    pub fetch_private: bool,
}

impl Default for MediaSection {
    fn default() -> Self {
        Self { max_size: ByteSize(50 * 1024 * 1024), fetch: true, fetch_private: false }
    }
}

impl MediaSection {
    /// Which addresses files are fetched from.
    pub fn reach(&self) -> Reach {
        if self.fetch_private { Reach::Anything } else { Reach::public() }
    }
}

/// `logging:`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoggingSection {
    /// What is logged: `info`, or per module, as in `info,landbridge::dispatch=debug`.
    pub filter: String,
    /// How.
    pub format: LogFormat,
}

impl Default for LoggingSection {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::default() }
    }
}

/// `logging.format`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: a JSON object a line.
    Json,
}

impl BridgeSection {
    /// How Matrix users appear on the network.
    pub fn mode<N: Network>(&self) -> IdentityMode {
        self.mode.or(N::INFO.modes.first().copied()).unwrap_or(IdentityMode::Relay)
    }

    /// How sessions are handled.
    pub fn sessions<N: Network>(&self) -> SessionOptions {
        SessionOptions {
            mode: self.mode::<N>(),
            max_puppets: self.puppets.max,
            idle_after: self.puppets.idle_after.0,
            connects_at_once: self.puppets.connects_at_once,
            ..SessionOptions::default()
        }
    }

    /// [`BridgeSection::give_up_after`], with its default of ten minutes.
    pub fn give_up_after(&self) -> Duration {
        if self.give_up_after.0.is_zero() { Duration::from_mins(10) } else { self.give_up_after.0 }
    }

    /// Who may give the bot which command.
    pub fn permissions(&self) -> Permissions {
        let PermissionsSection { plumb, status, revoke } = self.permissions;
        Permissions { admins: self.admins.clone(), plumb, status, revoke }
    }

    /// For how long messages are remembered.
    pub fn retention(&self) -> Retention {
        Retention { keep_for: self.history.keep_for.0, keep_most: self.history.keep_most }
    }

    pub(super) fn prefixes<N: Network>(&self) -> (String, String) {
        let usual = || format!("{}_", N::INFO.id);
        (self.user_prefix.clone().unwrap_or_else(usual), self.alias_prefix.clone().unwrap_or_else(usual))
    }

    pub(super) fn bot<N: Network>(&self) -> String {
        format!("{}bot", N::INFO.id)
    }

    pub(super) fn names<N: Network>(&self, homeserver: &HomeserverSection, bot: OwnedUserId) -> Names {
        let (user_prefix, alias_prefix) = self.prefixes::<N>();
        Names { user_prefix, alias_prefix, server_name: homeserver.server_name.clone(), bot }
    }
}
