//! The memory bank: descriptors of good patches, and the search for the nearest one.

mod kernel;
mod search;
mod storage;

pub use kernel::{Kernel, kernels};
pub use search::Match;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Most values of one descriptor: the integer dot product of two must fit 32 bits.
pub const DIMS_LIMIT: usize = 1 << 16;
/// Largest magnitude of a code: -128 is left out so that kernels may negate.
const CODE_LIMIT: f32 = 127.0;
/// Codes of one vector are padded with zeros to a multiple of this, so that no kernel has a tail.
const PADDING: usize = 32;

/// How bank vectors are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantisation {
    /// One byte a value, one scale a vector: `value = mean + scale * code`.
    #[default]
    Int8,
    /// As learned; for measuring what quantisation costs.
    F32,
}

/// Good patches of one product.
///
/// Int8 vectors are stored relative to the bank's mean, which makes codes finer and changes no distance. Queries are quantised the
/// same way, so a distance is `scale_q² |q|² + scale_b² |b|² - 2 scale_q scale_b (q·b)` with exact integer products: the same on every
/// processor and for every number of threads.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryBank {
    dims: usize,
    len: usize,
    vectors: Vectors,
}

#[derive(Clone, Debug, PartialEq)]
enum Vectors {
    Int8 { mean: Vec<f32>, codes: Vec<i8>, scales: Vec<f32>, norms: Vec<f32> },
    F32 { values: Vec<f32> },
}

impl MemoryBank {
    /// A bank of `[len, dims]` row-major vectors.
    ///
    /// # Errors
    /// When there are none, the length does not fit, or a value is not finite.
    pub fn new(vectors: &[f32], dims: usize, quantisation: Quantisation) -> Result<MemoryBank> {
        if dims == 0 || dims > DIMS_LIMIT || vectors.is_empty() || !vectors.len().is_multiple_of(dims) {
            let found = vectors.len();
            return Err(Error::invalid(format!("a memory bank of {found} values cannot hold vectors of {dims} values")));
        }
        if !vectors.iter().all(|value| value.is_finite()) {
            return Err(Error::invalid("memory bank holds values that are not finite numbers"));
        }
        let len = vectors.len() / dims;
        let vectors = match quantisation {
            Quantisation::F32 => Vectors::F32 { values: vectors.to_vec() },
            Quantisation::Int8 => {
                let mean = mean(vectors, dims);
                let mut codes = Vec::with_capacity(len * dims.next_multiple_of(PADDING));
                let (mut scales, mut norms) = (Vec::with_capacity(len), Vec::with_capacity(len));
                for vector in vectors.chunks_exact(dims) {
                    let (scale, norm) = quantise(vector, &mean, &mut codes);
                    scales.push(scale);
                    norms.push(norm);
                }
                Vectors::Int8 { mean, codes, scales, norms }
            }
        };
        Ok(MemoryBank { dims, len, vectors })
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: a bank holds at least one vector.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Values of one vector.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// How its vectors are stored.
    pub fn quantisation(&self) -> Quantisation {
        match self.vectors {
            Vectors::Int8 { .. } => Quantisation::Int8,
            Vectors::F32 { .. } => Quantisation::F32,
        }
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

/// Appends the padded codes of one vector; gives its scale and the squared length of what the codes stand for.
fn quantise(vector: &[f32], mean: &[f32], codes: &mut Vec<i8>) -> (f32, f32) {
    let centred = || vector.iter().zip(mean).map(|(value, mean)| value - mean);
    let largest = centred().fold(0.0f32, |most, value| most.max(value.abs()));
    // A vector that is the mean itself has no largest value; any scale represents it. An overflow must not become NaN.
    let scale = if largest.is_normal() { largest / CODE_LIMIT } else { 1.0 };
    let start = codes.len();
    codes.extend(centred().map(|value| (value / scale).round_ties_even().clamp(-CODE_LIMIT, CODE_LIMIT) as i8));
    let norm = norm(scale, &codes[start..]);
    codes.resize(start + vector.len().next_multiple_of(PADDING), 0);
    (scale, norm)
}

/// `scale² |codes|²`
fn norm(scale: f32, codes: &[i8]) -> f32 {
    let squared: i64 = codes.iter().map(|code| i64::from(*code) * i64::from(*code)).sum();
    (f64::from(scale) * f64::from(scale) * squared as f64) as f32
}
