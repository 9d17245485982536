//! The bounded queue between the callers and the writer thread, and the counts of lines.

use std::fmt;
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::settings::QueueLimits;

/// Counts of the lines of a journal: `written + lost + pending` is the number of lines that it was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalCounts {
    /// Lines that the operating system has taken.
    pub written: u64,
    /// Lines that were lost.
    pub lost: u64,
    /// Lines that wait to be written.
    pub pending: u64,
}

impl fmt::Display for JournalCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lines written, {} lost, {} waiting", self.written, self.lost, self.pending)
    }
}

/// Lines lost so far, and the times of the first and the last loss since the last call of [`Queue::losses`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Losses {
    pub total: u64,
    pub between: Option<(SystemTime, SystemTime)>,
}

/// Lines on the way from the callers to the writer thread, and the counts of all lines.
///
/// All lines lie in one buffer. The writer thread exchanges it for its own empty buffer: no line has an allocation of its own, and the lock
/// is never held longer than the copy of one line takes.
///
/// A full queue refuses the newest line. A line that was accepted is lost only at the end, or when the reader of standard output is gone.
/// So a short outage loses nothing, and a longer outage leaves one gap, whose size and time the log gives.
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
    /// The reader of standard output is gone: no line will ever be read.
    gone: bool,
    /// By when the writer thread must end; none while the journal is open.
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

    /// Counts a line that could not be written as JSON.
    pub(super) fn lose_one(&self) {
        self.lock().lose(1);
    }

    /// Exchanges an empty buffer for the buffer with all waiting lines.
    pub(super) fn take(&self, empty: &mut Vec<u8>) {
        let mut state = self.lock();
        mem::swap(&mut state.bytes, empty);
        state.lines = 0;
    }

    /// Counts lines of [`Queue::take`] as written. Final counts do not change.
    pub(super) fn wrote(&self, lines: u64) {
        let mut state = self.lock();
        if !state.ended && !state.gone {
            state.counts.pending -= lines;
            state.counts.written += lines;
        }
    }

    /// The reader is gone: waiting lines and all further lines are lost.
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

    /// Waits until the queue closes, and with `for_lines` until a line waits; at most `patience`.
    pub(super) fn wait(&self, patience: Duration, for_lines: bool) {
        let idle = |state: &mut State| state.closing.is_none() && !(for_lines && state.lines > 0);
        drop(self.changed.wait_timeout_while(self.lock(), patience, idle));
    }

    /// Asks the writer thread to end by `by`.
    pub(super) fn close(&self, by: Instant) {
        self.lock().closing = Some(by);
        self.changed.notify_all();
    }

    /// By when the writer thread must end; none while the journal is open.
    pub(super) fn closing(&self) -> Option<Instant> {
        self.lock().closing
    }

    /// Makes the counts final: waiting lines and all further lines are lost.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.lose_pending();
        state.ended = true;
        drop(state);
        self.changed.notify_all();
    }

    /// Waits at most `patience` for [`Queue::end`]; returns whether it was called.
    pub(super) fn wait_end(&self, patience: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), patience, |state| !state.ended);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.ended
    }

    /// No code that holds the lock can leave the state half changed, so a thread that died while it held the lock has done no harm.
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
        assert_eq!(queue.losses().between, None, "each loss is given once");
    }

    #[test]
    fn after_the_end_lines_are_lost() {
        let queue = Queue::new(QueueLimits { lines: 3, bytes: 10 });
        queue.push(b"1\n");
        queue.end();
        // The writer thread returns late from a system call.
        queue.wrote(1);
        queue.push(b"2\n");
        assert_eq!(queue.counts(), counts(0, 2, 0));
        assert!(queue.wait_end(Duration::ZERO));
    }

    #[test]
    fn when_the_reader_is_gone_lines_are_lost() {
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
