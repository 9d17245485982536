use crate::Reason;

/// The answer of one camera, or of all cameras, for a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The score is at most the threshold.
    Good,
    /// The score is above the threshold.
    Anomalous,
    /// There is no score to judge by; the line's `on_unknown` decides.
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
    /// A defect that one camera sees is there, whatever the others see. A defect may be where one camera could not look.
    #[must_use]
    pub fn or_worse(self, other: Verdict) -> Verdict {
        if other.badness() > self.badness() { other } else { self }
    }

    fn badness(self) -> u8 {
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
    fn a_defect_outweighs_a_doubt_and_a_doubt_outweighs_a_good_view() {
        let [blind, late] = [Reason::NoFrame, Reason::Deadline].map(Verdict::Unknown);
        assert_eq!(Verdict::Good.or_worse(blind), blind);
        assert_eq!(blind.or_worse(Verdict::Good), blind);
        assert_eq!(blind.or_worse(Verdict::Anomalous), Verdict::Anomalous);
        assert_eq!(Verdict::Anomalous.or_worse(blind), Verdict::Anomalous);
        assert_eq!(blind.or_worse(late), blind, "the first of two doubts stays");
    }
}
