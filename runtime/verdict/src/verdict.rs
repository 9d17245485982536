//! The verdict on a part or frame.

use crate::Reason;

/// The verdict of one view, or of all views together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The score is at most the threshold.
    Good,
    /// The score is above the threshold.
    Anomalous,
    /// The part or frame could not be judged; `on_unknown` of the line decides what it gets.
    Unknown(Reason),
}

impl Verdict {
    /// Its word in a verdict line.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Good => "good",
            Verdict::Anomalous => "anomalous",
            Verdict::Unknown(_) => "unknown",
        }
    }

    /// Why it is unknown.
    pub fn reason(self) -> Option<Reason> {
        match self {
            Verdict::Unknown(reason) => Some(reason),
            Verdict::Good | Verdict::Anomalous => None,
        }
    }

    /// The worse of two views of one part; `self` if they are equally bad.
    ///
    /// Anomalous is worse than unknown: a defect that one camera shows is there, whatever the others show. Unknown is worse than good: the
    /// defect may lie where the unknown view would have shown it.
    #[must_use]
    pub fn or_worse(self, other: Verdict) -> Verdict {
        if other.severity() > self.severity() { other } else { self }
    }

    fn severity(self) -> u8 {
        match self {
            Verdict::Good => 0,
            Verdict::Unknown(_) => 1,
            Verdict::Anomalous => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anomalous_is_worse_than_unknown_and_unknown_is_worse_than_good() {
        let [blind, late] = [Reason::NoFrame, Reason::Deadline].map(Verdict::Unknown);
        assert_eq!(Verdict::Good.or_worse(blind), blind);
        assert_eq!(blind.or_worse(Verdict::Good), blind);
        assert_eq!(blind.or_worse(Verdict::Anomalous), Verdict::Anomalous);
        assert_eq!(Verdict::Anomalous.or_worse(blind), Verdict::Anomalous);
        assert_eq!(blind.or_worse(late), blind, "the first of two unknown verdicts stays");
    }
}
