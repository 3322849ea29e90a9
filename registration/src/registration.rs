//! The registration itself.

use ruma::{IdParseError, OwnedUserId, ServerName, UserId};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{Namespaces, ServiceUrl, Token};

/// A registration, as in its file ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/application-service-api/#registration
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registration {
    /// A name for this application service that is unique on its homeserver and never changes.
    pub id: String,
    /// Where the homeserver sends transactions and queries; `None` if it shall send nothing.
    ///
    /// `null`, an empty string and the string `null` are the same.
    #[serde(default, deserialize_with = "optional_url")]
    pub url: Option<ServiceUrl>,
    /// What the application service shows the homeserver.
    pub as_token: Token,
    /// What the homeserver shows the application service.
    pub hs_token: Token,
    /// The localpart of the application service's own user.
    pub sender_localpart: String,
    /// What the application service is told about and may act as.
    #[serde(default, deserialize_with = "null_as_default")]
    pub namespaces: Namespaces,
    /// Whether requests of virtual users are rate limited. Absent means yes; the sender never is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limited: Option<bool>,
    /// The third-party networks it serves, such as `irc`.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub protocols: Vec<String>,
    /// Whether it wants typing, receipts and presence, in `ephemeral`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub receive_ephemeral: bool,
    /// The same before it was stable, in `de.sorunome.msc2409.ephemeral`; still what much software reads.
    #[serde(rename = "de.sorunome.msc2409.push_ephemeral", default, skip_serializing_if = "is_false")]
    pub push_ephemeral: bool,
    /// Whether it wants device lists and one-time-key counts of its users (MSC3202), for encryption.
    #[serde(rename = "org.matrix.msc3202", default, skip_serializing_if = "is_false")]
    pub msc3202: bool,
    /// Whether it is asked for one-time keys of its users' devices of which none are stored (MSC3983).
    #[serde(rename = "org.matrix.msc3983", default, skip_serializing_if = "is_false")]
    pub msc3983: bool,
    /// Whether it is asked for the keys of its users and their devices (MSC3984).
    #[serde(rename = "org.matrix.msc3984", default, skip_serializing_if = "is_false")]
    pub msc3984: bool,
    /// Whether it manages devices of its users without logging in (MSC4190).
    #[serde(rename = "io.element.msc4190", default, skip_serializing_if = "is_false")]
    pub msc4190: bool,
    /// Every field that has no name here, kept as it is.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, Value>,
}

impl Registration {
    /// The application service's own user.
    ///
    /// # Errors
    /// If `sender_localpart` makes no user id, which [`Registration::from_yaml`] refuses.
    pub fn sender(&self, server_name: &ServerName) -> Result<OwnedUserId, IdParseError> {
        UserId::parse_with_server_name(self.sender_localpart.as_str(), server_name)
    }

    /// Whether requests of its virtual users are rate limited.
    #[must_use]
    pub fn is_rate_limited(&self) -> bool {
        self.rate_limited.unwrap_or(true)
    }

    /// Whether it wants typing, receipts and presence under either name.
    #[must_use]
    pub fn wants_ephemeral(&self) -> bool {
        self.receive_ephemeral || self.push_ephemeral
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn optional_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ServiceUrl>, D::Error> {
    match Option::<String>::deserialize(deserializer)?.as_deref() {
        None | Some("" | "null") => Ok(None),
        Some(text) => ServiceUrl::parse(text).map(Some).map_err(serde::de::Error::custom),
    }
}
