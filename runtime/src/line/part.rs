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
    /// One bit for each camera that owes an answer, and the worst of the answers so far.
    waits_for: u32,
    worst: Verdict,
    /// What counts, once it is certain.
    pub verdict: Option<Verdict>,
}

impl Part {
    /// A part of which nothing is known yet, and that `views` cameras look at.
    pub fn new(number: u64, place: Place, timing: Timing, views: usize) -> Part {
        let deadline = timing.deadline.map(|deadline| place.at + deadline);
        // One bit a view: the configuration allows config::VIEWS_LIMIT of them.
        debug_assert!(views <= config::VIEWS_LIMIT, "{views} views");
        let waits_for = (1 << views.min(config::VIEWS_LIMIT)) - 1;
        Part { number, place, due: Due::of(place, timing), deadline, waits_for, worst: Verdict::Good, verdict: None }
    }

    /// Takes a camera's answer in; the first of each counts, and what became unknown stays unknown. False if nobody waited for it.
    pub fn answer(&mut self, view: usize, verdict: Verdict) -> bool {
        if self.waits_for >> view & 1 == 0 {
            return false;
        }
        self.waits_for &= !(1 << view);
        self.worst = self.worst.or_worse(verdict);
        if self.waits_for == 0 || self.worst == Verdict::Anomalous {
            self.verdict = Some(self.worst);
        }
        true
    }

    /// Nothing can change this any more.
    pub fn decide(&mut self, verdict: Verdict) {
        (self.waits_for, self.verdict) = (0, Some(verdict));
    }

    /// What counts when nobody is waited for any more.
    pub fn expired(&self) -> Verdict {
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

    /// A part that so many cameras look at, after these answers.
    fn part(views: usize, answers: &[(usize, Verdict)]) -> Part {
        let timing = Timing { delay: Travel::Pulses(5), deadline: None };
        let mut part = Part::new(1, Place { at: Duration::ZERO, count: 0 }, timing, views);
        answers.iter().for_each(|(view, verdict)| assert!(part.answer(*view, *verdict)));
        part
    }

    #[test]
    fn all_views_must_answer_but_one_that_saw_a_defect_is_enough() {
        assert_eq!(part(1, &[(0, Verdict::Good)]).verdict, Some(Verdict::Good));
        assert_eq!(part(2, &[(1, Verdict::Good)]).verdict, None);
        assert_eq!(part(2, &[(1, Verdict::Good), (0, Verdict::Good)]).verdict, Some(Verdict::Good));
        assert_eq!(part(2, &[(1, Verdict::Good), (0, NO_FRAME)]).verdict, Some(NO_FRAME));
        assert_eq!(part(3, &[(2, Verdict::Anomalous)]).verdict, Some(Verdict::Anomalous));
        assert_eq!(part(3, &[(2, NO_FRAME), (0, Verdict::Anomalous), (1, Verdict::Good)]).verdict, Some(Verdict::Anomalous));
    }

    #[test]
    fn a_view_that_is_missing_is_unknown() {
        assert_eq!(part(2, &[(1, Verdict::Good)]).expired(), Verdict::Unknown(Reason::Deadline));
        assert_eq!(part(3, &[(1, NO_FRAME), (0, Verdict::Good)]).expired(), NO_FRAME);
        assert_eq!(part(2, &[(1, Verdict::Anomalous)]).expired(), Verdict::Anomalous);
    }

    #[test]
    fn only_the_first_answer_of_a_view_counts_and_none_after_the_decision() {
        let mut part = part(2, &[(0, Verdict::Good)]);
        assert!(!part.answer(0, Verdict::Anomalous) && !part.answer(2, Verdict::Anomalous) && part.verdict.is_none());
        part.decide(Verdict::Unknown(Reason::Crowded));
        assert!(!part.answer(1, Verdict::Good));
        assert_eq!(part.expired(), Verdict::Unknown(Reason::Crowded));
    }
}
