//! Pictures as PNG files.

use std::io::Cursor;

use detector::picture::{Colour, Picture};
use detector::{Error, Result};
use image::{GrayImage, ImageFormat, RgbImage};

/// A picture as the bytes of a PNG file, lossless. A grey picture becomes a grey file, because a detector refuses pictures of the other
/// colour.
///
/// # Errors
/// When the picture cannot be encoded.
pub fn encode(picture: &Picture) -> Result<Vec<u8>> {
    match picture.colour {
        Colour::Rgb => encode_rgb(&picture.pixels),
        Colour::Grey => {
            let (width, height) = picture.pixels.dimensions();
            // The three channels are the same.
            let values: Vec<u8> = picture.pixels.pixels().map(|pixel| pixel.0[0]).collect();
            let grey = GrayImage::from_raw(width, height, values).ok_or_else(|| Error::invalid("a picture lacks pixels"))?;
            let mut png = Cursor::new(Vec::new());
            grey.write_to(&mut png, ImageFormat::Png).map_err(failed)?;
            Ok(png.into_inner())
        }
    }
}

/// Colour pixels as the bytes of a PNG file.
///
/// # Errors
/// When the pixels cannot be encoded.
pub fn encode_rgb(pixels: &RgbImage) -> Result<Vec<u8>> {
    let mut png = Cursor::new(Vec::new());
    pixels.write_to(&mut png, ImageFormat::Png).map_err(failed)?;
    Ok(png.into_inner())
}

fn failed(error: image::ImageError) -> Error {
    Error::invalid(format!("cannot encode a PNG file: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn grey_stays_grey_in_files() {
        for colour in [Colour::Grey, Colour::Rgb] {
            let pixels = RgbImage::from_fn(3, 2, |x, y| image::Rgb([(10 * x + y) as u8; 3]));
            let png = encode(&Picture { pixels: pixels.clone(), colour }).unwrap();
            let read = Picture::parse(&png, Path::new("a.png")).unwrap();
            assert_eq!((read.colour, read.pixels), (colour, pixels));
        }
    }
}
