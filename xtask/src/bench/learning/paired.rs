//! Two systems on the same images: how far their figures differ, and how far the difference may be chance.
//!
//! Paired bootstrap over images (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13): images are drawn with
//! replacement, good and anomalous ones apart, and both systems' figures come from the same draw. An image stands for itself in every
//! seed, so the seeds' common images do not count as independent ones.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use detector::evaluate::ImageScore;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Draws of images.
const DRAWS: usize = 1000;
/// A loss of a figure that does not count.
pub(super) const MARGIN: f64 = 0.003;
/// The compared figures, in their order.
pub(super) const FIGURES: [&str; 4] = ["AUROC image", "F1 image", "AUROC pixel", "F1 pixel"];

/// A system's figure less the reference's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Difference {
    /// On the images as they are, mean over the seeds.
    pub mean: f64,
    /// 95 of 100 draws lie in it.
    pub interval: (f64, f64),
}

impl Difference {
    /// `not below`: in 97.5 of 100 draws the figure is not lower by more than the margin; `below`: in 97.5 of 100 draws it is; else `open`.
    pub fn conclusion(&self) -> &'static str {
        match self.interval {
            (low, _) if low >= -MARGIN => "not below",
            (_, high) if high < -MARGIN => "below",
            _ => "open",
        }
    }
}

/// Differences of every figure, none where the images have no masks. `seeds` are pairs of evaluations: the reference's and the system's.
pub(super) fn compare(seeds: &[(Vec<ImageScore>, Vec<ImageScore>)]) -> Result<[Option<Difference>; 4]> {
    let mut images = [BTreeMap::new(), BTreeMap::new()];
    for image in seeds.iter().flat_map(|(reference, system)| reference.iter().chain(system)) {
        let class = &mut images[usize::from(image.defect.is_some())];
        let next = class.len();
        class.entry(image.path.as_str()).or_insert(next);
    }
    let rank = |scores| Ranked::new(scores, &images);
    let mut pairs = Vec::new();
    for (reference, system) in seeds {
        let mut paths = [reference, system].map(|scores| scores.iter().map(|image| image.path.as_str()).collect::<Vec<_>>());
        paths.iter_mut().for_each(|paths| paths.sort_unstable());
        if paths[0] != paths[1] {
            bail!("two systems of one seed were not evaluated on the same images: remove their cells");
        }
        pairs.push((rank(reference), rank(system)));
    }
    let differences = |counts: &[Vec<f64>; 2]| -> [Option<f64>; 4] {
        let each: Vec<_> = pairs.iter().map(|(reference, system)| (reference.figures(counts), system.figures(counts))).collect();
        std::array::from_fn(|figure| {
            let seeds: Option<Vec<f64>> =
                each.iter().map(|(reference, system)| Some(system[figure]? - reference[figure]?)).collect();
            seeds.filter(|seeds| !seeds.is_empty()).map(|seeds| seeds.iter().sum::<f64>() / seeds.len() as f64)
        })
    };
    let means = differences(&images.each_ref().map(|class| vec![1.0; class.len()]));
    let mut random = StdRng::seed_from_u64(0);
    let mut drawn: [Vec<f64>; 4] = Default::default();
    for _ in 0..DRAWS {
        let counts = images.each_ref().map(|class| {
            let mut counts = vec![0.0; class.len()];
            (0..class.len()).for_each(|_| counts[random.random_range(0..class.len())] += 1.0);
            counts
        });
        drawn.iter_mut().zip(differences(&counts)).for_each(|(drawn, difference)| drawn.extend(difference));
    }
    drawn.iter_mut().for_each(|drawn| drawn.sort_by(f64::total_cmp));
    let at = |drawn: &[f64], share: f64| {
        drawn.get(((drawn.len() as f64 * share) as usize).min(drawn.len().saturating_sub(1))).copied()
    };
    Ok(std::array::from_fn(|figure| {
        let (low, high) = (at(&drawn[figure], 0.025)?, at(&drawn[figure], 0.975)?);
        Some(Difference { mean: means[figure]?, interval: (low, high) })
    }))
}

