//! Parts that appear in the pictures of a free-running camera.

use config::line::PresenceConfig;
use detector::picture::Picture;
use detector::preprocess::Rect;

/// Most points of the region that are sampled along each side.
const GRID: u32 = 64;

/// A light barrier in the picture: parts that appear where the belt was empty.
///
/// A part appears once, in the first frame in which it covers enough of the region. It is gone when it covers less than half of that share:
/// a part whose coverage varies around the limit makes no second part.
#[derive(Clone, Debug)]
pub struct Presence {
    config: PresenceConfig,
    present: bool,
}

impl Presence {
    /// An empty belt.
    pub fn new(config: PresenceConfig) -> Presence {
        Presence { config, present: false }
    }

    /// Whether this picture is the first one of a part.
    pub fn appears(&mut self, picture: &Picture) -> bool {
        let covered = self.coverage(picture);
        self.step(covered)
    }

    fn step(&mut self, covered: f64) -> bool {
        let least = if self.present { self.config.coverage / 2.0 } else { self.config.coverage };
        let present = covered >= least;
        !std::mem::replace(&mut self.present, present) && present
    }

    /// Share of the region that does not look like the belt. Points of the region outside the picture do not count.
    fn coverage(&self, picture: &Picture) -> f64 {
        let (columns, rows) = picture.pixels.dimensions();
        let whole = Rect { x: 0, y: 0, width: columns, height: rows };
        let Rect { x: left, y: top, width, height } = self.config.region.unwrap_or(whole);
        let [darkest, brightest] = self.config.belt;
        let points = |from: u32, length: u32, end: u32| {
            (from..from.saturating_add(length).min(end)).step_by(length.div_ceil(GRID).max(1) as usize)
        };
        let (mut covered, mut sampled) = (0u32, 0u32);
        for y in points(top, height, rows) {
            for x in points(left, width, columns) {
                let [red, green, blue] = picture.pixels.get_pixel(x, y).0.map(u32::from);
                // An approximation of luma, in which green has the largest weight.
                let value = (red + 2 * green + blue) / 4;
                covered += u32::from(!(u32::from(darkest)..=u32::from(brightest)).contains(&value));
                sampled += 1;
            }
        }
        f64::from(covered) / f64::from(sampled.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use detector::picture::Colour;
    use image::{Rgb, RgbImage};
    use proptest::prelude::*;

    fn presence(region: Option<[u32; 4]>) -> Presence {
        let region = region.map(|[x, y, width, height]| Rect { x, y, width, height });
        Presence::new(PresenceConfig { region, belt: [20, 60], coverage: 0.5 })
    }

    /// A belt with a bright part of 40 pixels whose front edge is at `front`; it moves to the right.
    fn belt(front: i64) -> Picture {
        let pixels = RgbImage::from_fn(100, 50, |x, _| {
            let on_part = (front - 40..front).contains(&i64::from(x));
            Rgb([if on_part { 180 } else { 40 }; 3])
        });
        Picture { pixels, colour: Colour::Grey }
    }

    #[test]
    fn a_part_that_passes_appears_once_when_its_front_reaches_the_barrier() {
        for step in [1, 7, 15] {
            let mut presence = presence(Some([60, 10, 10, 30]));
            let fronts: Vec<i64> = (0..180).step_by(step).filter(|front| presence.appears(&belt(*front))).collect();
            assert!(fronts.len() == 1 && (65..65 + step as i64).contains(&fronts[0]), "{step}: {fronts:?}");
        }
    }

    #[test]
    fn dark_parts_count_and_points_outside_the_picture_do_not() {
        let dark = Picture { pixels: RgbImage::new(100, 50), colour: Colour::Grey };
        assert!(presence(None).appears(&dark) && presence(Some([90, 40, 50, 50])).appears(&dark));
        assert!(!presence(Some([100, 0, 10, 10])).appears(&dark), "no point of the region lies in the picture");
        assert!(!presence(Some([0, 0, 10, 50])).appears(&belt(60)));
    }

    proptest! {
        /// A part appears when the coverage reaches the limit for the first time since it was below half of the limit.
        #[test]
        fn each_part_appears_once(shares in prop::collection::vec(0.0f64..1.0, 0..100)) {
            let mut presence = presence(None);
            let mut armed = true;
            for share in shares {
                let expected = armed && share >= 0.5;
                prop_assert_eq!(presence.step(share), expected);
                armed = if armed { share < 0.5 } else { share < 0.25 };
            }
        }
    }
}
