//! The square wave on the output `healthy`.

use std::time::Duration;

/// A square wave that lasts only as long as all threads of the service make progress.
///
/// A process that was killed can leave a GPIO line latched at any level: a watchdog relay must rely on the edges only.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    half: Duration,
    next: Duration,
    level: bool,
}

impl Heartbeat {
    /// A wave whose level changes every `half` period, from now on.
    pub fn new(half: Duration, now: Duration) -> Heartbeat {
        Heartbeat { half, next: now, level: false }
    }

    /// When to step again.
    pub fn due(&self) -> Duration {
        self.next
    }

    /// The new level, if it changes. Without progress the output stays inactive.
    pub fn step(&mut self, now: Duration, progress: bool) -> Option<bool> {
        if now < self.next {
            return None;
        }
        // After a pause of the thread the wave goes on from now, without a burst of edges.
        self.next = if self.next + self.half > now { self.next + self.half } else { now + self.half };
        let level = progress && !self.level;
        (std::mem::replace(&mut self.level, level) != level).then_some(level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_with_progress_and_stays_inactive_without() {
        let ms = Duration::from_millis;
        let mut beat = Heartbeat::new(ms(100), ms(0));
        let levels: Vec<_> = (0..6).map(|i| beat.step(ms(i * 50), true)).collect();
        assert_eq!(levels, [Some(true), None, Some(false), None, Some(true), None]);
        assert_eq!(beat.step(ms(300), false), Some(false));
        assert_eq!([beat.step(ms(400), false), beat.step(ms(500), false)], [None, None]);
        assert_eq!(beat.step(ms(1234), true), Some(true), "no burst after a pause");
        assert_eq!((beat.due(), beat.step(ms(1235), true)), (ms(1334), None));
        assert_eq!(beat.step(ms(1334), true), Some(false));
    }
}
