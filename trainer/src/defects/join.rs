//! The heads become part of the network: the weight of their mean logit, and the value from which on it counts.

use anyhow::{Context, Result};
use detector::scorer::KnownDefects;
use detector::tensors::Tensors;
use tch::{Device, Tensor, no_grad};

use super::described::{OBSERVED, describe};
use super::head::{Head, logits};
use crate::describer::Describer;
use crate::examples::Batches;
use crate::patches;
use crate::recipe::Defects;

/// Number of varied good images; the mean of their largest distances is the unit of the head's weight.
const BASE: usize = 48;
/// Largest number of good images that decide from which value on the logit counts.
const UNSEEN: usize = 120;

/// The head as part of the network.
pub struct Joined {
    /// Its parameters under the network's names, with the standardisation folded in.
    pub parameters: Tensors,
    /// The same of each single head: the head of number n has not learned from fold n of the good images.
    pub without_fold: Vec<Tensors>,
    /// How the logit counts.
    pub known: KnownDefects,
}

impl Head {
    /// The head as part of the network. A logit counts from the value below which a share of the good images ([`Defects::start`]) stay, each scored by
    /// the head that has not learned from it.
    ///
    /// # Errors
    /// When an image cannot be read or libtorch fails.
    pub fn join(&self, describer: &Describer<'_>, batches: &Batches<'_>, bank: &[f32], choice: &Defects) -> Result<Joined> {
        let bank = Tensor::from_slice(bank).reshape([-1, self.mean.size()[0]]);
        let mut largest_distances = Vec::new();
        for index in OBSERVED..OBSERVED + BASE {
            let patches = describe(describer, &batches.varied_good(index)?);
            largest_distances.push(f32::try_from(patches::nearest(&patches.to_device(Device::Cpu), &bank).max())?);
        }
        let distance = f64::from(largest_distances.iter().sum::<f32>()) / BASE as f64;
        let weight = (choice.weight * distance) as f32;
        let offset = self.start(describer, batches, choice)?;
        let parameters = self.parameters_of(describer.network, offset)?;
        let alone = |head| self.alone(head).parameters_of(describer.network, offset);
        let without_fold = (0..self.heads).map(alone).collect::<Result<_>>()?;
        Ok(Joined { parameters, without_fold, known: KnownDefects { weight } })
    }

    /// The value below which all logits of a share of the good images ([`Defects::start`]) stay, each scored by the head that has not learned from it.
    fn start(&self, describer: &Describer<'_>, batches: &Batches<'_>, choice: &Defects) -> Result<f64> {
        let mut largest = Vec::new();
        for good in batches.plain_good(UNSEEN, choice.folds()) {
            // The head of this number has left the fold out; a single head has learned from the other fold.
            let (head, good) = good?;
            if head < self.heads {
                let patches = describe(describer, &good);
                let logits = no_grad(|| logits(&self.parameters, &((patches - &self.mean) / &self.deviation)));
                largest.push(f32::try_from(logits.select(1, head as i64).max())?);
            }
        }
        largest.sort_by(f32::total_cmp);
        let at = ((largest.len() as f64 * choice.start) as usize).min(largest.len().saturating_sub(1));
        Ok(f64::from(*largest.get(at).context("every good image was learned from by every defect head: add good images")?))
    }
}
