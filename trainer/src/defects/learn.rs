//! Learning of the heads, side by side on the same described examples.

use std::path::Path;

use anyhow::Result;
use detector::tensors::Tensors;
use tch::{Kind, Reduction, Tensor};

use super::described::{Described, describe_examples, spread};
use super::head::{Head, logits, parameters, unfolded};
use crate::describer::Describer;
use crate::examples::{Batches, Targets};
use crate::fit::{Fitted, Plan, fit};
use crate::interrupt::Interrupt;
use crate::network::Named;
use crate::patches;
use crate::recipe::Defects;

/// A patch is anomalous when more than this share of its pixels is.
const ANOMALOUS_PATCH: f64 = 0.05;
/// Anomalous patches are rare: together they weigh as much as all good patches, but each at most as much as so many good ones.
const RARITY_LIMIT: f64 = 30.0;
/// The mean logit of so many patches, those with the largest logits, is the image's logit.
const TOP: i64 = 5;

/// Learns the heads. Progress is kept in the file `checkpoint`; learning goes on from it where it exists. `earlier` are the weights
/// of a run: learning then starts from its heads instead of random ones.
///
/// # Errors
/// As [`fit`].
pub fn learn_head(
    describer: &Describer<'_>,
    batches: &Batches<'_>,
    (choice, seed): (&Defects, u64),
    earlier: Option<&Tensors>,
    checkpoint: &Path,
    interrupt: &Interrupt,
) -> Result<Head> {
    let (mean, deviation) = spread(describer, batches)?;
    let dims = mean.size()[0];
    let plan = Plan {
        title: "learning defects",
        checkpoint,
        steps: choice.steps,
        checkpoint_steps: choice.checkpoint,
        learning_rate: choice.learning_rate,
        learning_rate_key: "defects.learning_rate",
        weight_decay: choice.weight_decay,
    };
    let described = describe_examples(describer, batches, choice, interrupt)?;
    let loss_of = |parameters: &Named, step: &usize| {
        let Described { layers, targets, taught } = &described[step % described.len()];
        let layers: Vec<Tensor> = layers.iter().map(|layer| layer.to_kind(Kind::Float)).collect();
        let size = layers[0].size();
        let patches = (patches::describe(&layers) - &mean) / &deviation;
        let logits = logits(parameters, &patches).reshape([size[0], size[2], size[3], choice.heads as i64]);
        let of_head = |head: i64| loss(&logits.select(3, head), targets, &taught.select(0, head), choice);
        (0..choice.heads as i64).map(of_head).reduce(|sum, loss| sum + loss).unwrap_or_default() / choice.heads as f64
    };
    let sizes = [choice.heads as i64, choice.units as i64];
    let start = match earlier {
        Some(weights) => unfolded(weights, describer, (&mean, &deviation), sizes)?,
        None => parameters(dims, sizes, seed, describer.device),
    };
    let Fitted { parameters, curve } = fit(&plan, start, Ok, loss_of, |_| 1.0, interrupt)?;
    Ok(Head { parameters, heads: choice.heads, mean, deviation, curve })
}

/// Sum of the cross-entropy of patches, for images with a known mask, and the cross-entropy of images. `logits` and the masks are
/// `[batch, rows, columns]`; `seen` `[batch]` is 0 for images that the head must not learn from.
fn loss(logits: &Tensor, targets: &Targets, seen: &Tensor, choice: &Defects) -> Tensor {
    let grid = logits.size();
    let anomalous = targets.masks.gt(ANOMALOUS_PATCH).to_kind(Kind::Float);
    let known = (&targets.masked * seen).reshape([-1, 1, 1]).expand_as(logits);
    let count = |of: &Tensor| (of * &known).sum(Kind::Float);
    let positive = count(&anomalous);
    let rarity = ((count(&known) - &positive) / positive.clamp_min(1.0)).clamp(1.0, RARITY_LIMIT);
    let each = logits.binary_cross_entropy_with_logits(&anomalous, None, Some(&rarity), Reduction::None);
    let patches = count(&each) / known.sum(Kind::Float).clamp_min(1.0);
    let top = logits.flatten(1, 2).topk(TOP.min(grid[1] * grid[2]), 1, true, false).0;
    let image = top.mean_dim([1i64].as_slice(), false, Kind::Float);
    let images = image.binary_cross_entropy_with_logits::<&Tensor>(&targets.labels, None, None, Reduction::None);
    let images = (images * seen).sum(Kind::Float) / seen.sum(Kind::Float).clamp_min(1.0);
    patches + images * choice.image_loss
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    /// The patches of an image without a mask add nothing to the loss.
    #[test]
    fn images_without_masks_teach_by_their_label_alone() {
        let choice = Defects::default();
        let targets = |masked: f32, mask: f64| Targets {
            images: Tensor::zeros([1, 3, 16, 16], (Kind::Float, Device::Cpu)),
            labels: Tensor::from_slice(&[1.0f32]),
            masks: Tensor::full([1, 2, 2], mask, (Kind::Float, Device::Cpu)),
            masked: Tensor::from_slice(&[masked]),
        };
        let logits = Tensor::from_slice(&[3.0f32, -1.0, 2.0, 0.5]).reshape([1, 2, 2]);
        let seen = Tensor::from_slice(&[1.0f32]);
        let value = |targets: &Targets| f32::try_from(loss(&logits, targets, &seen, &choice)).unwrap();
        let image = (1.0 + (-(3.0 - 1.0 + 2.0 + 0.5) / 4.0f32).exp()).ln() * 0.3;
        assert!((value(&targets(0.0, 0.0)) - image).abs() < 1e-5);
        assert!((value(&targets(0.0, 1.0)) - image).abs() < 1e-5);
        assert!(value(&targets(1.0, 1.0)) > image + 0.1);
    }

    /// A head's own good images teach it nothing.
    #[test]
    fn images_that_are_left_out_do_not_count() {
        let choice = Defects::default();
        let logits = Tensor::from_slice(&[3.0f32, -1.0, 5.0, 5.0]).reshape([2, 1, 2]);
        let targets = |images: i64| Targets {
            images: Tensor::zeros([images, 3, 8, 16], (Kind::Float, Device::Cpu)),
            labels: Tensor::zeros([images], (Kind::Float, Device::Cpu)),
            masks: Tensor::zeros([images, 1, 2], (Kind::Float, Device::Cpu)),
            masked: Tensor::ones([images], (Kind::Float, Device::Cpu)),
        };
        let value = |logits: &Tensor, seen: &[f32]| {
            f32::try_from(loss(logits, &targets(seen.len() as i64), &Tensor::from_slice(seen), &choice)).unwrap()
        };
        assert!((value(&logits, &[1.0, 0.0]) - value(&logits.narrow(0, 0, 1), &[1.0])).abs() < 1e-6);
        assert!(value(&logits, &[1.0, 1.0]) > value(&logits, &[1.0, 0.0]) + 0.5);
    }
}
