//! The command as its users meet it: what it prints, and how it ends.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use tempfile::TempDir;

fn landbridge(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_landbridge"));
    command.current_dir(folder).args(arguments).env_remove("LANDBRIDGE_LOG");
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    landbridge(folder, arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_owned()).unwrap()
}

/// A running `landbridge up`.
struct Up {
    process: Child,
    banner: String,
}

impl Up {
    /// Starts it on a free port, and waits until it says that it is up.
    fn start(folder: &Path, more: &[&str]) -> Self {
        let arguments = [&["up", "--listen", "127.0.0.1:0"], more].concat();
        let mut process = landbridge(folder, &arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut banner = String::new();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        while !banner.contains("Ctrl-C stops it") {
            if lines.read_line(&mut banner).unwrap() == 0 {
                panic!("it ended: {banner}");
            }
        }
        Self { process, banner }
    }

    fn address(&self) -> &str {
        let rest = self.banner.split("http://").nth(1).unwrap();
        rest.split([',', '/', ' ']).next().unwrap()
    }

    /// One request; the whole answer.
    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Stops it as Ctrl-C does; whether it ended well.
    fn stop(mut self) -> bool {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        self.process.wait().unwrap().success()
    }
}

const ALICE: &str = r#"{"username": "alice", "password": "secret", "auth": {"type": "m.login.dummy"}}"#;
const LOGIN: &str =
    r#"{"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": "secret"}"#;

#[test]
fn up_starts_says_how_to_go_on_and_carries_on_after_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(folder.path(), &[]);
    assert!(up.banner.contains("--irc irc.example.org:6667 --channel '#lobby'"), "{}", up.banner);
    let answer = up.ask("POST", "/_matrix/client/v3/register", ALICE);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(up.stop());

    let up = Up::start(folder.path(), &[]);
    let answer = up.ask("POST", "/_matrix/client/v3/login", LOGIN);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("@alice:localhost"), "{answer}");
    assert!(up.stop());
}

#[test]
fn up_with_a_network_names_the_rooms_and_keeps_what_is_not_delivered() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody listens there: the bridge goes on trying, and the homeserver works all the same.
    let up = Up::start(folder.path(), &["--irc", "127.0.0.1:1", "--channel", "#lobby"]);
    for told in ["127.0.0.1:1, as landbridge", "#irc_#lobby:localhost to talk in #lobby"] {
        assert!(up.banner.contains(told), "{told}: {}", up.banner);
    }
    let health = up.ask("GET", "/_landbridge/irc/health", "");
    assert!(health.starts_with("HTTP/1.1 503"), "{health}");
    assert!(up.ask("GET", "/_matrix/client/versions", "").starts_with("HTTP/1.1 200"));
    let listed = run(folder.path(), &["deadletters", "list"]);
    assert_eq!(text(&listed.stdout), "Everything was delivered.\n", "{}", text(&listed.stderr));
    assert!(up.stop());

    let unknown = run(folder.path(), &["deadletters", "drop", "7"]);
    assert_eq!(text(&unknown.stderr), "error: there is no dead letter 7\n");
    let elsewhere = run(folder.path(), &["deadletters", "list", "--data", "elsewhere"]);
    assert!(text(&elsewhere.stderr).starts_with("error: there is no bridge: elsewhere/irc.db"));
    let wrong = run(folder.path(), &["up", "--irc", "irc://nowhere"]);
    assert_eq!(text(&wrong.stderr), "error: --irc: `irc://nowhere` is neither a host nor host:port\n");
}

#[test]
fn what_cannot_work_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(folder.path(), &["--server-name", "example.org"]);
    let second = run(folder.path(), &["up", "--listen", "127.0.0.1:0"]);
    assert_eq!(text(&second.stderr), "error: the data directory landbridge-data is in use by another landbridge\n");
    let taken = run(folder.path(), &["up", "--data", "other", "--listen", up.address()]);
    assert!(text(&taken.stderr).contains("--listen takes another address"), "{}", text(&taken.stderr));
    assert!(up.stop());
    let renamed = run(folder.path(), &["up", "--listen", "127.0.0.1:0", "--server-name", "other.org"]);
    assert!(text(&renamed.stderr).contains("is called example.org"), "{}", text(&renamed.stderr));
}

fn with_registration() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made =
        run(folder.path(), &["registration", "generate", "--server-name", "example.org", "--output", "irc.yaml"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    assert!(text(&made.stdout).contains("app_service_config_files"));
    folder
}

#[test]
fn a_registration_is_made_once_and_found_right() {
    let folder = with_registration();
    let again = run(folder.path(), &["registration", "generate", "--output", "irc.yaml"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("--force"));
    let checked = run(folder.path(), &["registration", "check", "irc.yaml"]);
    assert_eq!(text(&checked.stdout), "The registration can be used.\n");
    assert!(checked.status.success());
}

#[test]
fn registrations_in_each_others_way_are_named() {
    let folder = with_registration();
    let other =
        run(folder.path(), &["registration", "generate", "--id", "irc2", "--sender", "bot2", "--prefix", "irc_oftc_"]);
    std::fs::write(folder.path().join("other.yaml"), &other.stdout).unwrap();
    let checked = run(folder.path(), &["registration", "check", "irc.yaml", "other.yaml"]);
    let said = text(&checked.stdout);
    assert!(said.contains("both claim users such as @irc_oftc_:example.org for themselves alone"), "{said}");
    assert!(checked.status.success(), "it is advice");
    let twice = run(folder.path(), &["registration", "check", "irc.yaml", "irc.yaml"]);
    assert!(text(&twice.stdout).contains("as_token: of registration `irc` is also that of registration `irc`"));
    assert_eq!(twice.status.code(), Some(1));
}

#[test]
fn check_names_every_fault_and_how_many_are_left() {
    let folder = with_registration();
    std::fs::write(folder.path().join("landbridge.yaml"), "registration: irc.yaml\nlisten: here\n").unwrap();
    let checked = run(folder.path(), &["check", "--offline"]);
    let said = text(&checked.stdout);
    for fault in ["homeserver: is missing", "landbridge.yaml:2:9: listen: ", "irc.servers: is missing"] {
        assert!(said.contains(fault), "{fault}: {said}");
    }
    assert_eq!(checked.status.code(), Some(1));
    let absent = run(folder.path(), &["check", "--config", "nowhere.yaml"]);
    assert!(text(&absent.stderr).starts_with("error: nowhere.yaml cannot be read: No such file"));
}

#[test]
fn what_up_takes_is_checked_as_up_takes_it_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let section = "xmpp:\n  component: {domain: matrix.example.org, secret: a long secret}\n";
    std::fs::write(folder.path().join("xmpp.yaml"), section).unwrap();
    let said = run(folder.path(), &["check", "--offline", "--config", "xmpp.yaml"]);
    assert!(text(&said.stdout).contains("homeserver: is missing"), "{}", text(&said.stdout));
    let said = run(folder.path(), &["check", "--offline", "--up", "--config", "xmpp.yaml"]);
    assert_eq!(
        (text(&said.stdout).as_ref(), said.status.code()),
        ("xmpp.yaml: the configuration can be used\n", Some(0))
    );
    std::fs::write(folder.path().join("xmpp.yaml"), section.replace("domain", "domian")).unwrap();
    let said = run(folder.path(), &["check", "--offline", "--up", "--config", "xmpp.yaml"]);
    assert!(text(&said.stdout).contains("xmpp.yaml:2:"), "{}", text(&said.stdout));
    assert_eq!(said.status.code(), Some(1));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
