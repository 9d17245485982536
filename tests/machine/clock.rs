//! Seconds on the two clocks of the guest.

use rustix::time::{ClockId, Timespec, clock_gettime};

fn seconds(clock: ClockId) -> f64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(clock);
    tv_sec as f64 + tv_nsec as f64 / 1e9
}

/// Since boot: the clock of everything here.
pub fn now() -> f64 {
    seconds(ClockId::Monotonic)
}

/// What must be taken from a time of day to have a time since boot.
pub fn offset() -> f64 {
    seconds(ClockId::Realtime) - now()
}
