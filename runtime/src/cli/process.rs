//! Log and threads of this process.

use std::io::IsTerminal;

use anyhow::{Context, Result};
use detector::placement;
use simplelog::{ColorChoice, ConfigBuilder, LevelFilter, TermLogger, TerminalMode};

/// Log and threads of a command that runs once.
pub(super) fn prepare(threads: Option<usize>) -> Result<()> {
    start_log(LevelFilter::Warn)?;
    set_threads(threads.unwrap_or(0))
}

/// Sets the pool of backbone and search; 0 is one thread for each processor.
pub(super) fn set_threads(threads: usize) -> Result<()> {
    placement::pool(threads).build_global().context("cannot start the threads")
}

/// Starts the log on standard error.
pub(super) fn start_log(level: LevelFilter) -> Result<()> {
    let config = ConfigBuilder::new().set_time_format_rfc3339().set_target_level(LevelFilter::Off).build();
    let choice = if std::io::stderr().is_terminal() { ColorChoice::Auto } else { ColorChoice::Never };
    TermLogger::init(level, config, TerminalMode::Stderr, choice).context("cannot start the log")
}
