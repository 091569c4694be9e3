//! Where log lines go.

use super::AppError;
use crate::cli::{LogArguments, LogFormat};
use std::io::{self, IsTerminal as _};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts the log on standard error.
///
/// # Errors
/// If the filter is none.
pub fn start_log(arguments: &LogArguments) -> Result<(), AppError> {
    let filter: Targets = arguments.log.parse().map_err(|error| AppError::Setting {
        flag: "--log",
        reason: format!(
            "`{}`: {error}; examples: info, warn,mesh_agent::reconcile=debug",
            arguments.log
        ),
    })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = match arguments.log_format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .init();
    Ok(())
}
