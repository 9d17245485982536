//! Named tensors in safetensors files.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::{Error, Result, files};

/// Largest file that is read: WideResNet-50-2 has 276 MB.
pub const FILE_LIMIT: u64 = 2 << 30;

/// Values of one tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Single precision. Half and double precision are converted when a file is read.
    F32(Vec<f32>),
    /// Bytes with a sign.
    I8(Vec<i8>),
}

/// One tensor, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Size of each axis.
    pub shape: Vec<usize>,
    /// The values, as many as the shape says.
    pub values: Values,
}

impl Tensor {
    /// A single-precision tensor.
    pub fn f32(shape: impl Into<Vec<usize>>, values: Vec<f32>) -> Tensor {
        Tensor { shape: shape.into(), values: Values::F32(values) }
    }
}

/// Tensors by name, with the file's free text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensors {
    /// By name.
    pub tensors: BTreeMap<String, Tensor>,
    /// `__metadata__` of the file.
    pub metadata: BTreeMap<String, String>,
}

impl Tensors {
    /// Reads a safetensors file.
    ///
    /// # Errors
    /// When it cannot be read, is not a safetensors file, or holds other than floating-point or int8 tensors.
    pub fn read(path: &Path) -> Result<Tensors> {
        Self::parse(&files::read_bounded(path, FILE_LIMIT)?, path)
    }

    /// Parses the bytes of a safetensors file; `path` only names it in errors.
    ///
    /// # Errors
    /// As [`Tensors::read`].
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Tensors> {
        let refuse = |problem: String| Error::file(path, problem);
        let not_safetensors = |error| refuse(format!("is not a sound safetensors file: {error}"));
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(not_safetensors)?;
        let file = SafeTensors::deserialize(bytes).map_err(not_safetensors)?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter() {
            let data = view.data();
            let values = match view.dtype() {
                Dtype::F32 => Values::F32(chunks(data, f32::from_le_bytes)),
                Dtype::F64 => Values::F32(chunks(data, |b| f64::from_le_bytes(b) as f32)),
                Dtype::F16 => Values::F32(chunks(data, |b| half::f16::from_le_bytes(b).to_f32())),
                Dtype::BF16 => Values::F32(chunks(data, |b| half::bf16::from_le_bytes(b).to_f32())),
                Dtype::I8 => Values::I8(chunks(data, i8::from_le_bytes)),
                // Integers such as torchvision's `num_batches_tracked` are not weights.
                _ => continue,
            };
            tensors.insert(name.to_string(), Tensor { shape: view.shape().to_vec(), values });
        }
        let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
        Ok(Tensors { tensors, metadata })
    }

    /// The bytes of a safetensors file with these tensors.
    ///
    /// # Errors
    /// When a shape does not fit its values.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.serialised(Dtype::F32, |values| values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// The same with floating-point values in half precision, in half the size. Values beyond its range become infinite, and such a tensor
    /// is refused when it is read.
    ///
    /// # Errors
    /// As [`Tensors::to_bytes`].
    pub fn to_half_bytes(&self) -> Result<Vec<u8>> {
        self.serialised(Dtype::F16, |values| values.iter().flat_map(|value| half::f16::from_f32(*value).to_le_bytes()).collect())
    }

    fn serialised(&self, float: Dtype, bytes_of: impl Fn(&[f32]) -> Vec<u8>) -> Result<Vec<u8>> {
        let bytes: Vec<(&String, Dtype, &Tensor, Vec<u8>)> = self
            .tensors
            .iter()
            .map(|(name, tensor)| match &tensor.values {
                Values::F32(values) => (name, float, tensor, bytes_of(values)),
                Values::I8(values) => (name, Dtype::I8, tensor, values.iter().map(|v| *v as u8).collect()),
            })
            .collect();
        let invalid = |error: safetensors::SafeTensorError| Error::invalid(format!("tensors cannot be stored: {error}"));
        let mut views = Vec::with_capacity(bytes.len());
        for (name, dtype, tensor, data) in &bytes {
            views.push((name.as_str(), TensorView::new(*dtype, tensor.shape.clone(), data).map_err(invalid)?));
        }
        let metadata: Option<HashMap<String, String>> =
            (!self.metadata.is_empty()).then(|| self.metadata.clone().into_iter().collect());
        safetensors::serialize(views, metadata).map_err(invalid)
    }

