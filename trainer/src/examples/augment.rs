//! Random variation of training images: mirroring, rotation, scale, shift, brightness and contrast; defects pasted on good images.

use image::RgbImage;
use rand::Rng;

use crate::recipe::Examples;

/// A network-size picture, and its mask if one is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Eight bits a channel.
    pub pixels: RgbImage,
    /// `[height, width]`, row-major, true where anomalous. All false for a good image; none for an anomalous image without a mask.
    pub mask: Option<Vec<bool>>,
    /// Whether it shows a defect.
    pub anomalous: bool,
}

impl Example {
    /// A good image.
    pub fn good(pixels: RgbImage) -> Example {
        let mask = Some(vec![false; (pixels.width() * pixels.height()) as usize]);
        Example { pixels, mask, anomalous: false }
    }
}

/// Largest change of scale.
const SCALE: f64 = 0.08;
/// Largest shift as a share of the side.
const SHIFT: f64 = 0.06;
/// Largest change of contrast, and of brightness as a share of the full range.
const LIGHT: f64 = 0.12;

/// A varied copy.
pub fn vary(example: &Example, choice: &Examples, random: &mut impl Rng) -> Example {
    let mut spread = |most: f64| random.random_range(-1.0..=1.0) * most;
    let angle = spread(choice.rotation).to_radians();
    let scale = 1.0 + spread(SCALE);
    let shift = (spread(SHIFT), spread(SHIFT));
    let contrast = 1.0 + spread(LIGHT);
    let brightness = spread(LIGHT) * 255.0;
    let mirror = if choice.flip { [random.random_bool(0.5), random.random_bool(0.5)] } else { [false; 2] };
    let (width, height) = example.pixels.dimensions();
    let centre = (f64::from(width - 1) / 2.0, f64::from(height - 1) / 2.0);
    let (sin, cos) = (angle.sin() / scale, angle.cos() / scale);
    // Where an output pixel comes from.
    let source = |x: u32, y: u32| {
        let flip = |at: u32, last: u32, mirrored: bool| f64::from(if mirrored { last - at } else { at });
        let dx = flip(x, width - 1, mirror[0]) - centre.0 - shift.0 * f64::from(width);
        let dy = flip(y, height - 1, mirror[1]) - centre.1 - shift.1 * f64::from(height);
        (centre.0 + cos * dx + sin * dy, centre.1 - sin * dx + cos * dy)
    };
    let light = |value: f64| ((value - 127.5) * contrast + 127.5 + brightness).round().clamp(0.0, 255.0) as u8;
    let pixels = RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = source(x, y);
        image::Rgb(bilinear(&example.pixels, x, y).map(light))
    });
    let mask = example.mask.as_ref().map(|mask| {
        let at = |i: u32| {
            let (x, y) = source(i % width, i / width);
            mask[nearest(y, height) * width as usize + nearest(x, width)]
        };
        (0..width * height).map(at).collect()
    });
    Example { pixels, mask, anomalous: example.anomalous }
}

/// The defect of an anomalous example, the donor, on a good example.
///
/// Returns the good example unchanged where the donor has no mask or its mask is empty after variation.
pub fn paste(donor: &Example, good: &Example) -> Example {
    match donor.mask.as_ref().filter(|mask| mask.contains(&true)) {
        Some(mask) => blend(&donor.pixels, mask, 1.0, good),
        None => good.clone(),
    }
}

/// Covers a good example with a picture where the mask is true. The border is softened over a pixel or two.
pub fn blend(over: &RgbImage, mask: &[bool], opacity: f64, good: &Example) -> Example {
    let mut pixels = good.pixels.clone();
    let (width, height) = (over.width() as usize, over.height() as usize);
    for (i, pixel) in pixels.pixels_mut().enumerate() {
        let (x, y) = (i % width, i / width);
        let neighbours = (y.saturating_sub(1)..(y + 2).min(height))
            .flat_map(|y| (x.saturating_sub(1)..(x + 2).min(width)).map(move |x| (x, y)));
        let (inside, all) =
            neighbours.fold((0u32, 0u32), |(inside, all), (x, y)| (inside + u32::from(mask[y * width + x]), all + 1));
        if inside > 0 {
            let share = f64::from(inside) / f64::from(all) * opacity;
            let from = over.as_raw()[i * 3..i * 3 + 3].iter();
            pixel.0.iter_mut().zip(from).for_each(|(to, from)| {
                *to = (f64::from(*to) * (1.0 - share) + f64::from(*from) * share).round() as u8;
            });
        }
    }
    Example { pixels, mask: Some(mask.to_vec()), anomalous: true }
}

fn nearest(at: f64, side: u32) -> usize {
    at.round().clamp(0.0, f64::from(side - 1)) as usize
}

/// Interpolated colour at a position; positions outside take the colour of the edge.
fn bilinear(pixels: &RgbImage, x: f64, y: f64) -> [f64; 3] {
    let (last_x, last_y) = (f64::from(pixels.width() - 1), f64::from(pixels.height() - 1));
    let (x, y) = (x.clamp(0.0, last_x), y.clamp(0.0, last_y));
    let (left, top) = (x.floor() as u32, y.floor() as u32);
    let (right, bottom) = ((left + 1).min(pixels.width() - 1), (top + 1).min(pixels.height() - 1));
    let (h, v) = (x - f64::from(left), y - f64::from(top));
    let at = |x: u32, y: u32, channel: usize| f64::from(pixels.get_pixel(x, y).0[channel]);
    std::array::from_fn(|c| {
        let upper = at(left, top, c) * (1.0 - h) + at(right, top, c) * h;
        let lower = at(left, bottom, c) * (1.0 - h) + at(right, bottom, c) * h;
        upper * (1.0 - v) + lower * v
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn spot() -> Example {
        let inside = |x: u32, y: u32| (20..28).contains(&x) && (30..38).contains(&y);
        let pixels = RgbImage::from_fn(64, 64, |x, y| image::Rgb(if inside(x, y) { [250; 3] } else { [40; 3] }));
        let mask = (0..64 * 64).map(|i| inside(i % 64, i / 64)).collect();
        Example { pixels, mask: Some(mask), anomalous: true }
    }

    #[test]
    fn the_mask_moves_with_the_picture() {
        for seed in 0..20 {
            let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            let varied = vary(&spot(), &Examples::default(), &mut random);
            let mask = varied.mask.unwrap();
            let agree = varied.pixels.pixels().zip(&mask).filter(|(pixel, inside)| (pixel.0[0] > 140) == **inside).count();
            assert!(mask.iter().filter(|inside| **inside).count() > 40);
            assert!(agree > 64 * 64 - 20, "{agree}");
        }
    }

    #[test]
    fn a_pasted_defect_is_where_its_mask_is() {
        let good = Example {
            pixels: RgbImage::from_pixel(64, 64, image::Rgb([90; 3])),
            mask: Some(vec![false; 4096]),
            anomalous: false,
        };
        let pasted = paste(&spot(), &good);
        assert!(pasted.anomalous);
        assert_eq!(pasted.pixels.get_pixel(24, 34).0, [250; 3]);
        assert_eq!(pasted.pixels.get_pixel(5, 5).0, [90; 3]);
        let unmasked = Example { mask: None, ..spot() };
        assert_eq!(paste(&unmasked, &good), good);
    }
}
