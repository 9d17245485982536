//! Exact nearest neighbour over the whole bank.

use std::ops::Add;

use rayon::prelude::*;

use super::answer::{Effort, Match, squared_distance};
use super::kernel::Kernel;
use super::memory::{MemoryBank, Vectors};
use crate::{Error, Result};

/// Fewest queries of one task, which answers them one after the other: each answer is a good guess for the query's neighbours.
const QUERIES: usize = 32;
/// Tasks for each thread, so that no thread waits long for the others at the end.
const TASKS: usize = 4;

impl MemoryBank {
    /// The nearest bank vector of each of the `[n, dims]` row-major queries, on rayon's current pool. The queries may lie in a grid of
    /// `columns`, whose neighbours are alike; 1 is a list. Neither the grid nor the number of threads nor the processor changes the answer.
    ///
    /// # Errors
    /// When the queries' length does not fit or a value is not finite.
    pub fn nearest(&self, queries: &[f32], columns: usize) -> Result<Vec<Match>> {
        Ok(self.nearest_with(queries, columns, Kernel::best())?.0)
    }

    /// [`MemoryBank::nearest`] with a chosen kernel, for tests and benchmarks, and the effort of the search.
    ///
    /// # Errors
    /// As [`MemoryBank::nearest`].
    pub fn nearest_with(&self, queries: &[f32], columns: usize, kernel: Kernel) -> Result<(Vec<Match>, Effort)> {
        if !queries.len().is_multiple_of(self.dims) {
            let (found, dims) = (queries.len(), self.dims);
            return Err(Error::invalid(format!("{found} query values do not make vectors of {dims}")));
        }
        if !queries.iter().all(|value| value.is_finite()) {
            return Err(Error::invalid("the image's descriptors hold values that are not finite numbers"));
        }
        let mut matches = vec![Match { index: 0, distance: f32::INFINITY }; queries.len() / self.dims];
        // Each task has whole rows, so that the answers of the row above are known.
        let columns = columns.max(1);
        let rows = matches.len().div_ceil(columns * TASKS * rayon::current_num_threads());
        let task = (rows * columns).max(QUERIES.next_multiple_of(columns));
        let tasks = matches.par_chunks_mut(task).zip(queries.par_chunks(task * self.dims));
        let efforts = match &self.vectors {
            Vectors::F32 { values } => {
                tasks.map(|(matches, queries)| self.search_f32(values, queries, matches)).reduce_with(Effort::add)
            }
            Vectors::Int8(bank) => {
                tasks.map(|(matches, queries)| bank.search(queries, columns, matches, kernel)).reduce_with(Effort::add)
            }
        };
        Ok((matches, efforts.unwrap_or_default()))
    }

    /// Plain differences in a fixed order of summation.
    fn search_f32(&self, values: &[f32], queries: &[f32], matches: &mut [Match]) -> Effort {
        let vectors = matches.len() * self.len;
        let effort = Effort { queries: matches.len(), vectors, ..Effort::default() };
        for (query, found) in queries.chunks_exact(self.dims).zip(matches) {
            for (index, vector) in values.chunks_exact(self.dims).enumerate() {
                let squared = squared_distance(query, vector);
                if squared < found.distance {
                    *found = Match { index: index as u32, distance: squared };
                }
            }
            found.distance = found.distance.sqrt();
        }
        effort
    }
}
