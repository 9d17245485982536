//! Pixel formats and how a frame lies in memory.

use config::{FourCc, Matrix, Range};

/// A pixel format that can be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Motion JPEG.
    Mjpg,
    /// Luma and chroma, two pixels in four bytes: Y, Cb, Y, Cr.
    Yuyv,
    /// As [`PixelFormat::Yuyv`], in the order Cb, Y, Cr, Y.
    Uyvy,
    /// A plane of luma, then one of chroma at half the width and height; also as two planes (`NM12`).
    Nv12,
    /// Red, green, blue, a byte each.
    Rgb3,
    /// Blue, green, red, a byte each.
    Bgr3,
    /// A byte of brightness.
    Grey,
    /// Ten bits of brightness in a little-endian word.
    Y10,
    /// Twelve bits of brightness in a little-endian word.
    Y12,
    /// Sixteen bits of brightness in a little-endian word.
    Y16,
    /// A byte of one colour a pixel.
    Bayer(BayerOrder),
}

/// The first two colours of the first two rows of a Bayer pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each name lists the colours")]
pub enum BayerOrder {
    Rggb,
    Grbg,
    Gbrg,
    Bggr,
}

impl PixelFormat {
    /// The format of a code, if it can be decoded.
    pub fn of(code: FourCc) -> Option<PixelFormat> {
        Some(match &code.0 {
            b"MJPG" => PixelFormat::Mjpg,
            b"YUYV" => PixelFormat::Yuyv,
            b"UYVY" => PixelFormat::Uyvy,
            // `NM12` is NV12 with each plane in a buffer of its own.
            b"NV12" | b"NM12" => PixelFormat::Nv12,
            b"RGB3" => PixelFormat::Rgb3,
            b"BGR3" => PixelFormat::Bgr3,
            b"GREY" => PixelFormat::Grey,
            b"Y10 " => PixelFormat::Y10,
            b"Y12 " => PixelFormat::Y12,
            b"Y16 " => PixelFormat::Y16,
            b"RGGB" => PixelFormat::Bayer(BayerOrder::Rggb),
            b"GRBG" => PixelFormat::Bayer(BayerOrder::Grbg),
            b"GBRG" => PixelFormat::Bayer(BayerOrder::Gbrg),
            b"BA81" => PixelFormat::Bayer(BayerOrder::Bggr),
            _ => return None,
        })
    }
}

/// How luma and chroma become red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the types have the documentation")]
pub struct Conversion {
    pub matrix: Matrix,
    pub range: Range,
}

/// How a frame lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The pixel format.
    pub format: PixelFormat,
    /// Width, in pixels.
    pub width: u32,
    /// Height, in pixels.
    pub height: u32,
    /// Bytes from one row to the next in the first plane, padding included.
    pub stride: usize,
    /// The same in the second plane, where there is one.
    pub chroma_stride: usize,
    /// The conversion of formats with luma and chroma. [`PixelFormat::Mjpg`] always has the conversion of JPEG (BT.601, full range).
    pub conversion: Conversion,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_configuration_can_be_decoded() {
        for (name, code) in config::FORMATS {
            assert!(PixelFormat::of(code).is_some(), "{name}");
        }
        assert_eq!(PixelFormat::of(FourCc(*b"BA81")), Some(PixelFormat::Bayer(BayerOrder::Bggr)));
        assert_eq!(PixelFormat::of(FourCc(*b"H264")), None);
    }
}
