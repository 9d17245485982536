//! The answers of a search, and its effort.

use std::ops::Add;

/// The nearest bank vector of one query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// Index in the bank; the smallest index of equally near vectors.
    pub index: u32,
    /// L2 distance.
    pub distance: f32,
}

/// How much a search had to look at, to compare a measured time with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Queries answered.
    pub queries: usize,
    /// Groups of coarse sketches, over all queries.
    pub groups: usize,
    /// Fine sketches.
    pub sketches: usize,
    /// Bank vectors compared in full.
    pub vectors: usize,
}

impl Add for Effort {
    type Output = Effort;

    fn add(self, other: Effort) -> Effort {
        Effort {
            queries: self.queries + other.queries,
            groups: self.groups + other.groups,
            sketches: self.sketches + other.sketches,
            vectors: self.vectors + other.vectors,
        }
    }
}

/// Squared L2 distance. Eight running sums fix the order of additions, and the compiler keeps them in vector registers.
pub(super) fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (a, tail_a) = a.as_chunks::<8>();
    let (b, tail_b) = b.as_chunks::<8>();
    for (a, b) in a.iter().zip(b) {
        for i in 0..8 {
            sums[i] += (a[i] - b[i]) * (a[i] - b[i]);
        }
    }
    let tail: f32 = tail_a.iter().zip(tail_b).map(|(a, b)| (a - b) * (a - b)).sum();
    sums.iter().sum::<f32>() + tail
}
