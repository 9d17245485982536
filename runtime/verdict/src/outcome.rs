use std::time::Duration;

use crate::{Disposition, Reason, Verdict};

/// Which frame this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Counts the frames of the pipeline, from 1.
    pub sequence: u64,
    /// The part that the frame is bound to; a free-running frame has none.
    pub part: Option<u64>,
    /// Where it came from: a camera's name or a file.
    pub source: String,
    /// When it was captured, on a monotonic clock that starts with the pipeline.
    pub captured: Duration,
    /// The number of the product that it shows; none while the product is in doubt.
    pub product: Option<usize>,
    /// The number of the view that took it.
    pub view: usize,
}

/// A verdict with the score that it rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredVerdict {
    /// The verdict.
    pub verdict: Verdict,
    /// The image score; none when the verdict is unknown.
    pub score: Option<f32>,
    /// What a person wants to know of an unknown; may be empty.
    pub detail: String,
}

impl ScoredVerdict {
    /// The verdict of a detector that compared a score with its threshold.
    pub fn scored(score: f32, is_anomalous: bool) -> ScoredVerdict {
        let verdict = if is_anomalous { Verdict::Anomalous } else { Verdict::Good };
        ScoredVerdict { verdict, score: Some(score), detail: String::new() }
    }

    /// An unknown without detail.
    pub fn unknown(reason: Reason) -> ScoredVerdict {
        ScoredVerdict::unknown_because(reason, String::new())
    }

    /// An unknown with what a person wants to know of it.
    pub fn unknown_because(reason: Reason, detail: String) -> ScoredVerdict {
        ScoredVerdict { verdict: Verdict::Unknown(reason), score: None, detail }
    }
}

/// The answer for one frame, or for a part that several cameras look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Which frame.
    pub ticket: Ticket,
    /// The verdict, its score and detail.
    pub judged: ScoredVerdict,
    /// From capture to verdict.
    pub latency: Duration,
    /// What the line did with the part; none without a line.
    pub disposition: Option<Disposition>,
    /// The outcome of each view where several cameras look at the part. The fields above are then those of the worst view.
    pub views: Vec<Outcome>,
}

impl Outcome {
    /// The answer of one camera.
    pub fn new(ticket: Ticket, judged: ScoredVerdict, latency: Duration) -> Outcome {
        Outcome { ticket, judged, latency, disposition: None, views: Vec::new() }
    }

    /// The verdict.
    pub fn verdict(&self) -> Verdict {
        self.judged.verdict
    }
}
