//! The product: the `landbridge` binary that the build made, as its own process.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output},
};

use crate::{files, process::Process};

/// A `landbridge` process that can be killed and started again with the same arguments.
#[derive(Debug)]
pub struct Landbridge {
    process: Option<Process>,
    arguments: Vec<OsString>,
    folder: PathBuf,
}

impl Landbridge {
    /// Starts it in `folder`, where its log is kept too.
    pub fn start<A: Into<OsString>>(folder: &Path, arguments: impl IntoIterator<Item = A>) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        let mut landbridge = Self { process: None, arguments, folder: folder.to_owned() };
        landbridge.start_again(&[]);
        landbridge
    }

    /// Runs a command of it to its end.
    pub fn run<A: Into<OsString>>(folder: &Path, arguments: impl IntoIterator<Item = A>) -> Output {
        let mut command = command(folder);
        command.args(arguments.into_iter().map(Into::into));
        command.output().expect("landbridge runs")
    }

    /// Starts it again, with these variables of the environment besides.
    pub fn start_again(&mut self, environment: &[(&str, &str)]) {
        let mut command = command(&self.folder);
        command.args(&self.arguments).envs(environment.iter().copied());
        self.process = None;
        self.process = Some(Process::start("landbridge", command, &self.folder.join("landbridge.log")));
    }

    /// Kills it (SIGKILL).
    pub fn kill(&mut self) {
        self.process().kill();
    }

    /// Stops it as Ctrl-C does.
    pub async fn stop(&mut self) -> ExitStatus {
        self.process().interrupt().await
    }

    /// The running process.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("started, and only replaced")
    }

    /// What it has written, over all its starts.
    pub fn log(&mut self) -> String {
        self.process().log()
    }
}

fn command(folder: &Path) -> Command {
    let binary = files::build_folder().join("landbridge");
    assert!(binary.exists(), "{} is missing: run `cargo build --workspace` first", binary.display());
    let mut command = Command::new(binary);
    command.current_dir(folder).env("RUST_BACKTRACE", "1");
    command
}
