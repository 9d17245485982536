//! The pulses of one output: their width, the rest between them, and overlapping requests.

use std::time::Duration;

use verdict::Output;

/// The outputs that pulse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PulseOutput {
    /// See [`Output::Reject`].
    Reject,
    /// See [`Output::Good`].
    Good,
    /// See [`Output::Strobe`].
    Strobe,
}

impl PulseOutput {
    /// All of them.
    pub const ALL: [PulseOutput; 3] = [PulseOutput::Reject, PulseOutput::Good, PulseOutput::Strobe];
}

impl From<PulseOutput> for Output {
    fn from(output: PulseOutput) -> Output {
        match output {
            PulseOutput::Reject => Output::Reject,
            PulseOutput::Good => Output::Good,
            PulseOutput::Strobe => Output::Strobe,
        }
    }
}

/// The pulses of one output.
#[derive(Clone, Debug)]
pub struct Pulse {
    width: Duration,
    rest: Duration,
    until: Option<Duration>,
    ended: Option<Duration>,
}

/// What a request for a pulse led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fired {
    /// The output becomes active.
    Started,
    /// The output was active and stays active for longer: the two pulses become one.
    Merged,
    /// The output becomes active before the rest was over. The pulse is neither moved nor dropped; the line must raise a stop.
    TooSoon,
}

impl Pulse {
    /// Pulses of `width`, with at least `rest` between them.
    pub fn new(width: Duration, rest: Duration) -> Pulse {
        Pulse { width, rest, until: None, ended: None }
    }

    /// Requests a whole pulse that begins now.
    pub fn fire(&mut self, now: Duration) -> Fired {
        if self.until.replace(now + self.width).is_some() {
            return Fired::Merged;
        }
        let rested = self.ended.is_none_or(|ended| now.saturating_sub(ended) >= self.rest);
        if rested { Fired::Started } else { Fired::TooSoon }
    }

    /// The output rose at `at` for the pulse that was requested at `fired`: the pulse ends a whole width after `at`. The camera computer
    /// may stand still before it sets the output, and an actuator may not notice a pulse that is cut short.
    pub fn rose(&mut self, fired: Duration, at: Duration) {
        if self.until == Some(fired + self.width) {
            self.until = Some(at + self.width);
        }
    }

    /// Whether the output is active.
    pub fn is_active(&self) -> bool {
        self.until.is_some()
    }

    /// When the output becomes inactive.
    pub fn due(&self) -> Option<Duration> {
        self.until
    }

    /// Ends the pulse at `now` if its end is due by `time`; returns whether it did.
    pub fn end(&mut self, time: Duration, now: Duration) -> bool {
        let over = self.until.is_some_and(|until| until <= time);
        if over {
            (self.until, self.ended) = (None, Some(now));
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn overlapping_pulses_are_one_and_a_short_rest_is_reported() {
        let mut pulse = Pulse::new(ms(20), ms(10));
        assert_eq!(pulse.fire(ms(100)), Fired::Started);
        assert_eq!(pulse.fire(ms(115)), Fired::Merged);
        assert!(!pulse.end(ms(134), ms(134)) && pulse.end(ms(135), ms(135)) && !pulse.is_active());
        assert_eq!(pulse.fire(ms(144)), Fired::TooSoon);
        assert!(pulse.is_active() && pulse.end(ms(164), ms(164)));
        assert_eq!(pulse.fire(ms(174)), Fired::Started);
    }

    #[test]
    fn a_pulse_that_begins_late_is_not_cut_short() {
        let mut pulse = Pulse::new(ms(20), ms(10));
        pulse.fire(ms(100));
        pulse.rose(ms(100), ms(118));
        assert_eq!(pulse.due(), Some(ms(138)));
        // A rise of an earlier pulse does not move the end of this one.
        pulse.fire(ms(130));
        pulse.rose(ms(118), ms(119));
        assert_eq!(pulse.due(), Some(ms(150)));
        assert!(pulse.end(ms(150), ms(150)));
        pulse.rose(ms(130), ms(160));
        assert_eq!(pulse.due(), None);
    }

    proptest! {
        /// From each request on, the output is active for at least a whole width.
        #[test]
        fn every_request_gives_a_whole_pulse(pauses in prop::collection::vec(0u64..60, 1..50)) {
            let mut pulse = Pulse::new(ms(20), ms(10));
            let (mut now, mut last, mut ended) = (ms(0), None, None);
            for pause in pauses {
                let next = now + ms(pause);
                if let Some(due) = pulse.due().filter(|due| *due <= next) {
                    prop_assert_eq!(Some(due), last.map(|last| last + ms(20)));
                    prop_assert!(pulse.end(due, due));
                    ended = Some(due);
                }
                now = next;
                let active = pulse.is_active();
                let soon = ended.is_some_and(|ended| now - ended < ms(10));
                let expected = if active { Fired::Merged } else if soon { Fired::TooSoon } else { Fired::Started };
                prop_assert_eq!(pulse.fire(now), expected);
                last = Some(now);
            }
        }
    }
}
