//! Where the servers are, and how to log in.

use std::path::PathBuf;

use landbridge::network::Secret;
use serde::{Deserialize, Deserializer};

use super::{
    optional_secret,
    short::{Short, short},
};

/// A server of the network. In short: `ircs://irc.example.org` or `irc://127.0.0.1:6667`.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its host name or address.
    pub host: String,
    /// Its port; 6697 with TLS and 6667 without, unless given.
    pub port: Option<u16>,
    /// TLS: `true`, `false`, or its settings. On, unless turned off.
    pub tls: Tls,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "Server")]
struct Written {
    host: String,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    tls: Tls,
}

impl From<Written> for Server {
    fn from(Written { host, port, tls }: Written) -> Self {
        Self { host, port, tls }
    }
}

impl<'de> Deserialize<'de> for Server {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        short::<D, Self, Written>(deserializer)
    }
}

impl Short for Server {
    const EXPECTED: &'static str =
        "a server: `ircs://irc.example.org`, `irc://127.0.0.1:6667`, or a mapping with `host`";

    fn from_text(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected {}", Self::EXPECTED);
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let tls = match scheme {
            "ircs" => Tls::default(),
            "irc" => Tls::off(),
            _ => return Err(wrong()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.rsplit_once(':') {
            // The last colon of an address in brackets may be inside them.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().map_err(|_| wrong())?)),
            _ => (rest, None),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Ok(Self { host: host.to_owned(), port, tls })
    }
}

impl Server {
    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls.enabled { 6697 } else { 6667 })
    }
}

/// TLS towards a server. In short: `true` or `false`.
#[derive(Debug, Clone)]
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "Tls")]
struct WrittenTls {
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default)]
    ca: Option<PathBuf>,
    #[serde(default)]
    server_name: Option<String>,
    #[serde(default)]
    accept_any_certificate: bool,
    #[serde(default)]
    certificate: Option<PathBuf>,
    #[serde(default)]
    key: Option<PathBuf>,
}

impl From<WrittenTls> for Tls {
    fn from(WrittenTls { enabled, ca, server_name, accept_any_certificate, certificate, key }: WrittenTls) -> Self {
        Self { enabled, ca, server_name, accept_any_certificate, certificate, key }
    }
}

impl<'de> Deserialize<'de> for Tls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        short::<D, Self, WrittenTls>(deserializer)
    }
}

impl Short for Tls {
    const EXPECTED: &'static str = "`true`, `false`, or a mapping with the settings of TLS";

    fn from_switch(enabled: bool) -> Option<Self> {
        Some(Self { enabled, ..Self::default() })
    }
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
