use super::keys::{key, score};
use super::*;
use proptest::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Golden {
    images: Vec<ImageCase>,
    pixels: Vec<PixelCase>,
}

#[derive(Deserialize)]
struct ImageCase {
    name: String,
    scores: Vec<f32>,
    anomalous: Vec<u8>,
    auroc: f64,
    f1: f64,
    roc: Roc,
    threshold: f32,
    false_reject_rate: f64,
    miss_rate: f64,
}

#[derive(Deserialize)]
struct Roc {
    fpr: Vec<f64>,
    tpr: Vec<f64>,
}

#[derive(Deserialize)]
struct PixelCase {
    name: String,
    width: usize,
    height: usize,
    maps: Vec<Vec<f32>>,
    masks: Vec<String>,
    auroc: f64,
    f1: f64,
    regions: usize,
    aupro: BTreeMap<String, f64>,
}

/// Written by `tests/golden/metrics.py` with scikit-learn and scipy.
fn golden() -> Golden {
    serde_json::from_str(include_str!("../../tests/golden/metrics.json")).unwrap()
}

fn assert_close(name: &str, ours: f64, theirs: f64) {
    assert!((ours - theirs).abs() < 1e-12, "{name}: {ours}, golden {theirs}");
}

#[test]
fn image_figures_equal_scikit_learn() {
    let cases = golden().images;
    assert_eq!(cases.len(), 5);
    for case in cases {
        let anomalous: Vec<bool> = case.anomalous.iter().map(|&a| a == 1).collect();
        let ranking = Ranking::new(&case.scores, &anomalous).unwrap();
        assert_close(&case.name, ranking.auroc().unwrap(), case.auroc);
        let best = ranking.best_f1().unwrap();
        assert_close(&case.name, best.f1, case.f1);
        assert_close(&case.name, ranking.at(best.threshold).f1().unwrap(), case.f1);
        let decisions = ranking.at(case.threshold);
        assert_close(&case.name, decisions.false_reject_rate().unwrap(), case.false_reject_rate);
        assert_close(&case.name, decisions.miss_rate().unwrap(), case.miss_rate);
        // scikit-learn leaves out fewer of the points on a line, so compare the curves and not the lists.
        let curve = ranking.roc_curve();
        for (&fpr, &tpr) in case.roc.fpr.iter().zip(&case.roc.tpr) {
            assert!(on_curve(&curve, fpr, tpr), "{}: ({fpr}, {tpr}) is not on {curve:?}", case.name);
        }
        for point in &curve {
            let on_theirs = case.roc.fpr.iter().zip(&case.roc.tpr);
            let found = on_theirs
                .into_iter()
                .any(|(&x, &y)| (x - point.false_positive_rate).abs() < 1e-12 && (y - point.true_positive_rate).abs() < 1e-12);
            assert!(found, "{}: {point:?} is no corner of the golden curve", case.name);
        }
    }
}

fn on_curve(curve: &[RocPoint], x: f64, y: f64) -> bool {
    curve.windows(2).any(|ends| {
        let (x0, y0) = (ends[0].false_positive_rate, ends[0].true_positive_rate);
        let (x1, y1) = (ends[1].false_positive_rate, ends[1].true_positive_rate);
        let inside = x >= x0 - 1e-12 && x <= x1 + 1e-12 && y >= y0 - 1e-12 && y <= y1 + 1e-12;
        inside && ((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)).abs() < 1e-12
    })
}

