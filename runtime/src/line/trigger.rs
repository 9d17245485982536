//! From trigger edges to parts: debouncing, counting, and edges that the kernel lost.

use std::time::Duration;

use verdict::Reason;

/// An edge on the trigger's GPIO line, with the kernel's time and number; or another trigger, with its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// When the edge came; the time of a part is the time of its edge.
    pub at: Duration,
    /// The kernel's number of the edge on this GPIO line; none for triggers that are not edges.
    pub number: Option<u32>,
}

/// A part whose trigger came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TriggeredPart {
    /// Counts the parts, from 1.
    pub part: u64,
    /// Time of its trigger.
    pub at: Duration,
    /// The number of its product.
    pub product: usize,
    /// Why its product is in doubt.
    pub doubt: Option<Reason>,
}

impl TriggeredPart {
    /// Whether a frame of this part can be judged. `taken` is the product on whose settings the frame certainly was taken; none while the
    /// settings changed.
    ///
    /// # Errors
    /// Why the part is unknown.
    pub fn judgeable(&self, taken: Option<usize>) -> Result<(), Reason> {
        match self.doubt {
            Some(reason) => Err(reason),
            None if taken != Some(self.product) => Err(Reason::ProductChange),
            None => Ok(()),
        }
    }
}

/// What became of the trigger edges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TriggerCounts {
    /// Edges that made a part.
    pub parts: u64,
    /// Edges that came within the debounce time of another edge.
    pub bounces: u64,
    /// Edges that the kernel could not keep: their parts passed unseen.
    pub missed: u64,
}

/// Makes parts of trigger edges.
///
/// An edge makes a part if no edge came within the debounce time before it. The time of the part is the time of this first edge, not the
/// end of the bouncing.
#[derive(Clone, Debug)]
pub struct Trigger {
    debounce: Duration,
    last: Option<Duration>,
    number: Option<u32>,
    counts: TriggerCounts,
}

impl Trigger {
    /// A trigger for which an edge within `debounce` of the edge before it is a bounce.
    pub fn new(debounce: Duration) -> Trigger {
        Trigger { debounce, last: None, number: None, counts: TriggerCounts::default() }
    }

    /// Takes an edge in; gives the number of the part that begins with it.
    pub fn step(&mut self, edge: Edge) -> Option<u64> {
        if let Some(number) = edge.number {
            let last = self.number.replace(number);
            let lost = last.map_or(0, |last| number.wrapping_sub(last).wrapping_sub(1));
            // Numbers start again when the GPIO line is requested again.
            self.counts.missed += u64::from(if lost < u32::MAX / 2 { lost } else { 0 });
        }
        let last = self.last.replace(edge.at);
        if last.is_some_and(|last| edge.at.saturating_sub(last) < self.debounce) {
            self.counts.bounces += 1;
            return None;
        }
        self.counts.parts += 1;
        Some(self.counts.parts)
    }

    /// The counts since the start.
    pub fn counts(&self) -> TriggerCounts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_first_edge_is_the_part_and_bounces_are_counted() {
        let mut trigger = Trigger::new(ms(5));
        let edges = [(10, 7), (12, 8), (16, 9), (21, 10), (26, 13), (40, 14)];
        let parts = edges.map(|(at, number)| trigger.step(Edge { at: ms(at), number: Some(number) }));
        assert_eq!(parts, [Some(1), None, None, Some(2), Some(3), Some(4)]);
        assert_eq!(trigger.counts(), TriggerCounts { parts: 4, bounces: 2, missed: 2 });
    }

    #[test]
    fn numbers_wrap_and_may_begin_anew() {
        let mut trigger = Trigger::new(ms(0));
        for (at, number) in [(1, u32::MAX - 1), (2, u32::MAX), (3, 0), (4, 2), (5, 1)] {
            trigger.step(Edge { at: ms(at), number: Some(number) });
        }
        assert_eq!(trigger.counts(), TriggerCounts { parts: 5, bounces: 0, missed: 1 });
    }

    proptest! {
        #[test]
        fn every_edge_is_a_part_or_a_bounce(debounce in 0u64..20, pauses in prop::collection::vec(0u64..40, 0..100)) {
            let mut trigger = Trigger::new(ms(debounce));
            let (mut now, mut parts) = (ms(100), vec![]);
            for pause in &pauses {
                now += ms(*pause);
                parts.extend(trigger.step(Edge { at: now, number: None }).map(|part| (part, now)));
            }
            prop_assert!(parts.windows(2).all(|pair| pair[1].1 - pair[0].1 >= ms(debounce) && pair[1].0 == pair[0].0 + 1));
            prop_assert_eq!(trigger.counts().parts + trigger.counts().bounces, pauses.len() as u64);
        }
    }
}
