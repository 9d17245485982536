//! The fine-tuning loop, with checkpoints that a killed run resumes from.

use std::path::Path;

use anyhow::{Context, Result};
use detector::network::Backbone;
use detector::preprocess::Size;
use detector::tensors::Tensors;
use tch::{Device, Kind, Reduction, Tensor};

use super::adamw::AdamW;
use super::batch::{Batch, Batches};
use super::decoder::{Decoder, Heads};
use crate::data;
use crate::interrupt::{Interrupt, Stopped};
use crate::network::{Named, Norms, download, forward, to_vec, upload};
use crate::progress::Progress;
use crate::recipe::Finetune;

/// Share of the steps over which the learning rate rises.
const WARM_UP: f64 = 0.1;
/// Steps between two values of the training curve.
const CURVE: usize = 10;
const CHECKPOINT: &str = "checkpoint.safetensors";

/// Where fine-tuning begins.
pub struct Start<'a> {
    /// Structure of the network.
    pub backbone: &'a Backbone,
    /// Its weights, torchvision's names.
    pub weights: &'a Tensors,
    /// Whether batch normalisations are trained.
    pub norms: Norms,
}

/// What fine-tuning gave.
pub struct Outcome {
    /// The backbone's weights, torchvision's names.
    pub weights: Tensors,
    /// Mean loss of every ten steps.
    pub curve: Vec<f32>,
}

/// Fine-tunes the backbone and leaves checkpoints in `folder`; goes on from one that is there.
///
/// # Errors
/// [`Stopped`] when interrupted (after a checkpoint), or when an image or checkpoint cannot be read or written.
pub fn finetune(
    start: &Start<'_>,
    batches: &Batches<'_>,
    (choice, size, seed): (&Finetune, Size, u64),
    folder: &Path,
    device: Device,
    interrupt: &Interrupt,
) -> Result<Outcome> {
    let backbone = start.backbone;
    // The decoder also wants the shallow layers.
    let stages = backbone.layers.iter().filter_map(|layer| layer.strip_prefix("layer")?.parse::<usize>().ok()).max();
    let layers = (1..=stages.unwrap_or(1)).map(|stage| format!("layer{stage}")).collect();
    let network = Backbone { layers, ..backbone.clone() }.network()?;
    let decoder = Decoder::new(&network);
    let mut state =
        State { done: 0, curve: Vec::new(), optimiser: AdamW::default(), parameters: upload(&network, start.weights, device)? };
    state.parameters.extend(decoder.parameters(seed, device));
    let path = folder.join(CHECKPOINT);
    if path.exists() {
        state
            .restore(&Tensors::read(&path)?, device)
            .with_context(|| format!("{}: is no checkpoint of this run", path.display()))?;
        log::info!("fine-tuning goes on after step {}", state.done);
    }
    for (name, parameter) in &mut state.parameters {
        let owner = name.rsplit_once('.').map_or("", |(owner, _)| owner);
        let norm = network.convs().any(|conv| conv.norm == owner);
        let statistics = norm && name.contains(".running_");
        *parameter = parameter.set_requires_grad(!(statistics || norm && start.norms == Norms::Frozen));
    }
    let mut progress = Progress::new("fine-tuning", choice.steps);
    let mut running = Vec::with_capacity(CURVE);
    data::ahead(
        state.done..choice.steps,
        |step| batches.make(step),
        |step, batch| -> Result<()> {
            let targets = Targets::new(&batch, size, device);
            let outputs = forward(&network, &state.parameters, &targets.images, start.norms);
            let loss = targets.loss(&decoder.forward(&state.parameters, &outputs), choice);
            loss.backward();
            let rate = choice.learning_rate * schedule(step, choice.steps);
            state.optimiser.step(&mut state.parameters, step + 1, choice.weight_decay, |name| {
                if name.starts_with("head.") { rate } else { rate * choice.backbone_rate }
            });
            let loss = to_vec(&loss)?.first().copied().unwrap_or(f32::NAN);
            if !loss.is_finite() {
                anyhow::bail!("fine-tuning diverged at step {step}: lower finetune.learning_rate (now {})", choice.learning_rate);
            }
            running.push(loss);
            if running.len() == CURVE || step + 1 == choice.steps {
                let mean = running.iter().sum::<f32>() / running.len() as f32;
                state.curve.push(mean);
                progress.note(format!("loss {mean:.3}"));
                running.clear();
            }
            state.done = step + 1;
            progress.set(state.done);
            let stop = interrupt.is_set();
            if stop || state.done.is_multiple_of(choice.checkpoint) || state.done == choice.steps {
                state.save(&path)?;
            }
            if stop { Err(Stopped.into()) } else { Ok(()) }
        },
    )?;
    progress.finish();
    let wanted: Vec<String> = backbone.network()?.parameters().into_iter().map(|(name, _)| name).collect();
    state.parameters.retain(|name, _| wanted.contains(name));
    Ok(Outcome { weights: download(&state.parameters)?, curve: state.curve })
}

