//! Patch descriptors: what PatchCore stores and compares (Roth et al., arXiv 2106.08265, section 3.1).

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// One layer's result for one image.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureMap {
    /// Number of channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `[channels, height, width]`, row-major.
    pub values: Vec<f32>,
}

/// Descriptors of all patches of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Patches {
    /// Rows of the patch grid.
    pub height: usize,
    /// Columns of the patch grid.
    pub width: usize,
    /// Values of one descriptor.
    pub dims: usize,
    /// `[height * width, dims]`, row-major.
    pub values: Vec<f32>,
}

/// How feature maps become descriptors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PatchDescriptor {
    /// Each layer is averaged over 3x3 neighbours (stride 1, zero padding counted); deeper layers are enlarged bilinearly (half-pixel
    /// centres) to the first layer's grid; all are concatenated. Mean and enlarging are linear, so averaging the small map first is exact.
    #[default]
    Concat,
}

impl PatchDescriptor {
    /// Descriptors of one image from its layers, the finest first.
    ///
    /// # Errors
    /// When there are no layers or a map's length does not fit its shape.
    pub fn describe(&self, layers: &[FeatureMap]) -> Result<Patches> {
        let finest = layers.first().ok_or_else(|| Error::invalid("no feature maps to describe"))?;
        for map in layers {
            if map.values.len() != map.channels * map.height * map.width || map.values.is_empty() {
                return Err(Error::invalid("a feature map's length does not fit its shape"));
            }
        }
        let (height, width) = (finest.height, finest.width);
        let dims = layers.iter().map(|map| map.channels).sum::<usize>();
        let layers: Vec<_> = layers
            .iter()
            .map(|map| (mean_3x3(map), map.width, map.channels, Taps::new(map.height, height), Taps::new(map.width, width)))
            .collect();
        let mut values = vec![0.0; height * width * dims];
        values.par_chunks_exact_mut(width * dims).enumerate().for_each(|(y, row)| {
            for (x, patch) in row.chunks_exact_mut(dims).enumerate() {
                let mut rest = patch;
                for (pooled, width, channels, rows, columns) in &layers {
                    let (to, behind) = rest.split_at_mut(*channels);
                    rest = behind;
                    let (low, high, share) = rows.0[y];
                    let (left, right, along) = columns.0[x];
                    let at = |y: usize, x: usize| &pooled[(y * width + x) * channels..][..*channels];
                    if (along, share) == (0.0, 0.0) {
                        to.copy_from_slice(at(low, left));
                        continue;
                    }
                    let upper = at(low, left).iter().zip(at(low, right));
                    let lower = at(high, left).iter().zip(at(high, right));
                    for ((to, (a, b)), (c, d)) in to.iter_mut().zip(upper).zip(lower) {
                        let top = a + (b - a) * along;
                        let bottom = c + (d - c) * along;
                        *to = top + (bottom - top) * share;
                    }
                }
            }
        });
        Ok(Patches { height, width, dims, values })
    }
}

/// Bilinear enlarging along one axis (half-pixel centres) as a matrix, `[target, source]`.
pub fn bilinear(source: usize, target: usize) -> Vec<f32> {
    let mut weights = vec![0.0; target * source];
    for (row, (low, high, share)) in weights.chunks_exact_mut(source).zip(Taps::new(source, target).0) {
        row[low] += 1.0 - share;
        row[high] += share;
    }
    weights
}

/// For every output position: the two source positions and the share of the second (bilinear, half-pixel centres).
pub(crate) struct Taps(pub(crate) Vec<(usize, usize, f32)>);

impl Taps {
    pub(crate) fn new(source: usize, target: usize) -> Taps {
        let scale = source as f64 / target as f64;
        let tap = |i: usize| {
            let at = ((i as f64 + 0.5) * scale - 0.5).max(0.0);
            let low = (at.floor() as usize).min(source - 1);
            (low, (low + 1).min(source - 1), (at - low as f64) as f32)
        };
        Taps((0..target).map(tap).collect())
    }
}

