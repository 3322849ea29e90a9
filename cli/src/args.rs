//! What can be said on the command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use ruma::OwnedServerName;

use crate::admin::AdminArgs;

/// Bridges IRC and XMPP into Matrix; loses nothing and doubles nothing.
///
/// `landbridge up` is all that a first look needs: a homeserver and a bridge in one process, for IRC without any configuration.
/// Beside a homeserver of your own (such as Synapse), make a registration with `landbridge registration generate`, let the
/// homeserver read it, write a configuration after landbridge.example.yaml, look it over with `landbridge check`, and start
/// the bridge with `landbridge run`.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// How to log.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// What to log, for example `info`, `warn`, or `info,landbridge=debug`.
    #[arg(long, global = true, value_name = "FILTER", env = "LANDBRIDGE_LOG", help_heading = "Log")]
    pub(crate) log: Option<String>,
    /// Log one JSON object a line, for machines.
    #[arg(long, global = true, help_heading = "Log")]
    pub(crate) log_json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a homeserver and, with --irc or --bridge, bridges in one process; for IRC no configuration is needed.
    ///
    /// Everything is kept in the data directory; the next start carries on where this one stopped. Ctrl-C stops cleanly.
    ///
    /// Examples: landbridge up --irc irc.example.org:6667 --channel '#lobby';
    /// landbridge up --bridge xmpp.yaml
    Up(UpArgs),
    /// Start the bridge beside a homeserver that is there already.
    Run(ConfigArg),
    /// Explain every fault of a configuration and its registration, and ask the homeserver whether it agrees.
    ///
    /// Nothing is changed. For XMPP the server is tried, too: the component, a room, an upload. Exits with 1 if the bridge could not start.
    Check(CheckArgs),
    /// Make and check registrations, by which a homeserver and a bridge know each other.
    #[command(subcommand)]
    Registration(RegistrationCommand),
    /// Do an operator's work on the homeserver: users, rooms, registration tokens, application services, files.
    ///
    /// Example: landbridge admin --data landbridge-data users list
    Admin(AdminArgs),
    /// See and settle what could not be delivered. Nothing is thrown away before you say so.
    #[command(subcommand, name = "deadletters")]
    DeadLetters(DeadLettersCommand),
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// The IRC server to bridge: host, or host:port.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) irc: Option<String>,
    /// Speak TLS with the IRC server (its port is then 6697 unless given).
    #[arg(long, requires = "irc")]
    pub(crate) irc_tls: bool,
    /// The nick of the bridge's own connection to IRC.
    #[arg(long, value_name = "NICK", requires = "irc")]
    pub(crate) irc_nick: Option<String>,
    /// The IRC server exempts the bridge from its limits against flooding: send as fast as it takes.
    #[arg(long, requires = "irc")]
    pub(crate) irc_unlimited: bool,
    /// A channel to bridge; more than one may be given. In a shell, put it between quotes.
    #[arg(long = "channel", value_name = "CHANNEL", requires = "irc")]
    pub(crate) channels: Vec<String>,
    /// The configuration of a bridge to run in this process; more than one may be given.
    ///
    /// As for `landbridge run` (see xmpp.example.yaml and landbridge.example.yaml), but nothing has to be said of what is known
    /// here: `homeserver`, `listen`, `registration` and `database`. For XMPP, xmpp.component with domain and secret is enough.
    #[arg(long = "bridge", value_name = "FILE")]
    pub(crate) bridges: Vec<PathBuf>,
    /// Where everything is kept.
    #[arg(long, value_name = "DIR", default_value = "landbridge-data")]
    pub(crate) data: PathBuf,
    /// Where Matrix clients connect.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8008")]
    pub(crate) listen: SocketAddr,
    /// The name in all Matrix ids; it cannot be changed later. Without it: localhost, or the name of the first start.
    #[arg(long, value_name = "NAME")]
    pub(crate) server_name: Option<OwnedServerName>,
    /// How the homeserver behaves: who may register, limits, files, calls; see homeserver.example.yaml.
    #[arg(long, value_name = "FILE")]
    pub(crate) homeserver_config: Option<PathBuf>,
    /// The registration of a further application service that the homeserver shall serve; more than one may be given.
    #[arg(long = "appservice", value_name = "FILE")]
    pub(crate) appservices: Vec<PathBuf>,
    /// Also send notifications to push gateways at private addresses: users choose them, and could have this server call others
    /// of its network.
    #[arg(long)]
    pub(crate) private_push_gateways: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArg {
    /// The configuration; see landbridge.example.yaml.
    #[arg(long, value_name = "FILE", default_value = "landbridge.yaml")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// Look at it as `landbridge up --bridge` does: a network's section alone is enough, and there is no homeserver to ask.
    #[arg(long)]
    pub(crate) up: bool,
    /// Do not speak to the homeserver, nor to the network.
    #[arg(long)]
    pub(crate) offline: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RegistrationCommand {
    /// Write a new registration, with fresh tokens, that Synapse and others accept.
    ///
    /// Example: landbridge registration generate --url http://127.0.0.1:9000 --server-name example.org --output irc.yaml
    Generate(GenerateArgs),
    /// Explain every fault of registrations, and where two of them are in each other's way.
    Check {
        /// The files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The homeserver's name, to be exact about whose users are meant.
        #[arg(long, value_name = "NAME")]
        server_name: Option<OwnedServerName>,
    },
}

/// A network of this binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum NetworkArg {
    /// IRC.
    Irc,
    /// XMPP.
    Xmpp,
}

