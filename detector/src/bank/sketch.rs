//! Sketches: a few numbers for each vector that bound its distance to any other vector from below, so that most vectors need not be
//! compared.
//!
//! A sketch holds the vector's coordinates along a few directions, and its rest: the length of the part that these coordinates leave
//! over. Sketching never stretches distances: two vectors are at least as far apart as their sketches. Sketches have three sizes (coarse,
//! fine, finer), each of which continues the one before. A larger sketch gives a tighter bound, and is used where the smaller one was not
//! enough. The directions are those along which the bank varies most, so that the bounds are tight: the directions decide how fast a
//! search is, never what it answers. Sketches are derived from the codes when a bank is made or read.

use rayon::prelude::*;

use super::kernel::{Boxes, COARSE, FINE, GROUP, GROUP_CODES, Kernel, SKETCH_LIMIT, TILE};

/// Bank vectors that the directions are computed from.
const SAMPLE: usize = 1024;
/// Rounds of the iteration that computes the directions.
const ROUNDS: usize = 4;
/// Sketches that a search without a guess compares first.
const GUESSES: usize = 256;
/// Sketches on either side of a guess that are compared next.
const AROUND: u32 = 32;

/// Number of directions: a finer sketch adds as many as a fine one has.
pub(super) const DIRECTIONS: usize = 2 * (FINE - 1);
/// Number of directions after which each size of sketch ends, with its rest.
const ENDS: [usize; 3] = [COARSE - 1, FINE - 1, DIRECTIONS];

/// Sketches of the whole bank.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sketches {
    /// `[DIRECTIONS, stride]` codes of the directions.
    pub(super) basis: Vec<i8>,
    /// Factors that turn products with the directions' codes into coordinates.
    gains: Vec<f64>,
    /// Length of one step of a sketch's codes.
    unit: f64,
    /// Groups of coarse sketches in the layout of [`Kernel::scan`]. Vectors that are near each other lie near each other here.
    pub(super) coarse: Vec<i16>,
    /// Bounds of the groups' coarse sketches.
    pub(super) boxes: Vec<Boxes>,
    /// Fine sketches in the same order.
    pub(super) fine: Vec<[i16; FINE]>,
    /// What finer sketches add to the fine ones: more coordinates, and the rest after those.
    pub(super) finer: Vec<[i16; FINE]>,
    /// Indices in the bank, in the same order.
    pub(super) order: Vec<u32>,
    /// Largest squared length of a bank vector.
    pub(super) largest_norm: f64,
}

/// One vector's sketches, in steps of the unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sketch {
    pub(super) coarse: [i16; COARSE],
    pub(super) fine: [i16; FINE],
    pub(super) finer: [i16; FINE],
}

/// Coordinates along all directions, and the rests at each of the [`ENDS`].
struct Coordinates {
    values: [f64; DIRECTIONS],
    rests: [f64; ENDS.len()],
}

impl Sketches {
    /// Sketches of `[len, stride]` codes.
    pub(super) fn new(codes: &[i8], scales: &[f32], stride: usize) -> Sketches {
        let (basis, gains) = basis(codes, scales, stride);
        let mut bank = Sketches {
            basis,
            gains,
            unit: 1.0,
            coarse: Vec::new(),
            boxes: Vec::new(),
            fine: Vec::new(),
            finer: Vec::new(),
            order: (0..scales.len() as u32).collect(),
            largest_norm: 0.0,
        };
        let kernel = Kernel::best();
        let products: Vec<([i32; DIRECTIONS], f64)> = codes
            .par_chunks(TILE * stride)
            .zip(scales.par_chunks(TILE))
            .flat_map_iter(|(rows, scales)| {
                let mut wide = vec![0i16; TILE * stride];
                wide.iter_mut().zip(rows).for_each(|(wide, code)| *wide = i16::from(*code));
                let mut dots = [0i32; DIRECTIONS * TILE];
                kernel.dots(&wide, &bank.basis, stride, &mut dots);
                let lanes = scales.iter().zip(rows.chunks_exact(stride)).enumerate();
                let rows = lanes.map(|(lane, (scale, row))| {
                    let squared: i64 = row.iter().map(|code| i64::from(*code).pow(2)).sum();
                    (std::array::from_fn(|k| dots[k * TILE + lane]), f64::from(*scale).powi(2) * squared as f64)
                });
                rows.collect::<Vec<_>>()
            })
            .collect();
        bank.largest_norm = products.iter().map(|(_, norm)| *norm).fold(0.0, f64::max);
        let coordinates = |i: usize| bank.coordinates(products[i].0.iter(), f64::from(scales[i]), products[i].1);
        let largest = (0..scales.len()).map(|i| {
            let Coordinates { values, rests } = coordinates(i);
            values.iter().chain(&rests).map(|value| value.abs()).fold(0.0, f64::max)
        });
        let largest = largest.fold(0.0, f64::max);
        bank.unit = if largest > 0.0 { largest / f64::from(SKETCH_LIMIT) } else { 1.0 };
        let sketches: Vec<Sketch> =
            (0..scales.len()).map(|i| bank.sketch(products[i].0.iter(), f64::from(scales[i]), products[i].1)).collect();
        arrange(&mut bank.order, &sketches);
        bank.fine = bank.order.iter().map(|i| sketches[*i as usize].fine).collect();
        bank.finer = bank.order.iter().map(|i| sketches[*i as usize].finer).collect();
        let groups = bank.order.len().div_ceil(GROUP);
        bank.coarse = vec![0; groups * GROUP_CODES];
        bank.boxes = vec![[[2 * SKETCH_LIMIT; GROUP_CODES], [-2 * SKETCH_LIMIT; GROUP_CODES]]; groups.div_ceil(GROUP)];
        // Rows lie in the lanes of a group, and groups in the lanes of boxes.
        let place = |lane: usize, k: usize| (k / 2 * GROUP + lane) * 2 + k % 2;
        for (position, i) in bank.order.iter().enumerate() {
            let group = position / GROUP;
            let [low, high] = &mut bank.boxes[group / GROUP];
            for (k, code) in sketches[*i as usize].coarse.iter().enumerate() {
                bank.coarse[group * GROUP_CODES + place(position % GROUP, k)] = *code;
                let at = place(group % GROUP, k);
                (low[at], high[at]) = (low[at].min(*code), high[at].max(*code));
            }
        }
        bank
    }

