//! Pictures at the network's size, and the network's input.

use std::sync::Arc;

use image::{GrayImage, RgbImage};

use super::rect::{Rect, Size};
use super::resize::{Placement, Workspace};
use super::rule::Preprocess;
use crate::{Error, Result};

/// A picture at the network's size.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// Eight bits a channel, before normalisation.
    pub pixels: RgbImage,
    /// Where the picture lies in it: all of it, unless letterboxed.
    pub content: Rect,
}

impl Preprocess {
    /// Region, resize and crop, into a picture of its own. For one picture after another, a [`Preparer`] keeps its memory.
    ///
    /// # Errors
    /// When the region does not lie in the picture.
    pub fn prepare(&self, picture: &RgbImage) -> Result<Prepared> {
        let Size { height, width } = self.input();
        let mut bytes = vec![0; 3 * height as usize * width as usize];
        let content = Workspace::default().fill(self, picture, &mut bytes)?;
        let pixels = RgbImage::from_raw(width, height, bytes);
        Ok(Prepared { pixels: pixels.ok_or_else(|| Error::invalid("resizing gave another size"))?, content })
    }

    /// The same geometry for a mask: each pixel is the nearest one of the mask; padding is 0.
    ///
    /// # Errors
    /// As [`Preprocess::prepare`].
    pub fn prepare_mask(&self, mask: &GrayImage) -> Result<Vec<bool>> {
        let region = self.region_in(mask.dimensions())?;
        let (resized, input) = (self.resized_size(&region), self.input());
        let nearest = |to: u32, length: u32, from: u32| {
            (0..to).map(move |i| from + ((2 * u64::from(i) + 1) * u64::from(length) / (2 * u64::from(to))) as u32)
        };
        let columns: Vec<u32> = nearest(resized.width, region.width, region.x).collect();
        let rows = nearest(resized.height, region.height, region.y);
        let bytes: Vec<u8> = rows.flat_map(|y| columns.iter().map(move |x| mask.get_pixel(*x, y).0[0])).collect();
        let mut placed = vec![0; input.height as usize * input.width as usize];
        Placement::new(resized, input).place(&bytes, &[0], &mut placed);
        Ok(placed.into_iter().map(|value| value > 127).collect())
    }

    /// Network input `[3, height, width]`: `(value / 255 - mean) / std`.
    pub fn normalise(&self, pixels: &RgbImage) -> Vec<f32> {
        let mut input = vec![0.0; pixels.as_raw().len()];
        self.normalise_into(pixels.as_raw(), &mut input);
        input
    }

    /// [`Preprocess::normalise`] from `[height, width, 3]` bytes into memory that is there: `[3, height, width]`.
    fn normalise_into(&self, pixels: &[u8], input: &mut [f32]) {
        let plane = input.len() / 3;
        for (channel, values) in input.chunks_exact_mut(plane.max(1)).enumerate() {
            let scale = 1.0 / (255.0 * self.std[channel]);
            let offset = self.mean[channel] / self.std[channel];
            let source = pixels.iter().skip(channel).step_by(3);
            values.iter_mut().zip(source).for_each(|(value, byte)| *value = f32::from(*byte) * scale - offset);
        }
    }
}

/// Inputs that are kept for reuse: one is being filled, the others may still be with features on their way to a score.
const KEPT: usize = 4;

/// What the network gets.
#[derive(Clone, Debug)]
pub struct Input {
    /// `[3, height, width]`, normalised. While a clone of it is held, its memory is not used again.
    pub values: Arc<[f32]>,
    /// Where the picture lies in it: all of it, unless letterboxed.
    pub content: Rect,
}

/// Prepares pictures one after the other, in memory that it keeps.
pub struct Preparer {
    rule: Preprocess,
    workspace: Workspace,
    /// `[height, width, 3]` of the input before normalisation.
    pixels: Vec<u8>,
    inputs: Vec<Arc<[f32]>>,
}

