//! From a frame's bytes to a [`Picture`], for every pixel format.
//!
//! Pure functions of the frame's bytes and its [`Layout`]. No frame leads to a panic: a damaged frame is an error that names what is wrong.
//! `fuzz/targets/frame.rs` tests this.

mod bayer;
mod jpeg;
mod yuv;

use detector::picture::{Colour, Picture, SIDE_LIMIT};
use image::RgbImage;

use super::format::{Layout, PixelFormat};

/// Decodes a frame; `planes` are the bytes that the driver has filled, plane by plane.
///
/// # Errors
/// When the frame is too short for its layout, or is no sound JPEG of the expected size.
pub fn decode(layout: &Layout, planes: &[&[u8]]) -> Result<Picture, String> {
    let (width, height) = (layout.width as usize, layout.height as usize);
    if !(1..=SIDE_LIMIT).contains(&layout.width) || !(1..=SIDE_LIMIT).contains(&layout.height) {
        return Err(format!("{width}x{height} px were announced; 1 to {SIDE_LIMIT} px a side are accepted"));
    }
    let Some(first) = planes.first() else { return Err("the frame has no bytes".into()) };
    let conversion = layout.conversion;
    let plane = |bytes| Plane::new(first, layout.stride, bytes, height);
    match layout.format {
        PixelFormat::Mjpg => jpeg::decode(first, layout.width, layout.height),
        PixelFormat::Yuyv => colour(layout, yuv::packed(&plane(width.next_multiple_of(2) * 2)?, width, [0, 1, 3], conversion)),
        PixelFormat::Uyvy => colour(layout, yuv::packed(&plane(width.next_multiple_of(2) * 2)?, width, [1, 0, 2], conversion)),
        PixelFormat::Nv12 => {
            let luma = plane(width)?;
            let (pairs, rows) = (width.next_multiple_of(2), height.div_ceil(2));
            let chroma = match planes.get(1) {
                Some(chroma) => Plane::new(chroma, layout.chroma_stride, pairs, rows)?,
                None => {
                    let start = layout.stride.checked_mul(height).and_then(|start| first.get(start..));
                    Plane::new(start.unwrap_or_default(), layout.stride, pairs, rows)?
                }
            };
            colour(layout, yuv::semi_planar(&luma, &chroma, width, conversion))
        }
        // Whole rows are copied: byte by byte, a test build on a slow processor would be late for the next frame.
        PixelFormat::Rgb3 => colour(layout, plane(width * 3)?.rows().collect::<Vec<_>>().concat()),
        PixelFormat::Bgr3 => {
            let pixels = plane(width * 3)?;
            colour(layout, pixels.rows().flat_map(|row| row.as_chunks().0).flat_map(|&[b, g, r]| [r, g, b]).collect())
        }
        PixelFormat::Grey => grey(layout, plane(width)?.rows().flatten().copied()),
        PixelFormat::Y10 => deep_grey(layout, &plane(width * 2)?, 10),
        PixelFormat::Y12 => deep_grey(layout, &plane(width * 2)?, 12),
        PixelFormat::Y16 => deep_grey(layout, &plane(width * 2)?, 16),
        PixelFormat::Bayer(order) => colour(layout, bayer::demosaic(&plane(width)?, width, order)),
    }
}

/// The rows of a plane, without the padding at their ends.
struct Plane<'a> {
    bytes: &'a [u8],
    stride: usize,
    /// Bytes of a row, without padding.
    row: usize,
    height: usize,
}

impl<'a> Plane<'a> {
    /// The last row may lack its padding: not every driver counts it.
    fn new(bytes: &'a [u8], stride: usize, row: usize, height: usize) -> Result<Plane<'a>, String> {
        if stride < row {
            return Err(format!("a row has {stride} bytes; at least {row} were expected"));
        }
        let needed = stride.checked_mul(height - 1).and_then(|bytes| bytes.checked_add(row));
        match needed {
            Some(needed) if needed <= bytes.len() => Ok(Plane { bytes, stride, row, height }),
            _ => Err(format!("the frame is short: a plane has {} bytes; {height} rows of {stride} were expected", bytes.len())),
        }
    }

    fn row(&self, y: usize) -> &'a [u8] {
        &self.bytes[y * self.stride..][..self.row]
    }

    fn rows(&self) -> impl Iterator<Item = &'a [u8]> {
        (0..self.height).map(|y| self.row(y))
    }
}

fn colour(layout: &Layout, pixels: Vec<u8>) -> Result<Picture, String> {
    picture(layout, pixels, Colour::Rgb)
}

fn grey(layout: &Layout, values: impl Iterator<Item = u8>) -> Result<Picture, String> {
    let mut pixels = Vec::with_capacity(layout.width as usize * layout.height as usize * 3);
    values.for_each(|value| pixels.extend([value; 3]));
    picture(layout, pixels, Colour::Grey)
}

/// Little-endian 16-bit words of which the low `bits` count; the bits above may be noise of the bus and are ignored.
fn deep_grey(layout: &Layout, words: &Plane<'_>, bits: u32) -> Result<Picture, String> {
    let largest = (1u32 << bits) - 1;
    let to_byte = |word: &[u8; 2]| {
        let value = u32::from(u16::from_le_bytes(*word)) & largest;
        ((value * 255 + largest / 2) / largest) as u8
    };
    grey(layout, words.rows().flat_map(|row| row.as_chunks().0).map(to_byte))
}

fn picture(layout: &Layout, pixels: Vec<u8>, colour: Colour) -> Result<Picture, String> {
    let pixels = RgbImage::from_raw(layout.width, layout.height, pixels).ok_or("the frame has too few pixels")?;
    Ok(Picture { pixels, colour })
}

#[cfg(test)]
mod tests;
