//! The defect head: two 1x1 convolutions on the patch descriptors that say whether a patch looks like a defect.
//!
//! The backbone stays as it is, so the memory bank and its map stay PatchCore's; the head adds to the distance where it recognises a
//! defect ([`detector::scorer::KnownDefects`]). It is the mean of several heads that learn side by side, each without its share of the
//! good images: those tell where a logit begins to mean something. Why so, and what else was tried:
//! `docs/decisions/0020-a-defect-head.md` and `0025-quiet-on-good-images.md`.

use std::path::Path;

use anyhow::{Context, Result};
use detector::network::{BATCH_NORM_EPSILON, Network};
use detector::scorer::{Inside, KnownDefects};
use detector::tensors::Tensors;
use rand::SeedableRng;
use tch::{Device, Kind, Reduction, Tensor, no_grad};

use crate::examples::{Batch, Batches, Good};
use crate::features::Describer;
use crate::interrupt::Interrupt;
use crate::fit::{Fitted, Plan, Targets, fit};
use crate::network::{Named, Norms, forward, normal, to_vec};
use crate::patches;
use crate::progress::Progress;
use crate::recipe::Defects;

/// Share of a patch's pixels that must be anomalous for the patch to be.
const ANOMALOUS_PATCH: f64 = 0.05;
/// Anomalous patches are rare; they count for as much as the others together, but not for more than so many each.
const RARITY_LIMIT: f64 = 30.0;
/// Patches whose mean logit stands for the image.
const TOP: i64 = 5;
/// Good images that say how descriptors spread.
const OBSERVED: usize = 32;
/// Varied good images whose largest distances are the measure of the head's weight.
const BASE: usize = 48;
/// Good images that say where the head's logits begin to count.
const UNSEEN: usize = 120;
/// Memory for described examples in bytes.
const EXAMPLES_MEMORY: usize = 1 << 30;

/// Heads that have learned.
pub struct Head {
    parameters: Named,
    heads: usize,
    /// Mean and standard deviation `[dims]` of good descriptors: what the head reads is standardised.
    mean: Tensor,
    deviation: Tensor,
    /// Mean loss of every ten steps.
    pub curve: Vec<f32>,
}

