//! What line control does: output changes, decisions about parts, and causes of a stop.

use std::fmt;
use std::time::Duration;

use verdict::{Disposition, Output, Verdict};

/// What line control does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Change an output.
    Set(Output, bool),
    /// A part is decided. Each part is decided exactly once, in the order of the triggers. A part for which the queue has no room is
    /// decided at its trigger.
    Decided(Decision),
    /// The stop output was raised, for this reason.
    Stopped(StopCause),
    /// A verdict came for a part that was decided before, or that never had a trigger.
    Late(u64),
}

/// What the line decided about a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The number of the part.
    pub part: u64,
    /// The verdict that line control had at the actuator.
    pub verdict: Verdict,
    /// What the line did with the part.
    pub disposition: Disposition,
    /// Time of its trigger.
    pub at: Duration,
    /// From its trigger to the decision.
    pub after: Duration,
}

/// Why the stop output was raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// A part was unknown, and `on_unknown` is "stop".
    Unknown,
    /// As many parts in a row were unknown as the configuration allows.
    UnknownsInARow,
    /// As many parts in a row were rejected as the configuration allows.
    RejectsInARow,
    /// An actuator had no time to rest between two pulses.
    PulsesTooClose(Output),
    /// More parts are in transit than the configuration has room for.
    TooManyParts,
    /// The belt's position was lost.
    EncoderLost,
    /// The code, or the name at the socket, belongs to no product.
    NoSuchProduct,
    /// The line thread woke so late that a pulse would have hit another part.
    TooLate,
}

impl fmt::Display for StopCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopCause::Unknown => f.write_str("a part was unknown"),
            StopCause::UnknownsInARow => f.write_str("too many parts in a row were unknown"),
            StopCause::RejectsInARow => f.write_str("too many parts in a row were rejected"),
            StopCause::PulsesTooClose(output) => write!(f, "{} had to pulse again before its min_gap_ms was over", output.word()),
            StopCause::TooManyParts => f.write_str("more parts are in transit than line.parts"),
            StopCause::EncoderLost => f.write_str("encoder pulses were lost or came too fast: the belt's position is unknown"),
            StopCause::NoSuchProduct => f.write_str("the code, or the name at the socket, belongs to no product"),
            StopCause::TooLate => f.write_str("the line thread woke too late: a pulse would have hit another part"),
        }
    }
}
