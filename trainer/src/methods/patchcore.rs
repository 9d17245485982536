//! PatchCore (Roth et al., arXiv 2106.08265): a memory bank of good patches on features that stay as they are.

use anyhow::Result;
use detector::tensors::Tensors;

use super::interface::{Course, Learned, Method};
use crate::bank::{self, Contents, Filled};
use crate::describer::Describer;
use crate::interrupt::Interrupt;
use crate::lesson::{Earlier, Lesson};
use crate::network::upload;
use crate::run_folder::RunFolder;

/// Mode `patchcore`.
pub struct PatchCore;

impl Method for PatchCore {
    fn trains_backbone(&self) -> bool {
        false
    }

    fn refuses_new_anomalous(&self) -> Option<&'static str> {
        Some("mode \"patchcore\" learns from good images alone: leave them out, or train with mode \"apc+\"")
    }

    fn learn(&self, lesson: &Lesson<'_>, folder: &RunFolder, interrupt: &Interrupt) -> Result<Learned> {
        on_weights(lesson, lesson.weights.clone(), Course::default(), folder, interrupt)
    }
}

/// PatchCore on the features of these weights.
pub(super) fn on_weights(
    lesson: &Lesson<'_>,
    weights: Tensors,
    mut course: Course,
    folder: &RunFolder,
    interrupt: &Interrupt,
) -> Result<Learned> {
    let backbone = lesson.backbone.clone();
    let network = backbone.network()?;
    let parameters = upload(&network, &weights, lesson.device)?;
    let bank = fill_bank(lesson, &lesson.describer(&network, &parameters), &mut course, folder, interrupt)?;
    Ok(Learned { backbone, weights, bank, head: None, course })
}

/// Fills the memory bank from all good images, with a bank without each fold if nothing is held out for the threshold. An update of a run
/// with held-out images fills it from the earlier bank and the new images.
pub(super) fn fill_bank(
    lesson: &Lesson<'_>,
    describer: &Describer<'_>,
    course: &mut Course,
    folder: &RunFolder,
    interrupt: &Interrupt,
) -> Result<Filled> {
    let selection = &lesson.selection;
    let folds = if selection.leaves_out_folds() { selection.folds() } else { Vec::new() };
    let contents = match &lesson.earlier {
        Some(Earlier { vectors, new, .. }) if folds.is_empty() => Contents { images: new, folds: &[], kept: vectors },
        _ => Contents { images: &selection.bank, folds: &folds, kept: &[] },
    };
    let bank = bank::fill(describer, &contents, &lesson.recipe.bank, lesson.recipe.seed, folder.path(), interrupt)?;
    course.seconds.insert("describe".into(), bank.describe_seconds);
    course.seconds.insert("coreset".into(), bank.select_seconds);
    Ok(bank)
}
