//! Fitting of parameters by gradients, with checkpoints from which a killed run resumes.

use std::path::Path;

use anyhow::{Context, Result};
use detector::tensors::Tensors;
use tch::Tensor;

use crate::adamw::AdamW;
use crate::data;
use crate::interrupt::{Interrupt, Stopped};
use crate::network::{Named, download, to_vec};
use crate::progress::Progress;

/// Share of the steps over which the learning rate rises.
const WARM_UP: f64 = 0.1;
/// Steps between two values of the training curve.
const CURVE: usize = 10;

/// Settings of one fit.
pub struct Plan<'a> {
    /// Name of the fit in progress bars and logs.
    pub title: &'static str,
    /// File of the checkpoint.
    pub checkpoint: &'a Path,
    /// Optimiser steps.
    pub steps: usize,
    /// Steps between checkpoints.
    pub checkpoint_steps: usize,
    /// Highest learning rate; it rises over the first tenth and falls to zero along a cosine.
    pub learning_rate: f64,
    /// The recipe's key of the learning rate, for the error when learning diverges.
    pub learning_rate_key: &'static str,
    /// Weight decay (AdamW).
    pub weight_decay: f64,
}

/// Result of a fit.
pub struct Fitted {
    /// All parameters, fitted and frozen.
    pub parameters: Named,
    /// Mean loss of every ten steps.
    pub curve: Vec<f32>,
}

/// Fits the parameters that require gradients. Goes on from the checkpoint where its file exists. `make` gives the batch of a step
/// and is called on another thread, at most two steps ahead. `loss` gives a batch's loss. `rate` gives the learning rate of a
/// parameter, by its name, relative to the plan's.
///
/// # Errors
/// [`Stopped`] when interrupted (after a checkpoint), or when an image or checkpoint cannot be read or written.
pub fn fit<B: Send>(
    plan: &Plan<'_>,
    parameters: Named,
    make: impl Fn(usize) -> detector::Result<B> + Send,
    loss: impl Fn(&Named, &B) -> Tensor,
    rate: impl Fn(&str) -> f64,
    interrupt: &Interrupt,
) -> Result<Fitted> {
    let mut state = State { done: 0, curve: Vec::new(), optimiser: AdamW::default(), parameters };
    if plan.checkpoint.exists() {
        state.restore(&Tensors::read(plan.checkpoint)?).with_context(|| {
            format!("{}: is no checkpoint of this run; remove it to begin this step anew", plan.checkpoint.display())
        })?;
        log::info!("{} goes on after step {}", plan.title, state.done);
    }
    let mut progress = Progress::new(plan.title, plan.steps);
    let mut running = Vec::with_capacity(CURVE);
    data::ahead(state.done..plan.steps, make, |step, batch| -> Result<()> {
        let loss = loss(&state.parameters, &batch);
        loss.backward();
        let now = plan.learning_rate * schedule(step, plan.steps);
        state.optimiser.step(&mut state.parameters, step + 1, plan.weight_decay, |name| now * rate(name));
        let loss = to_vec(&loss)?.first().copied().unwrap_or(f32::NAN);
        if !loss.is_finite() {
            let (title, key, value) = (plan.title, plan.learning_rate_key, plan.learning_rate);
            anyhow::bail!("{title} diverged at step {step}: lower {key} (now {value})");
        }
        running.push(loss);
        if running.len() == CURVE || step + 1 == plan.steps {
            let mean = running.iter().sum::<f32>() / running.len() as f32;
            state.curve.push(mean);
            progress.note(format!("loss {mean:.3}"));
            running.clear();
        }
        state.done = step + 1;
        progress.set(state.done);
        let stop = interrupt.is_set();
        if stop || state.done.is_multiple_of(plan.checkpoint_steps) || state.done == plan.steps {
            state.save(plan.checkpoint)?;
        }
        if stop { Err(Stopped.into()) } else { Ok(()) }
    })?;
    progress.finish();
    Ok(Fitted { parameters: state.parameters, curve: state.curve })
}

/// Learning rate of a step relative to the highest: rises to one, then falls to zero along half a cosine.
fn schedule(step: usize, steps: usize) -> f64 {
    let at = (step as f64 + 0.5) / steps as f64;
    if at < WARM_UP { at / WARM_UP } else { 0.5 * (1.0 + (std::f64::consts::PI * (at - WARM_UP) / (1.0 - WARM_UP)).cos()) }
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

    fn restore(&mut self, file: &Tensors) -> Result<()> {
        let step = file.metadata.get("step").and_then(|step| step.parse().ok());
        self.done = step.context("its metadata has no number \"step\"")?;
        let tensor = |name: &str, like: &Tensor| -> Result<Tensor> {
            let wanted: Vec<usize> = like.size().iter().map(|size| *size as usize).collect();
            Ok(Tensor::from_slice(file.f32(name, &wanted)?).reshape(like.size()).to_device(like.device()))
        };
        for (name, parameter) in &mut self.parameters {
            for kind in ["m", "v"] {
                let moment = format!("{kind}.{name}");
                if file.tensors.contains_key(&format!("adamw.{moment}")) {
                    self.optimiser.moments.insert(moment.clone(), tensor(&format!("adamw.{moment}"), parameter)?);
                }
            }
            *parameter = tensor(name, parameter)?.set_requires_grad(parameter.requires_grad());
        }
        let shape = file.tensors.get("curve").map(|curve| curve.shape.clone()).unwrap_or_default();
        self.curve = file.f32("curve", &shape)?.to_vec();
        Ok(())
    }
}
