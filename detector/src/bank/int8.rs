//! Int8 vectors: quantising them, and finding the nearest one exactly.

use super::answer::{Effort, Match, squared_distance};
use super::codes::{CODE_LIMIT, PADDING, query_limit};
use super::kernel::{FINE, Kernel, TILE};
use super::sketch::{DIRECTIONS, Sketch, Sketches};

/// Bank vectors as codes, and the sketches that the search derives from them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Int8 {
    pub(super) dims: usize,
    pub(super) mean: Vec<f32>,
    /// `[len, stride]`: rows padded with zeros.
    pub(super) codes: Vec<i8>,
    pub(super) scales: Vec<f32>,
    pub(super) norms: Vec<f32>,
    sketches: Sketches,
}

/// Memory that one task uses for query after query.
#[derive(Default)]
struct Scratch {
    groups: Vec<u32>,
    found: Vec<u32>,
    near: Vec<(i32, u32)>,
    more: Vec<(i32, u32)>,
    effort: Effort,
}

/// A query's codes, length and sketch.
struct Query<'a> {
    codes: &'a [i16],
    scale: f32,
    norm: f64,
    sketch: Sketch,
}

/// The nearest vector found so far: the smallest value, and of equal values the smallest index.
#[derive(Clone, Copy)]
struct Best {
    value: f32,
    index: u32,
    /// Its position among the sketches.
    position: u32,
}

const NONE: Best = Best { value: f32::INFINITY, index: 0, position: 0 };

impl Int8 {
    /// Quantises `[len, dims]` vectors.
    pub(super) fn new(vectors: &[f32], dims: usize) -> Int8 {
        let mean = mean(vectors, dims);
        let stride = dims.next_multiple_of(PADDING);
        let mut codes = vec![0i8; vectors.len() / dims * stride];
        let (mut wide, kernel) = (vec![0i16; stride], Kernel::best());
        let mut scales = Vec::with_capacity(vectors.len() / dims);
        for (vector, codes) in vectors.chunks_exact(dims).zip(codes.chunks_exact_mut(stride)) {
            scales.push(kernel.quantise(vector, &mean, CODE_LIMIT, &mut wide).0);
            codes.iter_mut().zip(&wide).for_each(|(code, wide)| *code = *wide as i8);
        }
        let norms = scales.iter().zip(codes.chunks_exact(stride)).map(|(scale, codes)| norm(*scale, codes)).collect();
        Int8::from_parts(dims, mean, codes, scales, norms)
    }

    /// Puts together parts that fit each other.
    pub(super) fn from_parts(dims: usize, mean: Vec<f32>, codes: Vec<i8>, scales: Vec<f32>, norms: Vec<f32>) -> Int8 {
        let sketches = Sketches::new(&codes, &scales, dims.next_multiple_of(PADDING));
        Int8 { dims, mean, codes, scales, norms, sketches }
    }

    /// Searches for each of the `[n, dims]` queries, which lie in a grid of `columns`; gives the effort.
    pub(super) fn search(&self, queries: &[f32], columns: usize, matches: &mut [Match], kernel: Kernel) -> Effort {
        let stride = self.dims.next_multiple_of(PADDING);
        let mut codes = vec![0i16; matches.len().next_multiple_of(TILE) * stride];
        let (mut scratch, mut dots) = (Scratch::default(), [0i32; DIRECTIONS * TILE]);
        let mut vector = vec![0.0; self.dims];
        // Positions of the answers so far: the answers of the neighbours on the left and above are good guesses.
        let mut answers: Vec<u32> = Vec::with_capacity(matches.len());
        let tiles = queries.chunks(TILE * self.dims).zip(matches.chunks_mut(TILE)).zip(codes.chunks_exact_mut(TILE * stride));
        for ((queries, matches), tile) in tiles {
            let mut sizes = [(0.0, 0); TILE];
            for ((query, codes), size) in queries.chunks_exact(self.dims).zip(tile.chunks_exact_mut(stride)).zip(&mut sizes) {
                *size = kernel.quantise(query, &self.mean, query_limit(stride), codes);
            }
            kernel.dots(tile, &self.sketches.basis, stride, &mut dots);
            let each = queries.chunks_exact(self.dims).zip(matches).zip(tile.chunks_exact(stride));
            for (lane, ((query, found), codes)) in each.enumerate() {
                let (scale, squares) = sizes[lane];
                let norm = f64::from(scale).powi(2) * squares as f64;
                let sketch = self.sketches.sketch(dots[lane..].iter().step_by(TILE), f64::from(scale), norm);
                let query_codes = Query { codes, scale, norm, sketch };
                let at = |back: usize| answers.len().checked_sub(back).map(|i| answers[i]);
                let (left, above) = (at(1), at(columns).filter(|_| columns > 1));
                let guesses: Vec<u32> = left.into_iter().chain(above).collect();
                let Best { index, position, .. } = self.nearest(&query_codes, &guesses, &mut scratch, kernel);
                answers.push(position);
                // The distance is computed with the unquantised query, which removes half of the quantisation's error.
                *found = Match { index, distance: self.distance(query, index as usize, &mut vector) };
            }
        }
        scratch.effort
    }

