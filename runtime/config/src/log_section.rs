//! `[log]`: which log lines go to standard error.

use serde::Deserialize;

/// Which log lines go to standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// The least important level that is still written.
    pub level: LogLevel,
}

/// Levels of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// Failures that end the service, and losses.
    Error,
    /// Unknown parts too.
    Warn,
    /// Start, stop and anomalous parts too.
    #[default]
    Info,
    /// Good parts too.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The filter for the `log` crate.
    pub fn filter(self) -> log::LevelFilter {
        match self {
            LogLevel::Off => log::LevelFilter::Off,
            LogLevel::Error => log::LevelFilter::Error,
            LogLevel::Warn => log::LevelFilter::Warn,
            LogLevel::Info => log::LevelFilter::Info,
            LogLevel::Debug => log::LevelFilter::Debug,
            LogLevel::Trace => log::LevelFilter::Trace,
        }
    }
}
