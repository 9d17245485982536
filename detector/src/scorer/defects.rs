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
    /// How they count in the score map, where that is not the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<MapShare>,
}

/// How logits count in the score map: a patch has `distance + weight * ln(1 + exp(logit + lead)) - offset` there. A map may show what is not
/// enough for a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapShare {
    /// Weight of the logits, in the units of distances.
    pub weight: f32,
    /// By so much earlier the logits count.
    pub lead: f32,
    /// Keeps the map at the scale of scores, so that the threshold means the same in both.
    pub offset: f32,
}

impl KnownDefects {
    /// Checks the section of a file: a network with a defect head needs one, and only such a network has one.
    ///
    /// # Errors
    /// When the two do not fit, or the weight is out of bounds.
    pub fn validate(defects: Option<KnownDefects>, units: Option<usize>) -> Result<()> {
        match (defects, units) {
            (None, None) => Ok(()),
            (Some(KnownDefects { weight, .. }), Some(_)) if !(0.0..=1e6).contains(&weight) => {
                Err(Error::invalid(format!("defects.weight is {weight}; 0 to 1000000 was expected")))
            }
            (Some(KnownDefects { map: Some(MapShare { weight, lead, offset }), .. }), Some(_))
                if !(0.0..=1e6).contains(&weight) || ![lead, offset].iter().all(|value| value.abs() <= 1e6) =>
            {
                Err(Error::invalid("defects.map holds values out of bounds: 0 to 1000000, or -1000000 to 1000000, was expected"))
            }
            (Some(_), Some(_)) => Ok(()),
            _ => Err(Error::invalid("a network with a defect head needs the section [defects], and only such a network")),
        }
    }

    /// The head's share in the score of a patch with this logit.
    pub(super) fn share(self, logit: f32) -> f32 {
        self.weight * softplus(logit)
    }

    /// The head's share in the map at a patch with this logit.
    pub(super) fn share_of_map(self, logit: f32) -> f32 {
        match self.map {
            None => self.share(logit),
            Some(MapShare { weight, lead, offset }) => weight * softplus(logit + lead) - offset,
        }
    }
}

/// `ln(1 + exp(x))`, without overflow.
fn softplus(x: f32) -> f32 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}
