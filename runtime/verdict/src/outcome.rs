//! The outcome of a part or frame, and the ticket that identifies its frame.

use std::time::Duration;

use crate::{Disposition, Reason, Verdict};

/// Identifies a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Counts the frames of the pipeline, from 1.
    pub sequence: u64,
    /// The part that the frame is bound to; a free-running frame has none.
    pub part: Option<u64>,
    /// The camera's device or the image file.
    pub source: String,
    /// When the frame was captured, or its part triggered, on a monotonic clock that starts with the service.
    pub captured: Duration,
    /// The number of the product that the frame shows; none while the product is in doubt.
    pub product: Option<usize>,
    /// The number of the view that took the frame.
    pub view: usize,
}

/// A verdict, with the score from which it follows.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredVerdict {
    /// The verdict.
    pub verdict: Verdict,
    /// The image score; none when the verdict is unknown.
    pub score: Option<f32>,
    /// Details of an unknown verdict, for the log; may be empty.
    pub detail: String,
}

impl ScoredVerdict {
    /// A good or anomalous verdict, with its score.
    pub fn scored(score: f32, is_anomalous: bool) -> ScoredVerdict {
        let verdict = if is_anomalous { Verdict::Anomalous } else { Verdict::Good };
        ScoredVerdict { verdict, score: Some(score), detail: String::new() }
    }

    /// An unknown verdict without details.
    pub fn unknown(reason: Reason) -> ScoredVerdict {
        ScoredVerdict::unknown_because(reason, String::new())
    }

    /// An unknown verdict with details.
    pub fn unknown_because(reason: Reason, detail: String) -> ScoredVerdict {
        ScoredVerdict { verdict: Verdict::Unknown(reason), score: None, detail }
    }
}

/// The outcome of one frame, or of a part with several views.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The frame.
    pub ticket: Ticket,
    /// The verdict, its score and detail.
    pub judged: ScoredVerdict,
    /// Time from capture to verdict.
    pub latency: Duration,
    /// What the line did with the part; none without a line.
    pub disposition: Option<Disposition>,
    /// The outcome of each view, if the part has several. The other fields are then those of the worst view, except for the latency, which
    /// is the longest.
    pub views: Vec<Outcome>,
}

impl Outcome {
    /// The outcome of one view.
    pub fn new(ticket: Ticket, judged: ScoredVerdict, latency: Duration) -> Outcome {
        Outcome { ticket, judged, latency, disposition: None, views: Vec::new() }
    }

    /// The verdict.
    pub fn verdict(&self) -> Verdict {
        self.judged.verdict
    }
}
