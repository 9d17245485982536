//! Which frame shows which part, for one view.

use std::collections::VecDeque;
use std::time::Duration;

use config::line::TriggerConfig;
use verdict::Reason;

use super::trigger::TriggeredPart;

/// Frames that may wait for a part; each holds a whole picture.
const FRAMES: usize = 4;
/// Longest time from the trigger of a part until the matching learns of the part.
const NOTICE: Duration = Duration::from_millis(100);
/// Longest time from the exposure of a frame until the matching gets the frame.
const TRANSPORT: Duration = Duration::from_millis(500);

/// What happened.
#[derive(Debug)]
pub enum MatchingEvent<F> {
    /// A part was triggered.
    Part(TriggeredPart),
    /// A frame came; frames come in the order in which they were taken.
    Frame {
        /// When it was taken.
        at: Duration,
        /// What it shows.
        frame: F,
    },
    /// Only time has passed.
    Tick,
}

/// What became of a part or of a frame.
#[derive(Debug, PartialEq)]
pub enum Match<F> {
    /// This frame shows this part.
    Bound(TriggeredPart, F),
    /// No frame, or more than one, may show this part.
    Unmatched(TriggeredPart, Reason),
    /// This frame shows no part.
    Surplus(F),
}

/// Finds the frame that shows a part: the one and only frame that was taken within a window around the time of its exposure.
///
/// Each part gets exactly one [`Match`], in the order of the parts. Each frame is given back in a [`Match`].
#[derive(Debug)]
pub struct Matching<F> {
    exposure: Duration,
    window: Duration,
    sensor_waits: bool,
    parts: VecDeque<TriggeredPart>,
    frames: VecDeque<(Duration, F)>,
    /// When the newest frame was taken.
    newest: Option<Duration>,
    /// When the newest frame that was bound to a part was taken.
    bound: Option<Duration>,
}

impl<F> Matching<F> {
    /// A matching in which at most `parts` parts wait for their frames.
    pub fn new(config: &TriggerConfig, parts: usize) -> Matching<F> {
        Matching {
            exposure: config.exposure,
            window: config.window,
            sensor_waits: config.sensor_waits,
            parts: VecDeque::with_capacity(parts),
            frames: VecDeque::with_capacity(FRAMES + 1),
            newest: None,
            bound: None,
        }
    }

    /// Takes an event in at time `now`; calls `report` for each part and frame that is now certain.
    pub fn step(&mut self, event: MatchingEvent<F>, now: Duration, report: &mut impl FnMut(Match<F>)) {
        match event {
            MatchingEvent::Part(part) if self.parts.len() == self.parts.capacity() => {
                report(Match::Unmatched(part, Reason::QueueOverflow));
            }
            MatchingEvent::Part(part) => self.parts.push_back(part),
            MatchingEvent::Frame { at, frame } => {
                self.newest = self.newest.max(Some(at));
                self.frames.push_back((at, frame));
                if self.frames.len() > FRAMES {
                    self.drop_frame(report);
                }
            }
            MatchingEvent::Tick => {}
        }
        while let Some(part) = self.parts.front().copied() {
            match self.match_part(part, now, report) {
                Some(matched) => {
                    self.parts.pop_front();
                    report(matched);
                }
                None => break,
            }
        }
        let oldest = now.saturating_sub(self.window + NOTICE);
        while self.parts.is_empty() && self.frames.front().is_some_and(|(at, _)| *at < oldest) {
            self.drop_frame(report);
        }
    }

    /// When to step again at the latest: at that time the first part has waited long enough for its frame.
    pub fn due(&self) -> Option<Duration> {
        self.parts.front().map(|part| part.at + self.exposure + self.window + TRANSPORT + Duration::from_nanos(1))
    }

    /// Whether parts of another product wait for their frames.
    pub fn waits_for_other_than(&self, product: usize) -> bool {
        self.parts.iter().any(|part| part.product != product)
    }

    /// Ends the matching: each waiting part is unmatched for `reason`, each waiting frame is surplus.
    pub fn finish(&mut self, reason: Reason, report: &mut impl FnMut(Match<F>)) {
        self.parts.drain(..).for_each(|part| report(Match::Unmatched(part, reason)));
        self.frames.drain(..).for_each(|(_, frame)| report(Match::Surplus(frame)));
    }

    /// What becomes of the first part; none while its frame may still come.
    fn match_part(&mut self, part: TriggeredPart, now: Duration, report: &mut impl FnMut(Match<F>)) -> Option<Match<F>> {
        let exposed = part.at + self.exposure;
        let (first, last) = (exposed.saturating_sub(self.window), exposed + self.window);
        while self.frames.front().is_some_and(|(at, _)| *at < first) {
            self.drop_frame(report);
        }
        let fits = self.frames.iter().take_while(|(at, _)| *at <= last).count();
        let over = self.newest.is_some_and(|newest| newest > last) || now > last + TRANSPORT;
        // A sensor that waits for triggers gives one frame for each: no second frame can come into the window.
        if !(over || self.sensor_waits && fits > 0) {
            return None;
        }
        let taken = self.bound.is_some_and(|bound| bound >= first);
        Some(match fits {
            0 if taken => Match::Unmatched(part, Reason::Ambiguous),
            0 => Match::Unmatched(part, Reason::NoFrame),
            1 if !taken => {
                let (at, frame) = self.frames.pop_front()?;
                self.bound = Some(at);
                Match::Bound(part, frame)
            }
            fits => {
                (0..fits).for_each(|_| self.drop_frame(report));
                Match::Unmatched(part, Reason::Ambiguous)
            }
        })
    }

