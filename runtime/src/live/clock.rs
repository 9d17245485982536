//! One clock for frames, edges and pulses.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Times since the service started, on CLOCK_MONOTONIC: the clock of GPIO edges, of V4L2 frames and of [`Instant`]. Setting the time of
/// day does not change it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    instant: Instant,
    monotonic: Duration,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Clock {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Monotonic);
        let monotonic = Duration::from_secs(tv_sec.unsigned_abs()) + Duration::from_nanos(tv_nsec.unsigned_abs());
        Clock { instant: Instant::now(), monotonic }
    }

    /// The time now.
    pub fn now(&self) -> Duration {
        self.instant.elapsed()
    }

    /// The time of an instant; 0 if it was before the start.
    pub fn at(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.instant)
    }

    /// The time of a kernel's timestamp in nanoseconds; 0 if it was before the start.
    pub fn at_monotonic(&self, ns: u64) -> Duration {
        Duration::from_nanos(ns).saturating_sub(self.monotonic)
    }

    /// The instant of a time.
    pub fn instant(&self, at: Duration) -> Instant {
        self.instant + at
    }

    /// The kernel's time for a time of this clock.
    pub fn monotonic(&self, at: Duration) -> Timespec {
        let at = self.monotonic + at;
        // Seconds since boot fit any signed integer.
        Timespec { tv_sec: at.as_secs() as _, tv_nsec: at.subsec_nanos().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_clocks_agree() {
        let clock = Clock::start();
        let before = clock.now();
        let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Monotonic);
        let kernel = clock.at_monotonic(tv_sec as u64 * 1_000_000_000 + tv_nsec as u64);
        let instant = clock.at(Instant::now());
        assert!(before <= kernel + Duration::from_millis(1) && kernel <= instant + Duration::from_millis(1));
        assert!(instant < Duration::from_secs(5));
        assert_eq!(clock.at_monotonic(1), Duration::ZERO);
    }
}
