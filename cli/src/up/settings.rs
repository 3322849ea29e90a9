//! How the homeserver behaves, by a file: see homeserver.example.yaml.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, anyhow};
use landbridge_homeserver::{
    Config, Contact, Support, Turn,
    http::{Rate, RateLimits, Registering, Terms},
    media::{MediaStorage, S3},
    notices::NoticesConfig,
    outward::{Network, Reach},
};
use ruma::UserId;
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    public_url: Option<String>,
    support: Option<SupportEntry>,
    database: Option<Address>,
    registration: RegistrationMode,
    guests: bool,
    bridge_extensions: bool,
    notices: NoticesEntry,
    terms: Vec<TermsEntry>,
    /// In seconds.
    access_token_lifetime: Option<u64>,
    rate_limits: LimitsEntry,
    media: MediaEntry,
    url_previews: PreviewsEntry,
    turn: Option<TurnEntry>,
    signing_key: Option<PathBuf>,
    appservices: Option<PathBuf>,
}

/// The address of a database, which may hold a password.
#[derive(Deserialize)]
#[serde(transparent)]
struct Address(String);

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Address(…)")
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SupportEntry {
    page: Option<String>,
    contacts: Vec<ContactEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ContactEntry {
    role: String,
    matrix_id: Option<String>,
    email_address: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NoticesEntry {
    localpart: Option<String>,
    displayname: Option<String>,
    room_name: Option<String>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RegistrationMode {
    #[default]
    Open,
    Token,
    Closed,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TermsEntry {
    id: String,
    version: String,
    language: String,
    name: String,
    url: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LimitsEntry {
    register: Option<RateEntry>,
    login: Option<RateEntry>,
    wrong_passwords: Option<RateEntry>,
    login_tokens: Option<RateEntry>,
    reports: Option<RateEntry>,
    uploads: Option<RateEntry>,
    events: Option<RateEntry>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct RateEntry {
    burst: u32,
    per_minute: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MediaEntry {
    max_bytes: Option<u64>,
    keep_unused_days: Option<u64>,
    unauthenticated: bool,
    s3: Option<S3Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct S3Entry {
    bucket: String,
    endpoint: Option<String>,
    #[serde(default = "usual_region")]
    region: String,
    access_key_id: String,
    secret_access_key: String,
    #[serde(default)]
    prefix: String,
}

impl std::fmt::Debug for S3Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Entry").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

fn usual_region() -> String {
    "us-east-1".to_owned()
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PreviewsEntry {
    enabled: bool,
    /// Networks that are not public and may be called all the same.
    allow: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TurnEntry {
    uris: Vec<String>,
    secret: String,
    #[serde(default = "a_day")]
    lifetime: u64,
}

const fn a_day() -> u64 {
    86_400
}

impl std::fmt::Debug for TurnEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TurnEntry").field("uris", &self.uris).finish_non_exhaustive()
    }
}

/// What the file says.
#[derive(Debug, Default)]
pub(super) struct Settings {
    file: File,
    folder: PathBuf,
}

impl Settings {
    /// Reads the file; without one everything is as usual.
    pub(super) fn read(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        // Without a snippet: what stands beside a fault may be a secret.
        let file = serde_yaml::from_str_with_options(&text, serde_yaml::options! { with_snippet: false })
            .map_err(|error| anyhow!("{}: {error}", path.display()))?;
        Ok(Self { file, folder })
    }

    /// The folder of registrations to follow.
    pub(super) fn appservices(&self) -> Option<PathBuf> {
        self.file.appservices.as_ref().map(|path| self.folder.join(path))
    }

    /// Changes how the homeserver behaves.
    ///
    /// # Errors
    /// Where the file says something that cannot be.
    pub(super) fn apply(&self, config: &mut Config) -> anyhow::Result<()> {
        let file = &self.file;
        if let Some(url) = &file.public_url {
            config.public_url = Some(url.clone());
        }
        config.support = file.support.as_ref().map(support).transpose()?;
        config.database = file.database.as_ref().map(|address| address.0.clone());
        config.registering = match file.registration {
            RegistrationMode::Open => Registering::Open,
            RegistrationMode::Token => Registering::WithToken,
            RegistrationMode::Closed => Registering::Closed,
        };
        config.guests = file.guests;
        config.bridge_extensions = file.bridge_extensions;
        config.notices = notices(&file.notices);
        config.terms = file.terms.iter().map(terms).collect();
        if let Some(seconds) = file.access_token_lifetime {
            config.access_token_lifetime = Duration::from_secs(seconds);
        }
        config.rate_limits = limits(&file.rate_limits, config.rate_limits);
        if let Some(bytes) = file.media.max_bytes {
            config.max_upload_bytes = bytes;
        }
        let day = Duration::from_secs(a_day());
        config.media_retention =
            file.media.keep_unused_days.map(|days| day.saturating_mul(u32::try_from(days).unwrap_or(u32::MAX)));
        config.unauthenticated_media = file.media.unauthenticated;
        if let Some(s3) = &file.media.s3 {
            config.media_storage = MediaStorage::S3(bucket(s3));
        }
        config.url_previews = reach(&file.url_previews)?;
        config.turn = file.turn.as_ref().map(|turn| Turn {
            uris: turn.uris.clone(),
            secret: turn.secret.clone(),
            lifetime: Duration::from_secs(turn.lifetime),
        });
        config.signing_key = file.signing_key.as_ref().map(|path| self.folder.join(path));
        Ok(())
    }
}

fn support(entry: &SupportEntry) -> anyhow::Result<Support> {
    if entry.page.is_none() && entry.contacts.is_empty() {
        return Err(anyhow!("support: name a page or contacts"));
    }
    let contacts: anyhow::Result<Vec<Contact>> = entry.contacts.iter().map(contact).collect();
    Ok(Support { contacts: contacts?, page: entry.page.clone() })
}

fn contact(entry: &ContactEntry) -> anyhow::Result<Contact> {
    if entry.matrix_id.is_none() && entry.email_address.is_none() {
        return Err(anyhow!("support.contacts: {} has neither a matrix_id nor an email_address", entry.role));
    }
    let matrix_id = entry.matrix_id.as_deref().map(UserId::parse).transpose().context("support.contacts.matrix_id")?;
    Ok(Contact { role: entry.role.clone(), matrix_id, email_address: entry.email_address.clone() })
}

fn notices(entry: &NoticesEntry) -> NoticesConfig {
    let usual = NoticesConfig::default();
    NoticesConfig {
        localpart: entry.localpart.clone().unwrap_or(usual.localpart),
        displayname: entry.displayname.clone().unwrap_or(usual.displayname),
        room_name: entry.room_name.clone().unwrap_or(usual.room_name),
    }
}

fn bucket(entry: &S3Entry) -> S3 {
    S3 {
        bucket: entry.bucket.clone(),
        endpoint: entry.endpoint.clone(),
        region: entry.region.clone(),
        access_key_id: entry.access_key_id.clone(),
        secret_access_key: entry.secret_access_key.clone(),
        prefix: entry.prefix.clone(),
    }
}

fn reach(entry: &PreviewsEntry) -> anyhow::Result<Option<Reach>> {
    let allow: Result<Vec<Network>, _> = entry.allow.iter().map(|network| network.parse()).collect();
    let allow = allow.context("url_previews.allow")?;
    Ok(entry.enabled.then(|| Reach::PublicAnd(allow.into())))
}

fn terms(entry: &TermsEntry) -> Terms {
    Terms {
        id: entry.id.clone(),
        version: entry.version.clone(),
        language: entry.language.clone(),
        name: entry.name.clone(),
        url: entry.url.clone(),
    }
}

fn limits(entry: &LimitsEntry, usual: RateLimits) -> RateLimits {
    let rate = |entry: Option<RateEntry>, usual: Rate| entry.map_or(usual, |e| Rate::new(e.burst, e.per_minute));
    RateLimits {
        register: rate(entry.register, usual.register),
        login: rate(entry.login, usual.login),
        wrong_passwords: rate(entry.wrong_passwords, usual.wrong_passwords),
        login_tokens: rate(entry.login_tokens, usual.login_tokens),
        reports: rate(entry.reports, usual.reports),
        uploads: rate(entry.uploads, usual.uploads),
        events: entry.events.map(|e| Rate::new(e.burst, e.per_minute)),
    }
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;

    const EXAMPLE: &str = include_str!("../../../homeserver.example.yaml");

    fn config(text: &str) -> anyhow::Result<Config> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("homeserver.yaml");
        fs::write(&path, text)?;
        let mut config = Config::new(server_name!("localhost").to_owned(), "data");
        Settings::read(Some(&path))?.apply(&mut config)?;
        Ok(config)
    }

    #[test]
    fn the_example_says_the_defaults() {
        let plain = Config::new(server_name!("localhost").to_owned(), "data");
        // What is commented out, as if it were not; the prose stays a comment.
        let entry =
            |line: &str| line.strip_prefix('#').is_some_and(|rest| !rest.starts_with(' ') || rest.starts_with("  "));
        let uncommented: String = EXAMPLE
            .lines()
            .map(|line| if entry(line) { format!("{}\n", &line[1..]) } else { format!("{line}\n") })
            .collect();
        let all = config(&uncommented).unwrap();
        let limits = RateLimits { events: Some(Rate::new(500, 600.0)), ..plain.rate_limits };
        assert_eq!((all.registering, all.rate_limits), (plain.registering, limits));
        assert_eq!(
            (all.max_upload_bytes, all.access_token_lifetime),
            (plain.max_upload_bytes, plain.access_token_lifetime)
        );
        assert_eq!(all.terms[0].id, "privacy_policy");
        assert!(all.database.unwrap().starts_with("postgres://") && plain.database.is_none());
        assert_eq!(all.media_retention, Some(Duration::from_secs(365 * 86_400)));
        assert_eq!(all.turn.unwrap().uris.len(), 1);
        assert!(all.signing_key.unwrap().ends_with("signing.key"));
        assert!(!all.bridge_extensions && !all.unauthenticated_media);
        assert!(config("media: { unauthenticated: true }").unwrap().unauthenticated_media);
        assert!((all.guests, &all.notices) == (false, &plain.notices));
        assert!(matches!(all.media_storage, MediaStorage::S3(S3 { prefix, .. }) if prefix == "landbridge"));
        assert_eq!(all.url_previews, Some(Reach::PublicAnd(["10.1.0.0/16".parse().unwrap()].into())));
        let plain = config(EXAMPLE).unwrap();
        assert!(plain.turn.is_none() && plain.url_previews.is_none());
        assert!(matches!(plain.media_storage, MediaStorage::Disk));
    }

    #[test]
    fn what_is_unknown_is_refused_and_secrets_are_not_shown() {
        let error = config("registraton: open").unwrap_err().to_string();
        assert!(error.contains("registraton"), "{error}");
        let error = config("turn:\n  uris: 5\n  secret: hush-hush\n").unwrap_err().to_string();
        assert!(!error.contains("hush-hush"), "{error}");
        let file: File = serde_yaml::from_str("database: postgres://me:hush-hush@db/landbridge").unwrap();
        assert!(!format!("{file:?}").contains("hush-hush"));
        let error = format!("{:#}", config("url_previews: { allow: [10.0.0.1] }").unwrap_err());
        assert!(error.contains("url_previews.allow") && error.contains("10.0.0.1"), "{error}");
    }
}