impl Preparer {
    /// A preparer that has no memory yet.
    pub fn new(rule: Preprocess) -> Preparer {
        Preparer { rule, workspace: Workspace::default(), pixels: Vec::new(), inputs: Vec::new() }
    }

    /// What happens to each picture.
    pub fn rule(&self) -> &Preprocess {
        &self.rule
    }

    /// Region, resize, crop and normalise: what [`Preprocess::prepare`] and [`Preprocess::normalise`] give.
    ///
    /// # Errors
    /// When the region does not lie in the picture.
    pub fn prepare(&mut self, picture: &RgbImage) -> Result<Input> {
        let Size { height, width } = self.rule.input();
        let mut pixels = std::mem::take(&mut self.pixels);
        pixels.resize(3 * height as usize * width as usize, 0);
        let placed = self.workspace.fill(&self.rule, picture, &mut pixels);
        let input = placed.map(|content| Input { values: self.values(&pixels), content });
        self.pixels = pixels;
        input
    }

    /// Normalises a picture that is already at the network's size.
    pub fn normalise(&mut self, prepared: &Prepared) -> Input {
        Input { values: self.values(prepared.pixels.as_raw()), content: prepared.content }
    }

    fn values(&mut self, pixels: &[u8]) -> Arc<[f32]> {
        let free = self.inputs.iter_mut().position(|input| input.len() == pixels.len() && Arc::get_mut(input).is_some());
        let mut values = match free {
            Some(free) => self.inputs.swap_remove(free),
            None => vec![0.0; pixels.len()].into(),
        };
        // Nobody else holds it: it was free, or is new.
        if let Some(values) = Arc::get_mut(&mut values) {
            self.rule.normalise_into(pixels, values);
        }
        if self.inputs.len() == KEPT {
            self.inputs.remove(0);
        }
        self.inputs.push(values.clone());
        values
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule::{IMAGENET_MEAN, IMAGENET_STD, Resize};
    use super::*;
    use crate::picture::Colour;
    use proptest::prelude::*;

    fn stretch(height: u32, width: u32) -> Preprocess {
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

    /// Memory of the picture before must not show in the next one: letterboxes have other borders each time.
    #[test]
    fn kept_memory_changes_nothing() {
        let region = Some(Rect { x: 3, y: 2, width: 20, height: 11 });
        let rules = [
            Preprocess { resize: Resize::Letterbox, ..stretch(64, 96) },
            Preprocess { crop: Some(Size { height: 32, width: 64 }), ..stretch(64, 96) },
            Preprocess { region, ..stretch(64, 96) },
            stretch(64, 96),
        ];
        for rule in rules {
            let mut preparer = Preparer::new(rule.clone());
            for (width, height) in [(96, 64), (40, 90), (90, 40), (23, 13), (200, 130), (24, 90)] {
                let picture = RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 7) as u8, (y * 5) as u8, (x * y) as u8]));
                let expected = rule.prepare(&picture).unwrap();
                let found = preparer.prepare(&picture).unwrap();
                assert_eq!((found.content, &found.values[..]), (expected.content, &rule.normalise(&expected.pixels)[..]));
                assert_eq!(preparer.normalise(&expected).values, found.values);
            }
        }
    }

    #[test]
    fn memory_is_used_again_once_nobody_holds_it() {
        let (mut preparer, picture) = (Preparer::new(stretch(32, 32)), RgbImage::new(50, 40));
        let mut prepare = || preparer.prepare(&picture).unwrap().values;
        let first = prepare().as_ptr();
        assert_eq!(prepare().as_ptr(), first, "one frame after the other");
        // A frame that is scored while the next one is prepared keeps its input.
        let held = prepare();
        let second = prepare();
        assert_ne!(held.as_ptr(), second.as_ptr());
        let known = [held.as_ptr(), second.as_ptr()];
        drop((held, second));
        for _ in 0..4 {
            let at = prepare().as_ptr();
            assert!(known.contains(&at), "no third block of memory");
        }
        let many: Vec<_> = (0..9).map(|_| prepare()).collect();
        assert!(preparer.inputs.len() <= KEPT && many.len() == 9);
    }
}
