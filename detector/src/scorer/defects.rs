//! The share of known defects in a patch's score.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How the logits of the network's defect head join the distances to the memory bank: a patch scores
/// `distance + weight * ln(1 + exp(logit))`. A logit only ever adds, so that a defect of a new kind still has the score of its distance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownDefects {
    /// Weight of the logits, in the units of distances.
    pub weight: f32,
}

impl KnownDefects {
    /// Checks the section of a file: a network with a defect head needs one, and only such a network has one.
    ///
    /// # Errors
    /// When the two do not fit, or the weight is out of bounds.
    pub fn validate(defects: Option<KnownDefects>, units: Option<usize>) -> Result<()> {
        match (defects, units) {
            (None, None) => Ok(()),
            (Some(KnownDefects { weight }), Some(_)) if (0.0..=1e6).contains(&weight) => Ok(()),
            (Some(KnownDefects { weight }), Some(_)) => {
                Err(Error::invalid(format!("defects.weight is {weight}; 0 to 1000000 was expected")))
            }
            _ => Err(Error::invalid("a network with a defect head needs the section [defects], and only such a network")),
        }
    }

    /// The head's share in the score of a patch with this logit.
    pub(super) fn share(self, logit: f32) -> f32 {
        self.weight * (logit.max(0.0) + (-logit.abs()).exp().ln_1p())
    }
}
