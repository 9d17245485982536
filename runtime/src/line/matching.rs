use std::collections::VecDeque;
use std::time::Duration;

use config::line::TriggerConfig;
use verdict::Reason;

use super::trigger::TriggeredPart;

/// Frames that may wait for a part; each holds a whole picture.
const FRAMES: usize = 4;
/// A part is known to this side at most so long after its trigger.
const NOTICE: Duration = Duration::from_millis(100);
/// A frame is here at most so long after it was taken.
const TRANSPORT: Duration = Duration::from_millis(500);

/// What happened.
#[derive(Debug)]
pub enum MatchingEvent<F> {
    /// A part was seen.
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

/// What is certain now.
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
/// Parts are answered in order, each exactly once; every frame is given back.
#[derive(Debug)]
pub struct Matching<F> {
    exposure: Duration,
    window: Duration,
    sensor_waits: bool,
    parts: VecDeque<TriggeredPart>,
    frames: VecDeque<(Duration, F)>,
    /// When the newest frame was taken, and the newest that was given to a part.
    newest: Option<Duration>,
    bound: Option<Duration>,
}

impl<F> Matching<F> {
    /// A matching for at most `parts` parts that wait.
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

    /// Takes an event in at time `now` and says what is certain.
    pub fn step(&mut self, event: MatchingEvent<F>, now: Duration, tell: &mut impl FnMut(Match<F>)) {
        match event {
            MatchingEvent::Part(seen) if self.parts.len() == self.parts.capacity() => {
                tell(Match::Unmatched(seen, Reason::QueueOverflow));
            }
            MatchingEvent::Part(seen) => self.parts.push_back(seen),
            MatchingEvent::Frame { at, frame } => {
                self.newest = self.newest.max(Some(at));
                self.frames.push_back((at, frame));
                if self.frames.len() > FRAMES {
                    self.drop_frame(tell);
                }
            }
            MatchingEvent::Tick => {}
        }
        while let Some(seen) = self.parts.front().copied() {
            match self.answer(seen, now, tell) {
                Some(answer) => {
                    self.parts.pop_front();
                    tell(answer);
                }
                None => break,
            }
        }
        let oldest = now.saturating_sub(self.window + NOTICE);
        while self.parts.is_empty() && self.frames.front().is_some_and(|(at, _)| *at < oldest) {
            self.drop_frame(tell);
        }
    }

    /// When to step again at the latest: a part that waits then has waited long enough for its frame.
    pub fn due(&self) -> Option<Duration> {
        self.parts.front().map(|part| part.at + self.exposure + self.window + TRANSPORT + Duration::from_nanos(1))
    }

    /// Whether parts of another product wait for their frames.
    pub fn waits_for_other_than(&self, product: usize) -> bool {
        self.parts.iter().any(|seen| seen.product != product)
    }

    /// Nothing more will come: what waits is answered.
    pub fn finish(&mut self, reason: Reason, tell: &mut impl FnMut(Match<F>)) {
        self.parts.drain(..).for_each(|seen| tell(Match::Unmatched(seen, reason)));
        self.frames.drain(..).for_each(|(_, frame)| tell(Match::Surplus(frame)));
    }

    fn answer(&mut self, seen: TriggeredPart, now: Duration, tell: &mut impl FnMut(Match<F>)) -> Option<Match<F>> {
        let exposed = seen.at + self.exposure;
        let (first, last) = (exposed.saturating_sub(self.window), exposed + self.window);
        while self.frames.front().is_some_and(|(at, _)| *at < first) {
            self.drop_frame(tell);
        }
        let fits = self.frames.iter().take_while(|(at, _)| *at <= last).count();
        let over = self.newest.is_some_and(|newest| newest > last) || now > last + TRANSPORT;
        // A sensor that waits gives one frame for each trigger: there is nothing to wait for.
        if !(over || self.sensor_waits && fits > 0) {
            return None;
        }
        let taken = self.bound.is_some_and(|bound| bound >= first);
        Some(match fits {
            0 if taken => Match::Unmatched(seen, Reason::Ambiguous),
            0 => Match::Unmatched(seen, Reason::NoFrame),
            1 if !taken => {
                let (at, frame) = self.frames.pop_front()?;
                self.bound = Some(at);
                Match::Bound(seen, frame)
            }
            fits => {
                (0..fits).for_each(|_| self.drop_frame(tell));
                Match::Unmatched(seen, Reason::Ambiguous)
            }
        })
    }

