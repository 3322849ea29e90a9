//! Reads a file section by section, then looks whether the parts fit together.

use std::path::{Path, PathBuf};

use landbridge_registration::{NamespaceMatcher, ReadError, Registration};
use ruma::{RoomAliasId, UserId};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{BridgeSection, Config, Fault, HomeserverSection, Reading, Sections, collect, tree::Tree};
use crate::network::{ConfigIssue, Network, RemoteId as _};

const DEFAULT_DATABASE: &str = "sqlite:landbridge.db";
const DEFAULT_LISTEN: &str = "add `listen: 127.0.0.1:9000`, where the bridge hears the homeserver";

pub(super) fn read<N: Network>(file: &Path, text: &str, known: &Sections) -> Reading<Config<N>> {
    let mut reader = Reader { file, tree: Tree::default(), faults: Vec::new() };
    let config = reader.read::<N>(text, known);
    let Reader { mut faults, .. } = reader;
    faults.sort_by_key(|fault| (fault.file != file, fault.at));
    let config = config.filter(|_| !faults.iter().any(|fault| fault.issue.fatal));
    Reading { config, faults }
}

struct Reader<'a> {
    file: &'a Path,
    tree: Tree,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn read<N: Network>(&mut self, text: &str, known: &Sections) -> Option<Config<N>> {
        self.tree = match Tree::read(text) {
            Ok(tree) => tree,
            Err(fault) => {
                let issue =
                    ConfigIssue::fatal("", fault.problem, "indent with spaces, and quote what has special characters");
                self.faults.push(Fault { file: self.file.to_owned(), at: fault.at, issue });
                return None;
            }
        };
        self.tree.complete(known);
        self.check_keys(N::INFO.id)?;
        let homeserver: Option<HomeserverSection> =
            self.required("homeserver", "add `homeserver:` with `url` and `server_name`");
        let listen = self.required("listen", DEFAULT_LISTEN);
        let registration = self.registration();
        let database = self.database();
        let public_url = self.optional::<Option<_>>("public_url").flatten();
        let bridge: Option<BridgeSection> = self.optional("bridge");
        let logging = self.optional("logging");
        let metrics = self.optional("metrics");
        let network = self.network::<N>();
        if let Some(bridge) = &bridge {
            self.check_bridge::<N>(bridge);
        }
        let (homeserver, registration, bridge) = (homeserver?, registration?, bridge?);
        self.check_registration::<N>(&homeserver, &registration, &bridge);
        Some(Config {
            homeserver,
            listen: listen?,
            registration,
            database,
            public_url,
            bridge,
            logging: logging?,
            metrics: metrics?,
            network: network?,
        })
    }

    fn check_keys(&mut self, network: &str) -> Option<()> {
        let known =
            ["homeserver", "listen", "registration", "database", "public_url", "bridge", "logging", "metrics", network];
        let keys: Vec<String> = match &self.tree.value {
            Value::Object(sections) => sections.keys().cloned().collect(),
            Value::Null => Vec::new(),
            _ => {
                self.fatal("", "is no map of sections", "write sections such as `homeserver:`");
                return None;
            }
        };
        for key in keys.iter().filter(|key| !known.contains(&key.as_str())) {
            self.fatal(key, "there is no such section", &format!("take it away, or write one of {}", known.join(", ")));
        }
        Some(())
    }

    fn section<T: DeserializeOwned>(&mut self, name: &str, value: Value) -> Option<T> {
        match collect::section(value) {
            Ok(section) => Some(section),
            Err(found) => {
                for fault in found {
                    let separator = if fault.path.is_empty() || fault.path.starts_with('[') { "" } else { "." };
                    let path = format!("{name}{separator}{}", fault.path);
                    self.fatal(&path, &fault.problem, &fault.fix);
                }
                None
            }
        }
    }

    fn required<T: DeserializeOwned>(&mut self, name: &str, fix: &str) -> Option<T> {
        match self.tree.value.get(name).cloned() {
            None | Some(Value::Null) => {
                self.fatal(name, "is missing", fix);
                None
            }
            Some(value) => self.section(name, value),
        }
    }

    /// A section that may be missing is read as an empty one.
    fn optional<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = match self.tree.value.get(name).cloned() {
            None | Some(Value::Null) if name == "public_url" => Value::Null,
            None | Some(Value::Null) => Value::Object(serde_json::Map::new()),
            Some(value) => value,
        };
        self.section(name, value)
    }

    fn network<N: Network>(&mut self) -> Option<N::Config> {
        let id = N::INFO.id;
        let network: N::Config = self.optional(id)?;
        for mut issue in N::validate(&network) {
            let named =
                [".", "["].iter().any(|start| issue.path.strip_prefix(id).is_some_and(|rest| rest.starts_with(start)));
            if !named && issue.path != id {
                issue.path = if issue.path.is_empty() { id.to_owned() } else { format!("{id}.{}", issue.path) };
            }
            let at = self.tree.place(&issue.path);
            self.faults.push(Fault { file: self.file.to_owned(), at, issue });
        }
        Some(network)
    }

    fn database(&mut self) -> String {
        let database = self.tree.value.get("database").cloned();
        let database = match database {
            None | Some(Value::Null) => DEFAULT_DATABASE.to_owned(),
            Some(value) => self.section::<String>("database", value).unwrap_or_else(|| DEFAULT_DATABASE.to_owned()),
        };
        if !["sqlite:", "postgres:", "postgresql:"].iter().any(|scheme| database.starts_with(scheme)) {
            let fix = "write `sqlite:landbridge.db` or `postgres://user:password@host/name`";
            self.fatal("database", "is neither SQLite nor PostgreSQL", fix);
        }
        self.beside(&database)
    }

    /// SQLite paths are relative to the configuration's folder.
    fn beside(&self, database: &str) -> String {
        let Some(path) = database.strip_prefix("sqlite:") else { return database.to_owned() };
        let path = path.strip_prefix("//").unwrap_or(path);
        format!("sqlite:{}", self.folder().join(path).display())
    }

    fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new(""))
    }

    fn registration(&mut self) -> Option<Registration> {
        let named: PathBuf =
            self.required("registration", "add `registration: registration.yaml`, and generate that file")?;
        let path = self.folder().join(named);
        match landbridge_registration::read(&path) {
            Ok(registration) => Some(registration),
            Err(ReadError::Invalid { faults, .. }) => {
                for fault in faults.0 {
                    let issue = ConfigIssue::fatal(fault.path, fault.problem, fault.fix);
                    self.faults.push(Fault { file: path.clone(), at: fault.at, issue });
                }
                None
            }
            Err(error) => {
                self.fatal("registration", &error.to_string(), "generate it, or correct the path");
                None
            }
        }
    }

    fn check_bridge<N: Network>(&mut self, bridge: &BridgeSection) {
        let mode = bridge.mode::<N>();
        if !N::INFO.modes.contains(&mode) {
            self.fatal(
                "bridge.mode",
                &format!("{} has no such mode", N::INFO.name),
                "take it away: then it is the default",
            );
        }
        if bridge.puppets.connects_at_once == 0 {
            self.fatal("bridge.puppets.connects_at_once", "is 0, so nobody could ever connect", "write 1 or more");
        }
        if bridge.history.keep_for.0.is_zero() || bridge.history.keep_most == 0 {
            let fix = "write how long, such as 90d, and how many, such as 1000000";
            self.fatal("bridge.history", "remembers nothing, so nobody could answer, edit or redact", fix);
        }
        let (users, aliases) = bridge.prefixes::<N>();
        for (key, prefix) in [("user_prefix", users), ("alias_prefix", aliases)] {
            let fine = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'=' | b'/');
            if prefix.is_empty() || !prefix.bytes().all(fine) {
                let fix = "write lower-case letters, digits and any of ._-=/";
                self.fatal(&format!("bridge.{key}"), "no user id can start with that", fix);
            }
        }
        for (index, plumbed) in bridge.rooms.iter().enumerate() {
            if N::Room::decode(&plumbed.remote).is_none() {
                let path = format!("bridge.rooms[{index}].remote");
                self.fatal(&path, &format!("{} has no room of such a name", N::INFO.name), "correct the name");
            }
        }
    }

    /// Whether the registration lets the bridge do what the configuration wants.
    fn check_registration<N: Network>(
        &mut self,
        homeserver: &HomeserverSection,
        registration: &Registration,
        bridge: &BridgeSection,
    ) {
        let Ok(matcher) = NamespaceMatcher::new(registration, &homeserver.server_name) else { return };
        let (users, aliases) = bridge.prefixes::<N>();
        let server = &homeserver.server_name;
        let user = UserId::parse(format!("@{users}somebody:{server}"));
        if let Ok(user) = user
            && !matcher.user(&user).is_interesting()
        {
            let problem = format!("its namespaces do not cover virtual users such as {user}");
            let fix = format!(
                "add `- {{exclusive: true, regex: '@{users}.*:{server}'}}` to its `users`, or generate it anew"
            );
            self.fatal("registration", &problem, &fix);
        }
        let alias = RoomAliasId::parse(format!("#{aliases}somewhere:{server}"));
        if let Ok(alias) = alias
            && !matcher.alias(&alias).is_interesting()
        {
            let problem =
                format!("its namespaces do not cover portals such as {alias}: nobody can join one by its alias");
            let fix = format!("add `- {{exclusive: true, regex: '#{aliases}.*:{server}'}}` to its `aliases`");
            self.advise("registration", &problem, &fix);
        }
        if matcher.sender().localpart().starts_with(&users) {
            let problem = format!("the bot {} would be taken for a virtual user", matcher.sender());
            self.fatal("registration", &problem, "give it another `sender_localpart`, or the users another prefix");
        }
        if !registration.wants_ephemeral() {
            let fix = "add `receive_ephemeral: true` to it";
            self.advise("registration", "the homeserver will not say who types or has read what", fix);
        }
        if registration.url.is_none() {
            let fix = "write where the homeserver reaches `listen`";
            self.fatal("registration", "its url is null, so the homeserver sends nothing", fix);
        }
        if registration.is_rate_limited() {
            let fix = "add `rate_limited: false` to it";
            self.advise("registration", "the homeserver will slow the bridge down like any user", fix);
        }
    }

    fn fatal(&mut self, path: &str, problem: &str, fix: &str) {
        self.note(ConfigIssue::fatal(path, problem, fix));
    }

    fn advise(&mut self, path: &str, problem: &str, fix: &str) {
        self.note(ConfigIssue::warning(path, problem, fix));
    }

    fn note(&mut self, issue: ConfigIssue) {
        let at = self.tree.place(&issue.path);
        self.faults.push(Fault { file: self.file.to_owned(), at, issue });
    }
}
