//! The score map: patch distances enlarged to the network's input size and smoothed.

use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::descriptor::Taps;
use crate::preprocess::Rect;
use crate::{Error, Result};

/// A score for each pixel of the network's input: distances, enlarged and smoothed.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreMap {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `[height, width]`, row-major; L2 distances in the descriptor's units.
    pub values: Vec<f32>,
    /// Where the picture lies in the map: everywhere, unless letterboxed. Values outside mean nothing.
    pub content: Rect,
}

/// Scores of the patches of one image, from which its score map is made when somebody wants to see it.
#[derive(Clone, Debug, PartialEq)]
pub struct PatchScores {
    /// `[rows, columns]` of the patch grid.
    scores: Vec<f32>,
    content: Rect,
    enlarger: Arc<Enlarger>,
}

impl PatchScores {
    /// Scores `[rows, columns]` of the enlarger's patch grid; `content` is where the picture lies in the network's input.
    pub(crate) fn new(scores: Vec<f32>, content: Rect, enlarger: Arc<Enlarger>) -> PatchScores {
        PatchScores { scores, content, enlarger }
    }

    /// The scores enlarged to the network's input and smoothed.
    pub fn map(&self) -> ScoreMap {
        let Enlarger { rows, columns } = &*self.enlarger;
        let values = self.enlarger.enlarge(&self.scores);
        ScoreMap { height: rows.target, width: columns.target, values, content: self.content }
    }
}

/// How patch distances become a score and a map.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Smoothing {
    /// Standard deviation of the map's Gaussian in input pixels; 0 leaves it out.
    pub sigma: f32,
    /// Side of the square of patches over which a patch's distance is averaged, as far as they lie in the picture; an odd number.
    /// PatchCore has 1, each patch by itself. The largest of many single distances is mostly chance, and defects cover several patches.
    pub neighbourhood: usize,
}

impl Default for Smoothing {
    fn default() -> Self {
        Smoothing { sigma: 4.0, neighbourhood: 1 }
    }
}

impl Smoothing {
    /// Checks what may come from a file.
    ///
    /// # Errors
    /// Names the value and what was expected.
    pub fn validate(&self) -> Result<()> {
        let Smoothing { sigma, neighbourhood } = *self;
        if !(0.0..=64.0).contains(&sigma) {
            return Err(Error::invalid(format!("smoothing.sigma is {sigma}; 0 to 64 was expected")));
        }
        if neighbourhood % 2 == 0 || neighbourhood > 31 {
            return Err(Error::invalid(format!(
                "smoothing.neighbourhood is {neighbourhood}; an odd number up to 31 was expected"
            )));
        }
        Ok(())
    }
}

/// Enlarges a grid of distances bilinearly and smooths it. Both steps are linear and act on rows and columns separately, so one small
/// matrix for each axis does both; it is made once.
#[derive(Clone, Debug, PartialEq)]
pub struct Enlarger {
    rows: Axis,
    columns: Axis,
}

#[derive(Clone, Debug, PartialEq)]
struct Axis {
    source: usize,
    target: usize,
    /// `[source, target]`, so that inner loops run over contiguous memory.
    weights: Vec<f32>,
}

impl Enlarger {
    /// For a patch grid and an input size, both (height, width).
    pub fn new(grid: (usize, usize), input: (usize, usize), smoothing: Smoothing) -> Enlarger {
        let axis = |source, target| Axis::new(source, target, f64::from(smoothing.sigma));
        Enlarger { rows: axis(grid.0, input.0), columns: axis(grid.1, input.1) }
    }

    /// `[height, width]` of the input from `[rows, columns]` of the grid.
    pub fn enlarge(&self, distances: &[f32]) -> Vec<f32> {
        let (rows, columns) = (&self.rows, &self.columns);
        let mut wide = vec![0.0; rows.source * columns.target];
        for (to, from) in wide.chunks_exact_mut(columns.target).zip(distances.chunks_exact(columns.source)) {
            for (value, weights) in from.iter().zip(columns.weights.chunks_exact(columns.target)) {
                to.iter_mut().zip(weights).for_each(|(to, weight)| *to += weight * value);
            }
        }
        let mut map = vec![0.0; rows.target * columns.target];
        map.par_chunks_exact_mut(columns.target).with_min_len(32).enumerate().for_each(|(y, to)| {
            let weights = rows.weights[y..].iter().step_by(rows.target);
            for (weight, from) in weights.zip(wide.chunks_exact(columns.target)) {
                if *weight != 0.0 {
                    to.iter_mut().zip(from).for_each(|(to, from)| *to += weight * from);
                }
            }
        });
        map
    }
}

