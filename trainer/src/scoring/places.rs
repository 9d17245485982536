//! What good images have at each place.

use detector::scorer::{Inside, Places, ScoreRule, Terms};
use detector::{Error, Result};

use super::spread::quantile;

/// Patches of the square over which the means of all images are smoothed. Parts never lie exactly alike.
const NEIGHBOURHOOD: usize = 5;
/// Number of images whose means count by half. Few images say little about one place.
const HALF: f64 = 100.0;
/// What an average patch lacks to the largest distance of three in four good images must become less by this factor: so much less must a
/// defect differ to be found. Where parts lie anyhow, or all places are alike, it stays as it is.
const GAIN: f64 = 0.9;

/// Places of all good images, and of those without each fold.
pub struct LearnedPlaces {
    /// Of all images.
    pub whole: Places,
    /// Without each fold, to score its images.
    pub without_fold: Vec<Places>,
}

/// What the images have at each place, by their unseen distances; none where taking it off would gain too little ([`GAIN`]), or where
/// pictures have several shapes.
///
/// # Errors
/// When a distance is no finite number.
pub fn learn(unseen: &[Terms], folds: &[usize]) -> Result<Option<LearnedPlaces>> {
    let Some(first) = unseen.first() else { return Ok(None) };
    let shown: Vec<usize> = first.inside.indices().collect();
    if unseen.iter().any(|terms| terms.grid != first.grid || !terms.inside.indices().eq(shown.iter().copied())) {
        log::info!("pictures of several shapes: what good parts have at each place is not looked at");
        return Ok(None);
    }
    let count = folds.iter().max().map_or(0, |last| last + 1);
    let of = |left_out: Option<usize>| {
        let kept = unseen.iter().zip(folds).filter(|(_, fold)| Some(**fold) != left_out).map(|(terms, _)| terms);
        mean(&kept.collect::<Vec<_>>(), (first.grid, &first.inside), &shown)
    };
    let learned = LearnedPlaces { whole: of(None)?, without_fold: (0..count).map(|fold| of(Some(fold))).collect::<Result<_>>()? };
    let all = |terms: &Terms| shown.iter().map(|patch| f64::from(terms.distances[*patch])).sum::<f64>();
    let average = unseen.iter().map(all).sum::<f64>() / (shown.len() * unseen.len()) as f64;
    let lacking = |places: Option<&LearnedPlaces>| -> Result<f64> {
        let rule = |fold: usize| ScoreRule {
            smoothing: detector::map::Smoothing::default(),
            defects: None,
            places: places.map(|places| std::sync::Arc::new(places.without_fold[fold].clone())),
        };
        let scores = unseen.iter().zip(folds).map(|(terms, fold)| rule(*fold).score(terms)).collect::<Result<Vec<f32>>>()?;
        Ok(quantile(&scores, 0.75) - average)
    };
    let gain = lacking(Some(&learned))? / lacking(None)?.max(1e-6);
    if gain > GAIN {
        log::info!(
            "what good parts have at each place stays in the score: without it a defect had to differ {gain:.2} times as much"
        );
        return Ok(None);
    }
    log::info!("what good parts have at each place does not count in the score: a defect must differ {gain:.2} times as much");
    Ok(Some(learned))
}

/// The images' mean distance at each place less the mean of all places, smoothed, and the less the fewer images there are.
fn mean(images: &[&Terms], (grid, inside): ((usize, usize), &Inside), shown: &[usize]) -> Result<Places> {
    if images.is_empty() {
        return Err(Error::invalid("all good images are in one fold: add good images, or other groups in groups.csv"));
    }
    let count = images.len() as f64;
    let mut means = vec![0.0f32; grid.0 * grid.1];
    for patch in shown {
        means[*patch] = (images.iter().map(|terms| f64::from(terms.distances[*patch])).sum::<f64>() / count) as f32;
    }
    let means = inside.means(&means, NEIGHBOURHOOD / 2);
    let middle = shown.iter().map(|patch| f64::from(means[*patch])).sum::<f64>() / shown.len() as f64;
    let sure = count / (count + HALF);
    let mut places = vec![0.0; means.len()];
    shown.iter().for_each(|patch| places[*patch] = (sure * (f64::from(means[*patch]) - middle)) as f32);
    Places::new(grid, places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use detector::map::Smoothing;
    use detector::preprocess::Rect;
    use rand::{Rng, SeedableRng};

    const SIDE: usize = 16;

    /// Images with noise everywhere, and more distance in a square that lies up to `shift` rows and columns further.
    fn images(count: usize, more: f32, shift: usize) -> Vec<Terms> {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        let mut image = |_| {
            let (top, left) = (random.random_range(1..=1 + shift), random.random_range(1..=1 + shift));
            let mut distance = |patch: usize| {
                let (row, column) = (patch / SIDE, patch % SIDE);
                let printed = (top..top + 5).contains(&row) && (left..left + 5).contains(&column);
                1.0 + random.random_range(0.0..0.1) + if printed { more * random.random_range(0.7f32..1.3) } else { 0.0 }
            };
            let distances = (0..SIDE * SIDE).map(&mut distance).collect();
            let inside = Inside::new((SIDE, SIDE), (128, 128), Rect { x: 0, y: 0, width: 128, height: 128 });
            let smoothing = Smoothing { sigma: 0.0, neighbourhood: 1 };
            Terms::new(distances, vec![], ((SIDE, SIDE), inside), smoothing).unwrap()
        };
        (0..count).map(&mut image).collect()
    }

    fn folds(count: usize) -> Vec<usize> {
        (0..count).map(|place| place % 5).collect()
    }

    #[test]
    fn a_place_where_all_good_parts_differ_does_not_count() {
        let learned = learn(&images(100, 0.5, 0), &folds(100)).unwrap().expect("places make these images more alike");
        let at = |row: usize, column: usize| learned.whole.distances()[row * SIDE + column];
        assert!(at(3, 3) > 0.15 && at(3, 12) < 0.0, "{} {}", at(3, 3), at(3, 12));
        assert_eq!(learned.without_fold.len(), 5);
        assert!(learned.whole.distances().iter().sum::<f32>().abs() < 1e-3, "the mean is not changed");
    }

    #[test]
    fn places_stay_where_all_are_alike_or_parts_lie_anyhow() {
        assert!(learn(&images(100, 0.0, 0), &folds(100)).unwrap().is_none());
        assert!(learn(&images(100, 0.5, 9), &folds(100)).unwrap().is_none());
        assert!(learn(&[], &[]).unwrap().is_none());
    }
}
