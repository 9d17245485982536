//! Exact nearest neighbour over the whole bank.

use rayon::prelude::*;

use super::kernel::{Kernel, TILE};
use super::{MemoryBank, PADDING, Vectors, quantise};
use crate::{Error, Result};

/// Queries that one task searches for together: their codes stay in the first-level cache.
const QUERIES: usize = 32;
/// Bank vectors compared before the next queries get their turn: 64 x 384 bytes fit the first-level cache too.
const ROWS: usize = 64;

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
            Vectors::Int8 { mean, codes, scales, norms } => {
                let int8 = Int8 { mean, codes, scales, norms, dims: self.dims, kernel };
                tasks.for_each(|(matches, queries)| int8.search(queries, matches));
            }
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
fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
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

struct Int8<'a> {
    mean: &'a [f32],
    codes: &'a [i8],
    scales: &'a [f32],
    norms: &'a [f32],
    dims: usize,
    kernel: Kernel,
}

impl Int8<'_> {
    fn search(&self, queries: &[f32], matches: &mut [Match]) {
        let stride = self.dims.next_multiple_of(PADDING);
        let mut codes = Vec::with_capacity(matches.len().next_multiple_of(TILE) * stride);
        let quantised: Vec<(f32, f32)> =
            queries.chunks_exact(self.dims).map(|query| quantise(query, self.mean, &mut codes)).collect();
        codes.resize(matches.len().next_multiple_of(TILE) * stride, 0);

        // |q|² is the same for every bank vector: |b|² - 2 q·b says which is nearest.
        let mut best = vec![(f32::INFINITY, 0u32); matches.len()];
        let mut dots = [0i32; ROWS * TILE];
        for (panel, rows) in self.codes.chunks(ROWS * stride).enumerate() {
            let first = panel * ROWS;
            let count = rows.len() / stride;
            for (tile, queries) in codes.chunks_exact(TILE * stride).enumerate() {
                let dots = &mut dots[..count * TILE];
                self.kernel.dots(queries, rows, stride, dots);
                let slots = tile * TILE..(tile * TILE + TILE).min(matches.len());
                for (lane, slot) in slots.enumerate() {
                    let scale = -2.0 * quantised[slot].0;
                    let (mut least, mut index) = best[slot];
                    for (row, dot) in dots[lane..].iter().step_by(TILE).enumerate() {
                        let j = first + row;
                        let value = self.norms[j] + scale * self.scales[j] * *dot as f32;
                        if value < least {
                            (least, index) = (value, j as u32);
                        }
                    }
                    best[slot] = (least, index);
                }
            }
        }
        // The winner's distance is computed again with the query as it is: half of the quantisation's error goes away.
        for ((found, (_, index)), query) in matches.iter_mut().zip(best).zip(queries.chunks_exact(self.dims)) {
            *found = Match { index, distance: self.exact_distance(query, index as usize) };
        }
    }

    /// Distance of a query to what a bank vector's codes stand for.
    fn exact_distance(&self, query: &[f32], index: usize) -> f32 {
        let stride = self.dims.next_multiple_of(PADDING);
        let scale = self.scales[index];
        let vector = self.codes[index * stride..].iter().zip(self.mean).map(|(code, mean)| mean + scale * f32::from(*code));
        squared_distance(query, &vector.collect::<Vec<_>>()).sqrt()
    }
}
