//! What good parts have at each place of the picture, which does not count in the score.

use std::path::Path;

use crate::tensors::Tensors;
use crate::{Error, Result};

/// How much larger the distances of good images are at each place of the patch grid than on average. Printing, edges and screws make good
/// parts differ more at some places than at others; there a part may differ by as much without being anomalous. It is taken off the
/// distances for the image's score. The score map keeps them: it shows where a part differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Places {
    grid: (usize, usize),
    /// Row-major, in the units of distances; their mean is zero.
    distances: Vec<f32>,
}

/// The tensor's name in a file.
const NAME: &str = "distances";

impl Places {
    /// The name of the file in a run, and of the entry in a bundle.
    pub const FILE: &'static str = "places.safetensors";

    /// Of a patch grid (rows, columns).
    ///
    /// # Errors
    /// When the number of values does not fit, or one is no finite number.
    pub fn new(grid: (usize, usize), distances: Vec<f32>) -> Result<Places> {
        if distances.len() != grid.0 * grid.1 || distances.iter().any(|value| !value.is_finite()) {
            return Err(Error::invalid("a place of each patch and its finite distance were expected"));
        }
        Ok(Places { grid, distances })
    }

    /// The patch grid (rows, columns).
    pub fn grid(&self) -> (usize, usize) {
        self.grid
    }

    /// The summand of each patch, row-major.
    pub fn distances(&self) -> &[f32] {
        &self.distances
    }

    /// Parses a safetensors file; `path` only names it in errors.
    ///
    /// # Errors
    /// When it is unsound.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Places> {
        let file = Tensors::parse(bytes, path)?;
        let shape = file.tensors.get(NAME).map(|tensor| tensor.shape.clone()).unwrap_or_default();
        let [rows, columns] = shape[..] else {
            return Err(Error::file(path, format!("tensor {NAME:?} with two axes, rows and columns, was expected")));
        };
        let distances = file.f32(NAME, &shape).map_err(Error::at(path))?.to_vec();
        Places::new((rows, columns), distances).map_err(Error::at(path))
    }

    /// The tensors of a file.
    pub fn to_tensors(&self) -> Tensors {
        let mut file = Tensors::default();
        file.insert(NAME, [self.grid.0, self.grid.1], self.distances.clone());
        file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_does_not_fit_is_refused() {
        let places = Places::new((2, 3), vec![0.5, -0.5, 0.0, 1.0, -1.0, 0.0]).unwrap();
        let bytes = places.to_tensors().to_bytes().unwrap();
        assert_eq!(Places::parse(&bytes, Path::new("places")).unwrap(), places);
        assert!(Places::new((2, 2), vec![0.0; 3]).is_err() && Places::new((1, 1), vec![f32::NAN]).is_err());
        let mut flat = Tensors::default();
        flat.insert(NAME, [6], vec![0.0; 6]);
        let error = Places::parse(&flat.to_bytes().unwrap(), Path::new("places")).unwrap_err().to_string();
        assert!(error.contains("places") && error.contains("two axes"), "{error}");
        assert!(Places::parse(b"", Path::new("places")).is_err());
    }
}
