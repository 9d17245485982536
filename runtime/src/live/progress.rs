//! Who still moves: the heartbeat and the watchdog ask before they speak for the whole service.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::clock::Clock;

/// A thread that must make progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worker {
    /// Takes frames from this view's source.
    Capture(usize),
    /// Judges them. It beats when something reached it through the queue, be it only an idle token.
    Detector,
    /// Drives the outputs.
    Line,
}

impl Worker {
    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Worker::Capture(_) => "capture",
            Worker::Detector => "detector",
            Worker::Line => "line",
        }
    }

    fn place(self) -> usize {
        match self {
            Worker::Detector => 0,
            Worker::Line => 1,
            Worker::Capture(view) => 2 + view,
        }
    }
}

/// When each thread last did something.
#[derive(Debug)]
pub struct Progress {
    clock: Clock,
    /// Detector, line, and the view of each camera.
    beats: Vec<AtomicU64>,
}

impl Progress {
    /// Everybody is fresh: a detector, a line and so many cameras.
    pub fn new(clock: Clock, views: usize) -> Progress {
        let now = clock.now().as_nanos() as u64;
        Progress { clock, beats: (0..views + 2).map(|_| AtomicU64::new(now)).collect() }
    }

    /// The clock of everything.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The thread did something just now.
    pub fn beat(&self, worker: Worker) {
        if let Some(beat) = self.beats.get(worker.place()) {
            beat.store(self.clock.now().as_nanos() as u64, Ordering::Relaxed);
        }
    }

    /// A thread of these that did nothing for longer than `limit`.
    pub fn stalled(&self, workers: &[Worker], limit: Duration) -> Option<Worker> {
        let now = self.clock.now();
        let last = |worker: Worker| {
            let beat = self.beats.get(worker.place());
            Duration::from_nanos(beat.map_or(0, |beat| beat.load(Ordering::Relaxed)))
        };
        workers.iter().copied().find(|worker| now.saturating_sub(last(*worker)) > limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stands_still_is_named() {
        let progress = Progress::new(Clock::start(), 2);
        let all = [Worker::Capture(0), Worker::Capture(1), Worker::Detector, Worker::Line];
        assert_eq!(progress.stalled(&all, Duration::from_secs(60)), None);
        std::thread::sleep(Duration::from_millis(20));
        progress.beat(Worker::Capture(0));
        progress.beat(Worker::Line);
        progress.beat(Worker::Detector);
        assert_eq!(progress.stalled(&all, Duration::from_millis(10)), Some(Worker::Capture(1)));
        assert_eq!(progress.stalled(&[Worker::Line], Duration::from_secs(5)), None);
    }
}
