//! Synapse: the homeserver that most people run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;
use url::Url;

use crate::{
    files::{self, Workdir},
    http,
    ports::Port,
    process::Process,
    transcript::eventually,
};

/// A running Synapse over SQLite, with `server_name` `localhost`.
#[derive(Debug)]
pub struct Synapse {
    process: Process,
    port: Port,
    dir: Workdir,
}

impl Synapse {
    /// Starts it with these registration files and waits until it answers.
    pub async fn start(registrations: &[&Path]) -> Self {
        let (dir, port) = (Workdir::new("synapse"), Port::free());
        dir.write("homeserver.yaml", &config(&dir, &port, registrations).to_string());
        dir.write("log.yaml", LOG);
        // A signing key is a name, a version and 32 bytes.
        dir.write("signing.key", "ed25519 a_test AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n");
        let process = spawn(&dir);
        let mut server = Self { process, port, dir };
        server.ready().await;
        server
    }

    /// The base URL of its client-server API.
    pub fn url(&self) -> Url {
        Url::parse(&format!("http://127.0.0.1:{}", self.port.number())).expect("a URL")
    }

    /// Its port, which it keeps over restarts.
    pub fn port(&self) -> &Port {
        &self.port
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its name, the part of user ids after the colon.
    pub fn server_name(&self) -> &'static str {
        "localhost"
    }

    /// Where its media, database and configuration are.
    pub fn folder(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`Synapse::kill`].
    pub async fn start_again(&mut self) {
        self.process = spawn(&self.dir);
        self.ready().await;
    }

    async fn ready(&mut self) {
        self.process.accepts(self.port.address()).await;
        let http = http();
        let versions = self.url().join("/_matrix/client/versions").expect("a path");
        eventually("Synapse answers", || async {
            http.get(versions.clone()).send().await.ok().filter(|answer| answer.status().is_success())
        })
        .await;
    }
}

fn spawn(dir: &Workdir) -> Process {
    let mut command = Command::new(files::python());
    command.args(["-m", "synapse.app.homeserver", "-c"]).arg(dir.path().join("homeserver.yaml"));
    command.current_dir(dir.path());
    Process::start("synapse", command, &dir.path().join("synapse.log"))
}

/// JSON is YAML.
fn config(dir: &Workdir, port: &Port, registrations: &[&Path]) -> serde_json::Value {
    let unlimited = json!({ "per_second": 100_000, "burst_count": 100_000 });
    let registrations: Vec<_> =
        registrations.iter().map(|path| fs::canonicalize(path).expect("a registration")).collect();
    json!({
        "server_name": "localhost",
        "report_stats": false,
        "pid_file": dir.path().join("synapse.pid"),
        "public_baseurl": format!("http://127.0.0.1:{}/", port.number()),
        "listeners": [{
            "port": port.number(), "type": "http", "tls": false, "bind_addresses": ["127.0.0.1"], "x_forwarded": false,
            "resources": [{ "names": ["client"], "compress": false }],
        }],
        "database": { "name": "sqlite3", "args": { "database": dir.path().join("homeserver.db") } },
        "log_config": dir.path().join("log.yaml"),
        "media_store_path": dir.path().join("media"),
        "signing_key_path": dir.path().join("signing.key"),
        "macaroon_secret_key": "a", "form_secret": "b", "registration_shared_secret": "c",
        "trusted_key_servers": [], "suppress_key_server_warning": true,
        "enable_registration": true, "enable_registration_without_verification": true,
        "bcrypt_rounds": 4, "password_config": { "policy": { "enabled": false } },
        "app_service_config_files": registrations,
        "filter_timeline_limit": 10_000,
        "presence": { "enabled": false },
        "rc_message": unlimited, "rc_registration": unlimited, "rc_admin_redaction": unlimited,
        "rc_room_creation": unlimited, "rc_media_create": unlimited,
        "rc_presence": { "per_user": unlimited },
        "rc_login": { "address": unlimited, "account": unlimited, "failed_attempts": unlimited },
        "rc_joins": { "local": unlimited, "remote": unlimited }, "rc_joins_per_room": unlimited,
        "rc_invites": { "per_room": unlimited, "per_user": unlimited, "per_issuer": unlimited },
    })
}

const LOG: &str = "
version: 1
formatters: { short: { format: '%(asctime)s %(levelname)s %(name)s %(message)s' } }
handlers: { console: { class: logging.StreamHandler, formatter: short } }
root: { level: WARNING, handlers: [console] }
loggers: { synapse.appservice: { level: INFO } }
";
