//! A part in transit: where and when it was triggered, which verdicts its views have given, and when it is at the actuator.

use std::time::Duration;

use config::line::{Timing, Travel};
use verdict::{Reason, Verdict};

/// Where a part was when its trigger came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Time of the trigger.
    pub at: Duration,
    /// The encoder's count then; 0 without an encoder.
    pub count: i64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub number: u64,
    pub place: Place,
    pub due: Due,
    pub deadline: Option<Duration>,
    /// One bit for each view that has not yet given its verdict.
    missing_views: u32,
    /// The worst verdict of the views so far.
    worst: Verdict,
    /// The part's verdict, once no view can change it.
    pub verdict: Option<Verdict>,
}

impl Part {
    /// A part of `views` views, none of which has given its verdict.
    pub fn new(number: u64, place: Place, timing: Timing, views: usize) -> Part {
        let deadline = timing.deadline.map(|deadline| place.at + deadline);
        // One bit a view: the configuration allows config::VIEWS_LIMIT of them.
        debug_assert!(views <= config::VIEWS_LIMIT, "{views} views");
        let missing_views = (1 << views.min(config::VIEWS_LIMIT)) - 1;
        Part { number, place, due: Due::of(place, timing), deadline, missing_views, worst: Verdict::Good, verdict: None }
    }

    /// Takes a view's verdict in. Returns `false`, and changes nothing, if the view has given its verdict before or the part's verdict is
    /// fixed.
    pub fn add_view_verdict(&mut self, view: usize, verdict: Verdict) -> bool {
        if self.missing_views >> view & 1 == 0 {
            return false;
        }
        self.missing_views &= !(1 << view);
        self.worst = self.worst.or_worse(verdict);
        if self.missing_views == 0 || self.worst == Verdict::Anomalous {
            self.verdict = Some(self.worst);
        }
        true
    }

    /// Fixes the part's verdict: verdicts of views that come later do not change it.
    pub fn fix_verdict(&mut self, verdict: Verdict) {
        (self.missing_views, self.verdict) = (0, Some(verdict));
    }

    /// The part's verdict when the line waits no longer for missing views: the reason of an unknown view, or else the deadline.
    pub fn final_verdict(&self) -> Verdict {
        self.verdict.unwrap_or(match self.worst {
            Verdict::Unknown(reason) => Verdict::Unknown(reason),
            _ => Verdict::Unknown(Reason::Deadline),
        })
    }
}

/// When a part is at the actuator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    At(Duration),
    Count(i64),
}

impl Due {
    fn of(place: Place, timing: Timing) -> Due {
        match timing.delay {
            Travel::Time(delay) => Due::At(place.at + delay),
            Travel::Pulses(delay) => Due::Count(place.count + i64::from(delay)),
        }
    }

    /// Parts do not overtake each other.
    pub fn not_before(self, other: Due) -> Due {
        match (self, other) {
            (Due::At(at), Due::At(other)) => Due::At(at.max(other)),
            (Due::Count(count), Due::Count(other)) => Due::Count(count.max(other)),
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_FRAME: Verdict = Verdict::Unknown(Reason::NoFrame);

    /// A part of `views` views, after these `(view, verdict)`.
    fn part(views: usize, verdicts: &[(usize, Verdict)]) -> Part {
        let timing = Timing { delay: Travel::Pulses(5), deadline: None };
        let mut part = Part::new(1, Place { at: Duration::ZERO, count: 0 }, timing, views);
        verdicts.iter().for_each(|(view, verdict)| assert!(part.add_view_verdict(*view, *verdict)));
        part
    }

    #[test]
    fn one_anomalous_view_is_enough_and_a_good_part_needs_all_views() {
        assert_eq!(part(1, &[(0, Verdict::Good)]).verdict, Some(Verdict::Good));
        assert_eq!(part(2, &[(1, Verdict::Good)]).verdict, None);
        assert_eq!(part(2, &[(1, Verdict::Good), (0, Verdict::Good)]).verdict, Some(Verdict::Good));
        assert_eq!(part(2, &[(1, Verdict::Good), (0, NO_FRAME)]).verdict, Some(NO_FRAME));
        assert_eq!(part(3, &[(2, Verdict::Anomalous)]).verdict, Some(Verdict::Anomalous));
        assert_eq!(part(3, &[(2, NO_FRAME), (0, Verdict::Anomalous), (1, Verdict::Good)]).verdict, Some(Verdict::Anomalous));
    }

    #[test]
    fn a_part_with_a_missing_view_is_unknown() {
        assert_eq!(part(2, &[(1, Verdict::Good)]).final_verdict(), Verdict::Unknown(Reason::Deadline));
        assert_eq!(part(3, &[(1, NO_FRAME), (0, Verdict::Good)]).final_verdict(), NO_FRAME);
        assert_eq!(part(2, &[(1, Verdict::Anomalous)]).final_verdict(), Verdict::Anomalous);
    }

    #[test]
    fn only_the_first_verdict_of_a_view_counts_and_none_after_the_parts_verdict_is_fixed() {
        let mut part = part(2, &[(0, Verdict::Good)]);
        assert!(
            !part.add_view_verdict(0, Verdict::Anomalous)
                && !part.add_view_verdict(2, Verdict::Anomalous)
                && part.verdict.is_none()
        );
        part.fix_verdict(Verdict::Unknown(Reason::Crowded));
        assert!(!part.add_view_verdict(1, Verdict::Good));
        assert_eq!(part.final_verdict(), Verdict::Unknown(Reason::Crowded));
    }
}
