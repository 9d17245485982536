//! Fine-tuning of the backbone.

use std::path::Path;

use anyhow::Result;
use detector::network::Backbone;
use detector::preprocess::Size;
use detector::tensors::Tensors;
use tch::{Device, Kind, Reduction, Tensor};

use super::decoder::{Decoder, Heads};
use crate::examples::{Batches, Targets};
use crate::fit::{Plan, fit};
use crate::interrupt::Interrupt;
use crate::network::{Norms, Precision, download, forward_in, upload};
use crate::recipe::Finetune;

/// The backbone before fine-tuning.
pub struct Start<'a> {
    /// Structure of the network.
    pub backbone: &'a Backbone,
    /// Its weights, torchvision's names.
    pub weights: &'a Tensors,
    /// Whether batch normalisations are trained.
    pub norms: Norms,
}

/// Result of fine-tuning.
pub struct Outcome {
    /// The backbone's weights, torchvision's names.
    pub weights: Tensors,
    /// Mean loss of every ten steps.
    pub curve: Vec<f32>,
}

/// Fine-tunes the backbone. Progress is kept in the file `checkpoint`; learning goes on from it where it exists.
///
/// # Errors
/// As [`fit`].
pub fn finetune(
    start: &Start<'_>,
    batches: &Batches<'_>,
    (choice, size, seed): (&Finetune, Size, u64),
    checkpoint: &Path,
    device: Device,
    interrupt: &Interrupt,
) -> Result<Outcome> {
    let backbone = start.backbone;
    // The decoder also reads the shallow layers.
    let stages = backbone.layers.iter().filter_map(|layer| layer.strip_prefix("layer")?.parse::<usize>().ok()).max();
    let layers = (1..=stages.unwrap_or(1)).map(|stage| format!("layer{stage}")).collect();
    let network = Backbone { layers, ..backbone.clone() }.network()?;
    let decoder = Decoder::new(&network);
    let mut parameters = upload(&network, start.weights, device)?;
    parameters.extend(decoder.parameters(seed, device));
    for (name, parameter) in &mut parameters {
        let owner = name.rsplit_once('.').map_or("", |(owner, _)| owner);
        let norm = network.convs().any(|conv| conv.norm == owner);
        let statistics = norm && name.contains(".running_");
        *parameter = parameter.set_requires_grad(!(statistics || norm && start.norms == Norms::Frozen));
    }
    let plan = Plan {
        title: "fine-tuning",
        checkpoint,
        steps: choice.steps,
        checkpoint_steps: choice.checkpoint,
        learning_rate: choice.learning_rate,
        learning_rate_key: "finetune.learning_rate",
        weight_decay: choice.weight_decay,
    };
    let precision = if choice.mixed_precision { Precision::Mixed } else { Precision::Single };
    let loss_of = |parameters: &_, batch: &_| {
        let targets = Targets::new(batch, size, device);
        let outputs = forward_in(precision, &network, parameters, &targets.images, start.norms);
        loss(&decoder.forward(parameters, &outputs), &targets, choice)
    };
    let rate = |name: &str| if name.starts_with("head.") { 1.0 } else { choice.backbone_rate };
    let mut fitted = fit(&plan, parameters, |step| batches.make(step), loss_of, rate, interrupt)?;
    let wanted: Vec<String> = backbone.network()?.parameters().into_iter().map(|(name, _)| name).collect();
    fitted.parameters.retain(|name, _| wanted.contains(name));
    Ok(Outcome { weights: download(&fitted.parameters)?, curve: fitted.curve })
}

/// Classification: cross-entropy. Segmentation: cross-entropy plus Dice (Milletari et al., arXiv 1606.04797). Reconstruction: mean
/// absolute difference.
fn loss(heads: &Heads, targets: &Targets, choice: &Finetune) -> Tensor {
    let cross_entropy = |logit: &Tensor, target: &Tensor, reduction| {
        logit.binary_cross_entropy_with_logits::<&Tensor>(target, None, None, reduction)
    };
    let classification = cross_entropy(&heads.label, &targets.labels, Reduction::Mean);
    let per_image = |x: &Tensor| x.flatten(1, -1).sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
    let pixels = (targets.masks.size()[1] * targets.masks.size()[2]) as f64;
    let entropy = per_image(&cross_entropy(&heads.mask, &targets.masks, Reduction::None)) / pixels;
    let probability = heads.mask.sigmoid();
    let overlap = per_image(&(&probability * &targets.masks));
    let dice: Tensor = 1.0 - (overlap * 2.0 + 1.0) / (per_image(&probability) + per_image(&targets.masks) + 1.0);
    // Dice measures overlap, which an empty mask cannot have: only anomalous images take part.
    let each = entropy + dice * &targets.labels;
    let segmentation = (each * &targets.masked).sum(Kind::Float) / targets.masked.sum(Kind::Float).clamp_min(1.0);
    let reconstruction = heads.picture.l1_loss(&targets.images, Reduction::Mean);
    classification * choice.classification + segmentation * choice.segmentation + reconstruction * choice.reconstruction
}
