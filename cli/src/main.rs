//! The `landbridge` command. It joins the parts and holds no logic.

mod admin;
mod args;
mod check;
mod connections;
mod deadletters;
#[cfg(test)]
mod example;
mod irc;
mod log;
mod networks;
mod registration;
mod run;
mod runtime;
mod serve;
mod up;

use std::process::ExitCode;

use clap::Parser;

use self::args::{Cli, Command};

fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::parse();
    match execute(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(Cli { command, log }: Cli) -> anyhow::Result<()> {
    match command {
        Command::Up(args) => {
            log::start(&log, "warn", false)?;
            up::main(args)
        }
        // Its configuration says how to log.
        Command::Run(args) => run::main(&args, &log),
        Command::Check(args) => {
            log::start(&log, "warn", false)?;
            check::main(&args)
        }
        Command::Registration(command) => registration::main(command),
        Command::Admin(args) => {
            log::start(&log, "warn", false)?;
            admin::main(args)
        }
        Command::DeadLetters(command) => {
            log::start(&log, "warn", false)?;
            deadletters::main(command)
        }
    }
}
