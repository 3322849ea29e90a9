//! The log, on standard error.

use std::io::{self, IsTerminal};

use anyhow::Context;
use landbridge::config::{LogFormat, LoggingSection};
use tracing_subscriber::EnvFilter;

use crate::args::LogArgs;

/// Starts logging as the command line says, or else so. What the program tells its user goes to standard output and is no
/// log.
pub(crate) fn start(args: &LogArgs, filter: &str, json: bool) -> anyhow::Result<()> {
    let filter = args.log.as_deref().unwrap_or(filter);
    let filter = EnvFilter::try_new(filter).with_context(|| format!("`{filter}` is no filter for the log"))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    if args.log_json || json {
        log.json().init();
    } else {
        log.with_ansi(io::stderr().is_terminal()).init();
    }
    Ok(())
}

/// Starts logging as the command line says, or else as the configuration does.
pub(crate) fn start_as(args: &LogArgs, section: &LoggingSection) -> anyhow::Result<()> {
    start(args, &section.filter, section.format == LogFormat::Json)
}
