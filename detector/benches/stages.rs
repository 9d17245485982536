//! The stages of a frame on the CPU besides the network: `cargo xtask bench stages`.
//!
//! The bank is not learned but computed: noisy points on a curved sheet. The search's bounds rule out about as many of them as of real
//! descriptors.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use detector::Result;
use detector::bank::{MemoryBank, Quantisation, kernels};
use detector::descriptor::{FeatureMap, PatchDescriptor};
use detector::engine::Engine;
use detector::map::Smoothing;
use detector::picture::Colour;
use detector::preprocess::{IMAGENET_MEAN, IMAGENET_STD, Preparer, Preprocess, Resize, Size};
use detector::scorer::{PatchScorer, ScoreRule, Scorer};
use image::RgbImage;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// ResNet-18's descriptors.
const DIMS: usize = 384;
/// Patches of a frame of 256 px.
const PATCHES: usize = 32 * 32;
/// Directions along which the sheet bends.
const BENDS: usize = 24;

/// `len` points near a sheet that `position` (0..1, 0..1) runs over.
fn points(rng: &mut StdRng, positions: impl Iterator<Item = (f32, f32)>) -> Vec<f32> {
    let mut shape = StdRng::seed_from_u64(7);
    let waves: Vec<[f32; 3]> =
        (0..BENDS).map(|k| [shape.random_range(0.5..4.0), shape.random_range(0.5..4.0), 1.0 / (1.0 + k as f32)]).collect();
    let directions: Vec<f32> = (0..BENDS * DIMS).map(|_| shape.random_range(-1.0..1.0)).collect();
    let mut values = Vec::new();
    for (u, v) in positions {
        let mut point: Vec<f32> = (0..DIMS).map(|_| rng.random_range(-0.05..0.05)).collect();
        for ([a, b, size], direction) in waves.iter().zip(directions.chunks_exact(DIMS)) {
            let share = size * (6.3 * (a * u + b * v)).sin();
            point.iter_mut().zip(direction).for_each(|(value, direction)| *value += share * direction);
        }
        values.extend(point);
    }
    values
}

fn search(criterion: &mut Criterion) {
    let mut rng = StdRng::seed_from_u64(1);
    let grid = (0..PATCHES).map(|i| ((i % 32) as f32 / 32.0, (i / 32) as f32 / 32.0));
    let queries = points(&mut rng, grid);
    let mut group = criterion.benchmark_group("search");
    group.throughput(Throughput::Elements(PATCHES as u64));
    for len in [2_140, 21_400] {
        let positions: Vec<(f32, f32)> = (0..len).map(|_| (rng.random_range(0.0..1.0), rng.random_range(0.0..1.0))).collect();
        let bank = MemoryBank::new(&points(&mut rng, positions.into_iter()), DIMS, Quantisation::Int8).expect("a bank");
        for kernel in kernels() {
            group.bench_function(BenchmarkId::new(kernel.name, len), |bencher| {
                bencher.iter(|| bank.nearest_with(black_box(&queries), 32, kernel));
            });
        }
    }
}

fn describe(criterion: &mut Criterion) {
    let mut rng = StdRng::seed_from_u64(2);
    let mut map = |channels: usize, side: usize| {
        let values = (0..channels * side * side).map(|_| rng.random_range(0.0..2.0)).collect();
        FeatureMap { channels, height: side, width: side, values }
    };
    let layers = [map(128, 32), map(256, 16)];
    criterion.bench_function("describe", |bencher| bencher.iter(|| PatchDescriptor::Concat.describe(black_box(&layers))));
}

fn rule(resize: Resize) -> Preprocess {
    let size = Size { height: 256, width: 256 };
    let (colour, mean, std) = (Colour::Rgb, IMAGENET_MEAN, IMAGENET_STD);
    Preprocess { colour, region: None, size, resize, crop: None, mean, std }
}

fn preprocess(criterion: &mut Criterion) {
    let mut rng = StdRng::seed_from_u64(3);
    let picture = RgbImage::from_fn(1280, 960, |_, _| image::Rgb(std::array::from_fn(|_| rng.random())));
    let stretch = rule(Resize::Stretch);
    let prepared = stretch.prepare(&picture).expect("a picture");
    criterion.bench_function("resize", |bencher| bencher.iter(|| stretch.prepare(black_box(&picture))));
    criterion.bench_function("normalise", |bencher| bencher.iter(|| stretch.normalise(black_box(&prepared.pixels))));
    // From the picture to the network's input, as on a line: one frame after the other, in memory that is kept.
    let mut group = criterion.benchmark_group("preprocess");
    for (name, resize) in [("stretch", Resize::Stretch), ("letterbox", Resize::Letterbox)] {
        let mut preparer = Preparer::new(rule(resize));
        group.bench_function(name, |bencher| bencher.iter(|| preparer.prepare(black_box(&picture)).expect("a picture")));
    }
}

/// A network that gives the same features for every image.
struct Still(Vec<FeatureMap>);

impl Engine for Still {
    fn name(&self) -> &'static str {
        "still"
    }

    fn run(&mut self, _: &[f32]) -> Result<Vec<FeatureMap>> {
        Ok(self.0.clone())
    }
}

/// From features to a score, and to a score map where somebody asks for one.
fn after_backbone(criterion: &mut Criterion) {
    let mut rng = StdRng::seed_from_u64(4);
    let grid = |side: usize| (0..side * side).map(move |i| ((i % side) as f32 / side as f32, (i / side) as f32 / side as f32));
    // Points are rows, feature maps have a plane for each value.
    let mut layer = |first: usize, channels: usize, side: usize| {
        let rows = points(&mut rng, grid(side));
        let value = |i: usize| rows[i % (side * side) * DIMS + first + i / (side * side)];
        FeatureMap { channels, height: side, width: side, values: (0..channels * side * side).map(value).collect() }
    };
    let layers = vec![layer(0, 128, 32), layer(128, 256, 16)];
    let positions: Vec<(f32, f32)> = (0..2_140).map(|_| (rng.random_range(0.0..1.0), rng.random_range(0.0..1.0))).collect();
    let bank = MemoryBank::new(&points(&mut rng, positions.into_iter()), DIMS, Quantisation::Int8).expect("a bank");
    let score_rule = ScoreRule { smoothing: Smoothing::default(), defects: None, places: None };
    let mut scorer = PatchScorer::new(Still(layers), rule(Resize::Stretch), PatchDescriptor::Concat, bank, score_rule);
    let picture = RgbImage::from_pixel(256, 256, image::Rgb([100; 3]));
    let prepared = rule(Resize::Stretch).prepare(&picture).expect("a picture");
    let (mut extractor, features) = scorer.stages();
    let mut group = criterion.benchmark_group("after_backbone");
    for (name, with_map) in [("score", false), ("score_and_map", true)] {
        group.bench_function(name, |bencher| {
            let extract = || extractor.extract_prepared(&prepared).expect("features");
            bencher.iter_batched(
                extract,
                |extracted| {
                    let scored = features.score(extracted).expect("a score");
                    (scored.score, with_map.then(|| scored.map()))
                },
                BatchSize::PerIteration,
            );
        });
    }
}

fn stages() -> Criterion {
    Criterion::default().noise_threshold(0.03).without_plots()
}

criterion_group! { name = benches; config = stages(); targets = search, describe, preprocess, after_backbone }
criterion_main!(benches);