#[test]
fn pixel_figures_equal_the_references() {
    let cases = golden().pixels;
    assert_eq!(cases.len(), 3);
    for case in cases {
        let mut scores = PixelScores::default();
        let mut regions = 0;
        for (map, mask) in case.maps.iter().zip(&case.masks) {
            assert_eq!(map.len(), case.width * case.height);
            let mask: Vec<bool> = mask.bytes().map(|b| b == b'#').collect();
            regions += Regions::of(&mask, case.width).unwrap().areas.len();
            let mask = mask.contains(&true).then_some(mask.as_slice());
            scores.add(map, mask, case.width).unwrap();
        }
        assert_eq!(regions, case.regions, "{}", case.name);
        let ranking = scores.rank();
        assert_close(&case.name, ranking.pixels().auroc().unwrap(), case.auroc);
        assert_close(&case.name, ranking.pixels().best_f1().unwrap().f1, case.f1);
        assert_eq!(case.aupro.len(), 3);
        for (limit, &theirs) in &case.aupro {
            assert_close(&case.name, ranking.aupro(limit.parse().unwrap()).unwrap().unwrap(), theirs);
        }
    }
}

#[test]
fn a_missing_class_gives_none() {
    let good = Ranking::new(&[1.0, 2.0], &[false; 2]).unwrap();
    assert_eq!((good.auroc(), good.best_f1(), good.roc_curve()), (None, None, vec![]));
    assert_eq!((good.at(1.0).false_reject_rate(), good.at(2.0).false_reject_rate()), (Some(0.5), Some(0.0)));
    assert_eq!((good.at(2.0).miss_rate(), good.at(2.0).f1()), (None, None));
    let anomalous = Ranking::new(&[1.0, 2.0], &[true; 2]).unwrap();
    assert_eq!(anomalous.auroc(), None);
    assert_eq!(anomalous.best_f1(), Some(BestF1 { f1: 1.0, threshold: f32::NEG_INFINITY }));
    assert_eq!(PixelScores::default().rank().aupro(0.3), Ok(None));
    let mut only_good = PixelScores::default();
    only_good.add(&[1.0], None, 1).unwrap();
    assert_eq!(only_good.rank().aupro(0.3), Ok(None));
}

#[test]
fn bad_input_is_a_typed_error() {
    let nan = MetricsError::NanScore { index: 1 };
    assert_eq!(Ranking::new(&[0.0, f32::NAN], &[true, false]).unwrap_err(), nan);
    assert!(matches!(Ranking::new(&[0.0], &[]), Err(MetricsError::Length { found: 0, expected: 1, .. })));
    let mut scores = PixelScores::default();
    assert_eq!(scores.add(&[0.0, f32::NAN], None, 2).unwrap_err(), nan);
    assert!(matches!(scores.add(&[0.0; 3], None, 2), Err(MetricsError::Length { found: 3, expected: 2, .. })));
    assert!(matches!(scores.add(&[0.0; 2], None, 0), Err(MetricsError::Length { .. })));
    assert!(matches!(scores.add(&[0.0; 4], Some(&[true; 2]), 2), Err(MetricsError::Length { what: "mask", .. })));
    assert_eq!((scores.clone().rank().pixels().good(), scores.clone().rank().pixels().anomalous()), (0, 0));
    for limit in [0.0, -0.1, 1.1, f64::NAN] {
        assert!(matches!(scores.clone().rank().aupro(limit), Err(MetricsError::FprLimit(_))));
    }
}

#[test]
fn infinities_and_signed_zeros_rank() {
    let ranking = Ranking::new(&[f32::INFINITY, 0.0, -0.0, f32::NEG_INFINITY], &[true, true, false, false]).unwrap();
    assert_eq!(ranking.auroc(), Some(0.875));
    assert_eq!(ranking.at(-0.0), ranking.at(0.0));
    assert_eq!(ranking.at(f32::NAN), Decisions { passed: 2, missed: 2, ..Decisions::default() });
}

/// Few distinct scores, so that ties are common.
fn scored() -> impl Strategy<Value = (Vec<f32>, Vec<bool>)> {
    prop::collection::vec((-6i8..6, any::<bool>()), 2..60)
        .prop_map(|pairs| pairs.into_iter().map(|(s, a)| (f32::from(s) / 4.0, a)).unzip())
}

