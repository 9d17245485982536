//! Watches the outputs from outside: gpio-sim tells the level that a program drives.
//!
//! The kernel gives no events for driven lines, so they are sampled; each change lies between two samples, both of which are kept. Nothing
//! in the guest comes before the observer: when it cannot sample, the whole machine stands still, because its host has other work.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};

use crate::clock;

/// Time between two samples.
const EVERY: Duration = Duration::from_millis(1);
/// A longer time between two samples (seconds) is one in which the machine stood still.
const STILL: f64 = 0.005;
/// Above the line thread's: on one processor, who observes must not wait for whom it observes.
const PRIORITY: u8 = 80;

/// A change of an output's level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Which output, by its place in the list that was given.
    pub output: usize,
    /// The new level.
    pub active: bool,
    /// When the old level was last seen, and when the new one first.
    pub between: (f64, f64),
}

/// Samples in a thread of its own.
pub struct Observer {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    changes: Vec<Change>,
    /// From when to when the machine stood still.
    still: Vec<(f64, f64)>,
}

impl Observer {
    /// Watches the lines whose `value` files these are.
    pub fn start(values: &[impl AsRef<Path>]) -> Result<Observer> {
        let open = |path: &Path| File::open(path).with_context(|| format!("cannot open {}", path.display()));
        let files = values.iter().map(|path| open(path.as_ref())).collect::<Result<Vec<_>>>()?;
        let (seen, stop) = (Arc::<Mutex<Seen>>::default(), Arc::new(AtomicBool::new(false)));
        let (for_thread, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        let watch = move || {
            let priority = ThreadPriorityValue::try_from(PRIORITY).map(ThreadPriority::Crossplatform);
            let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
            let set = priority.map(|priority| set_thread_priority_and_policy(thread_native_id(), priority, policy));
            assert!(matches!(set, Ok(Ok(()))), "the observer needs a realtime priority");
            sample(&files, &for_thread, &stopped);
        };
        let thread = thread::Builder::new().name("observer".into()).spawn(watch).context("cannot start the observer")?;
        Ok(Observer { seen, stop, thread: Some(thread) })
    }

    /// All changes so far.
    pub fn changes(&self) -> Vec<Change> {
        lock(&self.seen).changes.clone()
    }

    /// How long the machine stood still between two times, in seconds.
    pub fn still(&self, from: f64, to: f64) -> f64 {
        overlap(&lock(&self.seen).still, from, to)
    }

    /// Whether it still watches.
    pub fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

fn sample(files: &[File], seen: &Mutex<Seen>, stop: &AtomicBool) {
    let mut levels: Vec<bool> = files.iter().map(is_active).collect();
    let mut before = clock::now();
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(EVERY);
        let now = clock::now();
        if now - before > STILL {
            lock(seen).still.push((before, now));
        }
        for (output, (file, level)) in files.iter().zip(&mut levels).enumerate() {
            let active = is_active(file);
            if std::mem::replace(level, active) != active {
                let change = Change { output, active, between: (before, clock::now()) };
                lock(seen).changes.push(change);
            }
        }
        before = clock::now();
    }
}

/// How much of these spans, in order of time, lies between two times.
fn overlap(spans: &[(f64, f64)], from: f64, to: f64) -> f64 {
    let first = spans.partition_point(|span| span.1 <= from);
    let inside = spans[first..].iter().take_while(|span| span.0 < to);
    inside.map(|span| span.1.min(to) - span.0.max(from)).sum()
}

fn is_active(file: &File) -> bool {
    let mut byte = [0];
    file.read_at(&mut byte, 0).is_ok_and(|read| read == 1) && byte[0] == b'1'
}

/// A thread that died has left whole changes behind.
fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_two_times_is_summed() {
        let spans = [(1.0, 1.5), (2.0, 3.0), (5.0, 6.0)];
        assert_eq!(overlap(&spans, 0.0, 9.0), 2.5);
        assert_eq!(overlap(&spans, 1.25, 2.5), 0.75);
        assert_eq!(overlap(&spans, 2.25, 2.5), 0.25);
        assert_eq!(overlap(&spans, 3.0, 5.0) + overlap(&[], 0.0, 9.0), 0.0);
    }
}
