//! The rule by which a picture becomes the network's input.

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
    /// Keeps the aspect ratio; the borders are filled with the mean colour and never scored.
    Letterbox,
}

/// All steps from a picture to the network's input. They are part of the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// Whether the product's images have colour.
    pub colour: Colour,
    /// Part of the camera's picture that is scored; the whole picture when absent.
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

    /// The part of a picture that is scored.
    pub(super) fn region_in(&self, (width, height): (u32, u32)) -> Result<Rect> {
        let region = self.region.unwrap_or(Rect { x: 0, y: 0, width, height });
        region.expect_in(width, height).map(|()| region)
    }

    /// Size of a region after resizing, before crop or letterbox.
    pub(super) fn resized_size(&self, region: &Rect) -> Size {
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
}