    /// The nearest vector, whatever the guesses are: bounds only decide which vectors need not be compared.
    fn nearest(&self, query: &Query<'_>, guesses: &[u32], scratch: &mut Scratch, kernel: Kernel) -> Best {
        let (sketches, sketch) = (&self.sketches, &query.sketch);
        let (mut best, mut looked) = (NONE, 0);
        let mut look = |position: u32, best: &mut Best| {
            looked += 1;
            self.look(query, position, best, kernel);
        };
        match guesses {
            [] => look(sketches.guess(sketch, kernel), &mut best),
            guesses => guesses.iter().for_each(|guess| look(*guess, &mut best)),
        }
        look(sketches.around(best.position, sketch, kernel), &mut best);
        let limit = sketches.limit(self.reach(query, best.value), FINE);
        let Scratch { groups, found, near, more, effort } = scratch;
        groups.clear();
        kernel.boxes(&sketches.boxes, &sketch.coarse, limit, groups);
        found.clear();
        kernel.scan(&sketches.coarse, groups, &sketch.coarse, limit, found);
        effort.sketches += found.len();
        near.clear();
        kernel.thin(&sketch.fine, &sketches.fine, found, limit, near);
        // The squared distance of finer sketches is that of the fine ones, with the added coordinates in the place of the fine sketches'
        // rests.
        found.clear();
        found.extend(near.iter().map(|(_, position)| *position));
        more.clear();
        kernel.thin(&sketch.finer, &sketches.finer, found, i32::MAX, more);
        for ((squared, position), (added, _)) in near.iter_mut().zip(&*more) {
            let left = i32::from(sketch.fine[FINE - 1]) - i32::from(sketches.fine[*position as usize][FINE - 1]);
            *squared += added - left * left;
        }
        // Comparing the most promising vector first makes the limit tight for all others.
        let first = near.iter().min().map(|(_, position)| *position);
        first.iter().for_each(|position| look(*position, &mut best));
        let finer_limit = |best: &Best| sketches.limit(self.reach(query, best.value), 2 * FINE - 1);
        let mut limit = finer_limit(&best);
        for &(squared, position) in &*near {
            if squared <= limit && Some(position) != first {
                let before = best.value;
                look(position, &mut best);
                if best.value < before {
                    limit = finer_limit(&best);
                }
            }
        }
        *effort = *effort + Effort { queries: 1, groups: groups.len(), sketches: near.len(), vectors: looked };
        best
    }

    /// `|b|² - 2 q·b`, which is the squared distance less `|q|²`, of one vector.
    fn look(&self, query: &Query<'_>, position: u32, best: &mut Best, kernel: Kernel) {
        let index = self.sketches.order[position as usize];
        let (j, stride) = (index as usize, query.codes.len());
        let dot = kernel.dot(query.codes, &self.codes[j * stride..(j + 1) * stride]);
        let value = self.norms[j] + -2.0 * query.scale * self.scales[j] * dot as f32;
        if value < best.value || (value == best.value && index < best.index) {
            *best = Best { value, index, position };
        }
    }

    /// A distance that no vector with this value or a smaller one exceeds, whatever the rounding of values.
    fn reach(&self, query: &Query<'_>, value: f32) -> f64 {
        let rounding = 4e-6 * (query.norm + self.sketches.largest_norm);
        (f64::from(value) + query.norm + rounding).max(0.0).sqrt()
    }

    /// Distance of a query to what a bank vector's codes stand for.
    fn distance(&self, query: &[f32], index: usize, vector: &mut [f32]) -> f32 {
        let stride = self.dims.next_multiple_of(PADDING);
        let scale = self.scales[index];
        let codes = &self.codes[index * stride..][..self.dims];
        for ((value, code), mean) in vector.iter_mut().zip(codes).zip(&self.mean) {
            *value = mean + scale * f32::from(*code);
        }
        squared_distance(query, vector).sqrt()
    }
}

