//! Watches the outputs from outside: gpio-sim tells the level that a program drives.
//!
//! The kernel gives no events for driven lines, so they are sampled; each change lies between two samples, both of which are kept.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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
    changes: Arc<Mutex<Vec<Change>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Observer {
    /// Watches the lines whose `value` files these are.
    pub fn start(values: &[impl AsRef<Path>]) -> Result<Observer> {
        let open = |path: &Path| File::open(path).with_context(|| format!("cannot open {}", path.display()));
        let files = values.iter().map(|path| open(path.as_ref())).collect::<Result<Vec<_>>>()?;
        let (changes, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (for_thread, stopped) = (Arc::clone(&changes), Arc::clone(&stop));
        let watch = move || {
            let priority = ThreadPriorityValue::try_from(PRIORITY).map(ThreadPriority::Crossplatform);
            let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
            let set = priority.map(|priority| set_thread_priority_and_policy(thread_native_id(), priority, policy));
            assert!(matches!(set, Ok(Ok(()))), "the observer needs a realtime priority");
            sample(&files, &for_thread, &stopped);
        };
        let thread = thread::Builder::new().name("observer".into()).spawn(watch).context("cannot start the observer")?;
        Ok(Observer { changes, stop, thread: Some(thread) })
    }

    /// All changes so far.
    pub fn changes(&self) -> Vec<Change> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).clone()
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

fn sample(files: &[File], changes: &Mutex<Vec<Change>>, stop: &AtomicBool) {
    let mut levels: Vec<bool> = files.iter().map(is_active).collect();
    let mut before = clock::now();
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(EVERY);
        for (output, (file, level)) in files.iter().zip(&mut levels).enumerate() {
            let active = is_active(file);
            if std::mem::replace(level, active) != active {
                let change = Change { output, active, between: (before, clock::now()) };
                changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
            }
        }
        before = clock::now();
    }
}

fn is_active(file: &File) -> bool {
    let mut byte = [0];
    file.read_at(&mut byte, 0).is_ok_and(|read| read == 1) && byte[0] == b'1'
}
