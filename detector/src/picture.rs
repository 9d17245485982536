//! Image files into 8-bit RGB pictures, with bounds on what is accepted.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, GrayImage, ImageDecoder, ImageError, ImageReader, Limits, RgbImage};
use serde::{Deserialize, Serialize};

use crate::{Error, Result, files};

/// Longest side of an accepted image.
pub const SIDE_LIMIT: u32 = 16_384;
/// Largest image file that is read.
const FILE_LIMIT: u64 = 1 << 30;
/// Most memory that decoding one image may take.
const MEMORY_LIMIT: u64 = 1 << 30;
const EXTENSIONS: [&str; 6] = ["png", "jpg", "jpeg", "bmp", "tif", "tiff"];

/// Whether a product's images have colour. Grey and colour images are never mixed: a camera that changes its mode is a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// One channel, repeated three times for the network.
    Grey,
    /// Red, green, blue.
    Rgb,
}

impl std::fmt::Display for Colour {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Colour::Grey => "grey",
            Colour::Rgb => "colour",
        })
    }
}

/// A decoded image.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Eight bits a channel; 16-bit values are divided by 257 and rounded, grey is repeated.
    pub pixels: RgbImage,
    /// Whether the source had colour.
    pub colour: Colour,
}

impl Picture {
    /// Reads PNG, JPEG, BMP or TIFF, 8 or 16 bit, grey or colour; transparency is dropped.
    ///
    /// # Errors
    /// When it cannot be read, is no such image, is damaged, or has a side over [`SIDE_LIMIT`].
    pub fn read(path: &Path) -> Result<Picture> {
        Ok(Picture::of(decode(path)?))
    }

    /// [`Picture::read`] from memory; `path` only names it in errors.
    ///
    /// # Errors
    /// As [`Picture::read`].
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Picture> {
        decode_bytes(bytes).map(Picture::of).map_err(|problem| Error::file(path, problem))
    }

    fn of(image: DynamicImage) -> Picture {
        let colour = if image.color().has_color() { Colour::Rgb } else { Colour::Grey };
        Picture { pixels: image.into_rgb8(), colour }
    }

    /// Refuses a picture of another colour than `expected`.
    ///
    /// # Errors
    /// When they differ; the message names `path`.
    pub fn expect_colour(&self, expected: Colour, path: &Path) -> Result<()> {
        if self.colour == expected {
            return Ok(());
        }
        Err(Error::file(path, format!("is a {} image; {expected} images were expected, as in training", self.colour)))
    }
}

/// Reads a mask: pixels above half are anomalous.
///
/// # Errors
/// As [`Picture::read`].
pub fn read_mask(path: &Path) -> Result<GrayImage> {
    let mut mask = decode(path)?.into_luma8();
    mask.pixels_mut().for_each(|pixel| pixel.0[0] = if pixel.0[0] > 127 { 255 } else { 0 });
    Ok(mask)
}

/// Whether a file's name says that it is an image.
pub fn is_image_name(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known)))
}

fn decode(path: &Path) -> Result<DynamicImage> {
    if path.is_dir() {
        return Err(Error::file(path, "is a folder; an image file was expected"));
    }
    let bytes = files::read_bounded(path, FILE_LIMIT)?;
    if bytes.is_empty() {
        return Err(Error::file(path, "is empty; an image file was expected"));
    }
    decode_bytes(&bytes).map_err(|problem| Error::file(path, problem))
}

/// Decodes an image from memory; the error has no file name.
pub(crate) fn decode_bytes(bytes: &[u8]) -> std::result::Result<DynamicImage, String> {
    let damaged = |error: ImageError| format!("is not a sound PNG, JPEG, BMP or TIFF image: {error}");
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| error.to_string())?;
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    if width > SIDE_LIMIT || height > SIDE_LIMIT {
        return Err(format!("is {width}x{height} px; at most {SIDE_LIMIT} px a side are accepted: scale it down or crop it"));
    }
    if width == 0 || height == 0 {
        return Err("has no pixels".into());
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(MEMORY_LIMIT);
    decoder.set_limits(limits).map_err(damaged)?;
    DynamicImage::from_decoder(decoder).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageBuffer, Luma, Rgb};

    #[test]
    fn depth_and_colour_are_mapped() {
        let folder = tempfile::tempdir().unwrap();
        let grey = folder.path().join("grey.png");
        ImageBuffer::<Luma<u16>, _>::from_vec(3, 1, vec![0u16, 257 * 100, 65535]).unwrap().save(&grey).unwrap();
        let picture = Picture::read(&grey).unwrap();
        assert_eq!(picture.colour, Colour::Grey);
        assert_eq!(picture.pixels.as_raw(), &[0, 0, 0, 100, 100, 100, 255, 255, 255]);
        assert!(picture.expect_colour(Colour::Rgb, &grey).unwrap_err().to_string().contains("grey.png"));
        let rgb = folder.path().join("rgb.bmp");
        ImageBuffer::<Rgb<u8>, _>::from_vec(1, 1, vec![1, 2, 3]).unwrap().save(&rgb).unwrap();
        assert_eq!(Picture::read(&rgb).unwrap().colour, Colour::Rgb);
    }

    #[test]
    fn bad_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let good = folder.path().join("good.png");
        RgbImage::new(40, 40).save(&good).unwrap();
        let bytes = std::fs::read(&good).unwrap();
        let cases = [("empty.png", &bytes[..0]), ("cut.png", &bytes[..bytes.len() / 2]), ("text.png", b"hello".as_slice())];
        for (name, content) in cases {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            let error = Picture::read(&path).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        let folder_image = folder.path().join("folder.png");
        std::fs::create_dir(&folder_image).unwrap();
        assert!(Picture::read(&folder_image).unwrap_err().to_string().contains("is a folder"));
    }

    #[test]
    fn huge_images_are_refused_before_they_are_decoded() {
        // A header is enough: 50,000 px a side, no pixels behind it.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("huge.bmp");
        let mut bytes = b"BM".to_vec();
        bytes.extend([0u8; 8]);
        bytes.extend(54u32.to_le_bytes());
        bytes.extend(40u32.to_le_bytes());
        bytes.extend(50_000u32.to_le_bytes());
        bytes.extend(50_000u32.to_le_bytes());
        bytes.extend([1, 0, 24, 0]);
        bytes.extend([0u8; 24]);
        std::fs::write(&path, bytes).unwrap();
        let error = Picture::read(&path).unwrap_err().to_string();
        assert!(error.contains("50000x50000"), "{error}");
    }
}
