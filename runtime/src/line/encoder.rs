//! The belt's position from the edges of an incremental encoder.

use std::time::Duration;

/// An edge on one of the encoder's GPIO lines, with the kernel's time and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderEdge {
    /// Whether it is an edge of GPIO line B, whose level gives the direction; otherwise of GPIO line A.
    pub is_b: bool,
    /// Whether it goes from inactive to active.
    pub rising: bool,
    /// When it came.
    pub at: Duration,
    /// The kernel's number of the edge on this GPIO line: a gap means that edges were lost.
    pub number: u32,
}

/// What an edge means for the belt's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The count stays as it is.
    Still,
    /// The new count.
    Count(i64),
    /// Edges are missing, or came faster than they can be counted: the belt's position is lost.
    Lost,
}

/// Counts the pulses of an incremental encoder: each rising edge of GPIO line A is a pulse forward, or backward while GPIO line B is
/// active. Without GPIO line B the belt only moves forward.
#[derive(Clone, Debug)]
pub struct Encoder {
    reverse: bool,
    /// Least time between two pulses.
    shortest: Duration,
    count: i64,
    b_active: bool,
    last_pulse: Option<Duration>,
    /// Last kernel number of GPIO line A and of GPIO line B.
    last: [Option<u32>; 2],
    lost: u64,
}

impl Encoder {
    /// An encoder that gives at most `highest_rate` pulses a second. `b_active` is the level of GPIO line B now. `reverse` swaps the
    /// direction.
    pub fn new(highest_rate: f64, reverse: bool, b_active: bool) -> Encoder {
        let shortest = Duration::from_secs_f64(1.0 / highest_rate);
        Encoder { reverse, shortest, count: 0, b_active, last_pulse: None, last: [None; 2], lost: 0 }
    }

    /// Takes an edge in.
    pub fn step(&mut self, edge: EncoderEdge) -> Turn {
        let last = self.last[usize::from(edge.is_b)].replace(edge.number);
        let gap = last.is_some_and(|last| last.wrapping_add(1) != edge.number);
        if edge.is_b {
            self.b_active = edge.rising;
        }
        let pulse = !edge.is_b && edge.rising;
        let mut too_fast = false;
        if pulse {
            self.count += if self.b_active == self.reverse { 1 } else { -1 };
            let last = self.last_pulse.replace(edge.at);
            too_fast = last.is_some_and(|last| edge.at.saturating_sub(last) < self.shortest);
        }
        if gap || too_fast {
            self.lost += 1;
            return Turn::Lost;
        }
        if pulse { Turn::Count(self.count) } else { Turn::Still }
    }

    /// Pulses forward since the start.
    pub fn count(&self) -> i64 {
        self.count
    }

    /// How often the position was lost.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Belt {
        encoder: Encoder,
        now: Duration,
        numbers: [u32; 2],
    }

    impl Belt {
        fn new(reverse: bool) -> Belt {
            Belt { encoder: Encoder::new(1000.0, reverse, false), now: Duration::ZERO, numbers: [u32::MAX - 2; 2] }
        }

        fn edge(&mut self, is_b: bool, rising: bool) -> Turn {
            let number = &mut self.numbers[usize::from(is_b)];
            *number = number.wrapping_add(1);
            let number = *number;
            self.now += Duration::from_millis(1);
            self.encoder.step(EncoderEdge { is_b, rising, at: self.now, number })
        }

        /// One quadrature cycle; B follows A when the belt moves forward.
        fn cycle(&mut self, forward: bool) -> Turn {
            let order = [(!forward, true), (forward, true), (!forward, false), (forward, false)];
            let turns = order.map(|(is_b, rising)| self.edge(is_b, rising));
            *turns.iter().find(|turn| **turn != Turn::Still).unwrap()
        }
    }

    #[test]
    fn quadrature_counts_both_ways() {
        for (reverse, sign) in [(false, 1), (true, -1)] {
            let mut belt = Belt::new(reverse);
            let counts = [true, true, true, false, true].map(|forward| belt.cycle(forward));
            assert_eq!(counts, [1, 2, 3, 2, 3].map(|count| Turn::Count(sign * count)));
        }
    }

    #[test]
    fn a_gap_in_the_kernels_numbers_is_a_loss() {
        for is_b in [false, true] {
            let mut belt = Belt::new(false);
            belt.cycle(true);
            let number = &mut belt.numbers[usize::from(is_b)];
            *number = number.wrapping_add(1);
            assert_eq!(belt.edge(is_b, true), Turn::Lost);
            assert_eq!(belt.encoder.lost(), 1);
            assert_ne!(belt.edge(is_b, false), Turn::Lost, "counting goes on");
        }
    }

    #[test]
    fn pulses_faster_than_the_highest_rate_are_a_loss() {
        let mut belt = Belt::new(false);
        assert_eq!(belt.edge(false, true), Turn::Count(1));
        assert_eq!(belt.edge(false, true), Turn::Count(2), "just as fast as allowed");
        belt.now -= Duration::from_micros(1);
        assert_eq!(belt.edge(false, true), Turn::Lost);
        assert_eq!(belt.encoder.count(), 3);
    }
}
