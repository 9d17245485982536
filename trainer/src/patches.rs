//! Descriptors, distances and score maps computed by libtorch: for the memory bank, and as the independent result that the exported
//! detector is compared with. This module uses no code of the detector.

use tch::{Kind, Tensor};

use crate::network::{enlarge, exact_conv2d, mean};

/// Descriptors `[batch * height * width, dims]` of `[batch, channels, height, width]` layers, the finest first.
pub fn describe(layers: &[Tensor]) -> Tensor {
    let finest = mean(&layers[0]);
    let mut parts = vec![finest.shallow_clone()];
    parts.extend(layers[1..].iter().map(|layer| enlarge(&mean(layer), &finest)));
    let joined = Tensor::cat(&parts, 1);
    let dims = joined.size()[1];
    joined.permute([0, 2, 3, 1]).reshape([-1, dims])
}

/// L2 distance of every row of `queries [n, dims]` to the nearest row of `bank [len, dims]`.
pub fn nearest(queries: &Tensor, bank: &Tensor) -> Tensor {
    // Mode 2 computes differences; a matrix product would lose digits where distances are small.
    Tensor::cdist(queries, bank, 2.0, 2).min_dim(1, false).0
}

/// Score map `[height, width]` from distances `[rows, columns]`: bilinear, then a Gaussian with reflected borders.
pub fn map(distances: &Tensor, input: (i64, i64), sigma: f64) -> Tensor {
    let size = distances.size();
    let grid = distances.reshape([1, 1, size[0], size[1]]);
    let large = grid.upsample_bilinear2d([input.0, input.1], false, None, None);
    let radius = (4.0 * sigma + 0.5) as i64;
    let offsets = Tensor::arange_start(-radius, radius + 1, (Kind::Double, distances.device()));
    let weights = (offsets.square() / (-2.0 * sigma * sigma)).exp();
    let weights = (&weights / weights.sum(Kind::Double)).to_kind(Kind::Float);
    let padded = large.reflection_pad2d([radius; 4]);
    let conv = |x: &Tensor, shape: [i64; 4]| exact_conv2d(x, &weights.reshape(shape), 1, 0);
    let rows = conv(&padded, [1, 1, 1, 2 * radius + 1]);
    conv(&rows, [1, 1, 2 * radius + 1, 1]).reshape([input.0, input.1])
}