    /// Writes a safetensors file in one step.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        files::write_atomic(path, &self.to_bytes()?)
    }

    /// Adds a single-precision tensor.
    pub fn insert(&mut self, name: impl Into<String>, shape: impl Into<Vec<usize>>, values: Vec<f32>) {
        self.tensors.insert(name.into(), Tensor::f32(shape, values));
    }

    /// The finite single-precision values of a tensor whose shape is known.
    ///
    /// # Errors
    /// When it is missing, of another type or shape, or holds NaN or infinity. The message does not name the file.
    pub fn f32(&self, name: &str, shape: &[usize]) -> Result<&[f32]> {
        let tensor = self.tensors.get(name);
        let tensor = tensor.ok_or_else(|| Error::invalid(format!("tensor {name:?} is missing")))?;
        if tensor.shape != shape {
            let found = &tensor.shape;
            return Err(Error::invalid(format!("tensor {name:?} has shape {found:?}, expected {shape:?}")));
        }
        let Values::F32(values) = &tensor.values else {
            return Err(Error::invalid(format!("tensor {name:?} holds integers, expected floating-point values")));
        };
        match values.iter().all(|value| value.is_finite()) {
            true => Ok(values),
            false => Err(Error::invalid(format!("tensor {name:?} holds values that are not finite numbers"))),
        }
    }
}

fn chunks<const N: usize, T>(data: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (chunks, _) = data.as_chunks::<N>();
    chunks.iter().map(|chunk| convert(*chunk)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut tensors = Tensors::default();
        tensors.insert("a.weight", [2, 3], vec![1.0, -2.0, 3.5, 0.0, 1e-20, 7.0]);
        tensors.tensors.insert("codes".into(), Tensor { shape: vec![3], values: Values::I8(vec![-128, 0, 127]) });
        tensors.metadata.insert("arch".into(), "resnet18".into());
        assert_eq!(Tensors::parse(&tensors.to_bytes().unwrap(), Path::new("x")).unwrap(), tensors);
        // All these values but the tiny one have few digits.
        let half = Tensors::parse(&tensors.to_half_bytes().unwrap(), Path::new("x")).unwrap();
        assert_eq!(half.f32("a.weight", &[2, 3]).unwrap(), [1.0, -2.0, 3.5, 0.0, 0.0, 7.0]);
        assert_eq!((&half.tensors["codes"], &half.metadata), (&tensors.tensors["codes"], &tensors.metadata));
    }

    #[test]
    fn half_precision_is_converted() {
        let data: Vec<u8> = [1.5f32, -0.25].iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F16, vec![2], &data).unwrap();
        let bytes = safetensors::serialize([("w", view)], None).unwrap();
        let tensors = Tensors::parse(&bytes, Path::new("x")).unwrap();
        assert_eq!(tensors.f32("w", &[2]).unwrap(), [1.5, -0.25]);
    }

    #[test]
    fn wrong_shape_missing_and_nan_are_named() {
        let mut tensors = Tensors::default();
        tensors.insert("w", [2], vec![1.0, f32::NAN]);
        for (name, shape, word) in [("v", [2], "missing"), ("w", [3], "shape"), ("w", [2], "finite")] {
            let error = tensors.f32(name, &shape).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains(name), "{error}");
        }
        assert!(Tensors::parse(b"no", Path::new("x")).is_err());
        assert!(Tensors::parse(&[0xff; 64], Path::new("x")).is_err(), "an absurd header length is refused");
    }
}
