//! The `landbridge` command. It joins the parts and holds no logic.

mod args;
mod config;
mod log;
mod registration;

use std::process::ExitCode;

use clap::Parser;

use self::args::{Cli, Command};

fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(Cli { command, log }: Cli) -> anyhow::Result<()> {
    log::start(&log, true)?;
    match command {
        Command::Registration(command) => registration::main(command),
        Command::Up(_) | Command::Run(_) | Command::Check(_) | Command::DeadLetters(_) => anyhow::bail!("not yet"),
    }
}
