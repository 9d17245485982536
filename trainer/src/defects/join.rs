//! The heads become part of the network: the weight of their mean logit, and the value from which on it counts.

use anyhow::{Context, Result};
use detector::scorer::KnownDefects;
use detector::tensors::Tensors;
use tch::{Device, Tensor, no_grad};

use super::described::{OBSERVED, describe};
use super::head::{Head, logits, turns, unseen_by};
use crate::describer::Describer;
use crate::examples::Batches;
use crate::patches;
use crate::recipe::Defects;

/// Number of varied good images; the mean of their largest distances is the unit of the head's weight.
const BASE: usize = 48;
/// Largest number of good images that decide from which value on the logit counts.
const UNSEEN: usize = 120;

impl Head {
    /// The head as part of the network: its parameters under the network's names, with the standardisation folded in, and the weight
    /// of its logit. A logit counts from the value below which a share of the good images ([`Defects::start`]) stay, each scored by
    /// the head that has not learned from it.
    ///
    /// # Errors
    /// When an image cannot be read or libtorch fails.
    pub fn join(
        &self,
        describer: &Describer<'_>,
        batches: &Batches<'_>,
        bank: &[f32],
        choice: &Defects,
    ) -> Result<(Tensors, KnownDefects)> {
        let bank = Tensor::from_slice(bank).reshape([-1, self.mean.size()[0]]);
        let mut largest_distances = Vec::new();
        for index in OBSERVED..OBSERVED + BASE {
            let patches = describe(describer, &batches.varied_good(index)?);
            largest_distances.push(f32::try_from(patches::nearest(&patches.to_device(Device::Cpu), &bank).max())?);
        }
        let distance = f64::from(largest_distances.iter().sum::<f32>()) / BASE as f64;
        let weight = (choice.weight * distance) as f32;
        let offset = self.start(describer, batches, choice.start)?;
        Ok((self.parameters_of(describer.network, offset)?, KnownDefects { weight }))
    }

    /// The value below which all logits of this share of the good images stay, each scored by the head that has not learned from it.
    fn start(&self, describer: &Describer<'_>, batches: &Batches<'_>, share: f64) -> Result<f64> {
        let mut largest = Vec::new();
        for good in batches.plain_good(UNSEEN, turns(self.heads)) {
            let (index, good) = good?;
            let head = unseen_by(index, self.heads);
            if head < self.heads {
                let patches = describe(describer, &good);
                let logits = no_grad(|| logits(&self.parameters, &((patches - &self.mean) / &self.deviation)));
                largest.push(f32::try_from(logits.select(1, head as i64).max())?);
            }
        }
        largest.sort_by(f32::total_cmp);
        let at = ((largest.len() as f64 * share) as usize).min(largest.len().saturating_sub(1));
        Ok(f64::from(*largest.get(at).context("every good image was learned from by every defect head: add good images")?))
    }
}
