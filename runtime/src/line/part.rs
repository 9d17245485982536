use std::time::Duration;

use crate::config::line::{Timing, Travel};
use crate::live::Reason;

/// Where a part was when its trigger came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Time of the trigger.
    pub at: Duration,
    /// The encoder's count then; 0 without an encoder.
    pub count: i64,
}

/// What is known of a part, by a camera or by all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The detector says so.
    Good,
    /// The detector says so.
    Anomalous,
    /// Nobody can say; `on_unknown` decides.
    Unknown(Reason),
}

impl Found {
    /// The worse of two: what one camera has seen is there, whatever the others say; what one could not see may be there.
    #[must_use]
    pub fn or_worse(self, other: Found) -> Found {
        let rank = |found| match found {
            Found::Good => 0,
            Found::Unknown(_) => 1,
            Found::Anomalous => 2,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub number: u64,
    pub place: Place,
    pub due: Due,
    pub deadline: Option<Duration>,
    /// One bit for each camera that owes an answer, and the worst of the answers so far.
    waits_for: u32,
    worst: Found,
    /// What counts, once it is certain.
    pub found: Option<Found>,
}

impl Part {
    /// A part of which nothing is known yet, and that `views` cameras look at.
    pub fn new(number: u64, place: Place, timing: Timing, views: usize) -> Part {
        let deadline = timing.deadline.map(|deadline| place.at + deadline);
        let waits_for = (1 << views) - 1;
        Part { number, place, due: Due::of(place, timing), deadline, waits_for, worst: Found::Good, found: None }
    }

    /// Takes a camera's answer in; the first of each counts, and what became unknown stays unknown. False if nobody waited for it.
    pub fn answer(&mut self, view: usize, found: Found) -> bool {
        if self.waits_for >> view & 1 == 0 {
            return false;
        }
        self.waits_for &= !(1 << view);
        self.worst = self.worst.or_worse(found);
        if self.waits_for == 0 || self.worst == Found::Anomalous {
            self.found = Some(self.worst);
        }
        true
    }

    /// Nothing can change this any more.
    pub fn decide(&mut self, found: Found) {
        (self.waits_for, self.found) = (0, Some(found));
    }

    /// What counts when nobody is waited for any more.
    pub fn expired(&self) -> Found {
        self.found.unwrap_or(match self.worst {
            Found::Unknown(reason) => Found::Unknown(reason),
            _ => Found::Unknown(Reason::Deadline),
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

    const NO_FRAME: Found = Found::Unknown(Reason::NoFrame);

    /// A part that so many cameras look at, after these answers.
    fn part(views: usize, answers: &[(usize, Found)]) -> Part {
        let timing = Timing { delay: Travel::Pulses(5), deadline: None };
        let mut part = Part::new(1, Place { at: Duration::ZERO, count: 0 }, timing, views);
        answers.iter().for_each(|(view, found)| assert!(part.answer(*view, *found)));
        part
    }

    #[test]
    fn all_views_must_answer_but_one_that_saw_a_defect_is_enough() {
        assert_eq!(part(1, &[(0, Found::Good)]).found, Some(Found::Good));
        assert_eq!(part(2, &[(1, Found::Good)]).found, None);
        assert_eq!(part(2, &[(1, Found::Good), (0, Found::Good)]).found, Some(Found::Good));
        assert_eq!(part(2, &[(1, Found::Good), (0, NO_FRAME)]).found, Some(NO_FRAME));
        assert_eq!(part(3, &[(2, Found::Anomalous)]).found, Some(Found::Anomalous));
        assert_eq!(part(3, &[(2, NO_FRAME), (0, Found::Anomalous), (1, Found::Good)]).found, Some(Found::Anomalous));
    }

    #[test]
    fn a_view_that_is_missing_is_unknown() {
        assert_eq!(part(2, &[(1, Found::Good)]).expired(), Found::Unknown(Reason::Deadline));
        assert_eq!(part(3, &[(1, NO_FRAME), (0, Found::Good)]).expired(), NO_FRAME);
        assert_eq!(part(2, &[(1, Found::Anomalous)]).expired(), Found::Anomalous);
    }

    #[test]
    fn only_the_first_answer_of_a_view_counts_and_none_after_the_decision() {
        let mut part = part(2, &[(0, Found::Good)]);
        assert!(!part.answer(0, Found::Anomalous) && !part.answer(2, Found::Anomalous) && part.found.is_none());
        part.decide(Found::Unknown(Reason::Crowded));
        assert!(!part.answer(1, Found::Good));
        assert_eq!(part.expired(), Found::Unknown(Reason::Crowded));
    }
}
