//! Who still moves: the heartbeat and the watchdog ask before they speak for the whole service.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;

/// A thread that must make progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worker {
    /// Takes frames from the source.
    Capture,
    /// Judges them. It beats when something reached it through the queue, be it only an idle token.
    Detector,
    /// Drives the outputs.
    Line,
}

impl Worker {
    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Worker::Capture => "capture",
            Worker::Detector => "detector",
            Worker::Line => "line",
        }
    }
}

/// When each thread last did something.
#[derive(Debug)]
pub struct Progress {
    clock: Clock,
    beats: [AtomicU64; 3],
}

impl Progress {
    /// Everybody is fresh.
    pub fn new(clock: Clock) -> Progress {
        let now = clock.now().as_nanos() as u64;
        Progress { clock, beats: std::array::from_fn(|_| AtomicU64::new(now)) }
    }

    /// The clock of everything.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The thread did something just now.
    pub fn beat(&self, worker: Worker) {
        self.beats[worker as usize].store(self.clock.now().as_nanos() as u64, Ordering::Relaxed);
    }

    /// A thread of these that did nothing for longer than `limit`.
    pub fn stalled(&self, workers: &[Worker], limit: Duration) -> Option<Worker> {
        let now = self.clock.now();
        let last = |worker: Worker| Duration::from_nanos(self.beats[worker as usize].load(Ordering::Relaxed));
        workers.iter().copied().find(|worker| now.saturating_sub(last(*worker)) > limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stands_still_is_named() {
        let progress = Progress::new(Clock::start());
        let all = [Worker::Capture, Worker::Detector, Worker::Line];
        assert_eq!(progress.stalled(&all, Duration::from_secs(60)), None);
        std::thread::sleep(Duration::from_millis(20));
        progress.beat(Worker::Capture);
        progress.beat(Worker::Line);
        assert_eq!(progress.stalled(&all, Duration::from_millis(10)), Some(Worker::Detector));
        assert_eq!(progress.stalled(&[Worker::Line], Duration::from_secs(5)), None);
    }
}
