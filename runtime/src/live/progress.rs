//! Which threads make progress. The heartbeat and the watchdog depend on it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::clock::Clock;

/// A thread that must make progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worker {
    /// Takes frames from this view's source.
    Capture(usize),
    /// Judges frames. It beats for each frame, and for each token while there are no frames.
    Detector,
    /// Drives the outputs.
    Line,
}

impl Worker {
    /// Its name in messages.
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

/// When each thread last made progress.
#[derive(Debug)]
pub struct Progress {
    clock: Clock,
    /// Nanoseconds on the clock, for detector, line and the capture thread of each view.
    beats: Vec<AtomicU64>,
}

impl Progress {
    /// A detector, a line and `views` views, all of which have just made progress.
    pub fn new(clock: Clock, views: usize) -> Progress {
        let now = clock.now().as_nanos() as u64;
        Progress { clock, beats: (0..views + 2).map(|_| AtomicU64::new(now)).collect() }
    }

    /// The clock of the service.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The thread has made progress now.
    pub fn beat(&self, worker: Worker) {
        if let Some(beat) = self.beats.get(worker.place()) {
            beat.store(self.clock.now().as_nanos() as u64, Ordering::Relaxed);
        }
    }

    /// One of these threads that has made no progress for longer than `limit`.
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
    fn a_thread_without_progress_is_named() {
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
