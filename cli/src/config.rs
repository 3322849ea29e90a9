//! The configuration of `landbridge run`.

mod sections;

use std::{
    fmt, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use landbridge::network::ConfigIssue;
use landbridge_irc::config::IrcConfig;
use landbridge_registration::{ReadError, Registration, ServiceUrl, read as read_registration};
use ruma::OwnedServerName;
use serde::{Deserialize, de::DeserializeOwned};

use self::sections::{Sections, Unreadable};

/// Everything that `landbridge run` is told.
#[derive(Debug)]
pub(crate) struct Config {
    /// The homeserver.
    pub(crate) homeserver: HomeserverSection,
    /// Where the bridge listens for the homeserver.
    pub(crate) listen: SocketAddr,
    /// By which homeserver and bridge know each other.
    pub(crate) registration: Registration,
    /// Where the bridge stores: `sqlite:PATH` or `postgres://…`.
    pub(crate) database: String,
    /// Where people on IRC reach files and long messages; the bridge serves them at `listen`.
    pub(crate) public_url: Option<ServiceUrl>,
    /// The IRC network.
    pub(crate) irc: IrcConfig,
}

/// `homeserver:`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HomeserverSection {
    /// Where it answers.
    pub(crate) url: ServiceUrl,
    /// Its name, as in user ids.
    pub(crate) server_name: OwnedServerName,
}

/// A configuration as far as it could be read, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The configuration, if nothing fatal is wrong with it.
    pub(crate) config: Option<Config>,
    /// Every fault, fatal or not.
    pub(crate) faults: Vec<Fault>,
}

/// A fault with its place, as `file:line:column: path: problem. fix`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The file, with line and column if they are known.
    place: String,
    /// What, and what to do.
    issue: ConfigIssue,
}

