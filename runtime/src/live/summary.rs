//! Counts and latency of a run, for the log and for systemd.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use detector::evaluate::Latency;
use verdict::{Outcome, Reason, Verdict};

/// Percentiles are computed from this many latencies, the newest.
const LATENCIES_LIMIT: usize = 10_000;

/// The outcomes of a run, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Good parts or frames so far.
    pub good: u64,
    /// Anomalous parts or frames.
    pub anomalous: u64,
    /// Unknown parts or frames, by reason.
    pub unknown: BTreeMap<Reason, u64>,
    /// Free-running frames that newer ones replaced.
    pub replaced: u64,
    latencies: VecDeque<Duration>,
}

impl Summary {
    /// Counts an outcome.
    pub fn add(&mut self, outcome: &Outcome) {
        match outcome.verdict() {
            Verdict::Good => self.good += 1,
            Verdict::Anomalous => self.anomalous += 1,
            Verdict::Unknown(reason) => {
                *self.unknown.entry(reason).or_default() += 1;
                return;
            }
        }
        if self.latencies.len() == LATENCIES_LIMIT {
            self.latencies.pop_front();
        }
        self.latencies.push_back(outcome.latency);
    }

    /// Percentiles of the time from capture to verdict, of the last 10,000 judged parts or frames.
    pub fn latency(&self) -> Latency {
        Latency::of(&self.latencies.iter().copied().collect::<Vec<_>>())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unknown: u64 = self.unknown.values().sum();
        write!(f, "{} good, {} anomalous, {unknown} unknown", self.good, self.anomalous)?;
        for (i, (reason, count)) in self.unknown.iter().enumerate() {
            write!(f, "{}{count} {}", if i == 0 { " (" } else { ", " }, reason.word())?;
        }
        let close = if self.unknown.is_empty() { "" } else { ")" };
        let Latency { p50, p95, .. } = self.latency();
        write!(f, "{close}; {} frames replaced; latency p50 {p50:.1} ms, p95 {p95:.1} ms", self.replaced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use verdict::{ScoredVerdict, Ticket};

    #[test]
    fn outcomes_are_counted_by_verdict_and_reason() {
        let mut summary = Summary { replaced: 3, ..Summary::default() };
        let scored = |anomalous| ScoredVerdict::scored(1.0, anomalous);
        let unknown = ScoredVerdict::unknown;
        for judged in [scored(true), scored(false), scored(false), unknown(Reason::Stopped), unknown(Reason::QueueOverflow)] {
            let ticket =
                Ticket { sequence: 1, part: None, source: String::new(), captured: Duration::ZERO, product: Some(0), view: 0 };
            summary.add(&Outcome::new(ticket, judged, Duration::from_millis(20)));
        }
        let expected = "2 good, 1 anomalous, 2 unknown (1 queue_overflow, 1 stopped); 3 frames replaced; \
                        latency p50 20.0 ms, p95 20.0 ms";
        assert_eq!(summary.to_string(), expected);
        assert!(Summary::default().to_string().starts_with("0 good, 0 anomalous, 0 unknown; 0 frames"));
    }
}
