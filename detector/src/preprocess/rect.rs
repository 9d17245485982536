//! Sizes and rectangles in pixels.

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Height and width in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u32; 2]", into = "[u32; 2]")]
pub struct Size {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
}

impl From<[u32; 2]> for Size {
    fn from([height, width]: [u32; 2]) -> Size {
        Size { height, width }
    }
}

impl From<Size> for [u32; 2] {
    fn from(size: Size) -> [u32; 2] {
        [size.height, size.width]
    }
}

/// A rectangle in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rect {
    /// Left edge.
    pub x: u32,
    /// Upper edge.
    pub y: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Rect {
    /// Whether it holds at least one pixel and lies in a picture of this size.
    pub fn lies_in(&self, width: u32, height: u32) -> bool {
        let inside = |at: u32, length: u32, most: u32| length > 0 && at.checked_add(length).is_some_and(|end| end <= most);
        inside(self.x, self.width, width) && inside(self.y, self.height, height)
    }

    /// That part of a picture.
    ///
    /// # Errors
    /// When it does not lie in the picture.
    pub fn crop(&self, picture: &RgbImage) -> Result<RgbImage> {
        self.expect_in(picture.width(), picture.height())?;
        Ok(image::imageops::crop_imm(picture, self.x, self.y, self.width, self.height).to_image())
    }

    pub(super) fn expect_in(&self, width: u32, height: u32) -> Result<()> {
        if self.lies_in(width, height) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "region {}x{} at {},{} does not lie in the picture of {width}x{height} px",
            self.width, self.height, self.x, self.y
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rectangle_lies_in_a_picture_with_all_its_pixels() {
        let lies = |x, y, width, height| Rect { x, y, width, height }.lies_in(10, 8);
        assert!(lies(0, 0, 10, 8) && lies(9, 7, 1, 1));
        assert!(!lies(0, 0, 0, 8) && !lies(0, 0, 10, 0) && !lies(1, 0, 10, 8) && !lies(0, 1, 10, 8));
        assert!(!lies(u32::MAX, 0, 2, 2) && !lies(0, u32::MAX, 2, 2), "the sum must not wrap around");
    }

    #[test]
    fn what_is_cropped_has_the_pixels_of_the_rectangle() {
        let picture = RgbImage::from_fn(5, 4, |x, y| image::Rgb([x as u8, y as u8, 0]));
        let part = Rect { x: 2, y: 1, width: 3, height: 2 }.crop(&picture).unwrap();
        assert_eq!((part.dimensions(), part.get_pixel(2, 1).0), ((3, 2), [4, 2, 0]));
        assert!(Rect { x: 3, y: 1, width: 3, height: 2 }.crop(&picture).unwrap_err().to_string().contains("5x4 px"));
    }
}
