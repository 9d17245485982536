//! One outcome for each part: the outcomes of its views joined with the line's decision.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use verdict::{Outcome, Reason, ScoredVerdict, Ticket, Verdict};

use super::action::Decision;

/// How long after the decision about a part the ledger waits for the outcomes of its views.
const PATIENCE: Duration = Duration::from_secs(2);

/// Joins the outcomes of a part's views with the line's decision about the part. They come on different ways, in any order. Each part has
/// exactly one joined outcome.
#[derive(Debug)]
pub struct Ledger {
    views: usize,
    limit: usize,
    parts: BTreeMap<u64, Part>,
    /// Parts that were joined without all their views: outcomes that still come are dropped.
    incomplete: BTreeSet<u64>,
}

#[derive(Debug, Default)]
struct Part {
    outcomes: Vec<Outcome>,
    decision: Option<Decision>,
}

impl Ledger {
    /// An empty ledger for parts of `views` views. At most `limit` parts wait for outcomes or for their decision.
    pub fn new(views: usize, limit: usize) -> Ledger {
        Ledger { views, limit, parts: BTreeMap::new(), incomplete: BTreeSet::new() }
    }

    /// Takes a view's outcome in; returns a joined outcome that is ready now.
    pub fn judged(&mut self, outcome: Outcome) -> Option<Outcome> {
        let Some(part) = outcome.ticket.part else { return Some(outcome) };
        if self.incomplete.contains(&part) {
            return None;
        }
        self.parts.entry(part).or_default().outcomes.push(outcome);
        self.complete(part)
    }

    /// Takes the line's decision in; returns a joined outcome that is ready now.
    pub fn decided(&mut self, decision: Decision) -> Option<Outcome> {
        self.parts.entry(decision.part).or_default().decision = Some(decision);
        self.complete(decision.part)
    }

    /// Returns the outcome of a part whose decision is so old that the ledger waits no longer for missing views.
    pub fn expired(&mut self, now: Duration) -> Option<Outcome> {
        let is_over = |decision: &Decision| decision.at + decision.after + PATIENCE <= now;
        let part = self.parts.iter().find(|(_, part)| part.decision.as_ref().is_some_and(is_over));
        let part = part.map(|(part, _)| *part)?;
        self.give_up(part)
    }

    /// Ends the ledger: returns the outcomes of all parts that still wait.
    pub fn finish(&mut self) -> impl Iterator<Item = Outcome> {
        let views = self.views;
        std::mem::take(&mut self.parts).into_iter().filter_map(move |(number, part)| part.join(number, views))
    }

    fn complete(&mut self, number: u64) -> Option<Outcome> {
        let is_complete = |part: &Part| part.decision.is_some() && part.outcomes.len() == self.views;
        if self.parts.get(&number).is_some_and(is_complete) {
            return self.parts.remove(&number)?.join(number, self.views);
        }
        // Messages were lost: report the part without its views rather than never.
        let first = *self.parts.first_key_value()?.0;
        if self.parts.len() > self.limit { self.give_up(first) } else { None }
    }

    fn give_up(&mut self, number: u64) -> Option<Outcome> {
        self.incomplete.insert(number);
        if self.incomplete.len() > self.limit {
            self.incomplete.pop_first();
        }
        self.parts.remove(&number)?.join(number, self.views)
    }
}

