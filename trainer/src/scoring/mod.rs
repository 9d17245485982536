//! What scores count: the rule that makes a score of distances and logits, learned from good images that the detector has not learned from.
//!
//! Each good image is described once. A bank and a defect head without its fold give its *unseen* terms, those of the run its *seen* ones
//! (cross-conformal prediction, `docs/decisions/0031-a-threshold-from-all-good-images.md`). Unseen terms decide how logits and places count
//! (`docs/decisions/0032-what-counts-in-a-score.md`); unseen scores give the threshold.

mod places;
mod spread;
mod terms;

use std::sync::Arc;

use anyhow::Result;
use detector::run::FoldScores;
use detector::scorer::{KnownDefects, MapShare, ScoreRule, Terms};

use self::spread::{largest, quantile, spread};
use crate::interrupt::Interrupt;
use crate::lesson::Lesson;
use crate::methods::Learned;

/// Groups of held-out good images, for places without each: the images are divided as those of the memory bank are.
const GROUPS: usize = 10;

/// What was decided about scores.
pub struct Scoring {
    /// How distances and logits become scores.
    pub rule: ScoreRule,
    /// A logit counts from this value on.
    pub start: f64,
    /// Scores of the good images; none where images are held out for the threshold.
    pub folds: Option<FoldScores>,
    /// Scores of the anomalous samples by defect heads that have not learned from them, in the samples' order; empty without such heads.
    pub anomalous: Vec<f32>,
}

/// Scores good images and anomalous samples by what has not learned from them, and decides how logits and places count.
///
/// # Errors
/// [`Stopped`](crate::interrupt::Stopped) when interrupted, or when an image cannot be read.
pub fn decide(lesson: &Lesson<'_>, learned: &Learned, interrupt: &Interrupt) -> Result<Scoring> {
    let selection = &lesson.selection;
    let folds = if selection.leaves_out_folds() {
        selection.folds()
    } else {
        (0..selection.calibration.len()).map(|place| place % GROUPS).collect()
    };
    let terms::Scored { mut unseen, mut seen, mut anomalous } = terms::describe(lesson, learned, interrupt)?;
    let places = if lesson.recipe.score.places { places::learn(&unseen, &folds)? } else { None };
    let without = |fold: usize| places.as_ref().map(|places| Arc::new(places.without_fold[fold].clone()));
    let mut rule = ScoreRule { smoothing: lesson.recipe.smoothing, defects: None, places: None };
    let mut start = 0.0;
    if learned.head.is_some() {
        let choice = &lesson.recipe.defects;
        let distances: Vec<f32> = unseen
            .iter()
            .zip(&folds)
            .map(|(terms, fold)| ScoreRule { places: without(*fold), ..rule.clone() }.score(terms))
            .collect::<detector::Result<_>>()?;
        let logits: Vec<f32> = unseen.iter().map(|terms| largest(terms, &terms.logits)).collect();
        start = quantile(&logits, choice.start);
        let spreads = spread(&distances) / spread(&logits);
        let all = unseen.iter_mut().chain(&mut seen).chain(&mut anomalous);
        all.for_each(|terms| terms.logits.iter_mut().for_each(|logit| *logit -= start as f32));
        let lead = (start - quantile(&logits, choice.map_start)) as f32;
        let map = MapShare { weight: (choice.map_weight * spreads) as f32, lead, offset: 0.0 };
        let known = KnownDefects { weight: (choice.weight * spreads) as f32, map: Some(map) };
        let offset = offset(&ScoreRule { defects: Some(known), ..rule.clone() }, &unseen)?;
        rule.defects = Some(KnownDefects { map: Some(MapShare { offset, ..map }), ..known });
    }
    let score = |terms: &Terms, places| Ok(ScoreRule { places, ..rule.clone() }.score(terms)?);
    let unseen = unseen.iter().zip(&folds).map(|(terms, fold)| score(terms, without(*fold))).collect::<Result<_>>()?;
    let whole = places.as_ref().map(|places| Arc::new(places.whole.clone()));
    let of_all = |terms: &[Terms]| terms.iter().map(|terms| score(terms, whole.clone())).collect::<Result<Vec<f32>>>();
    let (seen, anomalous) = (of_all(&seen)?, of_all(&anomalous)?);
    let count = learned.bank.without_fold.len();
    let folds = selection.leaves_out_folds().then_some(FoldScores { folds: count, unseen, seen });
    Ok(Scoring { rule: ScoreRule { places: whole, ..rule }, start, folds, anomalous })
}

/// By how much the map's largest values are higher than the scores, at the ninth decile of the good images.
fn offset(rule: &ScoreRule, unseen: &[Terms]) -> Result<f32> {
    let of_map = |terms: &Terms| Ok(largest(terms, &rule.patches(terms)?));
    let maps = unseen.iter().map(of_map).collect::<Result<Vec<f32>>>()?;
    let scores = unseen.iter().map(|terms| rule.score(terms)).collect::<detector::Result<Vec<f32>>>()?;
    Ok((quantile(&maps, 0.9) - quantile(&scores, 0.9)) as f32)
}
