use super::*;
use crate::Result;
use crate::bank::{MemoryBank, Quantisation};
use crate::descriptor::{FeatureMap, PatchDescriptor};
use crate::engine::Engine;
use crate::map::Smoothing;
use crate::picture::{Colour, Picture};
use crate::preprocess::{Prepared, Preprocess, Rect, Resize, Size};

/// The mean of 8x8 blocks of the red channel.
struct Blocks;

impl Engine for Blocks {
    fn name(&self) -> &'static str {
        "blocks"
    }

    fn run(&mut self, input: &[f32]) -> Result<Vec<FeatureMap>> {
        let block = |i: usize| {
            let (y, x) = (i / 8 * 8, i % 8 * 8);
            (0..64).map(|j| input[(y + j / 8) * 64 + x + j % 8]).sum::<f32>() / 64.0
        };
        Ok(vec![FeatureMap { channels: 1, height: 8, width: 8, values: (0..64).map(block).collect() }])
    }
}

fn distances_alone(neighbourhood: usize) -> ScoreRule {
    ScoreRule { smoothing: Smoothing { sigma: 0.0, neighbourhood }, defects: None, places: None }
}

fn scorer(resize: Resize) -> PatchScorer<Blocks> {
    let size = Size { height: 64, width: 64 };
    let (mean, std) = ([0.0; 3], [1.0 / 255.0; 3]);
    let preprocess = Preprocess { colour: Colour::Rgb, region: None, size, resize, crop: None, mean, std };
    // A flat picture of 100, as the 3x3 mean sees it inside, at an edge and in a corner.
    let bank = MemoryBank::new(&[100.0, 600.0 / 9.0, 400.0 / 9.0], 1, Quantisation::F32).unwrap();
    PatchScorer::new(Blocks, preprocess, PatchDescriptor::Concat, bank, distances_alone(1))
}

#[test]
fn a_bright_spot_is_found_where_it_is() {
    let mut pixels = image::RgbImage::from_pixel(64, 64, image::Rgb([100; 3]));
    (0..64).for_each(|i| pixels.put_pixel(40 + i % 8, 16 + i / 8, image::Rgb([190; 3])));
    let scored = scorer(Resize::Stretch).score(&Picture { pixels, colour: Colour::Rgb }).unwrap();
    let map = scored.map().values;
    let brightest = (0..64 * 64).max_by(|a, b| map[*a].total_cmp(&map[*b])).unwrap();
    let (y, x) = (brightest / 64, brightest % 64);
    // The spot is one block, and the 3x3 mean spreads it evenly over its neighbours.
    assert!((8..32).contains(&y) && (32..56).contains(&x), "{y} {x}");
    assert!((scored.score - 10.0).abs() < 0.1, "a ninth of 90: {}", scored.score);
}

#[test]
fn known_defects_add_to_the_distance_and_never_take_from_it() {
    let shares = [-200.0, 0.0, 4.0, 200.0].map(|logit| KnownDefects { weight: 0.5, map: None }.share(logit));
    let expected = [0.0, 0.5 * 2f32.ln(), 0.5 * (1.0 + 4f32.exp()).ln(), 100.0];
    shares.iter().zip(expected).for_each(|(found, expected)| assert!((found - expected).abs() < 1e-5, "{shares:?}"));
}

#[test]
fn padding_is_never_scored() {
    let pixels = image::RgbImage::from_pixel(64, 32, image::Rgb([100; 3]));
    let scored = scorer(Resize::Letterbox).score(&Picture { pixels, colour: Colour::Rgb }).unwrap();
    // Rows next to the padding look like an edge; the first row of padding itself is off by 100/9.
    assert!(scored.score < 1.0, "{}", scored.score);
    assert_eq!(scored.map().content, Rect { x: 0, y: 16, width: 64, height: 32 });
}

#[test]
fn inside_is_never_empty() {
    let sliver = Inside::new((8, 8), (64, 64), Rect { x: 0, y: 31, width: 64, height: 1 });
    assert_eq!(sliver.indices().count(), 8);
    let all = Inside::new((8, 8), (64, 64), Rect { x: 0, y: 0, width: 64, height: 64 });
    assert_eq!(all.indices().count(), 64);
}

/// A lone high distance is shared with its neighbours; at the border and beside padding fewer share it.
#[test]
fn neighbours_inside_share_their_distances() {
    let all = Inside::new((4, 4), (32, 32), Rect { x: 0, y: 0, width: 32, height: 32 });
    let mut distances = vec![1.0; 16];
    distances[5] = 10.0;
    let means = all.means(&distances, 1);
    assert_eq!((means[0], means[1], means[5], means[15]), (13.0 / 4.0, 15.0 / 6.0, 2.0, 1.0));
    // Only rows 1 and 2 show the picture: what lies above and below has no say and is not touched.
    let middle = Inside::new((4, 4), (32, 32), Rect { x: 0, y: 8, width: 32, height: 16 });
    distances[1] = 1000.0;
    let means = middle.means(&distances, 1);
    assert_eq!((means[1], means[5], means[8]), (1000.0, 15.0 / 6.0, 13.0 / 4.0));
}

/// A graph with the bank inside; the outputs are given.
struct Fused(Vec<FeatureMap>);

impl Engine for Fused {
    fn name(&self) -> &'static str {
        "fused"
    }

    fn run(&mut self, _: &[f32]) -> Result<Vec<FeatureMap>> {
        Ok(self.0.clone())
    }
}

