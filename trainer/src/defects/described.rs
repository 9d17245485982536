//! Examples and good images as the backbone describes them.

use anyhow::Result;
use detector::scorer::Inside;
use tch::{Kind, Tensor, no_grad};

use crate::describer::Describer;
use crate::examples::{Batch, Batches, Good, Targets};
use crate::interrupt::Interrupt;
use crate::network::{Norms, forward};
use crate::patches;
use crate::progress::Progress;
use crate::recipe::Defects;

/// Number of varied good images that give the mean and the deviation of descriptors.
pub(super) const OBSERVED: usize = 32;
/// Memory for described examples in bytes.
const EXAMPLES_MEMORY: usize = 1 << 30;

/// The backbone's features of a batch, which do not change while the heads learn.
pub(super) struct Described {
    /// `[batch, channels, rows, columns]` in half precision.
    pub(super) layers: Vec<Tensor>,
    /// Targets of the batch. `images` is empty; `masks` `[batch, rows, columns]` hold the anomalous share of each patch.
    pub(super) targets: Targets,
    /// `[heads, batch]`, 1 where the head learns from the image.
    pub(super) taught: Tensor,
}

/// Makes and describes as many examples as the recipe names, at most as many as [`EXAMPLES_MEMORY`] holds.
pub(super) fn describe_examples(
    describer: &Describer<'_>,
    batches: &Batches<'_>,
    choice: &Defects,
    interrupt: &Interrupt,
) -> Result<Vec<Described>> {
    let mut described: Vec<Described> = Vec::new();
    let wanted = choice.examples.div_ceil(batches.size()).min(choice.steps);
    let mut progress = Progress::new("describing examples", wanted);
    let mut bytes = 0;
    // The size of the first batch gives the number that fits.
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
        let teaches = |head: usize| batch.folds.iter().map(move |folds| folds.iter().all(|fold| *fold != head));
        let taught: Vec<f32> = (0..heads).flat_map(teaches).map(f32::from).collect();
        let taught = Tensor::from_slice(&taught).reshape([heads as i64, -1]).to_device(describer.device);
        Described { layers: layers.iter().map(|layer| layer.to_kind(Kind::Half)).collect(), targets, taught }
    }
}

/// Mean and standard deviation of good descriptors, each `[dims]`.
pub(super) fn spread(describer: &Describer<'_>, batches: &Batches<'_>) -> Result<(Tensor, Tensor)> {
    let described = |index| Ok(describe(describer, &batches.varied_good(index)?));
    let all = Tensor::cat(&(0..OBSERVED).map(described).collect::<Result<Vec<_>>>()?, 0);
    let mean = all.mean_dim([0i64].as_slice(), false, Kind::Float);
    // The deviation of a dimension that never changes is zero, and descriptors are divided by it.
    let deviation = all.std_dim([0i64].as_slice(), false, false);
    let least = &deviation.max() * 1e-3 + 1e-6;
    Ok((mean, deviation.maximum(&least)))
}

/// Descriptors `[n, dims]` of a good image's patches. Patches in a letterbox's padding are left out: they are unlike any of the
/// product's.
pub(super) fn describe(describer: &Describer<'_>, good: &Good) -> Tensor {
    let layers = describer.layers(&good.image);
    let (size, input) = (layers[0].size(), describer.rule.input());
    let grid = (size[2] as usize, size[3] as usize);
    let inside = Inside::new(grid, (input.height as usize, input.width as usize), good.content);
    let inside: Vec<i64> = inside.indices().map(|i| i as i64).collect();
    no_grad(|| patches::describe(&layers).index_select(0, &Tensor::from_slice(&inside).to_device(describer.device)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use detector::network::Backbone;
    use detector::picture::Colour;
    use detector::preprocess::Rect;
    use tch::Device;

    use crate::network::{random_weights, upload};
    use crate::recipe::Recipe;

    /// Black bars beside a picture are not good patches.
    #[test]
    fn a_letterboxs_padding_is_not_described() {
        let backbone = Backbone::preset("resnet10").unwrap();
        let (network, weights) = (backbone.network().unwrap(), random_weights(&backbone, 1).unwrap());
        let parameters = upload(&network, &weights, Device::Cpu).unwrap();
        let rule = toml::from_str::<Recipe>("mode = \"apc+\"\n[input]\nsize = [64, 64]").unwrap().preprocess(Colour::Rgb);
        let describer = Describer { network: &network, parameters: &parameters, rule: &rule, device: Device::Cpu };
        let image: Vec<f32> = (0..3 * 64 * 64).map(|i| ((i * 7919) % 997) as f32 / 250.0 - 2.0).collect();
        let of = |x: u32, width: u32| {
            describe(&describer, &Good { image: image.clone(), content: Rect { x, y: 0, width, height: 64 } })
        };
        let (all, some) = (of(0, 64), of(16, 32));
        assert_eq!((all.size()[0], some.size()[0]), (64, 32));
        let columns = all.reshape([8, 8, -1]).narrow(1, 2, 4).reshape([32, -1]);
        assert_eq!(columns, some);
    }
}