impl NetworkArg {
    /// Its short name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Irc => "irc",
            Self::Xmpp => "xmpp",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// The network that is bridged.
    #[arg(long, value_enum, default_value = "irc")]
    pub(crate) network: NetworkArg,
    /// A name that is unique on the homeserver and never changes; the network's unless given.
    #[arg(long)]
    pub(crate) id: Option<String>,
    /// Where the homeserver reaches the bridge: the `listen` of its configuration, as seen from the homeserver.
    #[arg(long, default_value = "http://127.0.0.1:9000")]
    pub(crate) url: String,
    /// The localpart of the bridge's own user; `ircbot` or `xmppbot` unless given.
    #[arg(long, value_name = "LOCALPART")]
    pub(crate) sender: Option<String>,
    /// What the localparts of virtual users and of aliases start with; `irc_` or `xmpp_` unless given.
    #[arg(long)]
    pub(crate) prefix: Option<String>,
    /// The homeserver's name. Without it the namespaces say nothing of the server.
    #[arg(long, value_name = "NAME")]
    pub(crate) server_name: Option<OwnedServerName>,
    /// Where to write it, readable by you alone; without it, it is printed.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace the file if it exists. Its old tokens are then no longer valid.
    #[arg(long, requires = "output")]
    pub(crate) force: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLettersCommand {
    /// One line for each, the oldest first.
    List(StoreArgs),
    /// All that is known about one: what it was, why it failed, how often it was tried.
    Show {
        /// Its number, as `list` shows it.
        #[arg(value_name = "NUMBER")]
        id: i64,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Try one again, or all.
    Retry(SettleArgs),
    /// Forget one, or all. They will never be delivered.
    Drop(SettleArgs),
}

/// Which dead letters.
#[derive(Debug, Args)]
pub(crate) struct SettleArgs {
    /// Its number, as `list` shows it.
    #[arg(value_name = "NUMBER", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) id: Option<i64>,
    /// All of them.
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Whose dead letters.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// Those of a bridge that is started with `run`.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "network"])]
    pub(crate) config: Option<PathBuf>,
    /// Those of a bridge that is started with `up`.
    #[arg(long, value_name = "DIR", default_value = "landbridge-data")]
    pub(crate) data: PathBuf,
    /// Which of the bridges that are started with `up`.
    #[arg(long, value_enum, default_value = "irc")]
    pub(crate) network: NetworkArg,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
