//! The bank as a safetensors file.

use std::path::Path;

use super::codes::{DIMS_LIMIT, PADDING};
use super::int8::{Int8, norm};
use super::memory::{MemoryBank, Quantisation, Vectors};
use crate::tensors::{Tensor, Tensors, Values};
use crate::{Error, Result};

impl MemoryBank {
    /// The bank as named tensors: `vectors [len, dims]` and, for int8, `scales [len]`, `norms [len]`, `mean [dims]`.
    pub fn to_tensors(&self) -> Tensors {
        let mut file = Tensors::default();
        let shape = vec![self.len, self.dims];
        match &self.vectors {
            Vectors::F32 { values } => file.insert("vectors", shape, values.clone()),
            Vectors::Int8(Int8 { mean, codes, scales, norms, .. }) => {
                let stride = self.dims.next_multiple_of(PADDING);
                let plain = codes.chunks_exact(stride).flat_map(|row| &row[..self.dims]).copied().collect();
                file.tensors.insert("vectors".into(), Tensor { shape, values: Values::I8(plain) });
                file.insert("scales", [self.len], scales.clone());
                file.insert("norms", [self.len], norms.clone());
                file.insert("mean", [self.dims], mean.clone());
            }
        }
        file
    }

    /// Reads what [`MemoryBank::to_tensors`] gave, from a file's bytes; `path` only names it in errors.
    ///
    /// # Errors
    /// When a tensor is missing, has another shape or type, is not finite, or norms and codes contradict each other.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<MemoryBank> {
        Self::from_tensors(&Tensors::parse(bytes, path)?).map_err(Error::at(path))
    }

    /// A bank from named tensors.
    ///
    /// # Errors
    /// As [`MemoryBank::parse`], without the file's name.
    pub fn from_tensors(file: &Tensors) -> Result<MemoryBank> {
        let vectors = file.tensors.get("vectors").ok_or_else(|| Error::invalid("tensor \"vectors\" is missing"))?;
        let [len, dims] = vectors.shape[..] else {
            return Err(Error::invalid("tensor \"vectors\" must have two axes, [len, dims]"));
        };
        if len == 0 || dims == 0 || dims > DIMS_LIMIT || len > u32::MAX as usize {
            return Err(Error::invalid(format!("tensor \"vectors\" has shape {:?}: out of bounds", vectors.shape)));
        }
        let codes = match &vectors.values {
            Values::F32(_) => return MemoryBank::new(file.f32("vectors", &[len, dims])?, dims, Quantisation::F32),
            Values::I8(codes) => codes,
        };
        let (scales, norms) = (file.f32("scales", &[len])?.to_vec(), file.f32("norms", &[len])?.to_vec());
        let mean = file.f32("mean", &[dims])?.to_vec();
        let mut padded = Vec::with_capacity(len * dims.next_multiple_of(PADDING));
        for (row, codes) in codes.chunks_exact(dims).enumerate() {
            let expected = norm(scales[row], codes);
            if scales[row] <= 0.0 || !expected.is_finite() || (norms[row] - expected).abs() > 1e-4 * expected.abs() {
                return Err(Error::invalid(format!("vector {row} of the memory bank contradicts its scale and norm")));
            }
            if codes.contains(&i8::MIN) {
                return Err(Error::invalid(format!("vector {row} of the memory bank holds the code -128")));
            }
            padded.extend_from_slice(codes);
            padded.resize((row + 1) * dims.next_multiple_of(PADDING), 0);
        }
        Ok(MemoryBank { dims, len, vectors: Vectors::Int8(Int8::from_parts(dims, mean, padded, scales, norms)) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::kernels;
    use super::*;
    use proptest::prelude::*;

    fn vectors(len: usize, dims: usize) -> impl Strategy<Value = Vec<f32>> {
        prop::collection::vec(-5.0f32..5.0, len * dims)
    }

    fn naive(queries: &[f32], bank: &[f32], dims: usize) -> Vec<f32> {
        let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
        let nearest = |query: &[f32]| bank.chunks(dims).map(|v| distance(query, v)).fold(f64::INFINITY, f64::min);
        queries.chunks(dims).map(|query| nearest(query) as f32).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn distances_are_near_the_exact_ones(
            (dims, bank, queries) in (1usize..80, 1usize..90, 1usize..40)
                .prop_flat_map(|(dims, len, n)| (Just(dims), vectors(len, dims), vectors(n, dims)))
        ) {
            let exact = naive(&queries, &bank, dims);
            let float = MemoryBank::new(&bank, dims, Quantisation::F32).unwrap().nearest(&queries, 1).unwrap();
            for (found, exact) in float.iter().zip(&exact) {
                prop_assert!((found.distance - exact).abs() <= 1e-4 * exact.max(1.0));
            }
            // Each code is off by at most half a step of 10/127 (values span ±5 around a mean within ±5).
            let bound = 2.0 * 0.5 * 10.0 / 127.0 * (dims as f32).sqrt() + 1e-3;
            let int8 = MemoryBank::new(&bank, dims, Quantisation::Int8).unwrap();
            for (found, exact) in int8.nearest(&queries, 1).unwrap().iter().zip(&exact) {
                prop_assert!((found.distance - exact).abs() <= bound, "{} {} {}", found.distance, exact, bound);
            }
        }

        #[test]
        fn threads_and_kernels_do_not_matter(bank in vectors(70, 40), queries in vectors(67, 40)) {
            let bank = MemoryBank::new(&bank, 40, Quantisation::Int8).unwrap();
            let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let expected = pool(1).install(|| bank.nearest_with(&queries, 1, kernels()[0])).unwrap().0;
            for kernel in kernels() {
                for threads in [1, 3] {
                    prop_assert_eq!(&pool(threads).install(|| bank.nearest_with(&queries, 7, kernel)).unwrap().0, &expected);
                }
            }
        }

        #[test]
        fn what_is_stored_is_read_again(bank in vectors(7, 33)) {
            for quantisation in [Quantisation::Int8, Quantisation::F32] {
                let bank = MemoryBank::new(&bank, 33, quantisation).unwrap();
                let bytes = bank.to_tensors().to_bytes().unwrap();
                prop_assert_eq!(MemoryBank::parse(&bytes, Path::new("bank")).unwrap(), bank);
            }
        }
    }

    #[test]
    fn equally_near_vectors_give_the_first() {
        for quantisation in [Quantisation::Int8, Quantisation::F32] {
            let bank = MemoryBank::new(&[1.0, 2.0, 5.0, 6.0, 1.0, 2.0], 2, quantisation).unwrap();
            assert_eq!(bank.nearest(&[1.0, 2.0], 1).unwrap()[0].index, 0);
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let bank = MemoryBank::new(&[1.0, 2.0, 5.0, 6.0, 3.0, -2.0], 2, Quantisation::Int8).unwrap();
        let good = bank.to_tensors();
        let refused = |name: &str, values: Values| {
            let mut file = good.clone();
            let tensor = file.tensors.get_mut(name).unwrap();
            tensor.values = values;
            MemoryBank::from_tensors(&file).unwrap_err().to_string()
        };
        assert!(refused("norms", Values::F32(vec![f32::NAN, 1.0, 1.0])).contains("norms"));
        assert!(refused("norms", Values::F32(vec![0.1, 0.1, 0.1])).contains("contradicts"));
        assert!(refused("scales", Values::F32(vec![-1.0; 3])).contains("contradicts"));
        assert!(refused("vectors", Values::F32(vec![f32::INFINITY; 6])).contains("finite"));
        assert!(MemoryBank::new(&[], 3, Quantisation::Int8).is_err());
        assert!(MemoryBank::new(&[f32::NAN], 1, Quantisation::Int8).is_err());
    }
}