/// Learns the head and leaves checkpoints in `folder`; goes on from one that is there. `earlier` are a run's weights, whose head is where
/// learning starts.
///
/// # Errors
/// As [`fit`].
pub fn learn_head(
    describer: &Describer<'_>,
    batches: &Batches<'_>,
    (choice, seed): (&Defects, u64),
    earlier: Option<&Tensors>,
    folder: &Path,
    interrupt: &Interrupt,
) -> Result<Head> {
    let (mean, deviation) = spread(describer, batches)?;
    let dims = mean.size()[0];
    let plan = Plan {
        title: "learning defects",
        checkpoint: &folder.join("defects.checkpoint.safetensors"),
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

/// A batch as the backbone sees it, which does not change while the heads learn.
struct Described {
    /// `[batch, channels, rows, columns]` in half precision.
    layers: Vec<Tensor>,
    /// Without the images, and with masks as shares of each patch, `[batch, rows, columns]`.
    targets: Targets,
    /// `[heads, batch]`, 1 where the head learns from the image.
    taught: Tensor,
}

/// Makes the examples and describes them, as many as the recipe names and memory holds.
fn describe_examples(
    describer: &Describer<'_>,
    batches: &Batches<'_>,
    choice: &Defects,
    interrupt: &Interrupt,
) -> Result<Vec<Described>> {
    let mut described: Vec<Described> = Vec::new();
    let wanted = choice.examples.div_ceil(batches.size()).min(choice.steps);
    let mut progress = Progress::new("describing examples", wanted);
    let mut bytes = 0;
    // The first batch tells how many fit.
    while described.len() < wanted && (described.is_empty() || bytes * (described.len() + 1) / described.len() <= EXAMPLES_MEMORY)
    {
        interrupt.check()?;
        let batch = Described::new(describer, &batches.make(described.len())?, choice.heads);
        bytes += batch.layers.iter().map(|layer| 2 * layer.numel()).sum::<usize>();
        described.push(batch);
        progress.set(described.len());
    }
    progress.finish();
    Ok(described)
}

impl Described {
    fn new(describer: &Describer<'_>, batch: &Batch, heads: usize) -> Described {
        let mut targets = Targets::new(batch, describer.rule.input(), describer.device);
        let layers = forward(describer.network, describer.parameters, &targets.images, Norms::Frozen);
        let size = layers[0].size();
        targets.masks = targets.masks.unsqueeze(1).adaptive_avg_pool2d([size[2], size[3]]).squeeze_dim(1);
        targets.images = Tensor::zeros([0], (Kind::Float, describer.device));
        let teaches = |head: usize| batch.good.iter().map(move |good| good.iter().all(|index| unseen_by(*index, heads) != head));
        let taught: Vec<f32> = (0..heads).flat_map(teaches).map(f32::from).collect();
        let taught = Tensor::from_slice(&taught).reshape([heads as i64, -1]).to_device(describer.device);
        Described { layers: layers.iter().map(|layer| layer.to_kind(Kind::Half)).collect(), targets, taught }
    }
}

/// The head that does not learn from a good image. A single head leaves out every second one; where there is no such head, the number
/// is that of none.
fn unseen_by(index: usize, heads: usize) -> usize {
    index % turns(heads)
}

/// After so many good images it is the same head's turn again.
fn turns(heads: usize) -> usize {
    heads.max(2)
}

/// Mean and standard deviation of good descriptors, each `[dims]`.
fn spread(describer: &Describer<'_>, batches: &Batches<'_>) -> Result<(Tensor, Tensor)> {
    let described = |index| Ok(describer.describe(&batches.varied_good(index)?));
    let all = Tensor::cat(&(0..OBSERVED).map(described).collect::<Result<Vec<_>>>()?, 0);
    let mean = all.mean_dim([0i64].as_slice(), false, Kind::Float);
    // A dimension that never changes must not divide by zero.
    let deviation = all.std_dim([0i64].as_slice(), false, false);
    let least = &deviation.max() * 1e-3 + 1e-6;
    Ok((mean, deviation.maximum(&least)))
}

fn parameters(dims: i64, [heads, units]: [i64; 2], seed: u64, device: Device) -> Named {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(2);
    let mut linear = |from: i64, to: i64| {
        let deviation = 1.0 / (3.0 * from as f64).sqrt();
        let values: Vec<f32> = (0..from * to).map(|_| (normal(&mut random) * deviation) as f32).collect();
        Tensor::from_slice(&values).reshape([to, from]).to_device(device).set_requires_grad(true)
    };
    let (hidden, logit) = (linear(dims, heads * units), linear(units, heads));
    let zeros = |size: i64| Tensor::zeros([size], (Kind::Float, device)).set_requires_grad(true);
    Named::from([
        ("hidden.weight".into(), hidden),
        ("hidden.bias".into(), zeros(heads * units)),
        ("logit.weight".into(), logit),
        ("logit.bias".into(), zeros(heads)),
    ])
}

/// The heads of a run's weights, as they were before [`Head::join`] folded the standardisation in and made one of them.
fn unfolded(
    weights: &Tensors,
    describer: &Describer<'_>,
    (mean, deviation): (&Tensor, &Tensor),
    [heads, units]: [i64; 2],
) -> Result<Named> {
    let all = heads * units;
    let tensor = |name: &str, shape: &[i64]| -> Result<Tensor> {
        let wanted: Vec<usize> = shape.iter().map(|size| *size as usize).collect();
        Ok(Tensor::from_slice(weights.f32(name, &wanted)?).reshape(shape).to_device(describer.device))
    };
    let (mut parts, mut bias) = (Vec::new(), Tensor::zeros([all], (Kind::Float, describer.device)));
    for output in &describer.network.outputs {
        let (name, channels) = (format!("defects.{}", output.layer), output.channels as i64);
        parts.push(tensor(&format!("{name}.weight"), &[all, channels, 1, 1])?.reshape([all, channels]));
        bias += tensor(&format!("{name}.norm.bias"), &[all])?;
    }
    let weight = Tensor::cat(&parts, 1);
    let (bias, weight) = (bias + weight.matmul(mean), weight * deviation);
    let logit = tensor("defects.logit.weight", &[1, all, 1, 1])?.reshape([heads, units]) * heads as f64;
    let named = [
        ("hidden.weight", weight),
        ("hidden.bias", bias),
        ("logit.weight", logit),
        ("logit.bias", tensor("defects.logit.norm.bias", &[1])?.repeat([heads])),
    ];
    Ok(named.into_iter().map(|(name, value)| (name.to_string(), value.set_requires_grad(true))).collect())
}

/// `[n, heads]` from standardised descriptors `[n, dims]`.
fn logits(parameters: &Named, patches: &Tensor) -> Tensor {
    let weight = &parameters["logit.weight"];
    let hidden = patches.linear(&parameters["hidden.weight"], Some(&parameters["hidden.bias"])).relu();
    let of_heads = hidden.reshape([-1, weight.size()[0], weight.size()[1]]) * weight;
    of_heads.sum_dim_intlist([2i64].as_slice(), false, Kind::Float) + &parameters["logit.bias"]
}

/// Cross-entropy of patches, where the mask is known, and of images, which only need a label. `logits` and the masks are
/// `[batch, rows, columns]`; `seen` `[batch]` is 0 for images that do not take part.
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

impl Head {
    /// The head as part of the network: its parameters under the network's names, with the standardisation folded in, and the weight
    /// of its logits. Logits count from what a share of the good images ([`Defects::start`]) stay below that the judging head has not
    /// learned from.
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
            let patches = describer.describe(&batches.varied_good(index)?);
            largest_distances.push(f32::try_from(patches::nearest(&patches.to_device(Device::Cpu), &bank).max())?);
        }
        let distance = f64::from(largest_distances.iter().sum::<f32>()) / BASE as f64;
        let weight = (choice.weight * distance) as f32;
        let offset = self.start(describer, batches, choice.start)?;
        Ok((self.parameters_of(describer.network, offset)?, KnownDefects { weight }))
    }

    /// The logit below which this share of good images stay altogether, each judged by the head that has not learned from it.
    fn start(&self, describer: &Describer<'_>, batches: &Batches<'_>, share: f64) -> Result<f64> {
        let mut largest = Vec::new();
        for good in batches.plain_good(UNSEEN, turns(self.heads)) {
            let (index, good) = good?;
            let head = unseen_by(index, self.heads);
            if head < self.heads {
                let patches = describer.describe(&good);
                let logits = no_grad(|| logits(&self.parameters, &((patches - &self.mean) / &self.deviation)));
                largest.push(f32::try_from(logits.select(1, head as i64).max())?);
            }
        }
        largest.sort_by(f32::total_cmp);
        let at = ((largest.len() as f64 * share) as usize).min(largest.len().saturating_sub(1));
        Ok(f64::from(*largest.get(at).context("no good image was left out while the defect head learned")?))
    }

    /// Parameters of the network's defect head. Normalisations are neutral but for their biases.
    fn parameters_of(&self, network: &Network, offset: f64) -> Result<Tensors> {
        let weight = &self.parameters["hidden.weight"] / &self.deviation;
        let bias = &self.parameters["hidden.bias"] - weight.matmul(&self.mean);
        let units = bias.size()[0];
        let mut file = Tensors::default();
        let mut conv = |name: &str, weight: &Tensor, bias: Vec<f32>| -> Result<()> {
            let shape = weight.size();
            let (to, from) = (shape[0] as usize, shape[1] as usize);
            file.insert(format!("{name}.weight"), [to, from, 1, 1], to_vec(weight)?);
            file.insert(format!("{name}.norm.weight"), [to], vec![1.0; to]);
            file.insert(format!("{name}.norm.bias"), [to], bias);
            file.insert(format!("{name}.norm.running_mean"), [to], vec![0.0; to]);
            file.insert(format!("{name}.norm.running_var"), [to], vec![1.0 - BATCH_NORM_EPSILON as f32; to]);
            Ok(())
        };
        let (mut first, mut bias) = (0, to_vec(&bias)?);
        for output in &network.outputs {
            let channels = output.channels as i64;
            conv(&format!("defects.{}", output.layer), &weight.narrow(1, first, channels), bias)?;
            // The parts are summed: one of them holds the bias.
            (first, bias) = (first + channels, vec![0.0; units as usize]);
        }
        // The mean of all heads is one head with all their units.
        let logit = &self.parameters["logit.weight"] / self.heads as f64;
        let bias = f32::try_from(self.parameters["logit.bias"].mean(Kind::Float)).context("the head's bias is no number")?;
        conv("defects.logit", &logit.reshape([1, -1]), vec![bias - offset as f32])?;
        Ok(file)
    }
}