impl Fault {
    /// Whether the bridge cannot start with it.
    pub(crate) fn is_fatal(&self) -> bool {
        self.issue.fatal
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, issue: ConfigIssue { path, fatal, problem, fix } } = self;
        let advice = if *fatal { "" } else { "advice: " };
        let colon = if path.is_empty() { "" } else { ": " };
        write!(f, "{place}: {advice}{path}{colon}{}. {}", problem.trim_end_matches('.'), sentence(fix))
    }
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let stop = if text.ends_with(['.', '`', '?', '!']) || text.is_empty() { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

/// Reads a configuration and everything it names, and finds every fault of them at once.
pub(crate) fn read(path: &Path) -> io::Result<Reading> {
    let text = fs::read_to_string(path)?;
    let mut reader = Reader { file: path, sections: Sections(&text), faults: Vec::new() };
    let config = reader.read();
    let faults = reader.faults;
    let config = config.filter(|_| !faults.iter().any(Fault::is_fatal));
    Ok(Reading { config, faults })
}

/// Reads the database's address alone, for a command that needs nothing else.
pub(crate) fn read_database(path: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(path).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
    let database = Sections(&text).read::<String>("database");
    let database = database.map_err(|fault| anyhow::anyhow!("{}: database: {}", path.display(), fault.problem))?;
    Ok(beside(path, &database.unwrap_or_else(|| DEFAULT_DATABASE.to_owned())))
}

const DEFAULT_DATABASE: &str = "sqlite:landbridge.db";

/// What may be at the top, and what to write there.
const KEYS: [(&str, &str); 6] = [
    ("homeserver", "add `homeserver:` with `url` and `server_name`"),
    ("listen", "add `listen: 127.0.0.1:9000`, where the bridge hears the homeserver"),
    ("registration", "add `registration: irc.yaml`; `landbridge registration generate` makes one"),
    ("database", ""),
    ("public_url", ""),
    ("irc", "add `irc:` with `servers`; see landbridge.example.yaml"),
];

struct Reader<'a> {
    file: &'a Path,
    sections: Sections<'a>,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn read(&mut self) -> Option<Config> {
        self.check_names()?;
        let homeserver = self.required("homeserver");
        let listen = self.required("listen");
        let registration = self.registration();
        let database = self.optional("database").unwrap_or_else(|| DEFAULT_DATABASE.to_owned());
        let public_url = self.optional("public_url");
        let irc = self.irc();
        self.check_database(&database);
        let (homeserver, listen, registration, irc) = (homeserver?, listen?, registration?, irc?);
        let database = beside(self.file, &database);
        Some(Config { homeserver, listen, registration, database, public_url, irc })
    }

    fn check_names(&mut self) -> Option<()> {
        let names = match self.sections.names() {
            Ok(names) => names,
            Err(fault) => return self.unreadable("", fault),
        };
        for name in names {
            if !KEYS.iter().any(|(known, _)| *known == name) {
                let known: Vec<&str> = KEYS.iter().map(|(known, _)| *known).collect();
                self.fatal(
                    &name,
                    "there is no such key",
                    &format!("take it away, or write one of {}", known.join(", ")),
                );
            }
        }
        Some(())
    }

    fn required<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        match self.sections.read(name) {
            Ok(Some(section)) => Some(section),
            Ok(None) => {
                let fix = KEYS.iter().find(|(known, _)| *known == name).map_or("", |(_, fix)| fix);
                self.fatal(name, "is missing", fix);
                None
            }
            Err(fault) => self.unreadable(name, fault),
        }
    }

    fn optional<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        match self.sections.read::<Option<T>>(name) {
            Ok(section) => section.flatten(),
            Err(fault) => self.unreadable(name, fault),
        }
    }

    fn irc(&mut self) -> Option<IrcConfig> {
        let irc: IrcConfig = self.required("irc")?;
        let place = self.file.display().to_string();
        self.faults.extend(irc.issues().into_iter().map(|issue| Fault { place: place.clone(), issue }));
        Some(irc)
    }

    fn registration(&mut self) -> Option<Registration> {
        let named: PathBuf = self.required("registration")?;
        let path = self.file.parent().unwrap_or(Path::new("")).join(named);
        match read_registration(&path) {
            Ok(registration) => {
                let advice = registration.advice().into_iter();
                let advice = advice.map(|fault| ConfigIssue::warning(fault.path, fault.problem, fault.fix));
                self.faults.extend(advice.map(|issue| Fault { place: path.display().to_string(), issue }));
                Some(registration)
            }
            Err(ReadError::Invalid { faults, .. }) => {
                for fault in faults.0 {
                    let at = fault.at.map(|at| format!(":{}:{}", at.line, at.column)).unwrap_or_default();
                    let place = format!("{}{at}", path.display());
                    self.faults.push(Fault { place, issue: ConfigIssue::fatal(fault.path, fault.problem, fault.fix) });
                }
                None
            }
            Err(error) => {
                let fix = "make one with `landbridge registration generate`, or correct the path";
                self.fatal("registration", &error.to_string(), fix);
                None
            }
        }
    }

    fn check_database(&mut self, database: &str) {
        if !["sqlite:", "postgres:", "postgresql:"].iter().any(|scheme| database.starts_with(scheme)) {
            let fix = "write `sqlite:landbridge.db` or `postgres://user:password@host/name`";
            self.fatal("database", "is neither SQLite nor PostgreSQL", fix);
        }
    }

    fn fatal(&mut self, path: &str, problem: &str, fix: &str) {
        let place = self.file.display().to_string();
        self.faults.push(Fault { place, issue: ConfigIssue::fatal(path, problem, fix) });
    }

    fn unreadable<T>(&mut self, path: &str, fault: Unreadable) -> Option<T> {
        let at = fault.at.map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default();
        let place = format!("{}{at}", self.file.display());
        let fix = "see landbridge.example.yaml for what can be written here";
        self.faults.push(Fault { place, issue: ConfigIssue::fatal(path, fault.problem, fix) });
        None
    }
}

/// SQLite paths are relative to the configuration's folder.
fn beside(file: &Path, database: &str) -> String {
    let Some(path) = database.strip_prefix("sqlite:") else { return database.to_owned() };
    let path = path.strip_prefix("//").unwrap_or(path);
    let folder = file.parent().unwrap_or(Path::new(""));
    format!("sqlite:{}", folder.join(path).display())
}

#[cfg(test)]
mod tests;
