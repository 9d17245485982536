use verdict::{Output, Verdict};
use std::fmt;
use std::time::Duration;


/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Change an output.
    Set(Output, bool),
    /// A part has its final answer. Each part is settled exactly once, in the order in which they were seen; only those for which there
    /// was no room are settled at once.
    Decision(Decision),
    /// The stop output was raised, for this reason.
    Stopped(StopCause),
    /// An answer came for a part that was settled or never seen.
    Late(u64),
}

/// The final answer for a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Which part.
    pub part: u64,
    /// What was known in time.
    pub found: Verdict,
    /// What was done.
    pub disposition: Disposition,
    /// Time of its trigger.
    pub at: Duration,
    /// From there to now.
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
    /// A product was asked for that there is not.
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
            StopCause::NoSuchProduct => f.write_str("the code, or the name at the socket, is that of no recipe"),
            StopCause::TooLate => f.write_str("the line thread woke too late: a pulse would have hit another part"),
        }
    }
}