    /// Sketches of a vector from its codes' products with the directions, its scale and its squared length.
    pub(super) fn sketch<'a>(&self, dots: impl Iterator<Item = &'a i32>, scale: f64, norm: f64) -> Sketch {
        /// Adding and subtracting this number rounds to whole numbers without a function call.
        const ROUND: f64 = 1.5 * (1u64 << 52) as f64;
        let Coordinates { values, rests } = self.coordinates(dots, scale, norm);
        let inverse = 1.0 / self.unit;
        // Cutting off at the largest value of the bank brings a query nearer to all of the bank, never further away.
        let code = |value: f64| {
            let limit = f64::from(SKETCH_LIMIT);
            // Rounds to the nearest step as `round` does, except for values exactly between two steps.
            ((value * inverse).clamp(-limit, limit) + ROUND - ROUND) as i16
        };
        let codes = values.map(code);
        let (mut coarse, mut fine, mut finer) = ([0; COARSE], [0; FINE], [0; FINE]);
        for (to, from, rest) in
            [(&mut coarse[..], &codes[..ENDS[0]], 0), (&mut fine, &codes[..ENDS[1]], 1), (&mut finer, &codes[ENDS[1]..], 2)]
        {
            to[..from.len()].copy_from_slice(from);
            to[from.len()] = code(rests[rest]);
        }
        Sketch { coarse, fine, finer }
    }

    fn coordinates<'a>(&self, dots: impl Iterator<Item = &'a i32>, scale: f64, norm: f64) -> Coordinates {
        let (mut values, mut rests) = ([0.0; DIRECTIONS], [0.0; ENDS.len()]);
        for ((value, dot), gain) in values.iter_mut().zip(dots).zip(&self.gains) {
            *value = f64::from(*dot) * gain * scale;
        }
        let (mut left, mut begin) = (norm, 0);
        for (rest, end) in rests.iter_mut().zip(ENDS) {
            // Eight sums side by side, because each addition to one sum waits for the one before it.
            let mut squares = [0.0; 8];
            for values in values[begin..end].chunks(8) {
                squares.iter_mut().zip(values).for_each(|(sum, value)| *sum += value * value);
            }
            left -= squares.iter().sum::<f64>();
            *rest = left.max(0.0).sqrt();
            begin = end;
        }
        Coordinates { values, rests }
    }

    /// Largest squared distance, in steps, that two sketches of `coordinates` can have if their vectors are within `reach`.
    pub(super) fn limit(&self, reach: f64, coordinates: usize) -> i32 {
        // Each of the codes is rounded by at most half a step, on both sides.
        let steps = reach / self.unit * (1.0 + 1e-6) + 1.001 * (coordinates as f64).sqrt();
        let limit = steps * steps;
        // NaN and numbers that are too large limit nothing.
        if limit < f64::from(i32::MAX) { limit as i32 } else { i32::MAX }
    }

    /// Position of a vector that is likely to be near: the most promising one of a sample.
    pub(super) fn guess(&self, sketch: &Sketch, kernel: Kernel) -> u32 {
        let step = self.fine.len().div_ceil(GUESSES);
        self.most_promising((0..self.fine.len() as u32).step_by(step), sketch, kernel)
    }

    /// Position of the most promising vector around a position: vectors that are near each other have near positions.
    pub(super) fn around(&self, position: u32, sketch: &Sketch, kernel: Kernel) -> u32 {
        let end = (position + AROUND).min(self.fine.len() as u32);
        self.most_promising(position.saturating_sub(AROUND)..end, sketch, kernel)
    }

    fn most_promising(&self, positions: impl Iterator<Item = u32>, sketch: &Sketch, kernel: Kernel) -> u32 {
        let positions: Vec<u32> = positions.collect();
        let mut near = Vec::with_capacity(positions.len());
        kernel.thin(&sketch.fine, &self.fine, &positions, i32::MAX, &mut near);
        near.iter().min().map_or(0, |(_, position)| *position)
    }
}