impl Axis {
    fn new(source: usize, target: usize, sigma: f64) -> Axis {
        let blur = gaussian(sigma);
        let radius = (blur.len() / 2) as isize;
        let taps = Taps::new(source, target).0;
        let mut weights = vec![0.0f64; target * source];
        for i in 0..target {
            for (k, weight) in blur.iter().enumerate() {
                let (low, high, share) = taps[reflect(i as isize + k as isize - radius, target)];
                weights[low * target + i] += weight * (1.0 - f64::from(share));
                weights[high * target + i] += weight * f64::from(share);
            }
        }
        Axis { source, target, weights: weights.into_iter().map(|weight| weight as f32).collect() }
    }
}

/// Gaussian weights out to four deviations, as in scipy and anomalib; `[1]` for sigma 0.
fn gaussian(sigma: f64) -> Vec<f64> {
    if sigma <= 0.0 {
        return vec![1.0];
    }
    let radius = (4.0 * sigma + 0.5) as i64;
    let raw: Vec<f64> = (-radius..=radius).map(|i| (-0.5 * (i as f64 / sigma).powi(2)).exp()).collect();
    let sum: f64 = raw.iter().sum();
    raw.into_iter().map(|weight| weight / sum).collect()
}

/// Index mirrored at both ends without repeating the edge (torch's `reflect` padding).
fn reflect(mut i: isize, length: usize) -> usize {
    let last = length as isize - 1;
    if last == 0 {
        return 0;
    }
    while i < 0 || i > last {
        i = if i < 0 { -i } else { 2 * last - i };
    }
    i as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bilinear first, then a plain two-pass Gaussian with reflected borders.
    fn naive(distances: &[f32], grid: (usize, usize), input: (usize, usize), sigma: f64) -> Vec<f64> {
        let (taps_y, taps_x) = (Taps::new(grid.0, input.0).0, Taps::new(grid.1, input.1).0);
        let at = |y: usize, x: usize| f64::from(distances[y * grid.1 + x]);
        let large = |y: usize, x: usize| {
            let ((a, b, v), (l, r, h)) = (taps_y[y], taps_x[x]);
            let (v, h) = (f64::from(v), f64::from(h));
            (at(a, l) * (1.0 - h) + at(a, r) * h) * (1.0 - v) + (at(b, l) * (1.0 - h) + at(b, r) * h) * v
        };
        let blur = gaussian(sigma);
        let radius = (blur.len() / 2) as isize;
        let mut map = Vec::new();
        for y in 0..input.0 {
            for x in 0..input.1 {
                let mut sum = 0.0;
                for (j, wy) in blur.iter().enumerate() {
                    for (i, wx) in blur.iter().enumerate() {
                        let yy = reflect(y as isize + j as isize - radius, input.0);
                        let xx = reflect(x as isize + i as isize - radius, input.1);
                        sum += wy * wx * large(yy, xx);
                    }
                }
                map.push(sum);
            }
        }
        map
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn equals_enlarging_and_blurring(distances in prop::collection::vec(0.0f32..10.0, 12), sigma in 0.0f64..2.5) {
            let (grid, input) = ((3, 4), (24, 32));
            let smoothing = Smoothing { sigma: sigma as f32, ..Smoothing::default() };
            let map = Enlarger::new(grid, input, smoothing).enlarge(&distances);
            let expected = naive(&distances, grid, input, f64::from(smoothing.sigma));
            for (a, b) in map.iter().zip(expected) {
                prop_assert!((f64::from(*a) - b).abs() < 1e-4, "{} {}", a, b);
            }
        }
    }

    #[test]
    fn a_constant_stays_constant() {
        let map = Enlarger::new((8, 8), (64, 64), Smoothing::default()).enlarge(&[3.0; 64]);
        assert!(map.iter().all(|value| (value - 3.0).abs() < 1e-5));
    }
}
