//! The rule by which a picture becomes the network's input.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::{GrayImage, RgbImage};
use serde::{Deserialize, Serialize};

use super::rect::{Rect, Size};
use crate::picture::Colour;
use crate::{Error, Result};

/// ImageNet's channel means, for values in 0..1.
pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// ImageNet's channel deviations, for values in 0..1.
pub const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];
/// Longest side of the network's input.
const INPUT_LIMIT: u32 = 2048;
/// The deepest layer has one position for this many pixels.
const STRIDE: u32 = 32;

/// How a region becomes the network's size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// Fills the whole input, whatever the aspect ratio.
    #[default]
    Stretch,
    /// Keeps the aspect ratio; the rest is filled with the mean colour and never scored.
    Letterbox,
}

/// Everything that happens to a picture before the network sees it; part of the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// What the product's images are.
    pub colour: Colour,
    /// Part of the camera's picture that is looked at; all of it when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Rect>,
    /// Size after resizing (bilinear with antialiasing, 8 bit).
    pub size: Size,
    /// Resize rule.
    pub resize: Resize,
    /// Centre crop after resizing, for comparison with published figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop: Option<Size>,
    /// Channel means, for values in 0..1.
    pub mean: [f32; 3],
    /// Channel deviations, for values in 0..1.
    pub std: [f32; 3],
}

/// A picture at the network's size.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// Eight bits a channel, before normalisation.
    pub pixels: RgbImage,
    /// Where the picture lies in it: all of it, unless letterboxed.
    pub content: Rect,
}

impl Preprocess {
    /// Size of the network's input.
    pub fn input(&self) -> Size {
        self.crop.unwrap_or(self.size)
    }

    /// Checks what may come from a file.
    ///
    /// # Errors
    /// Names the field and what was expected.
    pub fn validate(&self) -> Result<()> {
        let Size { height, width } = self.input();
        for (name, side) in [("height", height), ("width", width)] {
            if !(STRIDE..=INPUT_LIMIT).contains(&side) || !side.is_multiple_of(STRIDE) {
                return Err(Error::invalid(format!(
                    "input {name} is {side} px; a multiple of {STRIDE} from {STRIDE} to {INPUT_LIMIT} was expected"
                )));
            }
        }
        if self.crop.is_some() && (self.size.height < height || self.size.width < width) {
            return Err(Error::invalid("input crop is larger than input size"));
        }
        if self.size.height > INPUT_LIMIT || self.size.width > INPUT_LIMIT {
            return Err(Error::invalid(format!("input size is over {INPUT_LIMIT} px")));
        }
        if self.crop.is_some() && self.resize == Resize::Letterbox {
            return Err(Error::invalid("input crop goes with resize = \"stretch\" only"));
        }
        if !self.mean.iter().all(|v| v.is_finite()) || !self.std.iter().all(|v| v.is_finite() && *v > 1e-6) {
            return Err(Error::invalid("input mean and std must be finite numbers, std above zero"));
        }
        Ok(())
    }

