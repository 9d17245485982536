//! Differences between two computations, and the gates that bound them.

use crate::error::{Error, Result};

/// The largest difference that two computations may show, and the advice where they differ more.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    /// What the exported detector is compared with, as the end of "differs by ...".
    pub from: &'static str,
    /// Largest accepted difference.
    pub limit: f32,
    /// What the user can do where the difference is larger.
    pub advice: &'static str,
}

impl Gate {
    /// Returns the difference if it is within the limit.
    ///
    /// # Errors
    /// [`Error::Parity`] when the difference is over the limit or NaN; it names `reference` and `quantity`.
    pub fn check(&self, reference: &str, quantity: &str, difference: f32) -> Result<f32> {
        // Written so that NaN fails.
        if difference <= self.limit { Ok(difference) } else { Err(self.refusal(reference, quantity, difference)) }
    }

    /// The error for a difference that is too large.
    pub fn refusal(&self, reference: &str, quantity: &str, difference: f32) -> Error {
        let Gate { from, limit, advice } = *self;
        Error::Parity { reference: reference.into(), quantity: quantity.into(), difference, from, limit, advice }
    }
}

/// `max |a - b| / max |b|`; infinite where the reference holds only zeros and the other does not, NaN where either holds NaN.
pub fn relative(found: &[f32], reference: &[f32]) -> f32 {
    // f32::max would pass over NaN.
    let largest = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, |a: f64, b| if a.is_nan() || a >= b { a } else { b });
    let difference = largest(&mut found.iter().zip(reference).map(|(a, b)| f64::from(a - b).abs()));
    let scale = largest(&mut reference.iter().map(|value| f64::from(value.abs())));
    if difference == 0.0 && !scale.is_nan() { 0.0 } else { (difference / scale) as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_differences() {
        assert_eq!(relative(&[1.0, 2.0], &[1.0, -2.5]), 1.8);
        assert_eq!(relative(&[0.0], &[0.0]), 0.0);
        assert_eq!(relative(&[1.0], &[0.0]), f32::INFINITY);
        assert!(relative(&[f32::NAN, 9.0], &[1.0, 1.0]).is_nan());
        assert!(relative(&[1.0, 1.0], &[f32::NAN, 1.0]).is_nan());
    }

    #[test]
    fn nan_passes_no_gate() {
        let gate = Gate { from: "from x", limit: 0.5, advice: "do y" };
        assert_eq!(gate.check("a.png", "score", 0.5).unwrap(), 0.5);
        for difference in [0.51, f32::INFINITY, f32::NAN] {
            let error = gate.check("a.png", "score", difference).unwrap_err().to_string();
            assert!(error.contains("a.png: score") && error.contains("from x") && error.contains("do y"), "{error}");
        }
    }
}
