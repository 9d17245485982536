//! Formats of luma and chroma, converted to red, green and blue.

use config::{Matrix, Range};

use super::Plane;
use crate::camera::format::Conversion;

/// Bits of the fraction: the rounded result equals the result of real arithmetic, except for ties.
const FRACTION: u32 = 20;

/// The conversion as integers, scaled by 2^[`FRACTION`].
struct Coefficients {
    luma: i32,
    red_from_cr: i32,
    green_from_cb: i32,
    green_from_cr: i32,
    blue_from_cb: i32,
    black: i32,
}

impl Coefficients {
    fn new(Conversion { matrix, range }: Conversion) -> Coefficients {
        // Shares of red and blue in the luma.
        let (red, blue) = match matrix {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Bt709 => (0.2126, 0.0722),
        };
        let green = 1.0 - red - blue;
        let (luma, chroma, black) = match range {
            Range::Full => (1.0, 1.0, 0),
            Range::Limited => (255.0 / 219.0, 255.0 / 224.0, 16),
        };
        let fixed = |value: f64| (value * f64::from(1 << FRACTION)).round() as i32;
        Coefficients {
            luma: fixed(luma),
            red_from_cr: fixed(2.0 * (1.0 - red) * chroma),
            green_from_cb: fixed(-2.0 * blue * (1.0 - blue) / green * chroma),
            green_from_cr: fixed(-2.0 * red * (1.0 - red) / green * chroma),
            blue_from_cb: fixed(2.0 * (1.0 - blue) * chroma),
            black,
        }
    }

    fn convert(&self, y: u8, cb: u8, cr: u8) -> [u8; 3] {
        let y = (i32::from(y) - self.black) * self.luma + (1 << (FRACTION - 1));
        let (cb, cr) = (i32::from(cb) - 128, i32::from(cr) - 128);
        let byte = |value: i32| (value >> FRACTION).clamp(0, 255) as u8;
        [
            byte(y + cr * self.red_from_cr),
            byte(y + cb * self.green_from_cb + cr * self.green_from_cr),
            byte(y + cb * self.blue_from_cb),
        ]
    }
}

/// Four bytes for two pixels; `places` are the places of the first luma, of Cb and of Cr. The second luma is two bytes behind the first.
/// Both pixels have the same chroma.
pub(super) fn packed(plane: &Plane<'_>, width: usize, places: [usize; 3], conversion: Conversion) -> Vec<u8> {
    let coefficients = Coefficients::new(conversion);
    let [y, cb, cr] = places;
    let mut pixels = Vec::with_capacity(width * plane.height * 3);
    for row in plane.rows() {
        let pairs = row.as_chunks::<4>().0.iter();
        let both = pairs.flat_map(|pair| [pair[y], pair[y + 2]].map(|luma| coefficients.convert(luma, pair[cb], pair[cr])));
        both.take(width).for_each(|pixel| pixels.extend(pixel));
    }
    pixels
}

/// A plane of luma, and a plane of half its width and height with Cb and Cr in turn: four pixels share their chroma.
pub(super) fn semi_planar(luma: &Plane<'_>, chroma: &Plane<'_>, width: usize, conversion: Conversion) -> Vec<u8> {
    let coefficients = Coefficients::new(conversion);
    let mut pixels = Vec::with_capacity(width * luma.height * 3);
    for (y, row) in luma.rows().enumerate() {
        let pairs = chroma.row(y / 2).as_chunks::<2>().0;
        for (x, &value) in row.iter().enumerate() {
            let [cb, cr] = pairs[x / 2];
            pixels.extend(coefficients.convert(value, cb, cr));
        }
    }
    pixels
}
