//! Where log lines go.

use super::AppError;
use std::io::{self, IsTerminal as _};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts the log on standard error.
///
/// # Errors
/// If the filter is none.
pub fn start_log(filter: &str, format: LogFormat) -> Result<(), AppError> {
    let targets: Targets = filter.parse().map_err(|error| AppError::Setting {
        flag: "--log",
        reason: format!(
            "`{filter}`: {error}; examples: `info`, `warn,mesh_agent::reconcile=debug`"
        ),
    })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(targets))
        .init();
    Ok(())
}
