//! AnomalousPatchCore (Koshil et al., arXiv 2408.15113): the backbone is fine-tuned with a few anomalous samples, PatchCore follows.

use std::time::Instant;

use anyhow::Result;
use detector::tensors::Tensors;

use super::interface::{Course, Learned, Method};
use super::patchcore;
use crate::examples::Batches;
use crate::finetune::{Start, finetune};
use crate::interrupt::Interrupt;
use crate::lesson::Lesson;
use crate::run_folder::RunFolder;

/// Mode `apc`.
pub struct Apc;

impl Method for Apc {
    fn trains_backbone(&self) -> bool {
        true
    }

    fn refuses_new_anomalous(&self) -> Option<&'static str> {
        Some(
            "mode \"apc\" would fine-tune its features with them, which changes the whole bank: train again with all images, or use \
             mode \"apc+\"",
        )
    }

    /// An update keeps the features: it only adds to the bank.
    fn learn(&self, lesson: &Lesson<'_>, folder: &RunFolder, interrupt: &Interrupt) -> Result<Learned> {
        let mut course = Course::default();
        let weights = match lesson.earlier {
            Some(_) => lesson.weights.clone(),
            None => fine_tuned(lesson, &lesson.batches()?, &mut course, folder, interrupt)?,
        };
        patchcore::on_weights(lesson, weights, course, folder, interrupt)
    }
}

/// The backbone's weights after fine-tuning.
pub(super) fn fine_tuned(
    lesson: &Lesson<'_>,
    batches: &Batches<'_>,
    course: &mut Course,
    folder: &RunFolder,
    interrupt: &Interrupt,
) -> Result<Tensors> {
    let began = Instant::now();
    let Lesson { recipe, rule, backbone, weights, device, .. } = lesson;
    let start = Start { backbone, weights, norms: lesson.norms };
    let choice = (&recipe.finetune, rule.input(), recipe.seed);
    let outcome = finetune(&start, batches, choice, &folder.checkpoint("finetune"), *device, interrupt)?;
    course.seconds.insert("finetune".into(), began.elapsed().as_secs_f64());
    course.curves.insert("finetune", outcome.curve);
    Ok(outcome.weights)
}
