//! Scores of good images by detectors that have not learned from them: the threshold comes from these (cross-conformal prediction,
//! `docs/decisions/0031-a-threshold-from-all-good-images.md`).

use std::path::PathBuf;

use anyhow::Result;
use detector::bank::{MemoryBank, Quantisation};
use detector::descriptor::PatchDescriptor;
use detector::network::Backbone;
use detector::run::FoldScores;
use detector::scorer::{PatchScorer, Scorer};
use detector::tensors::Tensors;

use crate::data;
use crate::evaluate::TorchEngine;
use crate::interrupt::Interrupt;
use crate::lesson::Lesson;
use crate::methods::Learned;
use crate::progress::Progress;

/// Scores each good image twice: with the bank and the defect head that have not learned from its fold, and with those that have. None
/// where images are held out.
///
/// # Errors
/// [`Stopped`](crate::interrupt::Stopped) when interrupted, or when an image cannot be read.
pub fn score(lesson: &Lesson<'_>, learned: &Learned, interrupt: &Interrupt) -> Result<Option<FoldScores>> {
    let selection = &lesson.selection;
    if !selection.leaves_out_folds() {
        return Ok(None);
    }
    let (images, folds) = (&selection.bank, selection.folds());
    let count = learned.bank.without_fold.len();
    let mut progress = Progress::new("scoring good images", 2 * images.len());
    let mut done = 0;
    let mut score = |scorer: &mut PatchScorer<TorchEngine>, image: &PathBuf| -> Result<f32> {
        interrupt.check()?;
        let score = scorer.score_prepared(&data::prepare(image, &lesson.rule)?)?.score;
        done += 1;
        progress.set(done);
        Ok(score)
    };
    let mut unseen = vec![0.0; images.len()];
    for (fold, vectors) in learned.bank.without_fold.iter().enumerate() {
        let head = learned.heads_without_fold.get(fold);
        let mut scorer = scorer(lesson, learned, head, vectors, interrupt)?;
        for (place, image) in images.iter().enumerate().filter(|(place, _)| folds[*place] == fold) {
            unseen[place] = score(&mut scorer, image)?;
        }
    }
    let mut whole = scorer(lesson, learned, None, &learned.bank.vectors, interrupt)?;
    let seen = images.iter().map(|image| score(&mut whole, image)).collect::<Result<_>>()?;
    progress.finish();
    Ok(Some(FoldScores { folds: count, unseen, seen }))
}

/// The learned detector with these vectors in its bank, and with this defect head in place of its own.
fn scorer(
    lesson: &Lesson<'_>,
    learned: &Learned,
    head: Option<&Tensors>,
    vectors: &[f32],
    interrupt: &Interrupt,
) -> Result<PatchScorer<TorchEngine>> {
    let mut weights = learned.weights.clone();
    let mut backbone = learned.backbone.clone();
    if let Some(head) = head {
        weights.tensors.extend(head.tensors.clone());
        backbone = Backbone { defect_units: Some(lesson.recipe.defects.units), ..backbone };
    }
    let engine = TorchEngine::new(&backbone, &weights, lesson.rule.input(), lesson.device, interrupt)?;
    let bank = MemoryBank::new(vectors, learned.bank.dims, Quantisation::F32)?;
    Ok(PatchScorer::new(engine, lesson.rule.clone(), PatchDescriptor::Concat, bank, learned.defects, lesson.recipe.smoothing))
}