    fn drop_frame(&mut self, report: &mut impl FnMut(Match<F>)) {
        if let Some((_, frame)) = self.frames.pop_front() {
            report(Match::Surplus(frame));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::line::TriggerBy;
    use proptest::prelude::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn matching(sensor_waits: bool) -> Matching<u64> {
        let config = TriggerConfig { by: TriggerBy::Frame, sensor_waits, exposure: ms(5), window: ms(10) };
        Matching::new(&config, 3)
    }

    /// Plays events in order of their arrival: `(arrival, Ok(trigger time) | Err(frame time))`.
    fn play(matching: &mut Matching<u64>, events: &[(u64, Result<u64, u64>)]) -> Vec<Match<u64>> {
        let mut matches = vec![];
        let mut part = 0;
        for (now, event) in events {
            let event = match *event {
                Ok(at) => {
                    part += 1;
                    MatchingEvent::Part(triggered(part, at))
                }
                Err(at) => MatchingEvent::Frame { at: ms(at), frame: at },
            };
            matching.step(event, ms(*now), &mut |matched| matches.push(matched));
        }
        matches
    }

    fn triggered(part: u64, at: u64) -> TriggeredPart {
        TriggeredPart { part, at: ms(at), product: 0, doubt: None }
    }

    #[test]
    fn the_frame_in_the_window_shows_the_part_whichever_comes_first() {
        // A part at 100 is exposed at 105: frames from 95 to 115 fit.
        for order in [[0, 1, 2, 3], [1, 0, 2, 3], [1, 2, 0, 3]] {
            let events = [(101, Ok(100)), (101, Err(80)), (112, Err(110)), (142, Err(140))];
            let events: Vec<_> = order.iter().map(|i| events[*i]).collect();
            let matches = play(&mut matching(false), &events);
            assert_eq!(matches, [Match::Surplus(80), Match::Bound(triggered(1, 100), 110)], "{order:?}");
        }
    }

    #[test]
    fn a_part_without_a_frame_or_with_two_frames_is_unknown() {
        let matches = play(&mut matching(false), &[(101, Ok(100)), (94, Err(94)), (116, Err(116))]);
        assert_eq!(matches, [Match::Surplus(94), Match::Unmatched(triggered(1, 100), Reason::NoFrame)]);
        let matches = play(&mut matching(false), &[(101, Ok(100)), (100, Err(99)), (112, Err(111)), (130, Err(130))]);
        assert_eq!(matches, [Match::Surplus(99), Match::Surplus(111), Match::Unmatched(triggered(1, 100), Reason::Ambiguous)]);
    }

    #[test]
    fn a_camera_that_is_silent_leaves_parts_unknown() {
        let mut matching = matching(false);
        let mut matches = play(&mut matching, &[(101, Ok(100))]);
        matching.step(MatchingEvent::Tick, ms(615), &mut |matched| matches.push(matched));
        assert_eq!(matches, []);
        matching.step(MatchingEvent::Tick, ms(616), &mut |matched| matches.push(matched));
        assert_eq!(matches, [Match::Unmatched(triggered(1, 100), Reason::NoFrame)]);
    }

    #[test]
    fn the_frame_of_a_sensor_that_waits_is_matched_at_once() {
        let matches = play(&mut matching(true), &[(101, Ok(100)), (108, Err(106)), (300, Err(300)), (500, Err(500))]);
        assert_eq!(matches, [Match::Bound(triggered(1, 100), 106), Match::Surplus(300)]);
    }

    #[test]
    fn a_frame_that_fits_two_parts_is_bound_to_one_at_most() {
        let matches = play(&mut matching(true), &[(101, Ok(100)), (108, Ok(104)), (110, Err(106)), (300, Err(300))]);
        assert_eq!(matches, [Match::Bound(triggered(1, 100), 106), Match::Unmatched(triggered(2, 104), Reason::Ambiguous)]);
    }

    proptest! {
        #[test]
        fn every_part_and_every_frame_has_exactly_one_match(
            waits in any::<bool>(),
            steps in prop::collection::vec((0u64..30, 0u64..40, 0u8..3), 0..200),
        ) {
            let mut matching = matching(waits);
            let (mut now, mut parts, mut frames) = (ms(1000), 0u64, 0u64);
            let (mut last_part, mut last_frame) = (ms(0), ms(0));
            let mut matches = vec![];
            for (pause, age, kind) in steps {
                now += ms(pause);
                let event = match kind {
                    0 => {
                        parts += 1;
                        last_part = last_part.max(now - ms(age));
                        MatchingEvent::Part(TriggeredPart { part: parts, at: last_part, product: 0, doubt: None })
                    }
                    1 => {
                        last_frame = last_frame.max(now - ms(age));
                        frames += 1;
                        MatchingEvent::Frame { at: last_frame, frame: last_frame.as_millis() as u64 }
                    }
                    _ => MatchingEvent::Tick,
                };
                matching.step(event, now, &mut |matched| matches.push(matched));
            }
            matching.finish(Reason::Stopped, &mut |matched| matches.push(matched));
            let mut matched_parts = vec![];
            let mut returned_frames = 0;
            for matched in matches {
                match matched {
                    Match::Bound(part, frame) => {
                        let exposed = part.at + ms(5);
                        prop_assert!(ms(frame) + ms(10) >= exposed && ms(frame) <= exposed + ms(10));
                        returned_frames += 1;
                        matched_parts.push(part.part);
                    }
                    Match::Unmatched(part, _) => matched_parts.push(part.part),
                    Match::Surplus(_) => returned_frames += 1,
                }
            }
            matched_parts.sort_unstable();
            prop_assert_eq!(matched_parts, (1..=parts).collect::<Vec<_>>());
            prop_assert_eq!(returned_frames, frames);
        }
    }
}