fn naive_auroc(scores: &[f32], anomalous: &[bool]) -> Option<f64> {
    let (mut won, mut pairs) = (0.0, 0.0);
    for (&a, _) in scores.iter().zip(anomalous).filter(|&(_, &t)| t) {
        for (&g, _) in scores.iter().zip(anomalous).filter(|&(_, &t)| !t) {
            pairs += 1.0;
            won += if a > g { 1.0 } else { f64::from(u8::from(a == g)) * 0.5 };
        }
    }
    (pairs > 0.0).then(|| won / pairs)
}

/// Flood fill with an explicit stack.
fn naive_regions(mask: &[bool], width: usize) -> Vec<Option<u32>> {
    let mut of_pixel = vec![None; mask.len()];
    let mut count = 0;
    for start in 0..mask.len() {
        if !mask[start] || of_pixel[start].is_some() {
            continue;
        }
        let mut stack = vec![start];
        while let Some(i) = stack.pop() {
            if !mask[i] || of_pixel[i].replace(count).is_some() {
                continue;
            }
            let near = |j: usize| (i % width).abs_diff(j % width) <= 1 && (i / width).abs_diff(j / width) <= 1;
            stack.extend((0..mask.len()).filter(|&j| near(j) && of_pixel[j].is_none()));
        }
        count += 1;
    }
    of_pixel
}

/// Area and best F1 of binned scores, from their definitions.
fn figures_of_bins(good: &[u32], anomalous: &[u32]) -> (f64, f64) {
    let at = |counts: &[u32], i: usize| f64::from(counts.get(i).copied().unwrap_or(0));
    let (all_good, all_anomalous) = (good.iter().sum::<u32>(), anomalous.iter().sum::<u32>());
    let (mut below, mut passed, mut won, mut best) = (0.0, 0.0, 0.0, 0.0f64);
    for i in 0..good.len().max(anomalous.len()) {
        let (caught, rejected) = (f64::from(all_anomalous) - passed, f64::from(all_good) - below);
        best = best.max(2.0 * caught / (caught + rejected + f64::from(all_anomalous)));
        won += at(anomalous, i) * (below + at(good, i) / 2.0);
        (below, passed) = (below + at(good, i), passed + at(anomalous, i));
    }
    (won / below / passed, best)
}

#[test]
fn binned_scores_keep_the_figures() {
    // Anomalous ones are rare and overlap with the highest good ones, as pixels do.
    let spread = |i: u32, n: u32| (f64::from(i.wrapping_mul(2_654_435_761) % n) / f64::from(n)).powi(3) as f32;
    let good: Vec<f32> = (0..200_000).map(|i| spread(i, 200_003)).collect();
    let anomalous: Vec<f32> = (0..4_000).map(|i| 0.5 + spread(i, 4_001)).collect();
    let scores: Vec<f32> = good.iter().chain(&anomalous).copied().collect();
    let truth: Vec<bool> = (0..scores.len()).map(|i| i >= good.len()).collect();
    let ranking = Ranking::new(&scores, &truth).unwrap();
    let bins = Bins::between_quantiles(&ranking, 256);
    let (auroc, f1) = figures_of_bins(&bins.count(good), &bins.count(anomalous));
    assert!((auroc - ranking.auroc().unwrap()).abs() < 1e-4, "{auroc}");
    let exact = ranking.best_f1().unwrap().f1;
    assert!(f1 <= exact + 1e-12 && f1 > exact - 1e-3, "{f1} {exact}");
    assert_eq!(bins.count([f32::INFINITY]).iter().sum::<u32>(), 1, "nothing is lost above the last edge");
}

