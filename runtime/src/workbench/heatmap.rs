//! Heat maps: score maps as pictures. The threshold sets the scale, so a colour means the same in every picture.

use detector::map::ScoreMap;
use detector::{Error, Result};
use image::{Rgb, RgbImage, imageops};

/// Matplotlib's "inferno" at 0, 0.1 .. 1: perceptually uniform, readable in grey and by the colour-blind.
const INFERNO: [[u8; 3]; 11] = [
    [0x00, 0x00, 0x04],
    [0x16, 0x0b, 0x39],
    [0x42, 0x0a, 0x68],
    [0x6a, 0x17, 0x6e],
    [0x93, 0x26, 0x67],
    [0xbc, 0x37, 0x54],
    [0xdd, 0x51, 0x3a],
    [0xf3, 0x78, 0x19],
    [0xfc, 0xa5, 0x0a],
    [0xf6, 0xd7, 0x46],
    [0xfc, 0xff, 0xa4],
];

/// How much of the picture a hot spot hides.
const OPACITY: f32 = 0.8;

/// Colour of a level in 0..=1; other levels take the colour of the nearer end, NaN that of 0.
pub fn colour(level: f32) -> [u8; 3] {
    let last = INFERNO.len() - 1;
    let level = if level.is_nan() { 0.0 } else { level.clamp(0.0, 1.0) };
    let position = level * last as f32;
    let from = (position as usize).min(last - 1);
    mix(INFERNO[from], INFERNO[from + 1], position - from as f32)
}

/// Level of a raw distance: 0 at half the threshold and below, 0.5 at the threshold, 1 at one and a half of it and above.
pub fn level(distance: f32, threshold: f32) -> f32 {
    let level = distance / threshold - 0.5;
    if level.is_nan() { 0.0 } else { level.clamp(0.0, 1.0) }
}

/// Lays the colours of `map` over `pixels`, the picture at the network's input size, and cuts off what letterboxing added.
/// Pixels whose score is far below the threshold keep their colour.
///
/// # Errors
/// `pixels` and `map` differ in size.
pub fn overlay(pixels: &RgbImage, map: &ScoreMap, threshold: f32) -> Result<RgbImage> {
    let (width, height) = (pixels.width() as usize, pixels.height() as usize);
    if (width, height) != (map.width, map.height) || map.values.len() != width * height {
        return Err(Error::invalid(format!(
            "a picture of {width} x {height} pixels and a score map of {} x {} with {} values do not belong together",
            map.width,
            map.height,
            map.values.len()
        )));
    }
    let mut hot = pixels.clone();
    for (pixel, &distance) in hot.pixels_mut().zip(&map.values) {
        let level = level(distance, threshold);
        // Full opacity from just below the threshold on, so that the colour itself can be read.
        let cover = OPACITY * (level / 0.4).min(1.0);
        *pixel = Rgb(mix(pixel.0, colour(level), cover));
    }
    let content = map.content;
    Ok(imageops::crop_imm(&hot, content.x, content.y, content.width, content.height).to_image())
}

fn mix(a: [u8; 3], b: [u8; 3], t: f32) -> [u8; 3] {
    std::array::from_fn(|i| (f32::from(a[i]) + (f32::from(b[i]) - f32::from(a[i])) * t).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use detector::preprocess::Rect;

    fn map(width: usize, height: usize, values: Vec<f32>, content: Rect) -> ScoreMap {
        ScoreMap { height, width, values, content }
    }

    #[test]
    fn colours_follow_inferno() {
        // matplotlib.colormaps["inferno"](level, bytes=True)
        for (level, expected) in
            [(0.0, [0, 0, 3]), (0.25, [87, 15, 109]), (0.5, [187, 55, 84]), (0.75, [249, 142, 8]), (1.0, [252, 254, 164])]
        {
            let ours = colour(level);
            assert!(ours.iter().zip(expected).all(|(a, b): (&u8, u8)| a.abs_diff(b) <= 10), "{level}: {ours:?}, {expected:?}");
        }
        assert_eq!((colour(-3.0), colour(7.0), colour(f32::NAN)), (INFERNO[0], INFERNO[10], INFERNO[0]));
        let light = |l: f32| colour(l).iter().zip([0.30, 0.59, 0.11]).map(|(&c, k)| f32::from(c) * k).sum::<f32>();
        assert!((1..=100).all(|i| light(i as f32 / 100.0) > light((i - 1) as f32 / 100.0) - 0.5), "must grow brighter");
    }

    #[test]
    fn the_threshold_sets_the_scale() {
        assert_eq!([0.0, 1.0, 2.0, 3.0, 9.0].map(|d| level(d, 2.0)), [0.0, 0.0, 0.5, 1.0, 1.0]);
        for threshold in [0.0, f32::NAN, f32::INFINITY, -1.0] {
            assert!((0.0..=1.0).contains(&level(1.0, threshold)) && (0.0..=1.0).contains(&level(0.0, threshold)));
        }
    }

    #[test]
    fn cold_pixels_stay_and_padding_goes() {
        let pixels = RgbImage::from_pixel(4, 2, Rgb([90, 100, 110]));
        let content = Rect { x: 1, y: 0, width: 2, height: 2 };
        let hot = overlay(&pixels, &map(4, 2, vec![9.0, 0.1, 9.0, 9.0, 0.1, 0.4, 0.1, 0.1], content), 1.0).unwrap();
        assert_eq!(hot.dimensions(), (2, 2));
        assert_eq!([(0, 0), (0, 1), (1, 1)].map(|(x, y)| hot.get_pixel(x, y).0), [[90, 100, 110]; 3]);
        assert!(hot.get_pixel(1, 0).0[0] > 200);
    }

    #[test]
    fn another_size_is_an_error() {
        let content = Rect { x: 0, y: 0, width: 2, height: 2 };
        let pixels = RgbImage::new(2, 2);
        assert!(overlay(&pixels, &map(2, 3, vec![0.0; 6], content), 1.0).is_err());
        assert!(overlay(&pixels, &map(2, 2, vec![0.0; 3], content), 1.0).is_err());
    }
}
