//! The log, on standard error.

use std::io::{self, IsTerminal};

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::args::LogArgs;

/// Starts logging; what the program tells its user goes to standard output and is not the log.
pub(crate) fn start(args: &LogArgs, quiet_by_default: bool) -> anyhow::Result<()> {
    let default = if quiet_by_default { "warn" } else { "info,sqlx=warn" };
    let filter = args.log.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(filter).with_context(|| format!("`{filter}` is no filter for the log"))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    if args.log_json {
        log.json().init();
    } else {
        log.with_ansi(io::stderr().is_terminal()).init();
    }
    Ok(())
}
