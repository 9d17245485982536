//! When a camera is given up, and when it is opened again: a pure state machine.

use std::time::Duration;

/// Shortest time after which a camera that owes a frame is given up.
const LEAST_SILENCE: Duration = Duration::from_secs(1);
/// First pause before opening again. Doubled after each attempt that fails.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause before opening again. With the time to open and the time to the first frame, a camera that is plugged in again works
/// within 5 s.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The stream was started.
    Opened,
    /// The camera could not be opened, or its stream not started.
    OpenFailed,
    /// A frame came, whole or damaged.
    Frame,
    /// A part was triggered: a camera that waits for triggers owes a frame now.
    Triggered,
    /// The camera is gone, its signal has changed, or its stream has failed.
    Lost,
    /// Time has passed.
    Tick,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Wait for frames.
    Wait,
    /// Close the camera, because it has given no frame for too long.
    GiveUp,
    /// Close the camera.
    Close,
    /// Open the camera.
    Open,
    /// Leave the camera closed for now.
    Pause,
}

/// Follows one camera. Times are on any clock that does not go back.
#[derive(Debug)]
pub struct Watch {
    state: State,
    silence: Duration,
    triggered: bool,
    /// Pause after the next failure. Only a frame proves that a camera works: opening alone does not reset it.
    pause: Duration,
}

#[derive(Debug)]
enum State {
    /// `owed_since` is the time since which the camera owes a frame; a triggered camera without a trigger owes none.
    Open {
        owed_since: Option<Duration>,
    },
    Closed {
        open_at: Duration,
    },
}

impl Watch {
    /// A camera that was opened at `now`. `period` is the time between frames. A `triggered` camera gives frames only for triggers.
    pub fn new(period: Option<Duration>, triggered: bool, now: Duration) -> Watch {
        let silence = period.map_or(LEAST_SILENCE, |period| (2 * period).max(LEAST_SILENCE));
        let owed_since = (!triggered).then_some(now);
        Watch { state: State::Open { owed_since }, silence, triggered, pause: FIRST_PAUSE }
    }

    /// Takes an event in; returns the action that follows.
    pub fn step(&mut self, event: Event, now: Duration) -> Action {
        match (&mut self.state, event) {
            (State::Open { owed_since }, Event::Frame) => {
                *owed_since = (!self.triggered).then_some(now);
                self.pause = FIRST_PAUSE;
                Action::Wait
            }
            (State::Open { owed_since }, Event::Triggered) => {
                owed_since.get_or_insert(now);
                Action::Wait
            }
            (State::Open { .. }, Event::Lost) => {
                self.close(now);
                Action::Close
            }
            (State::Open { owed_since: Some(since) }, _) if now.saturating_sub(*since) > self.silence => {
                self.close(now);
                Action::GiveUp
            }
            (State::Open { .. }, _) => Action::Wait,
            (State::Closed { .. }, Event::Opened) => {
                self.state = State::Open { owed_since: (!self.triggered).then_some(now) };
                Action::Wait
            }
            (State::Closed { .. }, Event::OpenFailed) => {
                self.close(now);
                Action::Pause
            }
            (State::Closed { open_at }, _) if now >= *open_at => Action::Open,
            (State::Closed { .. }, _) => Action::Pause,
        }
    }

    fn close(&mut self, now: Duration) {
        self.state = State::Closed { open_at: now + self.pause };
        self.pause = (2 * self.pause).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn silence_is_noticed_after_two_periods_but_not_before_a_second() {
        for (period, limit) in [(Some(ms(20)), 1000), (Some(ms(700)), 1400), (None, 1000)] {
            let mut watch = Watch::new(period, false, ms(0));
            assert_eq!(watch.step(Event::Frame, ms(500)), Action::Wait);
            assert_eq!(watch.step(Event::Tick, ms(500 + limit)), Action::Wait);
            assert_eq!(watch.step(Event::Tick, ms(501 + limit)), Action::GiveUp);
        }
    }

    #[test]
    fn a_triggered_camera_is_silent_until_it_is_triggered() {
        let mut watch = Watch::new(Some(ms(20)), true, ms(0));
        assert_eq!(watch.step(Event::Tick, ms(3_600_000)), Action::Wait);
        watch.step(Event::Triggered, ms(3_600_000));
        watch.step(Event::Triggered, ms(3_600_900));
        assert_eq!(watch.step(Event::Tick, ms(3_601_001)), Action::GiveUp, "the first trigger counts");
    }

    #[test]
    fn a_camera_that_is_plugged_in_again_is_opened_within_the_longest_pause() {
        let mut watch = Watch::new(None, false, ms(0));
        assert_eq!(watch.step(Event::Lost, ms(10)), Action::Close);
        let (mut now, mut attempts) = (ms(10), vec![]);
        while now < ms(60_000) {
            now += ms(1);
            if watch.step(Event::Tick, now) == Action::Open {
                attempts.push(now);
                watch.step(Event::OpenFailed, now);
            }
        }
        let pauses: Vec<_> = attempts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(pauses[..4], [ms(200), ms(400), ms(800), ms(1600)]);
        assert!(pauses[4..].iter().all(|pause| *pause == ms(2000)), "{pauses:?}");
    }

    #[test]
    fn a_camera_that_opens_but_gives_nothing_is_not_opened_ever_faster() {
        let mut watch = Watch::new(None, false, ms(0));
        let (mut now, mut opened) = (ms(0), 0);
        while now < ms(30_000) {
            now += ms(10);
            if watch.step(Event::Tick, now) == Action::Open {
                opened += 1;
                watch.step(Event::Opened, now);
            }
        }
        assert!((8..=14).contains(&opened), "{opened}");
    }

    fn any_event() -> impl Strategy<Value = Event> {
        use Event::{Frame, Lost, OpenFailed, Opened, Tick, Triggered};
        prop::sample::select(&[Opened, OpenFailed, Frame, Triggered, Lost, Tick][..])
    }

    proptest! {
        /// For any events, a closed camera is opened again soon, and an open camera is never opened.
        #[test]
        fn a_closed_camera_is_always_opened_again(
            triggered in any::<bool>(),
            steps in prop::collection::vec((0u64..3000, any_event()), 0..100),
        ) {
            let (mut now, mut open) = (ms(0), true);
            let mut watch = Watch::new(Some(ms(100)), triggered, now);
            for (pause, event) in steps {
                now += ms(pause);
                // An open camera is not opened; a closed one gives no frames.
                if (open && matches!(event, Event::Opened | Event::OpenFailed)) || (!open && matches!(event, Event::Frame | Event::Lost)) {
                    continue;
                }
                let action = watch.step(event, now);
                match action {
                    Action::Close | Action::GiveUp => { prop_assert!(open); open = false; }
                    Action::Open => prop_assert!(!open),
                    Action::Pause => prop_assert!(!open),
                    Action::Wait => open |= event == Event::Opened,
                }
            }
            if !open {
                prop_assert_eq!(watch.step(Event::Tick, now + LONGEST_PAUSE), Action::Open);
            }
        }
    }
}
