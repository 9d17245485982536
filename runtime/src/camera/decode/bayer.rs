//! Bayer patterns: one colour for each pixel becomes three.

use super::Plane;
use crate::camera::format::BayerOrder;

/// Bilinear: a missing colour of a pixel is the mean of the nearest neighbours that have this colour. The picture is mirrored at its
/// borders without repeating the border pixel, which keeps the pattern.
pub(super) fn demosaic(plane: &Plane<'_>, width: usize, order: BayerOrder) -> Vec<u8> {
    // Where the pattern has its red pixel.
    let (red_x, red_y) = match order {
        BayerOrder::Rggb => (0, 0),
        BayerOrder::Grbg => (1, 0),
        BayerOrder::Gbrg => (0, 1),
        BayerOrder::Bggr => (1, 1),
    };
    let height = plane.height;
    let mut pixels = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        let (above, here, below) = (plane.row(before(y, height)), plane.row(y), plane.row(after(y, height)));
        for x in 0..width {
            let (left, right) = (before(x, width), after(x, width));
            let mean2 = |a: u8, b: u8| (u16::from(a) + u16::from(b)).div_ceil(2) as u8;
            let mean4 = |values: [u8; 4]| ((values.iter().map(|&value| u16::from(value)).sum::<u16>() + 2) / 4) as u8;
            let cross = || mean4([above[x], below[x], here[left], here[right]]);
            let corners = || mean4([above[left], above[right], below[left], below[right]]);
            let (sides, stack) = (|| mean2(here[left], here[right]), || mean2(above[x], below[x]));
            let pixel = match (x % 2 == red_x, y % 2 == red_y) {
                (true, true) => [here[x], cross(), corners()],
                (false, false) => [corners(), cross(), here[x]],
                (false, true) => [sides(), here[x], stack()],
                (true, false) => [stack(), here[x], sides()],
            };
            pixels.extend(pixel);
        }
    }
    pixels
}

fn before(at: usize, length: usize) -> usize {
    if at == 0 { 1.min(length - 1) } else { at - 1 }
}

fn after(at: usize, length: usize) -> usize {
    if at + 1 < length { at + 1 } else { at.saturating_sub(1) }
}
