//! The product that the line makes at a time, by a code on GPIO lines or by a name.

use std::collections::VecDeque;
use std::time::Duration;

use verdict::Reason;

/// Most epochs that are kept: the product of a part can be looked up after this many changes.
const EPOCHS: usize = 8;

/// What happened at the inputs that choose the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChoiceEvent {
    /// A GPIO line of the code changed.
    Edge {
        /// When the edge came.
        at: Duration,
    },
    /// The strobe came: the code counts from now on.
    Strobe {
        /// When the strobe came.
        at: Duration,
    },
    /// The code was read, at the time of [`Choice::due`]; none if it belongs to no product.
    Read(Option<usize>),
    /// A name came at the socket; none if no product has this name.
    Asked(Option<usize>),
}

/// What follows for the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The product of the parts that were triggered since then is in doubt.
    Doubt {
        /// From when on.
        since: Duration,
    },
    /// The line makes this product from now on.
    Chosen(usize),
    /// The code or the name belongs to no product: the line makes none from now on.
    NoSuchProduct,
}

/// A time in which the line makes one product, or in which the product is in doubt.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    from: Duration,
    product: usize,
    doubt: Option<Reason>,
}

/// Which product is made at which time.
///
/// A code is read when its GPIO lines have not changed for the settling time: with a strobe, at or after the strobe; without a strobe,
/// after each change. The product is in doubt until the code is read.
#[derive(Debug)]
pub struct Choice {
    settle: Duration,
    strobed: bool,
    last_edge: Duration,
    due: Option<Duration>,
    epochs: VecDeque<Epoch>,
}

impl Choice {
    /// A choice by code. The first reading is due after the settling time.
    pub fn by_code(settle: Duration, strobed: bool, now: Duration) -> Choice {
        let mut choice = Choice::by_name(0);
        (choice.settle, choice.strobed, choice.last_edge) = (settle, strobed, now);
        choice.doubt(Duration::ZERO);
        choice.due = Some(now + settle);
        choice
    }

    /// A choice by name that begins with the product `start`.
    pub fn by_name(start: usize) -> Choice {
        let mut epochs = VecDeque::with_capacity(EPOCHS + 1);
        epochs.push_back(Epoch { from: Duration::ZERO, product: start, doubt: None });
        Choice { settle: Duration::ZERO, strobed: false, last_edge: Duration::ZERO, due: None, epochs }
    }

    /// Takes an event in at time `now`; returns what follows for the product.
    pub fn step(&mut self, event: ChoiceEvent, now: Duration) -> Option<Change> {
        match event {
            ChoiceEvent::Edge { at } => {
                self.last_edge = self.last_edge.max(at);
                // With a strobe, changes before the strobe do not matter.
                if self.strobed && self.due.is_none() {
                    return None;
                }
                self.await_code();
                self.doubt(at)
            }
            ChoiceEvent::Strobe { at } => {
                self.await_code();
                self.doubt(at)
            }
            ChoiceEvent::Read(product) => {
                self.due = None;
                Some(self.choose(product, now))
            }
            ChoiceEvent::Asked(product) => Some(self.choose(product, now)),
        }
    }

    /// When the code is to be read.
    pub fn due(&self) -> Option<Duration> {
        self.due
    }

    /// The product of a part that was triggered at a time, and why the product is in doubt.
    pub fn at(&self, at: Duration) -> (usize, Option<Reason>) {
        let epoch = self.epochs.iter().rev().find(|epoch| epoch.from <= at);
        // The epoch of this time is no longer kept.
        epoch.map_or((self.current(), Some(Reason::ProductChange)), |epoch| (epoch.product, epoch.doubt))
    }

    /// The product that the line makes; while the product is in doubt, the one before.
    pub fn current(&self) -> usize {
        self.epochs.back().map_or(0, |epoch| epoch.product)
    }

    fn await_code(&mut self) {
        self.due = Some(self.last_edge + self.settle);
    }

    fn doubt(&mut self, since: Duration) -> Option<Change> {
        self.begin(Epoch { from: since, product: self.current(), doubt: Some(Reason::ProductChange) });
        Some(Change::Doubt { since })
    }

    fn choose(&mut self, product: Option<usize>, now: Duration) -> Change {
        match product {
            Some(product) => {
                self.begin(Epoch { from: now, product, doubt: None });
                Change::Chosen(product)
            }
            None => {
                self.begin(Epoch { from: now, product: self.current(), doubt: Some(Reason::NoProduct) });
                Change::NoSuchProduct
            }
        }
    }

