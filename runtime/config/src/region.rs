//! Regions of pictures, written as `[left, top, width, height]`.

use detector::preprocess::Rect;
use serde::de::{Deserialize, Deserializer, Error};

/// `[left, top, width, height]`, as a region is written in the configuration.
pub fn as_array(region: Rect) -> [u32; 4] {
    [region.x, region.y, region.width, region.height]
}

/// A region of a picture, for a key that may be left out.
pub(crate) fn some_region<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Rect>, D::Error> {
    region(deserializer, "[left, top, width, height] in pixels, with a width and a height").map(Some)
}

/// A region of the sensor, for a key that may be left out.
pub(crate) fn some_sensor_region<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Rect>, D::Error> {
    region(deserializer, "[left, top, width, height] in the sensor's pixels").map(Some)
}

fn region<'de, D: Deserializer<'de>>(deserializer: D, expected: &str) -> Result<Rect, D::Error> {
    // V4L2 has signed numbers for the pixels of the sensor.
    let numbers = <[i32; 4]>::deserialize(deserializer)?;
    let [x, y, width, height] = numbers.map(u32::try_from);
    match (x, y, width, height) {
        (Ok(x), Ok(y), Ok(width @ 1..), Ok(height @ 1..)) => Ok(Rect { x, y, width, height }),
        _ => Err(D::Error::custom(format_args!("{numbers:?} is out of bounds; expected {expected}"))),
    }
}
