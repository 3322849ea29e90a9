//! Where the servers are, and how to log in.

use std::path::PathBuf;

use landbridge::network::Secret;
use serde::{Deserialize, Deserializer};

use super::optional_secret;

/// A server of the network.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Its host name or address.
    pub host: String,
    /// Its port; 6697 with TLS and 6667 without, unless given.
    #[serde(default)]
    pub port: Option<u16>,
    /// TLS: `true`, `false`, or its settings. On, unless turned off.
    #[serde(default, deserialize_with = "tls")]
    pub tls: Tls,
}

impl Server {
    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls.enabled { 6697 } else { 6667 })
    }
}

/// TLS towards a server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Whether there is any.
    pub enabled: bool,
    /// A file with the certificates (PEM) of those whose signature counts; the system's, if not given.
    pub ca: Option<PathBuf>,
    /// The name the certificate must be for, if it is not the host's.
    pub server_name: Option<String>,
    /// Take any certificate. Whoever is in between can then read everything.
    pub accept_any_certificate: bool,
    /// A file with the bot's certificate (PEM), for SASL EXTERNAL.
    pub certificate: Option<PathBuf>,
    /// A file with its key (PEM); the certificate's file, if not given.
    pub key: Option<PathBuf>,
}

impl Default for Tls {
    fn default() -> Self {
        Self { enabled: true, ca: None, server_name: None, accept_any_certificate: false, certificate: None, key: None }
    }
}

impl Tls {
    /// No TLS.
    pub fn off() -> Self {
        Self { enabled: false, ..Self::default() }
    }
}

fn tls<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tls, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Switch(bool),
        Settings(Tls),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::Switch(enabled) => Tls { enabled, ..Tls::default() },
        Either::Settings(tls) => tls,
    })
}

/// How to log in to services while connecting ([SASL 3.2](https://ircv3.net/specs/extensions/sasl-3.2)).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sasl {
    /// What proves the account.
    pub mechanism: SaslMechanism,
    /// The account; may be left out with `external`, where the certificate says it.
    #[serde(default)]
    pub account: Option<String>,
    /// The password, for `plain`.
    #[serde(default, deserialize_with = "optional_secret")]
    pub password: Option<Secret>,
    /// Whether to stay away if the login fails. Otherwise the bot goes on without an account.
    #[serde(default = "yes")]
    pub required: bool,
}

/// What proves an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SaslMechanism {
    /// A password.
    Plain,
    /// The TLS certificate.
    External,
}

fn yes() -> bool {
    true
}
