//! Lines for other programs, one JSON object each: verdicts, and the record of outputs.
//!
//! ```text
//! Journal::write -> Queue (bounded, counts) -> Writer thread -> Target -> regular file, rotated | pipe, terminal, device
//! ```
//!
//! Inspection never waits for a reader of the lines, and never stops because of a full disk. Lines that cannot be written wait in the
//! queue. When the queue is full they are lost and counted, and the log has the number.
//!
//! A regular file holds whole lines only, in the order of [`Journal::write`]. The rest of a failed write is cut off, and a line that a
//! power cut tore is healed when the file is opened. Start at `writer.rs`; `disk.rs` is the seam where tests inject faults.

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

/// A file or stream to which a thread of its own appends lines.
///
/// - A full queue refuses the newest line. Each line that was accepted is written in its turn, unless the journal closes first or the
///   reader of standard output is gone.
/// - After a failure the journal tries again, without end: after one second, then after twice the last pause, at most half a minute. It
///   tries a FIFO without a reader each second.
/// - A regular file is renamed when it is full, see [`Rotation`]. A file that cannot be renamed takes no more lines, like a full disk.
/// - Lines are handed to the operating system at once and never synced: a power cut loses the lines of the last seconds.
/// - No other process may append to the same file: the two would cut each other's lines. Another process may rename, truncate or remove the
///   file; after [`Journal::reopen`] the journal writes to the file that then has the name.
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
    /// Opens the destination and starts the writer thread. A disk that is full, read-only or faulty is no error, nor is a FIFO
    /// without a reader: the journal tries again.
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

    /// Queues a value as one line of JSON, or counts it as lost. Never waits for the destination.
    pub fn write(&mut self, value: &impl Serialize) {
        self.line.clear();
        match serde_json::to_writer(&mut self.line, value) {
            Ok(()) => {
                self.line.push(b'\n');
                self.queue.push(&self.line);
            }
            Err(error) => {
                error!(
                    "a {} line is lost because it cannot be written as JSON: {error}; this is a fault of this program, please report it",
                    self.noun
                );
                self.queue.lose_one();
            }
        }
    }

    /// How many lines were written, lost, or still wait.
    pub fn counts(&self) -> JournalCounts {
        self.queue.counts()
    }

    /// Whether standard output is a pipe whose reader has ended: all further lines are lost.
    pub fn reader_is_gone(&self) -> bool {
        self.queue.is_gone()
    }

    /// Closes a regular file soon and opens the file that then has its name; for use after the file was renamed. After a failure, it also
    /// tries again at once.
    pub fn reopen(&self) {
        self.reopen.store(true, Ordering::Relaxed);
    }

    /// The flag that [`Journal::reopen`] sets, for a signal handler.
    pub fn reopen_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.reopen)
    }

    /// Waits at most about `patience` for lines that are not yet written, counts the rest as lost, and logs both numbers.
    ///
    /// It does not wait for the writer thread to end, which may hang in a system call.
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