    fn drop_frame(&mut self, tell: &mut impl FnMut(Match<F>)) {
        if let Some((_, frame)) = self.frames.pop_front() {
            tell(Match::Surplus(frame));
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
        let mut told = vec![];
        let mut part = 0;
        for (now, event) in events {
            let event = match *event {
                Ok(at) => {
                    part += 1;
                    MatchingEvent::Part(seen(part, at))
                }
                Err(at) => MatchingEvent::Frame { at: ms(at), frame: at },
            };
            matching.step(event, ms(*now), &mut |found| told.push(found));
        }
        told
    }

    fn seen(part: u64, at: u64) -> TriggeredPart {
        TriggeredPart { part, at: ms(at), product: 0, doubt: None }
    }

    #[test]
    fn the_frame_in_the_window_is_the_parts_whichever_comes_first() {
        // A part at 100 is exposed at 105: frames from 95 to 115 fit.
        for order in [[0, 1, 2, 3], [1, 0, 2, 3], [1, 2, 0, 3]] {
            let events = [(101, Ok(100)), (101, Err(80)), (112, Err(110)), (142, Err(140))];
            let events: Vec<_> = order.iter().map(|i| events[*i]).collect();
            let told = play(&mut matching(false), &events);
            assert_eq!(told, [Match::Surplus(80), Match::Bound(seen(1, 100), 110)], "{order:?}");
        }
    }

    #[test]
    fn a_missing_frame_and_two_frames_are_unknown() {
        let told = play(&mut matching(false), &[(101, Ok(100)), (94, Err(94)), (116, Err(116))]);
        assert_eq!(told, [Match::Surplus(94), Match::Unmatched(seen(1, 100), Reason::NoFrame)]);
        let told = play(&mut matching(false), &[(101, Ok(100)), (100, Err(99)), (112, Err(111)), (130, Err(130))]);
        assert_eq!(told, [Match::Surplus(99), Match::Surplus(111), Match::Unmatched(seen(1, 100), Reason::Ambiguous)]);
    }

    #[test]
    fn a_camera_that_is_silent_leaves_parts_unknown() {
        let mut matching = matching(false);
        let mut told = play(&mut matching, &[(101, Ok(100))]);
        matching.step(MatchingEvent::Tick, ms(615), &mut |found| told.push(found));
        assert_eq!(told, []);
        matching.step(MatchingEvent::Tick, ms(616), &mut |found| told.push(found));
        assert_eq!(told, [Match::Unmatched(seen(1, 100), Reason::NoFrame)]);
    }

    #[test]
    fn a_sensor_that_waits_is_not_waited_for() {
        let told = play(&mut matching(true), &[(101, Ok(100)), (108, Err(106)), (300, Err(300)), (500, Err(500))]);
        assert_eq!(told, [Match::Bound(seen(1, 100), 106), Match::Surplus(300)]);
    }

    #[test]
    fn a_frame_that_two_parts_claim_is_given_to_one_at_most() {
        let told = play(&mut matching(true), &[(101, Ok(100)), (108, Ok(104)), (110, Err(106)), (300, Err(300))]);
        assert_eq!(told, [Match::Bound(seen(1, 100), 106), Match::Unmatched(seen(2, 104), Reason::Ambiguous)]);
    }

    proptest! {
        #[test]
        fn every_part_and_every_frame_is_told_once(
            waits in any::<bool>(),
            steps in prop::collection::vec((0u64..30, 0u64..40, 0u8..3), 0..200),
        ) {
            let mut matching = matching(waits);
            let (mut now, mut parts, mut frames) = (ms(1000), 0u64, 0u64);
            let (mut last_part, mut last_frame) = (ms(0), ms(0));
            let mut told = vec![];
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
                matching.step(event, now, &mut |found| told.push(found));
            }
            matching.finish(Reason::Stopped, &mut |found| told.push(found));
            let mut answered = vec![];
            let mut given = 0;
            for found in told {
                match found {
                    Match::Bound(seen, frame) => {
                        let exposed = seen.at + ms(5);
                        prop_assert!(ms(frame) + ms(10) >= exposed && ms(frame) <= exposed + ms(10));
                        given += 1;
                        answered.push(seen.part);
                    }
                    Match::Unmatched(seen, _) => answered.push(seen.part),
                    Match::Surplus(_) => given += 1,
                }
            }
            answered.sort_unstable();
            prop_assert_eq!(answered, (1..=parts).collect::<Vec<_>>());
            prop_assert_eq!(given, frames);
        }
    }
}
