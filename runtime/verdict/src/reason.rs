//! Why a verdict is unknown.

use serde::{Deserialize, Serialize};

/// Why a part or frame is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The queue of frames was full.
    QueueOverflow,
    /// The frame waited longer than `frames.max_age_ms`.
    Stale,
    /// The source gave no usable picture.
    Unreadable,
    /// The detector refused the picture or failed on it.
    ScoringFailed,
    /// The detector thread died.
    DetectorLost,
    /// The service was stopped before the frame's turn.
    Stopped,
    /// No frame was taken at the time of the part.
    NoFrame,
    /// Two frames may show the part, or the frame may show another part.
    Ambiguous,
    /// The verdict came after the deadline, or after the part reached the actuator.
    Deadline,
    /// Another part is so near that the actuator cannot tell the two apart.
    Crowded,
    /// The belt's position was lost.
    EncoderLost,
    /// More parts are in transit than the line has room for.
    LineOverflow,
    /// The product was being changed: the code was not yet read, or the camera did not yet run on the new settings.
    #[serde(rename = "recipe_change")]
    ProductChange,
    /// The code, or the name at the socket, belongs to no product.
    #[serde(rename = "no_recipe")]
    NoProduct,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 14] = [
        Reason::QueueOverflow,
        Reason::Stale,
        Reason::Unreadable,
        Reason::ScoringFailed,
        Reason::DetectorLost,
        Reason::Stopped,
        Reason::NoFrame,
        Reason::Ambiguous,
        Reason::Deadline,
        Reason::Crowded,
        Reason::EncoderLost,
        Reason::LineOverflow,
        Reason::ProductChange,
        Reason::NoProduct,
    ];

    /// Its word in a verdict line.
    pub fn word(self) -> &'static str {
        match self {
            Reason::QueueOverflow => "queue_overflow",
            Reason::Stale => "stale",
            Reason::Unreadable => "unreadable",
            Reason::ScoringFailed => "scoring_failed",
            Reason::DetectorLost => "detector_lost",
            Reason::Stopped => "stopped",
            Reason::NoFrame => "no_frame",
            Reason::Ambiguous => "ambiguous",
            Reason::Deadline => "deadline",
            Reason::Crowded => "crowded",
            Reason::EncoderLost => "encoder_lost",
            Reason::LineOverflow => "line_overflow",
            Reason::ProductChange => "recipe_change",
            Reason::NoProduct => "no_recipe",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_words_in_verdict_lines() {
        for reason in Reason::ALL {
            let text = serde_json::to_string(&reason).unwrap();
            assert_eq!(text, format!("{:?}", reason.word()));
            assert_eq!(serde_json::from_str::<Reason>(&text).unwrap(), reason);
        }
    }
}
