//! Exact nearest neighbour over the whole bank.

use rayon::prelude::*;

use super::kernel::Kernel;
use super::{MemoryBank, Vectors};
use crate::{Error, Result};

/// Queries that one task searches for, one after the other: an answer is a good guess for the next one.
const QUERIES: usize = 32;

/// The nearest bank vector of one query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// Index in the bank; the smallest of equally near ones.
    pub index: u32,
    /// L2 distance.
    pub distance: f32,
}

impl MemoryBank {
    /// The nearest bank vector of each of the `[n, dims]` row-major queries, on rayon's current pool. The answer does not depend on the
    /// number of threads or the processor.
    ///
    /// # Errors
    /// When the queries' length does not fit or a value is not finite.
    pub fn nearest(&self, queries: &[f32]) -> Result<Vec<Match>> {
        self.nearest_with(queries, Kernel::best())
    }

    /// [`MemoryBank::nearest`] with a chosen kernel, for tests and benchmarks.
    ///
    /// # Errors
    /// As [`MemoryBank::nearest`].
    pub fn nearest_with(&self, queries: &[f32], kernel: Kernel) -> Result<Vec<Match>> {
        if !queries.len().is_multiple_of(self.dims) {
            let (found, dims) = (queries.len(), self.dims);
            return Err(Error::invalid(format!("{found} query values do not make vectors of {dims}")));
        }
        if !queries.iter().all(|value| value.is_finite()) {
            return Err(Error::invalid("the image's descriptors hold values that are not finite numbers"));
        }
        let mut matches = vec![Match { index: 0, distance: f32::INFINITY }; queries.len() / self.dims];
        let tasks = matches.par_chunks_mut(QUERIES).zip(queries.par_chunks(QUERIES * self.dims));
        match &self.vectors {
            Vectors::F32 { values } => tasks.for_each(|(matches, queries)| self.search_f32(values, queries, matches)),
            Vectors::Int8(bank) => tasks.for_each(|(matches, queries)| bank.search(queries, matches, kernel)),
        }
        Ok(matches)
    }

    /// Plain differences in a fixed order of summation.
    fn search_f32(&self, values: &[f32], queries: &[f32], matches: &mut [Match]) {
        for (query, found) in queries.chunks_exact(self.dims).zip(matches) {
            for (index, vector) in values.chunks_exact(self.dims).enumerate() {
                let squared = squared_distance(query, vector);
                if squared < found.distance {
                    *found = Match { index: index as u32, distance: squared };
                }
            }
            found.distance = found.distance.sqrt();
        }
    }
}

/// Eight running sums, which the compiler keeps in vector registers.
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
