//! Descriptors, distances and score maps computed by libtorch: for the memory bank, and as the independent result that the exported
//! detector is compared with. This module uses no code of the detector.

use tch::{Device, Kind, Tensor};

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

/// A memory bank that many images are searched in. Distances come from a matrix product around the bank's mean, where squares are small
/// enough that little is lost when they are subtracted.
pub struct Bank {
    /// `[dims, len]`, less the mean.
    vectors: Tensor,
    /// `[len]`
    squares: Tensor,
    /// `[dims]`
    mean: Tensor,
}

impl Bank {
    /// Of `[len, dims]` row-major vectors.
    pub fn new(vectors: &[f32], dims: usize, device: Device) -> Bank {
        let vectors = Tensor::from_slice(vectors).reshape([-1, dims as i64]).to_device(device);
        let mean = vectors.mean_dim([0i64].as_slice(), false, Kind::Float);
        let vectors = (vectors - &mean).transpose(0, 1);
        let squares = vectors.square().sum_dim_intlist([0i64].as_slice(), false, Kind::Float);
        Bank { vectors, squares, mean }
    }

    /// L2 distance of every row of `queries [n, dims]` to its nearest vector.
    pub fn nearest(&self, queries: &Tensor) -> Tensor {
        let queries = queries - &self.mean;
        let least = (&self.squares - queries.matmul(&self.vectors) * 2.0).min_dim(1, false).0;
        (least + queries.square().sum_dim_intlist([1i64].as_slice(), false, Kind::Float)).clamp_min(0.0).sqrt()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    use crate::network::to_vec;

    #[test]
    fn a_matrix_product_gives_the_same_distances() {
        let bank = Tensor::rand([300, 24], (Kind::Float, Device::Cpu)) * 0.3 + 2.0;
        let queries = Tensor::cat(&[Tensor::rand([50, 24], (Kind::Float, Device::Cpu)) * 0.3 + 2.0, bank.narrow(0, 7, 3)], 0);
        let fast = Bank::new(&to_vec(&bank).unwrap(), 24, Device::Cpu).nearest(&queries);
        let difference = (fast - nearest(&queries, &bank)).abs().max();
        assert!(f32::try_from(&difference).unwrap() < 1e-3, "{difference:?}");
    }
}
