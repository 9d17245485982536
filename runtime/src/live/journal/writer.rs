//! The writer thread.

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

/// Longest time after which the thread looks whether it should reopen or report.
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

/// What the thread does after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The next step.
    Step,
    /// Waits for lines.
    Lines,
    /// Waits so long, for the end too.
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
            && let Some((level, text)) = self.reporter.look(now, self.trouble.as_deref(), self.queue.losses(), idle)
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
        // The end is worth one attempt more.
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
        // Who waits for a reader may look often: that costs nothing, and a reader wants its lines soon.
        self.retry.failed(now, matches!(trouble, Trouble::NoReader));
    }
}

/// Lines in the writer's hands.
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

    /// Goes on behind whole lines of this length; gives their number.
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
    /// After each failure twice as long, but for `often`.
    fn failed(&mut self, now: Instant, often: bool) {
        self.pause = if often { FIRST_PAUSE } else { (2 * self.pause).clamp(FIRST_PAUSE, LONGEST_PAUSE) };
        self.at = Some(now + self.pause);
    }

    /// How long to wait yet.
    fn pause(&self, now: Instant) -> Option<Duration> {
        self.at.map(|at| at.saturating_duration_since(now)).filter(|pause| !pause.is_zero())
    }
}