impl Part {
    /// The worst view's outcome is the part's outcome. The line's decision prevails: where it is unknown, a verdict came too late.
    fn join(mut self, number: u64, views: usize) -> Option<Outcome> {
        let first = self.outcomes.first().map(|outcome| outcome.ticket.clone());
        // Without an outcome of any view, only the trigger of the part is known.
        let blank = |at| Ticket { sequence: 0, part: Some(number), source: String::new(), captured: at, product: None, view: 0 };
        let known = first.or_else(|| Some(blank(self.decision?.at)))?;
        let reason = match self.decision {
            Some(Decision { verdict: Verdict::Unknown(reason), .. }) => reason,
            _ => Reason::Deadline,
        };
        for view in 0..views {
            if !self.outcomes.iter().any(|outcome| outcome.ticket.view == view) {
                let ticket = Ticket { view, source: String::new(), ..known.clone() };
                let latency = self.decision.map_or(Duration::ZERO, |decision| decision.after);
                self.outcomes.push(Outcome::new(ticket, ScoredVerdict::unknown(reason), latency));
            }
        }
        self.outcomes.sort_by_key(|outcome| outcome.ticket.view);
        let is_worse = |outcome: &Outcome, than: &Outcome| than.verdict().or_worse(outcome.verdict()) != than.verdict();
        let mut joined = self.outcomes.first()?.clone();
        for outcome in &self.outcomes[1..] {
            if is_worse(outcome, &joined) {
                joined = outcome.clone();
            }
        }
        joined.latency = self.outcomes.iter().map(|outcome| outcome.latency).max()?;
        if views > 1 {
            joined.views = self.outcomes;
        }
        let Some(decision) = self.decision else { return Some(joined) };
        joined.disposition = Some(decision.disposition);
        if let (Verdict::Unknown(reason), Some(score)) = (decision.verdict, joined.judged.score) {
            joined.judged = ScoredVerdict::unknown_because(reason, format!("the detector's score was {score:.4}"));
        }
        Some(joined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use verdict::Disposition;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn outcome(part: u64, view: usize, judged: ScoredVerdict) -> Outcome {
        let ticket = Ticket {
            sequence: part,
            part: Some(part),
            source: format!("camera {view}"),
            captured: ms(part),
            product: Some(0),
            view,
        };
        Outcome::new(ticket, judged, ms(5))
    }

    fn good() -> ScoredVerdict {
        ScoredVerdict::scored(1.0, false)
    }

    fn decision(part: u64, verdict: Verdict, disposition: Disposition) -> Decision {
        Decision { part, verdict, disposition, at: ms(part), after: ms(100) }
    }

    #[test]
    fn outcome_and_decision_are_joined_in_any_order_and_the_decision_prevails() {
        let mut ledger = Ledger::new(1, 8);
        assert_eq!(ledger.judged(outcome(1, 0, good())), None);
        assert_eq!(ledger.decided(decision(2, Verdict::Unknown(Reason::Deadline), Disposition::Reject)), None);
        let first = ledger.decided(decision(1, Verdict::Good, Disposition::Pass)).unwrap();
        assert_eq!((first.verdict(), first.disposition), (Verdict::Good, Some(Disposition::Pass)));
        assert!(first.views.is_empty(), "a part with one view has no list of views");
        let second = ledger.judged(outcome(2, 0, good())).unwrap();
        assert_eq!((second.verdict(), second.judged.score), (Verdict::Unknown(Reason::Deadline), None));
        assert_eq!(second.disposition, Some(Disposition::Reject));
        assert_eq!(ledger.finish().count(), 0);
    }

    #[test]
    fn the_worst_view_is_the_parts_verdict() {
        let anomalous = || ScoredVerdict::scored(9.0, true);
        let blind = || ScoredVerdict::unknown(Reason::NoFrame);
        for (views, verdict, worst) in [
            ([good(), good(), good()], "good", 0),
            ([good(), blind(), good()], "unknown", 1),
            ([good(), blind(), anomalous()], "anomalous", 2),
            ([anomalous(), blind(), anomalous()], "anomalous", 0),
        ] {
            let mut ledger = Ledger::new(3, 8);
            for (view, judged) in views.into_iter().enumerate() {
                assert_eq!(ledger.judged(outcome(1, view, judged)), None);
            }
            let joined = ledger.decided(decision(1, Verdict::Good, Disposition::Pass)).unwrap();
            assert_eq!((joined.verdict().word(), joined.ticket.view, joined.views.len()), (verdict, worst, 3));
        }
    }

    #[test]
    fn a_view_without_an_outcome_is_unknown_after_a_while() {
        let mut ledger = Ledger::new(2, 8);
        assert_eq!(ledger.judged(outcome(1, 1, good())), None);
        assert_eq!(ledger.decided(decision(1, Verdict::Unknown(Reason::Deadline), Disposition::Reject)), None);
        assert_eq!(ledger.expired(ms(2000)), None);
        let joined = ledger.expired(ms(2101)).unwrap();
        assert_eq!((joined.verdict().word(), joined.ticket.view), ("unknown", 0));
        assert_eq!(ledger.judged(outcome(1, 0, good())), None, "the part has its outcome already");
        assert_eq!((ledger.expired(ms(9000)), ledger.finish().count()), (None, 0));
    }

    proptest! {
        /// Messages come in any order, some are lost, and the ledger holds no more parts than its limit: each part of which a message came
        /// has exactly one outcome.
        #[test]
        fn each_part_has_one_outcome(
            views in 1usize..4,
            limit in prop_oneof![1usize..6, Just(64)],
            messages in prop::collection::vec((1u64..12, 0usize..4, 0u64..1500), 0..80),
        ) {
            let mut ledger = Ledger::new(views, limit);
            let (mut sent, mut known, mut joined) = (BTreeSet::new(), BTreeSet::new(), vec![]);
            let mut now = ms(0);
            for (part, view, pause) in messages {
                now += ms(pause);
                if view < views || view == 3 {
                    // Each message comes once.
                    if !sent.insert((part, view)) {
                        continue;
                    }
                    known.insert(part);
                    joined.extend(match view {
                        3 => ledger.decided(Decision { at: now, ..decision(part, Verdict::Good, Disposition::Pass) }),
                        view => ledger.judged(outcome(part, view, good())),
                    });
                }
                joined.extend(std::iter::from_fn(|| ledger.expired(now)));
                prop_assert!(ledger.parts.len() <= limit && ledger.incomplete.len() <= limit);
            }
            joined.extend(ledger.finish());
            let mut parts: Vec<_> = joined.iter().map(|outcome| outcome.ticket.part.unwrap()).collect();
            parts.sort_unstable();
            // The memory of incomplete parts is bounded: with a small limit, a late message may join a part twice.
            if limit < 12 {
                parts.dedup();
            }
            prop_assert!(parts.iter().eq(&known), "{:?} of {:?}", parts, known);
        }
    }
}
