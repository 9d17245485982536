use std::fmt;
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::settings::QueueLimits;

/// What became of the lines that a journal was given: `written + lost + pending` is their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalCounts {
    /// Lines that the operating system has taken.
    pub written: u64,
    /// Lines that were given up.
    pub lost: u64,
    /// Lines that wait.
    pub pending: u64,
}

impl fmt::Display for JournalCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lines written, {} lost, {} waiting", self.written, self.lost, self.pending)
    }
}

/// Lines lost so far, and when the first and the last of those were lost that [`Queue::losses`] has not yet given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Losses {
    pub total: u64,
    pub between: Option<(SystemTime, SystemTime)>,
}

/// Lines on their way from the callers to the writer thread, and the counts of all lines.
///
/// All lines lie in one buffer, which the writer thread takes as a whole against its empty one: no line has an
/// allocation of its own, and the lock is never held longer than it takes to copy one.
///
/// A full queue refuses the newest line. So a line that was accepted is given up only at the end or when the only reader is gone: a short
/// outage loses nothing, and a longer one leaves one gap, whose size and time the log gives.
#[derive(Debug)]
pub(super) struct Queue {
    limits: QueueLimits,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    bytes: Vec<u8>,
    /// Lines in `bytes`.
    lines: usize,
    counts: JournalCounts,
    lost_between: Option<(SystemTime, SystemTime)>,
    /// Nobody will ever read another line.
    gone: bool,
    /// By when the writer thread must be done.
    closing: Option<Instant>,
    /// The counts are final.
    ended: bool,
}

impl State {
    fn lose(&mut self, lines: u64) {
        self.counts.lost += lines;
        if lines > 0 {
            let now = SystemTime::now();
            self.lost_between = Some((self.lost_between.map_or(now, |(first, _)| first), now));
        }
    }

    fn lose_pending(&mut self) {
        let pending = mem::take(&mut self.counts.pending);
        self.lose(pending);
        (self.bytes, self.lines) = (Vec::new(), 0);
    }
}

impl Queue {
    pub(super) fn new(limits: QueueLimits) -> Queue {
        let state = State {
            bytes: Vec::new(),
            lines: 0,
            counts: JournalCounts::default(),
            lost_between: None,
            gone: false,
            closing: None,
            ended: false,
        };
        Queue { limits, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Takes a line, which ends with its newline and holds no other, or counts it as lost.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        let full = state.lines == self.limits.lines || state.bytes.len() + line.len() > self.limits.bytes;
        if full || state.gone || state.ended {
            return state.lose(1);
        }
        state.bytes.extend_from_slice(line);
        state.lines += 1;
        state.counts.pending += 1;
        drop(state);
        self.changed.notify_all();
    }

    /// Counts a line that could not be made.
    pub(super) fn lose_one(&self) {
        self.lock().lose(1);
    }

    /// Exchanges an empty buffer for all lines that wait.
    pub(super) fn take(&self, empty: &mut Vec<u8>) {
        let mut state = self.lock();
        mem::swap(&mut state.bytes, empty);
        state.lines = 0;
    }

    /// Lines that [`Queue::take`] gave were written. Once the counts are final they stay so.
    pub(super) fn wrote(&self, lines: u64) {
        let mut state = self.lock();
        if !state.ended && !state.gone {
            state.counts.pending -= lines;
            state.counts.written += lines;
        }
    }

    /// Nobody will read what waits, nor what comes.
    pub(super) fn reader_is_gone(&self) {
        let mut state = self.lock();
        state.gone = true;
        state.lose_pending();
    }

    /// Whether [`Queue::reader_is_gone`] was called.
    pub(super) fn is_gone(&self) -> bool {
        self.lock().gone
    }

    pub(super) fn counts(&self) -> JournalCounts {
        self.lock().counts
    }

    pub(super) fn losses(&self) -> Losses {
        let mut state = self.lock();
        Losses { total: state.counts.lost, between: state.lost_between.take() }
    }

    /// Waits at most `patience`: until the queue closes, or until a line waits if `for_lines`.
    pub(super) fn wait(&self, patience: Duration, for_lines: bool) {
        let idle = |state: &mut State| state.closing.is_none() && !(for_lines && state.lines > 0);
        drop(self.changed.wait_timeout_while(self.lock(), patience, idle));
    }

    /// Asks the writer thread to be done by `by`.
    pub(super) fn close(&self, by: Instant) {
        self.lock().closing = Some(by);
        self.changed.notify_all();
    }

    /// By when the writer thread must be done, if it must.
    pub(super) fn closing(&self) -> Option<Instant> {
        self.lock().closing
    }

    /// Makes the counts final: what waits is lost, and what comes.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.lose_pending();
        state.ended = true;
        drop(state);
        self.changed.notify_all();
    }

    /// Waits at most `patience` for [`Queue::end`]; says whether it came.
    pub(super) fn wait_end(&self, patience: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), patience, |state| !state.ended);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.ended
    }

    /// No code between lock and unlock can leave the state half changed, so a thread that died there has done no harm.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(written: u64, lost: u64, pending: u64) -> JournalCounts {
        JournalCounts { written, lost, pending }
    }

    #[test]
    fn a_full_queue_refuses_the_newest_line_and_counts_it() {
        let queue = Queue::new(QueueLimits { lines: 3, bytes: 10 });
        for line in [&b"1\n"[..], b"2\n", b"3\n", b"4\n"] {
            queue.push(line);
        }
        assert_eq!(queue.counts(), counts(0, 1, 3), "three lines");
        let mut batch = Vec::new();
        queue.take(&mut batch);
        assert_eq!(batch, b"1\n2\n3\n");
        queue.push(b"four and\n");
        queue.push(b"5\n");
        queue.push(b"\n");
        assert_eq!(queue.counts(), counts(0, 2, 5), "ten bytes");
        queue.wrote(2);
        assert_eq!(queue.counts(), counts(2, 2, 3));
        let losses = queue.losses();
        assert!(losses.total == 2 && losses.between.is_some_and(|(first, last)| first <= last));
        assert_eq!(queue.losses().between, None, "given once");
    }

    #[test]
    fn after_the_end_the_counts_only_lose() {
        let queue = Queue::new(QueueLimits { lines: 3, bytes: 10 });
        queue.push(b"1\n");
        queue.end();
        // A writer thread that comes back late.
        queue.wrote(1);
        queue.push(b"2\n");
        assert_eq!(queue.counts(), counts(0, 2, 0));
        assert!(queue.wait_end(Duration::ZERO));
    }

    #[test]
    fn without_a_reader_everything_is_lost() {
        let queue = Queue::new(QueueLimits::default());
        queue.push(b"1\n");
        queue.push(b"2\n");
        queue.wrote(1);
        queue.reader_is_gone();
        queue.push(b"3\n");
        assert!(queue.is_gone());
        assert_eq!(queue.counts(), counts(1, 2, 0));
    }
}
