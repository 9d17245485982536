//! The laser mark: a few letters of a stroke font.

use super::math::{V2, add2, dot2, length2, scale2, sub2};

/// Height of a letter is 1, its cell this wide.
const ADVANCE: f64 = 0.82;

/// Strokes of a character as point lists; x in 0..=0.6, y from 0 (top) to 1.
fn strokes(c: char) -> &'static [&'static [V2]] {
    match c {
        'A' => &[&[[0.0, 1.0], [0.3, 0.0], [0.6, 1.0]], &[[0.12, 0.64], [0.48, 0.64]]],
        'P' => &[&[[0.0, 1.0], [0.0, 0.0], [0.42, 0.0], [0.58, 0.12], [0.58, 0.4], [0.42, 0.52], [0.0, 0.52]]],
        'C' => &[&[[0.58, 0.18], [0.42, 0.0], [0.16, 0.0], [0.0, 0.2], [0.0, 0.8], [0.16, 1.0], [0.42, 1.0], [0.58, 0.82]]],
        '4' => &[&[[0.44, 1.0], [0.44, 0.0], [0.0, 0.66], [0.62, 0.66]]],
        '7' => &[&[[0.0, 0.0], [0.6, 0.0], [0.2, 1.0]]],
        _ => &[],
    }
}

/// A line of text as segments around its own centre, in units of the letter height.
#[derive(Debug, Clone)]
pub struct Text {
    segments: Vec<(V2, V2)>,
    /// Half of width and height.
    pub half: V2,
}

impl Text {
    pub fn new(text: &str) -> Self {
        let width = text.chars().count() as f64 * ADVANCE - (ADVANCE - 0.6);
        let mut segments = Vec::new();
        for (i, c) in text.chars().enumerate() {
            let origin = [i as f64 * ADVANCE - width / 2.0, -0.5];
            for stroke in strokes(c) {
                segments.extend(stroke.windows(2).map(|w| (add2(origin, w[0]), add2(origin, w[1]))));
            }
        }
        Self { segments, half: [width / 2.0, 0.5] }
    }

    /// Distance from `p` to the nearest stroke; infinite for a text without strokes.
    pub fn distance(&self, p: V2) -> f64 {
        self.segments.iter().map(|&(a, b)| segment_distance(p, a, b).0).fold(f64::INFINITY, f64::min)
    }
}

/// Distance from `p` to the segment `a b`, and where on it (0..=1) the nearest point lies.
pub fn segment_distance(p: V2, a: V2, b: V2) -> (f64, f64) {
    let (ap, ab) = (sub2(p, a), sub2(b, a));
    let t = (dot2(ap, ab) / dot2(ab, ab).max(1e-12)).clamp(0.0, 1.0);
    (length2(sub2(ap, scale2(ab, t))), t)
}