/// Rises to one, then falls to zero along half a cosine.
fn schedule(step: usize, steps: usize) -> f64 {
    let at = (step as f64 + 0.5) / steps as f64;
    if at < WARM_UP { at / WARM_UP } else { 0.5 * (1.0 + (std::f64::consts::PI * (at - WARM_UP) / (1.0 - WARM_UP)).cos()) }
}

struct Targets {
    images: Tensor,
    labels: Tensor,
    masks: Tensor,
    masked: Tensor,
}

impl Targets {
    fn new(batch: &Batch, size: Size, device: Device) -> Targets {
        let (count, height, width) = (batch.labels.len() as i64, i64::from(size.height), i64::from(size.width));
        let tensor = |values: &[f32], shape: &[i64]| Tensor::from_slice(values).reshape(shape).to_device(device);
        Targets {
            images: tensor(&batch.images, &[count, 3, height, width]),
            labels: tensor(&batch.labels, &[count]),
            masks: tensor(&batch.masks, &[count, height, width]),
            masked: tensor(&batch.masked, &[count]),
        }
    }

    /// Classification: cross-entropy. Segmentation: cross-entropy plus Dice (Milletari et al., arXiv 1606.04797). Reconstruction: mean
    /// absolute difference.
    fn loss(&self, heads: &Heads, choice: &Finetune) -> Tensor {
        let cross_entropy = |logit: &Tensor, target: &Tensor, reduction| {
            logit.binary_cross_entropy_with_logits::<&Tensor>(target, None, None, reduction)
        };
        let classification = cross_entropy(&heads.label, &self.labels, Reduction::Mean);
        let per_image = |x: &Tensor| x.flatten(1, -1).sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
        let pixels = (self.masks.size()[1] * self.masks.size()[2]) as f64;
        let entropy = per_image(&cross_entropy(&heads.mask, &self.masks, Reduction::None)) / pixels;
        let probability = heads.mask.sigmoid();
        let overlap = per_image(&(&probability * &self.masks));
        let dice: Tensor = 1.0 - (overlap * 2.0 + 1.0) / (per_image(&probability) + per_image(&self.masks) + 1.0);
        // An empty mask has no overlap to speak of: Dice is for anomalous images.
        let each = entropy + dice * &self.labels;
        let segmentation = (each * &self.masked).sum(Kind::Float) / self.masked.sum(Kind::Float).clamp_min(1.0);
        let reconstruction = heads.picture.l1_loss(&self.images, Reduction::Mean);
        classification * choice.classification + segmentation * choice.segmentation + reconstruction * choice.reconstruction
    }
}

struct State {
    done: usize,
    curve: Vec<f32>,
    parameters: Named,
    optimiser: AdamW,
}

impl State {
    fn save(&self, path: &Path) -> Result<()> {
        let mut file = download(&self.parameters)?;
        for (name, tensor) in download(&self.optimiser.moments)?.tensors {
            file.tensors.insert(format!("adamw.{name}"), tensor);
        }
        file.insert("curve", [self.curve.len()], self.curve.clone());
        file.metadata.insert("step".into(), self.done.to_string());
        Ok(file.write(path)?)
    }

    fn restore(&mut self, file: &Tensors, device: Device) -> Result<()> {
        let step = file.metadata.get("step").and_then(|step| step.parse().ok());
        self.done = step.context("it does not say at which step it was made")?;
        let tensor = |name: &str, shape: &[i64]| -> Result<Tensor> {
            let wanted: Vec<usize> = shape.iter().map(|size| *size as usize).collect();
            Ok(Tensor::from_slice(file.f32(name, &wanted)?).reshape(shape).to_device(device))
        };
        for (name, parameter) in &mut self.parameters {
            let shape = parameter.size();
            *parameter = tensor(name, &shape)?;
            for kind in ["m", "v"] {
                let moment = format!("{kind}.{name}");
                if file.tensors.contains_key(&format!("adamw.{moment}")) {
                    self.optimiser.moments.insert(moment.clone(), tensor(&format!("adamw.{moment}"), &shape)?);
                }
            }
        }
        let shape = file.tensors.get("curve").map(|curve| curve.shape.clone()).unwrap_or_default();
        self.curve = file.f32("curve", &shape)?.to_vec();
        Ok(())
    }
}