/// An evaluation, ready for figures of any draw of its images.
struct Ranked {
    /// For each image: whether it is anomalous, its place in its class, and the rank of its score (equal scores share one).
    images: Vec<(bool, usize, usize)>,
    ranks: usize,
    /// For each image: pixels in bins, good and anomalous.
    pixels: Vec<(Vec<f64>, Vec<f64>)>,
    bins: usize,
}

impl Ranked {
    fn new(scores: &[ImageScore], places: &[BTreeMap<&str, usize>; 2]) -> Ranked {
        let mut levels: Vec<f32> = scores.iter().map(|image| image.score).collect();
        levels.sort_by(f32::total_cmp);
        levels.dedup();
        let image = |image: &ImageScore| {
            let anomalous = image.defect.is_some();
            let rank = levels.partition_point(|level| *level < image.score);
            (anomalous, places[usize::from(anomalous)][image.path.as_str()], rank)
        };
        let floats = |counts: &[u32]| counts.iter().map(|count| f64::from(*count)).collect::<Vec<_>>();
        let pixels: Vec<_> = scores.iter().map(|image| (floats(&image.good_pixels), floats(&image.anomalous_pixels))).collect();
        let bins = pixels.iter().map(|(good, anomalous)| good.len().max(anomalous.len())).max().unwrap_or(0);
        Ranked { images: scores.iter().map(image).collect(), ranks: levels.len(), pixels, bins }
    }

    /// Image AUROC and F1, pixel AUROC and F1, where each image of a class counts so many times.
    fn figures(&self, counts: &[Vec<f64>; 2]) -> [Option<f64>; 4] {
        let mut scores = vec![[0.0; 2]; self.ranks];
        let mut pixels = vec![[0.0; 2]; self.bins];
        for ((anomalous, place, rank), (good_pixels, anomalous_pixels)) in self.images.iter().zip(&self.pixels) {
            let class = usize::from(*anomalous);
            let count = counts[class][*place];
            if count > 0.0 {
                scores[*rank][class] += count;
                pixels.iter_mut().zip(good_pixels).for_each(|(bin, pixels)| bin[0] += count * pixels);
                pixels.iter_mut().zip(anomalous_pixels).for_each(|(bin, pixels)| bin[1] += count * pixels);
            }
        }
        let (image, pixel) = (auroc_and_f1(&scores), auroc_and_f1(&pixels));
        [image.map(|it| it.0), image.map(|it| it.1), pixel.map(|it| it.0), pixel.map(|it| it.1)]
    }
}

