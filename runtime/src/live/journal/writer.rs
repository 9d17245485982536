//! The writer thread: brings lines from the queue to the target, and tries again after failures.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use log::{error, log};

use super::disk::Disk;
use super::lines;
use super::queue::Queue;
use super::reporter::Reporter;
use super::target::Target;
use super::trouble::Trouble;

/// Longest time after which the thread checks whether it must reopen or report.
pub(super) const TICK: Duration = Duration::from_millis(200);
/// Pauses after failed attempts: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Brings lines from the queue to their destination.
pub(super) struct Writer<D: Disk> {
    queue: Arc<Queue>,
    target: Target<D>,
    reporter: Reporter,
    reopen: Arc<AtomicBool>,
    batch: Batch,
    /// Why the last attempt failed.
    trouble: Option<String>,
    retry: Retry,
}

/// What the thread does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The next step, at once.
    Step,
    /// Waits for lines or the end.
    Lines,
    /// Waits this long, or until the end.
    Pause(Duration),
    /// Ends.
    End,
}

impl<D: Disk> Writer<D> {
    /// `started` is the result of the first attempt to open `target`.
    pub(super) fn new(
        queue: Arc<Queue>,
        target: Target<D>,
        reporter: Reporter,
        reopen: Arc<AtomicBool>,
        started: Result<(), Trouble>,
        now: Instant,
    ) -> Writer<D> {
        let (batch, retry) = (Batch::default(), Retry::default());
        let mut writer = Writer { queue, target, reporter, reopen, batch, trouble: None, retry };
        if let Err(trouble) = started {
            writer.failed(&trouble, now);
        }
        writer
    }

    /// Works until the queue closes.
    pub(super) fn run(mut self) {
        loop {
            match self.step(Instant::now()) {
                Next::Step => {}
                Next::Lines => self.queue.wait(TICK, true),
                Next::Pause(pause) => self.queue.wait(pause, false),
                Next::End => return self.queue.end(),
            }
        }
    }

    /// One attempt to write, if it is time for one.
    pub(super) fn step(&mut self, now: Instant) -> Next {
        let next = self.advance(now);
        let idle = self.queue.counts().pending == 0;
        if !self.queue.is_gone()
            && let Some((level, text)) = self.reporter.message(now, self.trouble.as_deref(), self.queue.losses(), idle)
        {
            log!(level, "{text}");
        }
        next
    }

    fn advance(&mut self, now: Instant) -> Next {
        if self.reopen.swap(false, Ordering::Relaxed) {
            self.target.close_file();
            self.retry = Retry::default();
        }
        let closing = self.queue.closing();
        if self.batch.rest().is_empty() {
            self.batch.refill(&self.queue);
        }
        if closing.is_some_and(|by| self.batch.rest().is_empty() || now >= by || self.queue.is_gone()) {
            return Next::End;
        }
        if self.queue.is_gone() {
            return Next::Pause(TICK);
        }
        // At the end there is one more attempt, without a pause.
        if closing.is_none()
            && let Some(pause) = self.retry.pause(now)
        {
            return Next::Pause(pause.min(TICK));
        }
        match self.target.append(self.batch.rest()) {
            Ok(bytes) => {
                (self.trouble, self.retry) = (None, Retry::default());
                self.queue.wrote(self.batch.advance(bytes));
                if self.batch.rest().is_empty() { Next::Lines } else { Next::Step }
            }
            Err(trouble) => {
                self.failed(&trouble, now);
                if closing.is_some() { Next::End } else { Next::Step }
            }
        }
    }

    fn failed(&mut self, trouble: &Trouble, now: Instant) {
        if let Trouble::ReaderGone = trouble {
            self.queue.reader_is_gone();
            return error!("{}", self.reporter.reader_is_gone());
        }
        self.trouble = Some(trouble.to_string());
        // An attempt to open a FIFO costs little, and a new reader should get its lines soon.
        self.retry.failed(now, matches!(trouble, Trouble::NoReader));
    }
}

/// Lines that the writer thread has taken from the queue.
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    at: usize,
}

impl Batch {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    fn refill(&mut self, queue: &Queue) {
        self.bytes.clear();
        self.at = 0;
        queue.take(&mut self.bytes);
    }

    /// Skips whole lines of this length; returns their number.
    fn advance(&mut self, bytes: usize) -> u64 {
        let number = lines::count(&self.rest()[..bytes]);
        self.at += bytes;
        number
    }
}

/// When to try again.
#[derive(Debug, Default)]
struct Retry {
    at: Option<Instant>,
    pause: Duration,
}

impl Retry {
    /// The pause doubles after each failure; with `often` it stays short.
    fn failed(&mut self, now: Instant, often: bool) {
        self.pause = if often { FIRST_PAUSE } else { (2 * self.pause).clamp(FIRST_PAUSE, LONGEST_PAUSE) };
        self.at = Some(now + self.pause);
    }

    /// How long to wait until the next attempt; none if it is due.
    fn pause(&self, now: Instant) -> Option<Duration> {
        self.at.map(|at| at.saturating_duration_since(now)).filter(|pause| !pause.is_zero())
    }
}
