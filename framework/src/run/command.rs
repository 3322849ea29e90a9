//! The command of a bridge that is a program of its own.

use std::{path::PathBuf, process::ExitCode};

use tokio_util::sync::CancellationToken;

use super::{logging, run};
use crate::{
    config::{Config, generate_registration},
    network::Network,
};

const USAGE: &str = "\
usage: COMMAND [--config FILE]

  run            run the bridge until it is interrupted (what happens without a command, too)
  check          name every fault of the configuration and its registration
  registration   write the registration that the configuration names; let the homeserver read it too

The configuration is bridge.yaml unless another FILE is given.";

/// `main` of a bridge: reads the arguments, and runs, checks, or makes the registration.
pub fn main<N: Network>() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let done = match Command::parse(std::env::args().skip(1)) {
        Some(command) => command.execute::<N>(),
        None => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) verb: Verb,
    pub(super) config: PathBuf,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Run,
    Check,
    Registration,
}

impl Command {
    pub(super) fn parse(mut args: impl Iterator<Item = String>) -> Option<Self> {
        let mut command = Self { verb: Verb::Run, config: "bridge.yaml".into() };
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "run" => command.verb = Verb::Run,
                "check" => command.verb = Verb::Check,
                "registration" => command.verb = Verb::Registration,
                "--config" | "-c" => command.config = args.next()?.into(),
                _ => return None,
            }
        }
        Some(command)
    }

    fn execute<N: Network>(&self) -> Result<(), String> {
        let unreadable = |error: std::io::Error| format!("{}: {error}", self.config.display());
        if self.verb == Verb::Registration {
            let path = generate_registration::<N>(&self.config).map_err(|error| error.to_string())?;
            println!("wrote {}; let the homeserver read it too, and restart that", path.display());
            return Ok(());
        }
        let reading = Config::<N>::read(&self.config).map_err(unreadable)?;
        let (config, advice) = reading.usable().map_err(|faults| faults.to_string())?;
        for fault in &advice {
            eprintln!("{fault}");
        }
        if self.verb == Verb::Check {
            println!("{}: the bridge can run with it", self.config.display());
            return Ok(());
        }
        logging::start(&config.logging);
        let runtime = tokio::runtime::Runtime::new().map_err(unreadable)?;
        runtime.block_on(until_interrupted(config))
    }
}

async fn until_interrupted<N: Network>(config: Config<N>) -> Result<(), String> {
    let stop = CancellationToken::new();
    let interrupted = stop.clone();
    tokio::spawn(async move {
        signal().await;
        interrupted.cancel();
    });
    run(config, stop).await.map_err(|error| error.to_string())
}

/// Ctrl-C, or what service managers send.
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        // Without it there is still Ctrl-C.
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