/// Area under the ROC curve, ties counted half, and the best F1 over thresholds, from the weights of `[good, anomalous]` at each level of
/// rising score. None where a class is missing.
fn auroc_and_f1(levels: &[[f64; 2]]) -> Option<(f64, f64)> {
    let [all_good, all_anomalous] = levels.iter().fold([0.0; 2], |sum, level| [sum[0] + level[0], sum[1] + level[1]]);
    if all_good == 0.0 || all_anomalous == 0.0 {
        return None;
    }
    let (mut below, mut passed, mut won, mut best) = (0.0, 0.0, 0.0, 0.0f64);
    for [good, anomalous] in levels {
        let caught = all_anomalous - passed;
        best = best.max(2.0 * caught / (caught + all_good - below + all_anomalous));
        won += anomalous * (below + good / 2.0);
        below += good;
        passed += anomalous;
    }
    Some((won / (all_good * all_anomalous), best))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Images with one pixel each, which scores like its image.
    pub(in super::super) fn scores(good: &[f32], anomalous: &[f32]) -> Vec<ImageScore> {
        let image = |(index, score): (usize, &f32), defect: Option<&str>| {
            let mut pixels = vec![0; *score as usize + 1];
            pixels[*score as usize] = 1;
            let (good_pixels, anomalous_pixels) = if defect.is_some() { (vec![], pixels) } else { (pixels, vec![]) };
            let path = format!("{}/{index}.png", defect.unwrap_or("good"));
            ImageScore { path, defect: defect.map(Into::into), score: *score, good_pixels, anomalous_pixels }
        };
        let good = good.iter().enumerate().map(|it| image(it, None));
        good.chain(anomalous.iter().enumerate().map(|it| image(it, Some("dent")))).collect()
    }

    /// Good 0 1 2 3, anomalous 2 4: pairs won 3 of 4 with a tie, and all 4; F1 4/5 above 1 and above 3 it is 2/3.
    #[test]
    fn figures_equal_those_worked_out_by_hand() {
        let scores = scores(&[0.0, 1.0, 2.0, 3.0], &[2.0, 4.0]);
        let paths = |from: std::ops::Range<usize>| scores[from].iter().map(|image| image.path.as_str());
        let places = [paths(0..4), paths(4..6)].map(|paths| paths.enumerate().map(|(i, path)| (path, i)).collect());
        let ranked = Ranked::new(&scores, &places);
        let [auroc, f1, pixel_auroc, pixel_f1] = ranked.figures(&[vec![1.0; 4], vec![1.0; 2]]).map(Option::unwrap);
        assert!((auroc - (2.5 + 4.0) / 8.0).abs() < 1e-12 && (f1 - 2.0 * 2.0 / (2.0 + 2.0 + 2.0)).abs() < 1e-12, "{auroc} {f1}");
        assert_eq!((pixel_auroc, pixel_f1), (auroc, f1));
        // The image that scores 3 left out, the one that scores 4 counted twice.
        let figures = ranked.figures(&[vec![1.0, 1.0, 1.0, 0.0], vec![1.0, 2.0]]).map(Option::unwrap);
        assert!((figures[0] - (2.5 + 6.0) / 9.0).abs() < 1e-12 && (figures[1] - 6.0 / 7.0).abs() < 1e-12, "{figures:?}");
    }

    #[test]
    fn the_interval_tells_a_gain_from_chance() {
        let noise = |i: usize, period: usize| ((i * 37) % period) as f32;
        let good: Vec<f32> = (0..60).map(|i| noise(i, 61)).collect();
        let reference: Vec<f32> = (0..60).map(|i| 30.0 + noise(i, 53)).collect();
        let better: Vec<f32> = reference.iter().map(|score| score + 20.0).collect();
        let of = |anomalous: &[f32]| scores(&good, anomalous);
        let compared = |a: &[f32], b: &[f32]| compare(&[(of(a), of(b)), (of(a), of(b))]).unwrap().map(Option::unwrap);
        let same = compared(&reference, &reference);
        assert!(same.iter().all(|it| (it.mean, it.interval, it.conclusion()) == (0.0, (0.0, 0.0), "not below")));
        let gain = compared(&reference, &better);
        assert!(gain[0].interval.0 > 0.0 && gain[0].interval.0 < gain[0].mean && gain[0].mean < gain[0].interval.1, "{gain:?}");
        assert!(compared(&better, &reference).iter().all(|it| it.conclusion() == "below"));
        // A few images that swap places prove nothing.
        let mut shuffled = reference.clone();
        shuffled.swap(3, 40);
        shuffled[7] -= 25.0;
        assert_eq!(compared(&reference, &shuffled)[0].conclusion(), "open");
    }

    #[test]
    fn systems_must_have_seen_the_same_images() {
        assert!(compare(&[(scores(&[0.0], &[1.0]), scores(&[0.0], &[1.0, 2.0]))]).is_err());
        let mut unmasked = scores(&[0.0, 1.0], &[1.0, 2.0]);
        unmasked.iter_mut().for_each(|image| (image.good_pixels, image.anomalous_pixels) = (vec![], vec![]));
        let [auroc, _, pixel_auroc, _] = compare(&[(unmasked.clone(), unmasked)]).unwrap();
        assert!(auroc.is_some() && pixel_auroc.is_none());
    }
}
