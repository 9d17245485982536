//! On which product's settings a frame was taken.

use std::time::Instant;

/// Follows the changes of a source's settings.
///
/// A camera does not take new settings at once: frames that were exposed before the change, and some after it, are on the old settings or a
/// mixture.
#[derive(Clone, Debug)]
pub struct Settling {
    product: usize,
    /// Frames after a change whose settings are in doubt.
    frames: u32,
    /// When the settings changed last.
    since: Option<Instant>,
    /// Frames that are still in doubt.
    left: u32,
}

impl Settling {
    /// A source that runs on the settings of `product`. After a change, the settings of the next `frames` frames are in doubt.
    pub fn new(product: usize, frames: u32) -> Settling {
        Settling { product, frames, since: None, left: 0 }
    }

    /// The source was given the settings of another product just before `now`. With `same`, both products have equal settings.
    pub fn change(&mut self, product: usize, same: bool, now: Instant) {
        self.product = product;
        if !same {
            (self.since, self.left) = (Some(now), self.frames);
        }
    }

    /// The product on whose settings a frame was taken; none while that is in doubt. Call it once for each frame, in order.
    pub fn taken(&mut self, at: Instant) -> Option<usize> {
        if self.since.is_some_and(|since| at <= since) {
            return None;
        }
        if self.left > 0 {
            self.left -= 1;
            return None;
        }
        Some(self.product)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn frames_are_in_doubt_until_the_camera_has_settled_after_the_change() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut settling = Settling::new(0, 2);
        assert_eq!(settling.taken(at(0)), Some(0));
        settling.change(1, false, at(15));
        let taken: Vec<_> = [10, 20, 30, 40, 50].iter().map(|ms| settling.taken(at(*ms))).collect();
        assert_eq!(taken, [None, None, None, Some(1), Some(1)]);
        settling.change(2, true, at(55));
        assert_eq!(settling.taken(at(52)), Some(2), "the settings are the same");
        settling.change(1, false, at(60));
        settling.change(2, false, at(70));
        let taken: Vec<_> = [65, 75, 85, 95].iter().map(|ms| settling.taken(at(*ms))).collect();
        assert_eq!(taken, [None, None, None, Some(2)]);
    }
}