proptest! {
    #[test]
    fn auroc_equals_counting_pairs((scores, anomalous) in scored()) {
        let ours = Ranking::new(&scores, &anomalous).unwrap().auroc();
        prop_assert_eq!(ours.is_some(), naive_auroc(&scores, &anomalous).is_some());
        if let (Some(ours), Some(naive)) = (ours, naive_auroc(&scores, &anomalous)) {
            prop_assert!((ours - naive).abs() < 1e-12, "{} {}", ours, naive);
        }
    }

    #[test]
    fn a_monotone_transform_changes_nothing((scores, anomalous) in scored()) {
        let bent: Vec<f32> = scores.iter().map(|s| (s * 3.0).exp() - 7.0).collect();
        let (a, b) = (Ranking::new(&scores, &anomalous).unwrap(), Ranking::new(&bent, &anomalous).unwrap());
        prop_assert_eq!(a.auroc(), b.auroc());
        prop_assert_eq!(a.best_f1().map(|f| f.f1), b.best_f1().map(|f| f.f1));
        prop_assert_eq!(a.roc_curve().len(), b.roc_curve().len());
        let mut maps = [PixelScores::default(), PixelScores::default()];
        maps[0].add(&scores, Some(&anomalous), scores.len()).unwrap();
        maps[1].add(&bent, Some(&anomalous), bent.len()).unwrap();
        let [a, b] = maps.map(|m| m.rank().aupro(0.3).unwrap());
        prop_assert_eq!(a, b);
    }

    #[test]
    fn negated_scores_and_swapped_classes_mirror((scores, anomalous) in scored()) {
        let auroc = Ranking::new(&scores, &anomalous).unwrap().auroc();
        let negated: Vec<f32> = scores.iter().map(|s| -s).collect();
        let swapped: Vec<bool> = anomalous.iter().map(|a| !a).collect();
        if let Some(auroc) = auroc {
            let mirrored = Ranking::new(&negated, &anomalous).unwrap().auroc().unwrap();
            prop_assert!((auroc + mirrored - 1.0).abs() < 1e-12);
            prop_assert_eq!(Ranking::new(&negated, &swapped).unwrap().auroc(), Some(auroc));
        }
    }

    #[test]
    fn the_roc_curve_holds_the_auroc((scores, anomalous) in scored()) {
        let ranking = Ranking::new(&scores, &anomalous).unwrap();
        let curve = ranking.roc_curve();
        if let Some(auroc) = ranking.auroc() {
            let trapezoid = |e: &[RocPoint]| {
                (e[1].false_positive_rate - e[0].false_positive_rate) * (e[0].true_positive_rate + e[1].true_positive_rate) / 2.0
            };
            prop_assert!((curve.windows(2).map(trapezoid).sum::<f64>() - auroc).abs() < 1e-12);
            for point in &curve {
                let decisions = ranking.at(point.threshold);
                prop_assert_eq!(decisions.false_reject_rate(), Some(point.false_positive_rate));
                prop_assert!((decisions.miss_rate().unwrap() + point.true_positive_rate - 1.0).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn the_best_f1_is_that_of_the_best_threshold((scores, anomalous) in scored()) {
        let ranking = Ranking::new(&scores, &anomalous).unwrap();
        let thresholds = scores.iter().copied().chain([f32::NEG_INFINITY]);
        let all = thresholds.filter_map(|t| ranking.at(t).f1());
        prop_assert_eq!(ranking.best_f1().map(|b| b.f1), all.reduce(f64::max));
    }

    #[test]
    fn regions_equal_a_flood_fill(mask in prop::collection::vec(any::<bool>(), 0..80), width in 1usize..12) {
        let mask = &mask[..mask.len() / width * width];
        let regions = Regions::of(mask, width).unwrap();
        prop_assert_eq!(&regions.of_pixel, &naive_regions(mask, width));
        prop_assert_eq!(regions.areas.iter().sum::<u32>() as usize, mask.iter().filter(|&&m| m).count());
    }

    #[test]
    fn keys_keep_order_and_come_back(a in any::<f32>(), b in any::<f32>()) {
        prop_assume!(!a.is_nan() && !b.is_nan());
        prop_assert_eq!(a.partial_cmp(&b), Some(key(a).cmp(&key(b))));
        prop_assert_eq!(score(key(a)), a);
    }
}
