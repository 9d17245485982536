//! Pictures of a brushed disc on a dark ground; the defect is a dark spot.

use std::fs;
use std::path::Path;

use image::{GrayImage, Luma, Rgb, RgbImage};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Side of a picture in pixels.
pub const SIDE: u32 = 96;
/// Good images to learn from.
pub const TRAIN: u64 = 44;
/// Test images of each kind.
pub const TEST: u64 = 16;
const RADIUS: f32 = 36.0;

/// A good part.
pub fn good(seed: u64) -> RgbImage {
    part(seed, false).0
}

/// A part with a spot, and the spot's mask.
pub fn anomalous(seed: u64) -> (RgbImage, GrayImage) {
    part(seed, true)
}

/// Random pixels.
pub fn noise(seed: u64, width: u32, height: u32) -> RgbImage {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    RgbImage::from_fn(width, height, |_, _| Rgb(random.random()))
}

/// Writes a data set in MVTec's layout: [`TRAIN`] good images, [`TEST`] good and [`TEST`] anomalous ones with masks.
pub fn write_data(folder: &Path) {
    let places = ["train/good", "test/good", "test/spot", "ground_truth/spot"].map(|place| folder.join(place));
    places.iter().for_each(|place| fs::create_dir_all(place).expect("folder"));
    let [train, test, spot, truth] = places;
    (0..TRAIN).for_each(|i| good(i).save(train.join(format!("{i:03}.png"))).expect("picture"));
    for i in 0..TEST {
        good(1000 + i).save(test.join(format!("{i:03}.png"))).expect("picture");
        let (picture, mask) = anomalous(2000 + i);
        picture.save(spot.join(format!("{i:03}.png"))).expect("picture");
        mask.save(truth.join(format!("{i:03}_mask.png"))).expect("mask");
    }
}

fn part(seed: u64, with_spot: bool) -> (RgbImage, GrayImage) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut near = |value: f32, spread: f32| value + random.random_range(-spread..spread);
    let centre = (near(48.0, 1.5), near(48.0, 1.5));
    let (light, phase) = (near(150.0, 4.0), near(0.0, 3.0));
    let spot = (near(centre.0, 18.0), near(centre.1, 18.0));
    let size = near(7.0, 1.0);
    let inside = |x: u32, y: u32, at: (f32, f32), radius: f32| (x as f32 - at.0).hypot(y as f32 - at.1) < radius;
    let mask = |x, y| with_spot && inside(x, y, spot, size);
    let picture = RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let surface = match () {
            () if mask(x, y) => [45.0, 30.0, 25.0],
            () if inside(x, y, centre, RADIUS) => {
                let brushed = 8.0 * (y as f32 * 0.9 + phase).sin();
                [light + brushed, light + brushed, light + brushed + 8.0]
            }
            () => [60.0, 62.0, 66.0],
        };
        Rgb(surface.map(|value| near(value, 4.0).clamp(0.0, 255.0) as u8))
    });
    (picture, GrayImage::from_fn(SIDE, SIDE, |x, y| Luma([if mask(x, y) { 255 } else { 0 }])))
}