impl Describer<'_> {
    /// Descriptors `[n, dims]` of a good image's patches, those of a letterbox's padding left out: they are far from everything.
    fn describe(&self, good: &Good) -> Tensor {
        let layers = self.layers(&good.image);
        let (size, input) = (layers[0].size(), self.rule.input());
        let grid = (size[2] as usize, size[3] as usize);
        let inside = Inside::new(grid, (input.height as usize, input.width as usize), good.content);
        let inside: Vec<i64> = inside.indices().map(|i| i as i64).collect();
        no_grad(|| patches::describe(&layers).index_select(0, &Tensor::from_slice(&inside).to_device(self.device)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use detector::network::Backbone;
    use detector::picture::Colour;
    use detector::preprocess::Rect;

    use crate::network::{random_weights, upload};
    use crate::recipe::Recipe;

    /// The head inside the network gives what it gave while it learned, less the offset.
    #[test]
    fn folding_into_the_network_changes_nothing() {
        let backbone = Backbone::preset("resnet10").unwrap();
        let mut weights = random_weights(&backbone, 1).unwrap();
        let network = backbone.network().unwrap();
        let plain = upload(&network, &weights, Device::Cpu).unwrap();
        let image = Tensor::rand([1, 3, 64, 96], (Kind::Float, Device::Cpu));
        let patches = patches::describe(&forward(&network, &plain, &image, Norms::Frozen));
        let dims = patches.size()[1];
        let head = Head {
            parameters: parameters(dims, [3, 8], 3, Device::Cpu),
            heads: 3,
            mean: Tensor::rand([dims], (Kind::Float, Device::Cpu)),
            deviation: Tensor::rand([dims], (Kind::Float, Device::Cpu)) + 0.5,
            curve: Vec::new(),
        };
        let of_heads = no_grad(|| logits(&head.parameters, &((&patches - &head.mean) / &head.deviation)));
        let expected = of_heads.mean_dim([1i64].as_slice(), false, Kind::Float) - 0.75;
        weights.tensors.extend(head.parameters_of(&network, 0.75).unwrap().tensors);
        let network = Backbone { defect_units: Some(24), ..backbone }.network().unwrap();
        let whole = upload(&network, &weights, Device::Cpu).unwrap();
        let found = forward(&network, &whole, &image, Norms::Frozen);
        let (found, expected) = (to_vec(&found[2]).unwrap(), to_vec(&expected).unwrap());
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-4 * expected.abs().max(1.0), "{found} {expected}");
        }
    }

    /// Black bars beside a picture are not good patches.
    #[test]
    fn a_letterboxs_padding_is_not_described() {
        let backbone = Backbone::preset("resnet10").unwrap();
        let (network, weights) = (backbone.network().unwrap(), random_weights(&backbone, 1).unwrap());
        let parameters = upload(&network, &weights, Device::Cpu).unwrap();
        let rule = toml::from_str::<Recipe>("mode = \"apc+\"\n[input]\nsize = [64, 64]").unwrap().preprocess(Colour::Rgb);
        let describer = Describer { network: &network, parameters: &parameters, rule: &rule, device: Device::Cpu };
        let image: Vec<f32> = (0..3 * 64 * 64).map(|i| ((i * 7919) % 997) as f32 / 250.0 - 2.0).collect();
        let of =
            |x: u32, width: u32| describer.describe(&Good { image: image.clone(), content: Rect { x, y: 0, width, height: 64 } });
        let (all, some) = (of(0, 64), of(16, 32));
        assert_eq!((all.size()[0], some.size()[0]), (64, 32));
        let columns = all.reshape([8, 8, -1]).narrow(1, 2, 4).reshape([32, -1]);
        assert_eq!(columns, some);
    }

    /// Unknown masks are left to the image's label.
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
        // With several heads each good image is left out by one, with a single one every second image is.
        assert_eq!([0, 1, 2, 5].map(|index| unseen_by(index, 5)), [0, 1, 2, 0]);
        assert_eq!([0, 1, 2].map(|index| unseen_by(index, 1)), [0, 1, 0]);
    }
}
