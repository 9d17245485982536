//! What every method of learning takes and gives.

use std::collections::BTreeMap;

use anyhow::Result;
use detector::network::Backbone;
use detector::tensors::Tensors;

use crate::bank::Filled;
use crate::defects::Head;
use crate::interrupt::Interrupt;
use crate::lesson::Lesson;
use crate::run_folder::RunFolder;

/// One way to learn a product.
pub trait Method {
    /// Whether the backbone learns too: only then may it begin with random weights.
    fn trains_backbone(&self) -> bool;

    /// Why an update of such a run cannot learn from new anomalous images, and what to do instead; none where it can.
    fn refuses_new_anomalous(&self) -> Option<&'static str>;

    /// Learns. Checkpoints go to the run's folder, and learning goes on from those that are there.
    ///
    /// # Errors
    /// [`Stopped`](crate::interrupt::Stopped) when interrupted, or when an image cannot be read, a file cannot be written, or learning
    /// diverges.
    fn learn(&self, lesson: &Lesson<'_>, folder: &RunFolder, interrupt: &Interrupt) -> Result<Learned>;
}

/// A detector that has learned a product, before it is written to its run.
pub struct Learned {
    /// The network, without a defect head.
    pub backbone: Backbone,
    /// Its weights.
    pub weights: Tensors,
    /// The memory bank.
    pub bank: Filled,
    /// The defect heads, if the method has any.
    pub head: Option<Head>,
    /// How learning went.
    pub course: Course,
}

/// How learning went, step by step.
#[derive(Default)]
pub struct Course {
    /// Mean loss of every ten optimiser steps.
    pub curves: BTreeMap<&'static str, Vec<f32>>,
    /// Seconds that each step took.
    pub seconds: BTreeMap<String, f64>,
}
