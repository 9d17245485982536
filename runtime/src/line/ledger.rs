use verdict::{Outcome, Reason, ScoredVerdict, Ticket, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::action::Decision;

/// An answer that comes so long after its part was settled is no longer waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Joins what the cameras said of a part with what the line did: all come on their own ways, in any order. Each part is told once.
#[derive(Debug)]
pub struct Ledger {
    views: usize,
    limit: usize,
    parts: BTreeMap<u64, Part>,
    /// Told before all cameras had answered: what still comes is too late.
    told: BTreeSet<u64>,
}

#[derive(Debug, Default)]
struct Part {
    outcomes: Vec<Outcome>,
    settled: Option<Decision>,
}

impl Ledger {
    /// An empty ledger for parts that so many cameras look at. It waits for what is missing of at most `limit` parts.
    pub fn new(views: usize, limit: usize) -> Ledger {
        Ledger { views, limit, parts: BTreeMap::new(), told: BTreeSet::new() }
    }

    /// Takes what a camera said; gives the outcome that is to be told now.
    pub fn judged(&mut self, outcome: Outcome) -> Option<Outcome> {
        let Some(part) = outcome.ticket.part else { return Some(outcome) };
        if self.told.contains(&part) {
            return None;
        }
        self.parts.entry(part).or_default().outcomes.push(outcome);
        self.complete(part)
    }

    /// Takes what the line did; gives the outcome that is to be told now.
    pub fn settled(&mut self, settled: Decision) -> Option<Outcome> {
        self.parts.entry(settled.part).or_default().settled = Some(settled);
        self.complete(settled.part)
    }

    /// Gives a part whose missing answers are no longer waited for.
    pub fn expired(&mut self, now: Duration) -> Option<Outcome> {
        let is_over = |settled: &Decision| settled.at + settled.after + PATIENCE <= now;
        let part = self.parts.iter().find(|(_, part)| part.settled.as_ref().is_some_and(is_over));
        let part = part.map(|(part, _)| *part)?;
        self.give_up(part)
    }

    /// What never found its other half.
    pub fn finish(&mut self) -> impl Iterator<Item = Outcome> {
        let views = self.views;
        std::mem::take(&mut self.parts).into_iter().filter_map(move |(number, part)| part.join(number, views))
    }

    fn complete(&mut self, number: u64) -> Option<Outcome> {
        let is_complete = |part: &Part| part.settled.is_some() && part.outcomes.len() == self.views;
        if self.parts.get(&number).is_some_and(is_complete) {
            return self.parts.remove(&number)?.join(number, self.views);
        }
        // Only when messages were lost: without them is better than never.
        let first = *self.parts.first_key_value()?.0;
        if self.parts.len() > self.limit { self.give_up(first) } else { None }
    }

    fn give_up(&mut self, number: u64) -> Option<Outcome> {
        self.told.insert(number);
        if self.told.len() > self.limit {
            self.told.pop_first();
        }
        self.parts.remove(&number)?.join(number, self.views)
    }
}

impl Part {
    /// The worst view's outcome is the part's. The line has the last word: an answer that came too late is none.
    fn join(mut self, number: u64, views: usize) -> Option<Outcome> {
        let first = self.outcomes.first().map(|outcome| outcome.ticket.clone());
        // Where no camera said anything, the trigger is all that is known of the part.
        let nothing = |at| Ticket { sequence: 0, part: Some(number), source: String::new(), captured: at, product: None, view: 0 };
        let known = first.or_else(|| Some(nothing(self.settled?.at)))?;
        let reason = match self.settled {
            Some(Decision { found: Verdict::Unknown(reason), .. }) => reason,
            _ => Reason::Deadline,
        };
        for view in 0..views {
            if !self.outcomes.iter().any(|outcome| outcome.ticket.view == view) {
                let ticket = Ticket { view, source: String::new(), ..known.clone() };
                let latency = self.settled.map_or(Duration::ZERO, |settled| settled.after);
                self.outcomes.push(Outcome::new(ticket, Judgement::unknown(reason), latency));
            }
        }
        self.outcomes.sort_by_key(|outcome| outcome.ticket.view);
        let worst = |worst: &Outcome, outcome: &Outcome| Verdict::from(worst).or_worse(Verdict::from(outcome)) != Verdict::from(worst);
        let mut joined = self.outcomes.first()?.clone();
        for outcome in &self.outcomes[1..] {
            if worst(&joined, outcome) {
                joined = outcome.clone();
            }
        }
        joined.latency = self.outcomes.iter().map(|outcome| outcome.latency).max()?;
        if views > 1 {
            joined.views = self.outcomes;
        }
        let Some(settled) = self.settled else { return Some(joined) };
        joined.disposition = Some(settled.disposition);
        if let (Verdict::Unknown(reason), Judgement::Scored { score, .. }) = (settled.found, &joined.judgement) {
            joined.judgement = Judgement::Unknown { reason, detail: format!("the detector's score was {score:.4}") };
        }
        Some(joined)
    }
}

impl From<&Outcome> for Verdict {
    fn from(outcome: &Outcome) -> Verdict {
        match outcome.judgement {
            Judgement::Scored { anomalous: true, .. } => Verdict::Anomalous,
            Judgement::Scored { .. } => Verdict::Good,
            Judgement::Unknown { reason, .. } => Verdict::Unknown(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use verdict::Disposition;
    use super::*;
    use proptest::prelude::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn outcome(part: u64, view: usize, judgement: Judgement) -> Outcome {
        let ticket = Ticket {
            sequence: part,
            part: Some(part),
            source: format!("camera {view}"),
            captured: ms(part),
            product: Some(0),
            view,
        };
        Outcome::new(ticket, judgement, ms(5))
    }

    fn good() -> Judgement {
        Judgement::Scored { score: 1.0, anomalous: false }
    }

    fn settled(part: u64, found: Verdict, disposition: Disposition) -> Decision {
        Decision { part, found, disposition, at: ms(part), after: ms(100) }
    }

    #[test]
    fn halves_meet_in_any_order_and_the_line_has_the_last_word() {
        let mut ledger = Ledger::new(1, 8);
        assert_eq!(ledger.judged(outcome(1, 0, good())), None);
        assert_eq!(ledger.settled(settled(2, Verdict::Unknown(Reason::Deadline), Disposition::Reject)), None);
        let first = ledger.settled(settled(1, Verdict::Good, Disposition::Pass)).unwrap();
        assert_eq!((first.judgement.verdict(), first.disposition), ("good", Some(Disposition::Pass)));
        assert!(first.views.is_empty(), "one camera has nothing to add");
        let second = ledger.judged(outcome(2, 0, good())).unwrap();
        assert!(matches!(second.judgement, Judgement::Unknown { reason: Reason::Deadline, .. }));
        assert_eq!(second.disposition, Some(Disposition::Reject));
        assert_eq!(ledger.finish().count(), 0);
    }

    #[test]
    fn the_worst_view_is_the_parts_verdict() {
        let anomalous = || Judgement::Scored { score: 9.0, anomalous: true };
        let blind = || Judgement::unknown(Reason::NoFrame);
        for (views, verdict, worst) in [
            ([good(), good(), good()], "good", 0),
            ([good(), blind(), good()], "unknown", 1),
            ([good(), blind(), anomalous()], "anomalous", 2),
            ([anomalous(), blind(), anomalous()], "anomalous", 0),
        ] {
            let mut ledger = Ledger::new(3, 8);
            for (view, judgement) in views.into_iter().enumerate() {
                assert_eq!(ledger.judged(outcome(1, view, judgement)), None);
            }
            let told = ledger.settled(settled(1, Verdict::Good, Disposition::Pass)).unwrap();
            assert_eq!((told.judgement.verdict(), told.ticket.view, told.views.len()), (verdict, worst, 3));
        }
    }

    #[test]
    fn a_view_that_says_nothing_is_unknown_after_a_while() {
        let mut ledger = Ledger::new(2, 8);
        assert_eq!(ledger.judged(outcome(1, 1, good())), None);
        assert_eq!(ledger.settled(settled(1, Verdict::Unknown(Reason::Deadline), Disposition::Reject)), None);
        assert_eq!(ledger.expired(ms(2000)), None);
        let told = ledger.expired(ms(2101)).unwrap();
        assert_eq!((told.judgement.verdict(), told.ticket.view), ("unknown", 0));
        assert_eq!(ledger.judged(outcome(1, 0, good())), None, "told already");
        assert_eq!((ledger.expired(ms(9000)), ledger.finish().count()), (None, 0));
    }

    proptest! {
        /// Messages come in any order, some are lost, and the ledger holds no more than it may: each part that anything is known of is
        /// told exactly once.
        #[test]
        fn each_part_is_told_once(
            views in 1usize..4,
            limit in prop_oneof![1usize..6, Just(64)],
            messages in prop::collection::vec((1u64..12, 0usize..4, 0u64..1500), 0..80),
        ) {
            let mut ledger = Ledger::new(views, limit);
            let (mut seen, mut known, mut told) = (BTreeSet::new(), BTreeSet::new(), vec![]);
            let mut now = ms(0);
            for (part, view, pause) in messages {
                now += ms(pause);
                if view < views || view == 3 {
                    // Each message comes once.
                    if !seen.insert((part, view)) {
                        continue;
                    }
                    known.insert(part);
                    told.extend(match view {
                        3 => ledger.settled(Decision { at: now, ..settled(part, Verdict::Good, Disposition::Pass) }),
                        view => ledger.judged(outcome(part, view, good())),
                    });
                }
                told.extend(std::iter::from_fn(|| ledger.expired(now)));
                prop_assert!(ledger.parts.len() <= limit && ledger.told.len() <= limit);
            }
            told.extend(ledger.finish());
            let mut parts: Vec<_> = told.iter().map(|outcome| outcome.ticket.part.unwrap()).collect();
            parts.sort_unstable();
            // What is remembered of the past is bounded too.
            if limit < 12 {
                parts.dedup();
            }
            prop_assert!(parts.iter().eq(&known), "{:?} of {:?}", parts, known);
        }
    }
}