/// Mean of every channel over 3x3 neighbours, always divided by nine. The result is `[height, width, channels]`: the steps after it run
/// over contiguous memory.
fn mean_3x3(map: &FeatureMap) -> Vec<f32> {
    let (height, width, channels) = (map.height, map.width, map.channels);
    let turned = channels_last(map);
    let mut pooled = vec![0.0; turned.len()];
    pooled.par_chunks_exact_mut(width * channels).enumerate().for_each_init(
        || vec![0.0f32; width * channels],
        |sums, (y, to)| {
            sums.fill(0.0);
            for row in turned.chunks_exact(width * channels).take((y + 2).min(height)).skip(y.saturating_sub(1)) {
                sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
            for (x, to) in to.chunks_exact_mut(channels).enumerate() {
                for column in sums.chunks_exact(channels).take((x + 2).min(width)).skip(x.saturating_sub(1)) {
                    to.iter_mut().zip(column).for_each(|(to, sum)| *to += sum);
                }
                to.iter_mut().for_each(|to| *to /= 9.0);
            }
        },
    );
    pooled
}

/// `[height, width, channels]` of a map.
fn channels_last(map: &FeatureMap) -> Vec<f32> {
    /// Channels that are written side by side: as many as fill a cache line.
    const BLOCK: usize = 16;
    let (width, channels, plane) = (map.width, map.channels, map.height * map.width);
    let mut turned = vec![0.0; map.values.len()];
    turned.par_chunks_exact_mut(width * channels).enumerate().for_each(|(y, row)| {
        for first in (0..channels).step_by(BLOCK) {
            for (x, patch) in row.chunks_exact_mut(channels).enumerate() {
                for (channel, to) in patch.iter_mut().enumerate().skip(first).take(BLOCK) {
                    *to = map.values[channel * plane + y * width + x];
                }
            }
        }
    });
    turned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(channels: usize, height: usize, width: usize, value: impl Fn(usize) -> f32) -> FeatureMap {
        FeatureMap { channels, height, width, values: (0..channels * height * width).map(value).collect() }
    }

    #[test]
    fn borders_count_zero_padding() {
        let patches = PatchDescriptor::Concat.describe(&[map(1, 3, 3, |_| 9.0)]).unwrap();
        assert_eq!(patches.values, [4.0, 6.0, 4.0, 6.0, 9.0, 6.0, 4.0, 6.0, 4.0]);
    }

    /// `torch.nn.functional.interpolate([[0, 1], [2, 3]], size=4, mode="bilinear", align_corners=False)`, row 0 and 1.
    #[test]
    fn enlarging_is_torchs() {
        let taps = Taps::new(2, 4);
        let plane = [0.0, 1.0, 2.0, 3.0];
        let at = |y: usize, x: usize| {
            let ((a, b, v), (l, r, h)) = (taps.0[y], taps.0[x]);
            let top = plane[a * 2 + l] * (1.0 - h) + plane[a * 2 + r] * h;
            let bottom = plane[b * 2 + l] * (1.0 - h) + plane[b * 2 + r] * h;
            top * (1.0 - v) + bottom * v
        };
        let rows: Vec<f32> = (0..8).map(|i| at(i / 4, i % 4)).collect();
        assert_eq!(rows, [0.0, 0.25, 0.75, 1.0, 0.5, 0.75, 1.25, 1.5]);
    }

    #[test]
    fn layers_are_concatenated_per_patch() {
        let layers = [map(2, 4, 4, |i| i as f32), map(3, 2, 2, |_| 1.0)];
        let patches = PatchDescriptor::Concat.describe(&layers).unwrap();
        assert_eq!((patches.height, patches.width, patches.dims), (4, 4, 5));
        let centre = &patches.values[5 * 5..6 * 5];
        assert_eq!(&centre[..2], &[5.0, 21.0]);
        assert!(PatchDescriptor::Concat.describe(&[]).is_err());
    }
}
