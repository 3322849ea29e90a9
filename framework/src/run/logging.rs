//! What a bridge of its own says of itself.

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LoggingSection};

/// Starts logging as the configuration says; `RUST_LOG` says otherwise. Does nothing if somebody has started it already.
pub(super) fn start(section: &LoggingSection) {
    let filter = EnvFilter::try_from_default_env().or_else(|_| EnvFilter::try_new(&section.filter));
    let filter = filter.unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = match section.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
