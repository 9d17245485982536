use config::line::PresenceConfig;
use detector::picture::Picture;
use detector::preprocess::Rect;

/// Points of the region that are looked at, at most along each side.
const GRID: u32 = 64;

/// A light barrier in the picture: parts that appear where the belt was empty.
///
/// Each part is seen once, in the first frame in which it covers enough of the region. It is gone when it covers less than half of that,
/// so that a frame more or less on the edge makes no second part.
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

    /// Whether a part is in the picture that was not in the one before.
    pub fn appears(&mut self, picture: &Picture) -> bool {
        let covered = self.coverage(picture);
        self.step(covered)
    }

    fn step(&mut self, covered: f64) -> bool {
        let least = if self.present { self.config.coverage / 2.0 } else { self.config.coverage };
        let present = covered >= least;
        !std::mem::replace(&mut self.present, present) && present
    }

    /// Share of the region that does not look like the belt; of a region beyond the picture, the share that lies in it counts.
    fn coverage(&self, picture: &Picture) -> f64 {
        let (columns, rows) = picture.pixels.dimensions();
        let whole = Rect { x: 0, y: 0, width: columns, height: rows };
        let Rect { x: left, y: top, width, height } = self.config.region.unwrap_or(whole);
        let [darkest, brightest] = self.config.belt;
        let points = |from: u32, length: u32, end: u32| {
            (from..from.saturating_add(length).min(end)).step_by(length.div_ceil(GRID).max(1) as usize)
        };
        let (mut covered, mut all) = (0u32, 0u32);
        for y in points(top, height, rows) {
            for x in points(left, width, columns) {
                let [red, green, blue] = picture.pixels.get_pixel(x, y).0.map(u32::from);
                // Green is most of what the eye calls brightness.
                let value = (red + 2 * green + blue) / 4;
                covered += u32::from(!(u32::from(darkest)..=u32::from(brightest)).contains(&value));
                all += 1;
            }
        }
        f64::from(covered) / f64::from(all.max(1))
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
    fn a_part_that_passes_is_seen_once_when_its_front_reaches_the_barrier() {
        for step in [1, 7, 15] {
            let mut presence = presence(Some([60, 10, 10, 30]));
            let seen: Vec<i64> = (0..180).step_by(step).filter(|front| presence.appears(&belt(*front))).collect();
            assert!(seen.len() == 1 && (65..65 + step as i64).contains(&seen[0]), "{step}: {seen:?}");
        }
    }

    #[test]
    fn dark_parts_count_and_what_lies_outside_does_not() {
        let dark = Picture { pixels: RgbImage::new(100, 50), colour: Colour::Grey };
        assert!(presence(None).appears(&dark) && presence(Some([90, 40, 50, 50])).appears(&dark));
        assert!(!presence(Some([100, 0, 10, 10])).appears(&dark), "nothing to look at");
        assert!(!presence(Some([0, 0, 10, 50])).appears(&belt(60)));
    }

    proptest! {
        /// A part is seen when enough is covered for the first time since less than half of it was.
        #[test]
        fn one_part_one_verdict(shares in prop::collection::vec(0.0f64..1.0, 0..100)) {
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
