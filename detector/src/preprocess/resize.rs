//! Resizing a region and placing it in the network's input.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

use super::rect::{Rect, Size};
use super::rule::Preprocess;
use crate::{Error, Result};

/// Resizes pictures, in memory that is kept from one to the next.
#[derive(Default)]
pub(super) struct Workspace {
    resizer: Resizer,
    /// A resized region that is not the whole input; `[height, width, 3]`.
    resized: Vec<u8>,
}

impl Workspace {
    /// Fills `input`, `[height, width, 3]`, with the region of `picture`, and says where in it the region lies. Every byte is written.
    ///
    /// # Errors
    /// When the region does not lie in the picture.
    pub(super) fn fill(&mut self, rule: &Preprocess, picture: &RgbImage, input: &mut [u8]) -> Result<Rect> {
        let region = rule.region_in(picture.dimensions())?;
        let placement = Placement::new(rule.resized_size(&region), rule.input());
        if placement.is_whole() {
            self.resize(picture, region, placement.resized, input)?;
        } else {
            let mut resized = std::mem::take(&mut self.resized);
            resized.resize(3 * placement.resized.width as usize * placement.resized.height as usize, 0);
            let done = self.resize(picture, region, placement.resized, &mut resized);
            let fill = rule.mean.map(|mean| (mean * 255.0).round().clamp(0.0, 255.0) as u8);
            placement.place(&resized, &fill, input);
            self.resized = resized;
            done?;
        }
        Ok(placement.content())
    }

    fn resize(&mut self, picture: &RgbImage, region: Rect, Size { height, width }: Size, bytes: &mut [u8]) -> Result<()> {
        let failed = |error: &dyn std::fmt::Display| Error::invalid(format!("resizing failed: {error}"));
        // With the kind of pixel as a type the program holds the code of this one and not of all thirteen.
        let from = TypedImageRef::<U8x3>::from_buffer(picture.width(), picture.height(), picture.as_raw());
        let from = from.map_err(|error| failed(&error))?;
        let mut to = TypedImage::<U8x3>::from_buffer(width, height, bytes).map_err(|error| failed(&error))?;
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).use_alpha(false).crop(
            region.x.into(),
            region.y.into(),
            region.width.into(),
            region.height.into(),
        );
        self.resizer.resize_typed(&from, &mut to, &options).map_err(|error| failed(&error))
    }
}

/// Where a resized region lies in the input: in the centre, cropped where it is larger, padded where it is smaller.
pub(super) struct Placement {
    resized: Size,
    input: Size,
    rows: Axis,
    columns: Axis,
}

/// `length` pixels, from `from` in the resized region to `to` in the input.
#[derive(Clone, Copy)]
struct Axis {
    from: usize,
    to: usize,
    length: usize,
}

impl Axis {
    fn new(resized: u32, input: u32) -> Axis {
        let length = resized.min(input);
        // torchvision's centre crop rounds half up; PIL's paste has no such case.
        let from = (resized - length).div_ceil(2);
        let to = (input - length) / 2;
        Axis { from: from as usize, to: to as usize, length: length as usize }
    }
}

impl Placement {
    pub(super) fn new(resized: Size, input: Size) -> Placement {
        let (rows, columns) = (Axis::new(resized.height, input.height), Axis::new(resized.width, input.width));
        Placement { resized, input, rows, columns }
    }

    /// Whether the resized region is the input, with nothing to crop or to pad.
    fn is_whole(&self) -> bool {
        self.resized == self.input
    }

    fn content(&self) -> Rect {
        let (rows, columns) = (self.rows, self.columns);
        Rect { x: columns.to as u32, y: rows.to as u32, width: columns.length as u32, height: rows.length as u32 }
    }

    /// Copies the region from `resized` into `input` and fills what lies around it, both `[height, width, channels]`.
    pub(super) fn place(&self, resized: &[u8], fill: &[u8], input: &mut [u8]) {
        let channels = fill.len();
        let paint = |bytes: &mut [u8]| bytes.chunks_exact_mut(channels).for_each(|pixel| pixel.copy_from_slice(fill));
        let (rows, columns) = (self.rows, self.columns);
        let (resized_row, row) = (self.resized.width as usize * channels, self.input.width as usize * channels);
        let (above, rest) = input.split_at_mut(rows.to * row);
        let (inside, below) = rest.split_at_mut(rows.length * row);
        paint(above);
        paint(below);
        let sources = resized[rows.from * resized_row..].chunks_exact(resized_row);
        for (source, target) in sources.zip(inside.chunks_exact_mut(row)) {
            let (left, rest) = target.split_at_mut(columns.to * channels);
            let (middle, right) = rest.split_at_mut(columns.length * channels);
            paint(left);
            paint(right);
            middle.copy_from_slice(&source[columns.from * channels..][..middle.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever was in the input before: the fill, and the centre of the region over it.
        #[test]
        fn placing_is_filling_and_copying(
            (height, width) in (1u32..12, 1u32..12), (input_height, input_width) in (1u32..12, 1u32..12), before: u8
        ) {
            let (resized, input) = (Size { height, width }, Size { height: input_height, width: input_width });
            let image: Vec<u8> = (0..2 * height * width).map(|i| i as u8).collect();
            let axis = |have: u32, want: u32| ((have - have.min(want)).div_ceil(2), (want - have.min(want)) / 2, have.min(want));
            let ((from_y, to_y, rows), (from_x, to_x, columns)) = (axis(height, input_height), axis(width, input_width));
            let mut expected: Vec<u8> = [201, 202].into_iter().cycle().take((2 * input_height * input_width) as usize).collect();
            for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
                for channel in 0..2 {
                    expected[(((to_y + y) * input_width + to_x + x) * 2 + channel) as usize] =
                        image[(((from_y + y) * width + from_x + x) * 2 + channel) as usize];
                }
            }
            let placement = Placement::new(resized, input);
            let mut found = vec![before; expected.len()];
            placement.place(&image, &[201, 202], &mut found);
            prop_assert_eq!(found, expected);
            prop_assert_eq!(placement.content(), Rect { x: to_x, y: to_y, width: columns, height: rows });
        }
    }
}
