//! A server process: started with its output in a log, ended by its process id.

use std::{
    fs::{self, File},
    net::SocketAddr,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use tokio::net::TcpStream;

use crate::transcript::PATIENCE;

/// A running child process. Dropping it ends it; a failing test prints the end of its log.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with both outputs appended to `log`.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Self {
        let output = File::options().create(true).append(true).open(log).expect("a log file");
        let errors = output.try_clone().expect("a second handle of the log");
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start ({command:?}): {error}"));
        Self { name: name.to_owned(), child, log: log.to_owned() }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until the port accepts connections.
    pub async fn accepts(&mut self, address: SocketAddr) {
        let name = self.name.clone();
        self.until(&format!("{name} accepts on {address}"), async |_| TcpStream::connect(address).await.is_ok()).await;
    }

    /// Waits until `text` is in its log.
    pub async fn writes(&mut self, text: &str) {
        let name = self.name.clone();
        self.until(&format!("{name} writes {text:?}"), async |process| process.log().contains(text)).await;
    }

    /// Waits until `ready` says yes; panics when the process ends first.
    pub async fn until(&mut self, what: &str, ready: impl AsyncFn(&Self) -> bool) {
        let began = Instant::now();
        while !ready(self).await {
            if let Some(status) = self.ended() {
                panic!("{} ended ({status}) before: {what}", self.name);
            }
            assert!(began.elapsed() < PATIENCE * 3, "waited for: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the state of a child")
    }

    /// Asks it to end (SIGTERM) and waits.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.end().await
    }

    /// Interrupts it as Ctrl-C does (SIGINT) and waits.
    pub async fn interrupt(&mut self) -> ExitStatus {
        self.signal("INT");
        self.end().await
    }

    /// Kills it (SIGKILL): nothing of it runs any more when this returns.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end.
    pub async fn end(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "{} does not end", self.name);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whether it ended from one instruction to the next: by SIGKILL, or by aborting itself.
    pub fn was_killed(status: ExitStatus) -> bool {
        [Some(9), Some(6)].contains(&status.signal())
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("sh").args(["-c", "kill -$0 $1", signal]).arg(self.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "{} takes no signal", self.name);
    }

    fn print_tail(&self) {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(80)..).unwrap_or_default();
        eprintln!("---- the end of {}'s log\n{}\n----", self.name, tail.join("\n"));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            self.print_tail();
        }
    }
}

/// Makes the command run as `user` when the test runs as root (some servers refuse root).
pub(crate) fn give_up_root(command: &mut Command, user: &str) {
    if let Some((uid, gid)) = root_may_become(user) {
        command.uid(uid).gid(gid);
    }
}

/// The ids of `user`, if the test runs as root.
pub(crate) fn root_may_become(user: &str) -> Option<(u32, u32)> {
    is_root().then(|| ids_of(user).unwrap_or_else(|| panic!("there is no user {user}")))
}

/// Whether the test runs as root.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn ids_of(user: &str) -> Option<(u32, u32)> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let line = passwd.lines().find(|line| line.split(':').next() == Some(user))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}
