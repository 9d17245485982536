use std::collections::BTreeMap;

use super::control::{Found, Settled};
use crate::pipeline::{Judgement, Outcome};

/// Joins what the detector said of a part with what the line did: both come on their own ways, in any order.
#[derive(Debug)]
pub struct Ledger {
    outcomes: BTreeMap<u64, Outcome>,
    settled: BTreeMap<u64, Settled>,
    limit: usize,
}

impl Ledger {
    /// An empty ledger that waits for the other half of at most `limit` parts.
    pub fn new(limit: usize) -> Ledger {
        Ledger { outcomes: BTreeMap::new(), settled: BTreeMap::new(), limit }
    }

    /// Takes what the detector said; gives the outcomes that are complete now.
    pub fn judged(&mut self, outcome: Outcome) -> Option<Outcome> {
        let Some(part) = outcome.ticket.part else { return Some(outcome) };
        if let Some(settled) = self.settled.remove(&part) {
            return Some(join(outcome, &settled));
        }
        self.outcomes.insert(part, outcome);
        // Only when messages of the line were lost: without its half is better than never.
        if self.outcomes.len() > self.limit { self.outcomes.pop_first().map(|(_, outcome)| outcome) } else { None }
    }

    /// Takes what the line did; gives the outcome if it is complete now.
    pub fn settled(&mut self, settled: Settled) -> Option<Outcome> {
        if let Some(outcome) = self.outcomes.remove(&settled.part) {
            return Some(join(outcome, &settled));
        }
        self.settled.insert(settled.part, settled);
        if self.settled.len() > self.limit {
            self.settled.pop_first();
        }
        None
    }

    /// What never found its other half.
    pub fn finish(&mut self) -> impl Iterator<Item = Outcome> {
        self.settled.clear();
        std::mem::take(&mut self.outcomes).into_values()
    }
}

/// The line has the last word: an answer that came too late is none.
fn join(mut outcome: Outcome, settled: &Settled) -> Outcome {
    outcome.disposition = Some(settled.disposition);
    if let (Found::Unknown(reason), Judgement::Scored { score, .. }) = (settled.found, &outcome.judgement) {
        outcome.judgement = Judgement::Unknown { reason, detail: format!("the detector's score was {score:.4}") };
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Disposition;
    use crate::pipeline::{Reason, Ticket};
    use std::time::Duration;

    fn outcome(part: u64) -> Outcome {
        let ticket = Ticket { sequence: part, part: Some(part), source: String::new(), captured: Duration::ZERO };
        Outcome {
            ticket,
            judgement: Judgement::Scored { score: 1.0, anomalous: false },
            latency: Duration::ZERO,
            disposition: None,
        }
    }

    fn settled(part: u64, found: Found, disposition: Disposition) -> Settled {
        Settled { part, found, disposition, after: Duration::ZERO }
    }

    #[test]
    fn halves_meet_in_any_order_and_the_line_has_the_last_word() {
        let mut ledger = Ledger::new(8);
        assert_eq!(ledger.judged(outcome(1)), None);
        assert_eq!(ledger.settled(settled(2, Found::Unknown(Reason::Deadline), Disposition::Reject)), None);
        let first = ledger.settled(settled(1, Found::Good, Disposition::Pass)).unwrap();
        assert_eq!((first.judgement.verdict(), first.disposition), ("good", Some(Disposition::Pass)));
        let second = ledger.judged(outcome(2)).unwrap();
        assert!(matches!(second.judgement, Judgement::Unknown { reason: Reason::Deadline, .. }));
        assert_eq!(second.disposition, Some(Disposition::Reject));
        assert_eq!(ledger.finish().count(), 0);
    }

    #[test]
    fn a_half_that_is_lost_does_not_fill_the_memory() {
        let mut ledger = Ledger::new(2);
        let told: Vec<_> = (1..=5).filter_map(|part| ledger.judged(outcome(part))).map(|outcome| outcome.ticket.part).collect();
        assert_eq!(told, [Some(1), Some(2), Some(3)]);
        (10..20).for_each(|part| assert_eq!(ledger.settled(settled(part, Found::Good, Disposition::Pass)), None));
        assert_eq!(ledger.finish().count(), 2);
    }
}