fn mean(vectors: &[f32], dims: usize) -> Vec<f32> {
    let mut sums = vec![0.0f64; dims];
    for vector in vectors.chunks_exact(dims) {
        sums.iter_mut().zip(vector).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    let len = (vectors.len() / dims) as f64;
    sums.into_iter().map(|sum| (sum / len) as f32).collect()
}

/// `scale² |codes|²`
pub(super) fn norm(scale: f32, codes: &[i8]) -> f32 {
    let squared: i64 = codes.iter().map(|code| i64::from(*code) * i64::from(*code)).sum();
    (f64::from(scale) * f64::from(scale) * squared as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::super::kernel::{COARSE, SCALAR};
    use super::super::kernels;
    use super::*;
    use proptest::prelude::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    /// The nearest one by looking at all of them.
    fn all(bank: &Int8, query: &[f32]) -> u32 {
        let mut codes = vec![0; bank.dims.next_multiple_of(PADDING)];
        let (scale, _) = SCALAR.quantise(query, &bank.mean, query_limit(codes.len()), &mut codes);
        let sketch = Sketch { coarse: [0; COARSE], fine: [0; FINE], finer: [0; FINE] };
        let query = Query { codes: &codes, scale, norm: 0.0, sketch };
        let mut best = NONE;
        (0..bank.scales.len()).for_each(|j| bank.look(&query, j as u32, &mut best, kernels()[0]));
        best.index
    }

    /// Clusters on a few directions with a little noise, as descriptors are; `spread` 0 makes duplicates.
    fn clustered(rng: &mut StdRng, len: usize, dims: usize, spread: f32, size: f32) -> Vec<f32> {
        let centres: Vec<f32> = (0..7 * dims).map(|_| rng.random_range(-1.0..1.0)).collect();
        let mut vector = |_| {
            let (a, b, share) = (rng.random_range(0..7), rng.random_range(0..7), rng.random_range(0.0f32..1.0));
            let at = |k: usize| centres[a * dims + k] * share + centres[b * dims + k] * (1.0 - share).round();
            (0..dims).map(|k| (at(k) + spread * rng.random_range(-1.0..1.0)) * size).collect::<Vec<f32>>()
        };
        (0..len).flat_map(&mut vector).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn bounds_never_change_the_answer(
            (dims, len, seed) in (1usize..150, 1usize..500, any::<u64>()),
            spread in prop_oneof![Just(0.0f32), Just(1e-3), Just(0.1), Just(1.0)],
            size in prop_oneof![Just(1.0f32), Just(1e-6), Just(1e6), Just(1e16)],
            far in prop_oneof![Just(1.0f32), Just(30.0)],
        ) {
            let mut rng = StdRng::seed_from_u64(seed);
            let vectors = clustered(&mut rng, len, dims, spread, size);
            let bank = Int8::new(&vectors, dims);
            // Some queries are bank vectors, some like them, some elsewhere.
            let mut queries = vectors[..len.min(9) * dims].to_vec();
            queries.extend(clustered(&mut rng, 11, dims, spread, size * far));
            queries.extend(vectors[..len.min(9) * dims].iter().map(|value| value * 1.01));
            let expected: Vec<u32> = queries.chunks_exact(dims).map(|query| all(&bank, query)).collect();
            for kernel in kernels() {
                let mut matches = vec![Match { index: 0, distance: 0.0 }; expected.len()];
                bank.search(&queries, 5, &mut matches, kernel);
                let found: Vec<u32> = matches.iter().map(|found| found.index).collect();
                prop_assert_eq!(&found, &expected, "{}", kernel.name);
            }
        }
    }

    #[test]
    fn most_vectors_are_never_looked_at() {
        let mut rng = StdRng::seed_from_u64(1);
        let (dims, len) = (96, 3000);
        let vectors = clustered(&mut rng, len, dims, 0.02, 1.0);
        let bank = Int8::new(&vectors, dims);
        let mut codes = vec![0; dims];
        let mut scratch = Scratch::default();
        for query in vectors.chunks_exact(dims).take(100) {
            let query: Vec<f32> = query.iter().map(|value| value + 0.01).collect();
            let (scale, squares) = SCALAR.quantise(&query, &bank.mean, query_limit(dims), &mut codes);
            let norm = f64::from(scale).powi(2) * squares as f64;
            let dots: Vec<i32> = bank.sketches.basis.chunks_exact(dims).map(|row| kernels()[0].dot(&codes, row)).collect();
            let sketch = bank.sketches.sketch(dots.iter(), f64::from(scale), norm);
            bank.nearest(&Query { codes: &codes, scale, norm, sketch }, &[], &mut scratch, Kernel::best());
        }
        let Effort { queries, vectors, .. } = scratch.effort;
        assert!(queries == 100 && vectors < 100 * len / 50, "{vectors} of {} were compared in full", 100 * len);
    }
}