/// Codes of the directions along which the bank varies most, and their gains.
fn basis(codes: &[i8], scales: &[f32], stride: usize) -> (Vec<i8>, Vec<f64>) {
    let step = scales.len().div_ceil(SAMPLE);
    // Scales are relative to the largest one, so that nothing overflows.
    let largest = scales.iter().copied().fold(0.0, f32::max);
    let rows = codes.chunks_exact(stride).zip(scales).step_by(step);
    let sample: Vec<f32> =
        rows.flat_map(|(row, scale)| row.iter().map(move |code| f32::from(*code) * (scale / largest))).collect();
    // Subspace iteration: directions times the covariance, made orthogonal, again and again.
    let count = sample.len() / stride;
    let mut directions: Vec<f32> =
        (0..DIRECTIONS).flat_map(|k| sample[k * count / DIRECTIONS * stride..][..stride].to_vec()).collect();
    orthonormalise(&mut directions, stride);
    for _ in 0..ROUNDS {
        let parts: Vec<Vec<f32>> =
            sample.par_chunks(64 * stride).map(|rows| times_covariance(rows, &directions, stride)).collect();
        directions.fill(0.0);
        for part in parts {
            directions.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
        }
        orthonormalise(&mut directions, stride);
    }
    let mut basis = Vec::with_capacity(directions.len());
    for direction in directions.chunks_exact(stride) {
        let largest = direction.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        let scale = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        basis.extend(direction.iter().map(|value| (value * scale).round() as i8));
    }
    let gains = gains(&basis, stride);
    (basis, gains)
}

/// Sum over rows of `(row · direction) row` for every direction.
fn times_covariance(rows: &[f32], directions: &[f32], stride: usize) -> Vec<f32> {
    let mut sums = vec![0.0; directions.len()];
    for row in rows.chunks_exact(stride) {
        for (sum, direction) in sums.chunks_exact_mut(stride).zip(directions.chunks_exact(stride)) {
            let share = dot(row, direction);
            sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += share * value);
        }
    }
    sums
}

/// Gram-Schmidt; a direction that depends on those before it becomes zero.
fn orthonormalise(directions: &mut [f32], stride: usize) {
    for k in 0..directions.len() / stride {
        let (before, from) = directions.split_at_mut(k * stride);
        let direction = &mut from[..stride];
        let length = dot(direction, direction).sqrt();
        for other in before.chunks_exact(stride) {
            let share = dot(direction, other);
            direction.iter_mut().zip(other).for_each(|(value, other)| *value -= share * other);
        }
        let left = dot(direction, direction).sqrt();
        let scale = if left > 1e-4 * length { 1.0 / left } else { 0.0 };
        direction.iter_mut().for_each(|value| *value *= scale);
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum()
}

/// Rounded directions are not quite orthogonal, and would stretch distances a little. Divided by the root of the largest eigenvalue of
/// their Gram matrix they do not; the largest row sum bounds that eigenvalue (Gershgorin).
fn gains(basis: &[i8], stride: usize) -> Vec<f64> {
    let product = |a: &[i8], b: &[i8]| a.iter().zip(b).map(|(a, b)| i64::from(*a) * i64::from(*b)).sum::<i64>() as f64;
    let directions: Vec<&[i8]> = basis.chunks_exact(stride).collect();
    let inverse = |length: f64| if length > 0.0 { 1.0 / length } else { 0.0 };
    let inverses: Vec<f64> = directions.iter().map(|direction| inverse(product(direction, direction).sqrt())).collect();
    let row = |i: usize| -> f64 {
        (0..directions.len()).map(|j| product(directions[i], directions[j]).abs() * inverses[i] * inverses[j]).sum()
    };
    let largest = (0..directions.len()).map(row).fold(1.0, f64::max) * (1.0 + 1e-9);
    inverses.iter().map(|inverse| inverse / largest.sqrt()).collect()
}

/// Orders vectors so that each group holds near ones: splits them in half along the widest coordinate, until a half is one group.
fn arrange(order: &mut [u32], sketches: &[Sketch]) {
    if order.len() <= GROUP {
        return;
    }
    let code = |i: u32, k: usize| sketches[i as usize].coarse[k];
    let width = |k: usize| {
        let codes = || order.iter().map(|i| i32::from(code(*i, k)));
        codes().max().unwrap_or(0) - codes().min().unwrap_or(0)
    };
    let widest = (0..COARSE).max_by_key(|k| width(*k)).unwrap_or(0);
    // Whole groups on the left, so that only the last one is padded.
    let middle = (order.len() / GROUP).div_ceil(2) * GROUP;
    order.select_nth_unstable_by_key(middle.min(order.len() - 1), |i| (code(*i, widest), *i));
    let (left, right) = order.split_at_mut(middle);
    arrange(left, sketches);
    arrange(right, sketches);
}
