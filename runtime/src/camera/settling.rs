use std::time::Instant;

/// On which product's settings a frame was taken.
///
/// A camera does not obey at once: frames that were exposed before the change, and some after it, show the old settings or a mixture.
#[derive(Clone, Debug)]
pub struct Settling {
    product: usize,
    /// Frames that are still in doubt after a change.
    frames: u32,
    since: Option<Instant>,
    left: u32,
}

impl Settling {
    /// A source that runs on the settings of `product`, and needs so many frames after a change.
    pub fn new(product: usize, frames: u32) -> Settling {
        Settling { product, frames, since: None, left: 0 }
    }

    /// The settings were changed just before `now` to those of another product; with `same` ones only the product changes.
    pub fn change(&mut self, product: usize, same: bool, now: Instant) {
        self.product = product;
        if !same {
            (self.since, self.left) = (Some(now), self.frames);
        }
    }

    /// The product that a frame was taken for, if that is sure. To be asked once for each frame, in their order.
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
    fn frames_count_when_they_were_taken_after_the_change_and_the_camera_has_settled() {
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