    /// Region, resize and crop.
    ///
    /// # Errors
    /// When the region does not lie in the picture.
    pub fn prepare(&self, picture: &RgbImage) -> Result<Prepared> {
        let region = self.region_in(picture.dimensions())?;
        let resized = self.resized_size(&region);
        let failed = |error: &dyn std::fmt::Display| Error::invalid(format!("resizing failed: {error}"));
        // With the kind of pixel as a type the program holds the code of this one and not of all thirteen.
        let from = TypedImageRef::<U8x3>::from_buffer(picture.width(), picture.height(), picture.as_raw());
        let mut bytes = vec![0; 3 * resized.width as usize * resized.height as usize];
        let mut to =
            TypedImage::<U8x3>::from_buffer(resized.width, resized.height, &mut bytes).map_err(|error| failed(&error))?;
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).use_alpha(false).crop(
            region.x.into(),
            region.y.into(),
            region.width.into(),
            region.height.into(),
        );
        let from = from.map_err(|error| failed(&error))?;
        Resizer::new().resize_typed(&from, &mut to, &options).map_err(|error| failed(&error))?;
        let fill = self.mean.map(|mean| (mean * 255.0).round().clamp(0.0, 255.0) as u8);
        let (content, bytes) = self.place(&bytes, resized, &fill);
        let Size { height, width } = self.input();
        let pixels = RgbImage::from_raw(width, height, bytes);
        Ok(Prepared { pixels: pixels.ok_or_else(|| Error::invalid("resizing gave another size"))?, content })
    }

    /// The same geometry for a mask: each pixel is the nearest one of the mask; padding is 0.
    ///
    /// # Errors
    /// As [`Preprocess::prepare`].
    pub fn prepare_mask(&self, mask: &GrayImage) -> Result<Vec<bool>> {
        let region = self.region_in(mask.dimensions())?;
        let resized = self.resized_size(&region);
        let nearest = |to: u32, length: u32, from: u32| {
            (0..to).map(move |i| from + ((2 * u64::from(i) + 1) * u64::from(length) / (2 * u64::from(to))) as u32)
        };
        let columns: Vec<u32> = nearest(resized.width, region.width, region.x).collect();
        let rows = nearest(resized.height, region.height, region.y);
        let bytes: Vec<u8> = rows.flat_map(|y| columns.iter().map(move |x| mask.get_pixel(*x, y).0[0])).collect();
        let (_, bytes) = self.place(&bytes, resized, &[0]);
        Ok(bytes.into_iter().map(|value| value > 127).collect())
    }

    /// Network input `[3, height, width]`: `(value / 255 - mean) / std`.
    pub fn normalise(&self, pixels: &RgbImage) -> Vec<f32> {
        let mut input = vec![0.0; pixels.as_raw().len()];
        let plane = pixels.width() as usize * pixels.height() as usize;
        for (channel, values) in input.chunks_exact_mut(plane.max(1)).enumerate() {
            let scale = 1.0 / (255.0 * self.std[channel]);
            let offset = self.mean[channel] / self.std[channel];
            let source = pixels.as_raw().iter().skip(channel).step_by(3);
            values.iter_mut().zip(source).for_each(|(value, byte)| *value = f32::from(*byte) * scale - offset);
        }
        input
    }

    /// The part of a picture that is looked at.
    fn region_in(&self, (width, height): (u32, u32)) -> Result<Rect> {
        let region = self.region.unwrap_or(Rect { x: 0, y: 0, width, height });
        let inside = |at: u32, length: u32, most: u32| length > 0 && at.checked_add(length).is_some_and(|end| end <= most);
        if !inside(region.x, region.width, width) || !inside(region.y, region.height, height) {
            return Err(Error::invalid(format!(
                "region {}x{} at {},{} does not lie in the picture of {width}x{height} px",
                region.width, region.height, region.x, region.y
            )));
        }
        Ok(region)
    }

    fn resized_size(&self, region: &Rect) -> Size {
        match self.resize {
            Resize::Stretch => self.size,
            Resize::Letterbox => {
                let Size { height, width } = self.size;
                let (h, w) = (f64::from(region.height), f64::from(region.width));
                let scale = (f64::from(height) / h).min(f64::from(width) / w);
                let fit = |side: f64, most: u32| ((side * scale).round() as u32).clamp(1, most);
                Size { height: fit(h, height), width: fit(w, width) }
            }
        }
    }

    /// Centres `image` in the input: crops what is over, fills what is missing.
    fn place(&self, image: &[u8], size: Size, fill: &[u8]) -> (Rect, Vec<u8>) {
        let input = self.input();
        let channels = fill.len();
        let axis = |have: u32, want: u32| {
            let length = have.min(want);
            // torchvision's centre crop rounds half up; PIL's paste has no such case.
            let from = (have - length).div_ceil(2);
            let to = (want - length) / 2;
            (from, to, length)
        };
        let (from_y, to_y, height) = axis(size.height, input.height);
        let (from_x, to_x, width) = axis(size.width, input.width);
        let content = Rect { x: to_x, y: to_y, width, height };
        let mut bytes: Vec<u8> =
            fill.iter().copied().cycle().take(channels * input.height as usize * input.width as usize).collect();
        let row = |y: u32, x: u32, width: u32| {
            let start = (y as usize * width as usize + x as usize) * channels;
            start..start + content.width as usize * channels
        };
        for y in 0..height {
            let source = &image[row(from_y + y, from_x, size.width)];
            bytes[row(to_y + y, to_x, input.width)].copy_from_slice(source);
        }
        (content, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn stretch(height: u32, width: u32) -> Preprocess {
        Preprocess {
            colour: Colour::Rgb,
            region: None,
            size: Size { height, width },
            resize: Resize::Stretch,
            crop: None,
            mean: IMAGENET_MEAN,
            std: IMAGENET_STD,
        }
    }

    #[test]
    fn normalisation_is_planar() {
        let mut pixels = RgbImage::new(2, 1);
        pixels.put_pixel(0, 0, image::Rgb([255, 0, 51]));
        let input = stretch(32, 32).normalise(&pixels);
        let expected = [(1.0 - 0.485) / 0.229, -0.485 / 0.229, -0.456 / 0.224, -0.456 / 0.224, (0.2 - 0.406) / 0.225];
        input.iter().zip(expected).for_each(|(a, b)| assert!((a - b).abs() < 1e-6, "{a} {b}"));
    }

    #[test]
    fn centre_crop_is_torchvisions() {
        let mut picture = RgbImage::new(256, 256);
        picture.put_pixel(16, 16, image::Rgb([9, 9, 9]));
        let rule = Preprocess { crop: Some(Size { height: 224, width: 224 }), ..stretch(256, 256) };
        rule.validate().unwrap();
        let prepared = rule.prepare(&picture).unwrap();
        assert_eq!(prepared.pixels.get_pixel(0, 0).0, [9, 9, 9]);
    }

    #[test]
    fn letterbox_keeps_the_aspect_ratio() {
        let rule = Preprocess { resize: Resize::Letterbox, ..stretch(64, 64) };
        let prepared = rule.prepare(&RgbImage::from_pixel(100, 50, image::Rgb([255; 3]))).unwrap();
        assert_eq!(prepared.content, Rect { x: 0, y: 16, width: 64, height: 32 });
        assert_eq!(prepared.pixels.get_pixel(5, 20).0, [255; 3]);
        let fill = IMAGENET_MEAN.map(|mean| (mean * 255.0).round() as u8);
        assert_eq!(prepared.pixels.get_pixel(5, 2).0, fill);
        let mask = rule.prepare_mask(&GrayImage::from_pixel(100, 50, image::Luma([255]))).unwrap();
        assert_eq!(mask.iter().filter(|set| **set).count(), 64 * 32);
    }

    #[test]
    fn masks_take_the_nearest_pixel() {
        let mask = GrayImage::from_fn(96, 64, |x, y| image::Luma([if (x, y) == (50, 40) { 255 } else { 0 }]));
        let set = |rule: &Preprocess| -> Vec<usize> {
            let prepared = rule.prepare_mask(&mask).unwrap();
            (0..prepared.len()).filter(|index| prepared[*index]).collect()
        };
        // The same size, twice as large, and half as large: of 50 and 51 the second is kept, of 40 and 41 too.
        assert_eq!(set(&stretch(64, 96)), [40 * 96 + 50]);
        assert_eq!(set(&stretch(128, 192)), [80 * 192 + 100, 80 * 192 + 101, 81 * 192 + 100, 81 * 192 + 101]);
        assert_eq!(set(&stretch(32, 48)), [0; 0]);
        let region = Some(Rect { x: 49, y: 39, width: 2, height: 2 });
        assert_eq!(set(&Preprocess { region, ..stretch(2, 2) }), [3]);
    }

    #[test]
    fn regions_outside_are_refused() {
        let picture = RgbImage::new(100, 80);
        for region in [(90, 0, 20, 10), (0, 0, 0, 5), (u32::MAX, 0, 2, 2)] {
            let (x, y, width, height) = region;
            let rule = Preprocess { region: Some(Rect { x, y, width, height }), ..stretch(32, 32) };
            assert!(rule.prepare(&picture).unwrap_err().to_string().contains("region"));
        }
    }

    proptest! {
        /// Whatever the source's size, the result has the input's size and a constant picture stays constant.
        #[test]
        fn any_size_fits(width in 1u32..400, height in 1u32..400, letterbox: bool) {
            let resize = if letterbox { Resize::Letterbox } else { Resize::Stretch };
            let rule = Preprocess { resize, ..stretch(64, 96) };
            let prepared = rule.prepare(&RgbImage::from_pixel(width, height, image::Rgb([200, 10, 77]))).unwrap();
            prop_assert_eq!(prepared.pixels.dimensions(), (96, 64));
            let Rect { x, y, .. } = prepared.content;
            prop_assert_eq!(prepared.pixels.get_pixel(x, y).0, [200, 10, 77]);
        }
    }
}
