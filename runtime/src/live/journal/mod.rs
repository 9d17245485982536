//! Lines for other programs, one JSON object each: verdicts, and the record of outputs.
//!
//! ```text
//! Journal::write -> Queue (bounded, counts) -> Writer thread -> Target -> regular file, rotated | pipe, terminal, device
//! ```
//!
//! Whoever inspects parts never waits for whoever reads about them, and never stops because of a full disk: lines that cannot be written
//! wait in the queue, then are lost and counted. The log says so.
//!
//! A regular file holds whole lines only, in the order in which they were given. What a failed write left of a line is cut off, and
//! what a power cut left is healed when the file is opened. Start at `writer.rs`; `disk.rs` is the seam where tests inject faults.

mod disk;
mod heal;
mod lines;
mod queue;
mod regular;
mod reporter;
mod rotate;
mod settings;
mod stream;
mod target;
mod trouble;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use log::{error, info};
use serde::Serialize;

use disk::{Disk, Machine};
use queue::Queue;
use reporter::Reporter;
use target::Target;
use writer::{TICK, Writer};

pub use queue::JournalCounts;
pub use settings::{Destination, QueueLimits, Rotation, Settings};
pub use trouble::JournalError;

/// How long the end of a service should wait for lines that are not yet written.
pub const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// A file or stream that lines are appended to, by a thread of its own.
///
/// - A full queue refuses the newest line. Each line that was accepted is written in its turn, unless the journal closes before or the
///   only reader is gone.
/// - When writing fails it is tried again after a second, then after twice as long, up to half a minute, for ever. A FIFO without a
///   reader is tried each second.
/// - A regular file is renamed when it is full, see [`Rotation`]. When it cannot be renamed it takes no more lines, as a full disk.
/// - Lines are handed to the operating system at once and never synced: a power cut loses those of the last seconds.
/// - Nobody else may append to the same file: two processes would cut each other's lines. Renaming, truncating or removing it is fine;
///   after [`Journal::reopen`] the journal writes to what then has its name.
#[derive(Debug)]
pub struct Journal {
    queue: Arc<Queue>,
    reopen: Arc<AtomicBool>,
    line: Vec<u8>,
    noun: &'static str,
    destination: Destination,
    closed: bool,
}

impl Journal {
    /// Opens the destination and starts the writer thread. A disk that is full, read-only or faulty is no error, nor is a FIFO that
    /// nobody reads: the journal tries again.
    ///
    /// # Errors
    /// When the destination can never be appended to: no such folder, no permission, a folder instead of a file. When the system gives
    /// no more threads.
    pub fn start(settings: Settings) -> Result<Journal, JournalError> {
        Journal::start_on(Machine, settings)
    }

    fn start_on(disk: impl Disk, settings: Settings) -> Result<Journal, JournalError> {
        let Settings { noun, key, destination, rotation, queue } = settings;
        let mut target = Target::new(disk, destination.clone(), rotation);
        let started = match target.append(&[]) {
            Ok(_) => Ok(()),
            Err(trouble) => match (trouble.of_configuration(), &destination) {
                (Ok(source), Destination::Path(path)) => return Err(JournalError::Open { key, path: path.clone(), source }),
                (Ok(source), Destination::StandardOutput) => Err(trouble::Trouble::Open(source)),
                (Err(trouble), _) => Err(trouble),
            },
        };
        target.check_folder();
        let (queue, reopen) = (Arc::new(Queue::new(queue)), Arc::new(AtomicBool::new(false)));
        let reporter = Reporter::new(noun, destination.to_string());
        let writer = Writer::new(Arc::clone(&queue), target, reporter, Arc::clone(&reopen), started, Instant::now());
        let spawned = thread::Builder::new().name(format!("{noun} lines")).spawn(|| writer.run());
        spawned.map_err(|source| JournalError::Thread { noun, source })?;
        Ok(Journal { queue, reopen, line: Vec::new(), noun, destination, closed: false })
    }

    /// Appends a value as one line of JSON, sooner or later, or counts it as lost. Never waits for the destination.
    pub fn write(&mut self, value: &impl Serialize) {
        self.line.clear();
        match serde_json::to_writer(&mut self.line, value) {
            Ok(()) => {
                self.line.push(b'\n');
                self.queue.push(&self.line);
            }
            Err(error) => {
                error!("a {} line is lost, since it has no JSON: {error}; a fault of this program, please report it", self.noun);
                self.queue.lose_one();
            }
        }
    }

    /// What became of the lines so far.
    pub fn counts(&self) -> JournalCounts {
        self.queue.counts()
    }

    /// Whether standard output was a pipe whose reader has ended: all further lines are lost.
    pub fn reader_is_gone(&self) -> bool {
        self.queue.is_gone()
    }

    /// Closes a regular file soon and opens what then has its name, after someone has renamed it. Also tries at once after a failure.
    pub fn reopen(&self) {
        self.reopen.store(true, Ordering::Relaxed);
    }

    /// The flag that [`Journal::reopen`] sets, for a signal handler.
    pub fn reopen_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.reopen)
    }

    /// Waits at most about `patience` for lines that are not yet written, counts the rest as lost, and says so in the log.
    ///
    /// The thread is not waited for any longer: it may hang in a system call.
    pub fn close(&mut self, patience: Duration) -> JournalCounts {
        if !self.closed {
            self.closed = true;
            self.queue.close(Instant::now() + patience);
            if !self.queue.wait_end(patience + 2 * TICK) {
                self.queue.end();
            }
            let (JournalCounts { written, lost, .. }, noun, to) = (self.queue.counts(), self.noun, &self.destination);
            match lost {
                0 => info!("{written} {noun} lines written to {to}, none lost"),
                _ => error!("{written} {noun} lines written to {to}, {lost} lost"),
            }
        }
        self.queue.counts()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close(CLOSE_PATIENCE);
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
