//! Simulated defects on good images: ragged patches of another texture, as in DRAEM (Zavrtanik et al., arXiv 2108.07610), with the
//! textures taken from the product's own good images instead of a foreign data set.

use image::RgbImage;
use rand::Rng;

use super::augment::{Example, blend};

/// Sides of the window that holds a defect, as shares of the image.
const WINDOW: std::ops::Range<f64> = 0.06..0.5;
/// Cells of the noise along one side of the window.
const CELLS: std::ops::RangeInclusive<usize> = 2..=8;
/// Share of the window that the defect fills.
const FILLED: std::ops::Range<f64> = 0.1..0.6;
/// Opacity of the defect over the good image.
const OPACITY: std::ops::Range<f64> = 0.3..1.0;
/// Factor of the texture's colours.
const CONTRAST: std::ops::Range<f64> = 0.4..1.6;
/// Summand of the texture's colours, as a share of the full range.
const BRIGHTNESS: std::ops::Range<f64> = -0.3..0.3;

/// A simulated defect on a good example. Its texture is `other`, shifted, turned and in other colours.
pub fn simulate(good: &Example, other: &Example, random: &mut impl Rng) -> Example {
    let (width, height) = good.pixels.dimensions();
    let mask = blot(width, height, random);
    let (shift_x, shift_y) = (random.random_range(0..width), random.random_range(0..height));
    let turn = random.random_range(0..4u8);
    let colours: [(f64, f64); 3] =
        std::array::from_fn(|_| (random.random_range(CONTRAST), random.random_range(BRIGHTNESS) * 255.0));
    let texture = RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = match turn {
            0 => (x, y),
            1 => (y, x),
            2 => (width - 1 - x, height - 1 - y),
            _ => (height - 1 - y, width - 1 - x),
        };
        let pixel = other.pixels.get_pixel((x + shift_x) % width, (y + shift_y) % height);
        image::Rgb(std::array::from_fn(|c| {
            let (contrast, brightness) = colours[c];
            (f64::from(pixel.0[c]) * contrast + brightness).round().clamp(0.0, 255.0) as u8
        }))
    });
    blend(&texture, &mask, random.random_range(OPACITY), good)
}

/// Mask of a ragged spot: smooth noise in a window, cut at a level that leaves a part of the window. Never empty.
fn blot(width: u32, height: u32, random: &mut impl Rng) -> Vec<bool> {
    let mut side = |length: u32| ((f64::from(length) * random.random_range(WINDOW)) as u32).clamp(4, length);
    let (wide, high) = (side(width), side(height));
    let (left, top) = (random.random_range(0..=width - wide), random.random_range(0..=height - high));
    let cells = random.random_range(CELLS);
    let corners: Vec<f64> = (0..(cells + 1) * (cells + 1)).map(|_| random.random()).collect();
    let noise = |x: u32, y: u32| {
        let at = |position: u32, length: u32| {
            let at = (f64::from(position) + 0.5) / f64::from(length) * cells as f64;
            let low = (at as usize).min(cells - 1);
            // A smooth step hides the grid of the noise.
            let t = at - low as f64;
            (low, t * t * (3.0 - 2.0 * t))
        };
        let ((column, h), (row, v)) = (at(x, wide), at(y, high));
        let corner = |dy: usize, dx: usize| corners[(row + dy) * (cells + 1) + column + dx];
        let upper = corner(0, 0) * (1.0 - h) + corner(0, 1) * h;
        let lower = corner(1, 0) * (1.0 - h) + corner(1, 1) * h;
        upper * (1.0 - v) + lower * v
    };
    let field: Vec<f64> = (0..high).flat_map(|y| (0..wide).map(move |x| (x, y))).map(|(x, y)| noise(x, y)).collect();
    let mut sorted = field.clone();
    sorted.sort_by(f64::total_cmp);
    let filled = random.random_range(FILLED);
    let level = sorted[(((1.0 - filled) * sorted.len() as f64) as usize).min(sorted.len() - 1)];
    let mut mask = vec![false; width as usize * height as usize];
    for (i, value) in field.into_iter().enumerate() {
        let (x, y) = (left + i as u32 % wide, top + i as u32 / wide);
        mask[y as usize * width as usize + x as usize] = value >= level;
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn a_simulated_defect_changes_the_image_where_its_mask_is_and_nowhere_else() {
        let flat = |value: u8| Example {
            pixels: RgbImage::from_pixel(96, 64, image::Rgb([value; 3])),
            mask: Some(vec![false; 96 * 64]),
            anomalous: false,
        };
        let (good, other) = (flat(90), flat(200));
        for seed in 0..50 {
            let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            let made = simulate(&good, &other, &mut random);
            let mask = made.mask.unwrap();
            let share = mask.iter().filter(|inside| **inside).count() as f64 / mask.len() as f64;
            assert!(made.anomalous && share > 0.0 && share < 0.2, "{share}");
            for (i, pixel) in made.pixels.pixels().enumerate() {
                let (x, y) = (i % 96, i / 96);
                let near = (y.saturating_sub(1)..(y + 2).min(64))
                    .any(|y| (x.saturating_sub(1)..(x + 2).min(96)).any(|x| mask[y * 96 + x]));
                assert!(near || pixel.0 == [90; 3], "changed outside at {x} {y}");
            }
        }
    }
}
