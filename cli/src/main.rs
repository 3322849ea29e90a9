//! The `landbridge` command. It joins the parts and holds no logic.

mod args;
mod check;
mod config;
mod log;
mod registration;
mod runtime;
mod serve;
mod up;

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
        Command::Check(args) => check::main(&args),
        Command::Up(args) => up::main(args),
        Command::Run(_) | Command::DeadLetters(_) => anyhow::bail!("not yet"),
    }
}
