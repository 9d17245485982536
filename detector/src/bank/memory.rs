//! The vectors of a memory bank.

use serde::{Deserialize, Serialize};

use super::codes::DIMS_LIMIT;
use super::int8::Int8;
use crate::{Error, Result};

/// Largest magnitude of a vector's value: sums of squares stay finite.
const LARGEST: f32 = 1e16;

/// How bank vectors are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantisation {
    /// One byte a value, one scale a vector: `value = mean + scale * code`.
    #[default]
    Int8,
    /// Single precision, as learned: to measure what quantisation costs.
    F32,
}

/// Good patches of one product.
///
/// Int8 vectors are stored relative to the bank's mean, which makes codes finer and changes no distance. Queries are quantised the
/// same way, to 15 bits, so a distance is `scale_q² |q|² + scale_b² |b|² - 2 scale_q scale_b (q·b)` with exact integer products: the
/// same on every processor and for every number of threads.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryBank {
    pub(super) dims: usize,
    pub(super) len: usize,
    pub(super) vectors: Vectors,
}

#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a detector has one bank: the size of the smaller variant costs nothing")]
pub(super) enum Vectors {
    Int8(Int8),
    F32 { values: Vec<f32> },
}

impl MemoryBank {
    /// A bank of `[len, dims]` row-major vectors.
    ///
    /// # Errors
    /// When there are no vectors, their length does not fit, or a value is not finite or so large that its square is not.
    pub fn new(vectors: &[f32], dims: usize, quantisation: Quantisation) -> Result<MemoryBank> {
        if dims == 0 || dims > DIMS_LIMIT || vectors.is_empty() || !vectors.len().is_multiple_of(dims) {
            let found = vectors.len();
            return Err(Error::invalid(format!("a memory bank of {found} values cannot hold vectors of {dims} values")));
        }
        // Written so that NaN fails.
        if !vectors.iter().all(|value| value.abs() <= LARGEST) {
            return Err(Error::invalid(format!("memory bank holds values that are not finite numbers up to {LARGEST:e}")));
        }
        let len = vectors.len() / dims;
        let vectors = match quantisation {
            Quantisation::F32 => Vectors::F32 { values: vectors.to_vec() },
            Quantisation::Int8 => Vectors::Int8(Int8::new(vectors, dims)),
        };
        Ok(MemoryBank { dims, len, vectors })
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Always false: a bank holds at least one vector.
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
            Vectors::Int8(_) => Quantisation::Int8,
            Vectors::F32 { .. } => Quantisation::F32,
        }
    }
}
