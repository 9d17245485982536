//! This kit's own method: PatchCore on pretrained features, and a defect head that learns from a few anomalous samples
//! (`docs/decisions/0020-a-defect-head.md`).

use std::time::Instant;

use anyhow::Result;

use super::interface::{Course, Learned, Method};
use super::{apc, patchcore};
use crate::defects::learn_head;
use crate::interrupt::Interrupt;
use crate::lesson::Lesson;
use crate::network::{Norms, upload};
use crate::recipe::Defects;
use crate::run_folder::RunFolder;

/// Mode `apc+`.
pub struct ApcPlus;

impl Method for ApcPlus {
    fn trains_backbone(&self) -> bool {
        true
    }

    fn refuses_new_anomalous(&self) -> Option<&'static str> {
        None
    }

    /// Random weights are fine-tuned first; pretrained weights and those of an earlier run stay as they are.
    fn learn(&self, lesson: &Lesson<'_>, folder: &RunFolder, interrupt: &Interrupt) -> Result<Learned> {
        let recipe = lesson.recipe;
        let mut course = Course::default();
        let batches = lesson.batches()?;
        let weights = match lesson.norms {
            Norms::Trained => apc::fine_tuned(lesson, &batches, &mut course, folder, interrupt)?,
            Norms::Frozen => lesson.weights.clone(),
        };
        let backbone = lesson.backbone.clone();
        let network = backbone.network()?;
        let parameters = upload(&network, &weights, lesson.device)?;
        let describer = lesson.describer(&network, &parameters);

        let began = Instant::now();
        // The head of an earlier run has learned already and needs half the steps.
        let steps = if lesson.earlier.is_some() { recipe.defects.steps.div_ceil(2) } else { recipe.defects.steps };
        let choice = Defects { steps, ..recipe.defects.clone() };
        let earlier = lesson.earlier.as_ref().map(|_| &lesson.weights);
        let head = learn_head(&describer, &batches, (&choice, recipe.seed), earlier, &folder.checkpoint("defects"), interrupt)?;
        course.seconds.insert("defects".into(), began.elapsed().as_secs_f64());

        let bank = patchcore::fill_bank(lesson, &describer, &mut course, folder, interrupt)?;
        course.curves.insert("defects", head.curve.clone());
        Ok(Learned { backbone, weights, bank, head: Some(head), course })
    }
}