#[test]
fn a_fused_graphs_logits_join_its_smoothed_distances() {
    let map = |values: Vec<f32>| FeatureMap { channels: 1, height: 2, width: 2, values };
    let (distances, logits) = (map(vec![1.0, 2.0, 3.0, 6.0]), map(vec![0.0, 4.0, -200.0, -200.0]));
    let preprocess = scorer(Resize::Stretch).preprocess().clone();
    let pixels = image::RgbImage::new(64, 64);
    let prepared = Prepared { pixels, content: Rect { x: 0, y: 0, width: 64, height: 64 } };
    let score = |outputs: &[&FeatureMap], neighbourhood, defects| {
        let engine = Fused(outputs.iter().map(|map| (*map).clone()).collect());
        let rule = ScoreRule { defects, ..distances_alone(neighbourhood) };
        FusedScorer::new(engine, preprocess.clone(), rule).score_prepared(&prepared).map(|scored| scored.score)
    };
    let known = Some(KnownDefects { weight: 0.5, map: None });
    assert_eq!(score(&[&distances], 1, None).unwrap(), 6.0);
    let expected = 3.0 + 0.5 * (1.0 + 4f32.exp()).ln();
    assert!((score(&[&distances, &logits], 3, known).unwrap() - expected).abs() < 1e-5);
    assert!(score(&[&distances], 3, known).unwrap_err().to_string().contains("defect logits"));
    for broken in [f32::NAN, f32::INFINITY] {
        let values = map(vec![0.0, 0.0, broken, 0.0]);
        assert!(score(&[&values, &logits], 3, known).unwrap_err().to_string().contains("no finite numbers"));
        assert!(score(&[&distances, &values], 3, known).unwrap_err().to_string().contains("no finite numbers"));
    }
}

/// What good parts have at a place is taken off the image's score, and stays in the map.
#[test]
fn what_good_parts_have_at_a_place_does_not_count() {
    let all = || Inside::new((2, 2), (16, 16), Rect { x: 0, y: 0, width: 16, height: 16 });
    let terms = |logits: Vec<f32>| {
        Terms::new(vec![1.0, 2.0, 3.0, 6.0], logits, ((2, 2), all()), Smoothing { sigma: 0.0, neighbourhood: 1 }).unwrap()
    };
    let places = |grid, values: &[f32]| Some(std::sync::Arc::new(Places::new(grid, values.to_vec()).unwrap()));
    let rule = ScoreRule { places: places((2, 2), &[-1.0, -1.0, -1.5, 3.5]), ..distances_alone(1) };
    assert_eq!(rule.score(&terms(vec![])).unwrap(), 4.5, "the third patch: 3 + 1.5");
    assert_eq!(rule.patches(&terms(vec![])).unwrap(), [1.0, 2.0, 3.0, 6.0]);
    let rule = ScoreRule { defects: Some(KnownDefects { weight: 0.5, map: None }), ..rule };
    assert_eq!(rule.score(&terms(vec![-200.0, 200.0, -200.0, -200.0])).unwrap(), 103.0, "the second: 2 + 1 + 100");
    assert_eq!(rule.patches(&terms(vec![-200.0, 200.0, -200.0, -200.0])).unwrap()[1], 102.0);
    // The map may count logits earlier and otherwise.
    let map = Some(MapShare { weight: 2.0, lead: 100.0, offset: 5.0 });
    let rule = ScoreRule { defects: Some(KnownDefects { weight: 0.5, map }), ..rule };
    assert_eq!(rule.score(&terms(vec![-200.0, 200.0, -200.0, -200.0])).unwrap(), 103.0);
    assert_eq!(rule.patches(&terms(vec![-200.0, 200.0, -50.0, -200.0])).unwrap(), [-4.0, 597.0, 98.0, 1.0]);
    let infinite = KnownDefects { weight: 0.5, map: Some(MapShare { weight: 1.0, lead: f32::INFINITY, offset: 0.0 }) };
    assert!(KnownDefects::validate(Some(infinite), Some(8)).unwrap_err().to_string().contains("defects.map"));
    let rule = ScoreRule { places: places((1, 4), &[0.0; 4]), ..distances_alone(1) };
    assert!(rule.score(&terms(vec![])).unwrap_err().to_string().contains("2 x 2 patches"));
}

/// Scores of 9 or 10 are near one of the thresholds; the second network sees everything twice as bright.
#[test]
fn near_the_threshold_another_network_decides() {
    struct Bright;
    impl Engine for Bright {
        fn name(&self) -> &'static str {
            "bright"
        }

        fn run(&mut self, input: &[f32]) -> Result<Vec<FeatureMap>> {
            Blocks.run(&input.iter().map(|value| 2.0 * value - 100.0).collect::<Vec<_>>())
        }
    }
    let mut pixels = image::RgbImage::from_pixel(64, 64, image::Rgb([100; 3]));
    (0..64).for_each(|i| pixels.put_pixel(40 + i % 8, 16 + i / 8, image::Rgb([190; 3])));
    let picture = Picture { pixels, colour: Colour::Rgb };
    let second = SecondLook { engine: Box::new(Bright), share: 0.02, threshold: 10.1 };
    let mut scorer = scorer(Resize::Stretch).with_second_look(second);
    let mut judged = |threshold: Option<f32>| {
        let (mut extractor, scorer) = scorer.stages();
        let features = extractor.extract(&picture).unwrap();
        scorer.score(if let Some(threshold) = threshold { features.with_threshold(threshold) } else { features }).unwrap()
    };
    let near = judged(None);
    assert!((near.score - 20.0).abs() < 0.1, "{}", near.score);
    assert!(near.map().values.iter().fold(0.0f32, |most, value| most.max(*value)) > 15.0);
    for (threshold, expected) in [(10.15, 20.0), (9.9, 20.0), (10.3, 10.0), (9.7, 10.0), (20.0, 10.0), (f32::NAN, 10.0)] {
        let found = judged(Some(threshold)).score;
        assert!((found - expected).abs() < 0.1, "{threshold}: {found}");
    }
}