    /// Begins an epoch. An edge may be read late: epochs that began at its time or later are dropped.
    fn begin(&mut self, epoch: Epoch) {
        while self.epochs.len() > 1 && self.epochs.back().is_some_and(|last| last.from >= epoch.from) {
            self.epochs.pop_back();
        }
        // A doubt that continues needs no epoch of its own.
        if epoch.doubt.is_some() && self.epochs.back().is_some_and(|last| last.doubt == epoch.doubt) {
            return;
        }
        if self.epochs.len() == EPOCHS {
            self.epochs.pop_front();
        }
        self.epochs.push_back(epoch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    const DOUBT: Option<Reason> = Some(Reason::ProductChange);

    #[test]
    fn a_code_counts_once_its_gpio_lines_have_settled() {
        let mut choice = Choice::by_code(ms(10), false, ms(5));
        assert_eq!((choice.at(ms(5)), choice.due()), ((0, DOUBT), Some(ms(15))));
        assert_eq!(choice.step(ChoiceEvent::Read(Some(2)), ms(15)), Some(Change::Chosen(2)));
        assert_eq!((choice.at(ms(14)), choice.at(ms(15)), choice.due()), ((0, DOUBT), (2, None), None));
        assert_eq!(choice.step(ChoiceEvent::Edge { at: ms(100) }, ms(101)), Some(Change::Doubt { since: ms(100) }));
        choice.step(ChoiceEvent::Edge { at: ms(107) }, ms(108));
        assert_eq!(choice.due(), Some(ms(117)), "the settling time starts again with each edge");
        choice.step(ChoiceEvent::Read(Some(1)), ms(117));
        let products = [99, 100, 116, 117].map(|at| choice.at(ms(at)));
        assert_eq!(
            products,
            [(2, None), (2, DOUBT), (2, DOUBT), (1, None)],
            "parts between the edge and the reading are in doubt"
        );
    }

    #[test]
    fn with_a_code_of_no_product_the_line_makes_none_until_the_next_code() {
        let mut choice = Choice::by_code(ms(10), false, ms(0));
        choice.step(ChoiceEvent::Read(Some(1)), ms(10));
        choice.step(ChoiceEvent::Edge { at: ms(50) }, ms(50));
        assert_eq!(choice.step(ChoiceEvent::Read(None), ms(60)), Some(Change::NoSuchProduct));
        assert_eq!([choice.at(ms(55)), choice.at(ms(70))], [(1, DOUBT), (1, Some(Reason::NoProduct))]);
        choice.step(ChoiceEvent::Edge { at: ms(80) }, ms(80));
        choice.step(ChoiceEvent::Read(Some(0)), ms(90));
        assert_eq!(choice.at(ms(90)), (0, None));
    }

    #[test]
    fn with_a_strobe_the_gpio_lines_may_change_until_it_comes() {
        let mut choice = Choice::by_code(ms(10), true, ms(0));
        choice.step(ChoiceEvent::Read(Some(1)), ms(10));
        assert_eq!(choice.step(ChoiceEvent::Edge { at: ms(50) }, ms(50)), None);
        assert_eq!((choice.at(ms(55)), choice.due()), ((1, None), None));
        assert_eq!(choice.step(ChoiceEvent::Strobe { at: ms(55) }, ms(55)), Some(Change::Doubt { since: ms(55) }));
        assert_eq!(choice.due(), Some(ms(60)), "the settling time counts from the edge at 50 ms");
        choice.step(ChoiceEvent::Edge { at: ms(58) }, ms(58));
        assert_eq!(choice.due(), Some(ms(68)));
        choice.step(ChoiceEvent::Read(Some(2)), ms(68));
        choice.step(ChoiceEvent::Strobe { at: ms(100) }, ms(100));
        assert_eq!(choice.due(), Some(ms(68)), "the GPIO lines have settled long ago: the reading is due at once");
    }

    #[test]
    fn a_name_counts_at_once() {
        let mut choice = Choice::by_name(1);
        assert_eq!(choice.step(ChoiceEvent::Asked(Some(0)), ms(20)), Some(Change::Chosen(0)));
        assert_eq!([choice.at(ms(19)), choice.at(ms(20))], [(1, None), (0, None)]);
        assert_eq!(choice.step(ChoiceEvent::Asked(None), ms(30)), Some(Change::NoSuchProduct));
        assert_eq!(choice.at(ms(31)), (0, Some(Reason::NoProduct)));
    }

    proptest! {
        /// Edges may be read late and old epochs are dropped, but the product of a part is in doubt from the first edge after a reading
        /// until the next reading.
        #[test]
        fn the_product_is_in_doubt_between_an_edge_and_the_reading(
            steps in prop::collection::vec((1u64..30, 0u64..5, any::<bool>()), 0..60),
        ) {
            let mut choice = Choice::by_code(ms(8), false, ms(0));
            // Times in doubt, the last one still open.
            let (mut now, mut doubts, mut open, mut product) = (0, vec![], Some(0), 0);
            for (pause, age, is_edge) in steps {
                now += pause;
                if is_edge {
                    let at = now - age.min(pause - 1);
                    choice.step(ChoiceEvent::Edge { at: ms(at) }, ms(now));
                    open = open.or(Some(at));
                } else if choice.due().is_some_and(|due| due <= ms(now)) {
                    product = (product + 1) % 3;
                    choice.step(ChoiceEvent::Read(Some(product)), ms(now));
                    doubts.extend(open.take().map(|from| (from, now)));
                }
                let (made, doubt) = choice.at(ms(now));
                prop_assert_eq!(doubt.is_some(), open.is_some());
                prop_assert!(doubt.is_some() || made == product);
                for (from, to) in &doubts {
                    prop_assert!((*from..*to).all(|at| choice.at(ms(at)).1.is_some()));
                }
            }
        }
    }
}
