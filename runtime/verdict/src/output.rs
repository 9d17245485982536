//! The production line's outputs, and the record of their changes.

use serde::{Deserialize, Serialize};

/// An output of the production line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// A pulse for each part that is rejected.
    Reject,
    /// A pulse for each part that passes.
    Good,
    /// A pulse with each trigger.
    Strobe,
    /// Active while a part waits for its verdict.
    Busy,
    /// A square wave while everything works.
    Healthy,
    /// Active from a reason to stop until the reset.
    Stop,
}

impl Output {
    /// All of them.
    pub const ALL: [Output; 6] = [Output::Reject, Output::Good, Output::Strobe, Output::Busy, Output::Healthy, Output::Stop];

    /// Its name in the configuration and in the record of outputs.
    pub fn word(self) -> &'static str {
        match self {
            Output::Reject => "reject",
            Output::Good => "good",
            Output::Strobe => "strobe",
            Output::Busy => "busy",
            Output::Healthy => "healthy",
            Output::Stop => "stop",
        }
    }
}

/// One line of the record of outputs (`line.record`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputLine {
    /// Which output changed.
    pub output: Output,
    /// To which level.
    pub active: bool,
    /// When, in seconds since 1970, UTC.
    pub at: f64,
}
