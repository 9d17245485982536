//! Pixel formats and how a frame lies in memory.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Four characters by which V4L2 names a pixel format.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FourCc(pub [u8; 4]);

impl FourCc {
    /// From V4L2's number.
    pub fn from_number(number: u32) -> FourCc {
        FourCc(number.to_le_bytes())
    }

    /// V4L2's number.
    pub fn number(self) -> u32 {
        u32::from_le_bytes(self.0)
    }
}

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The top bit says big-endian.
        let [a, b, c, d] = self.0;
        let text: String = [a, b, c, d & 0x7F].map(char::from).iter().collect();
        f.write_str(text.trim_end())?;
        if d & 0x80 != 0 { f.write_str("-BE") } else { Ok(()) }
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

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

/// The first two colours of the first two lines of a Bayer pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum BayerOrder {
    Rggb,
    Grbg,
    Gbrg,
    Bggr,
}

/// Names in configurations, V4L2's codes. `NM12` is a second code for NV12, in planes of their own.
const FORMATS: [(&str, [u8; 4], PixelFormat); 15] = [
    ("MJPG", *b"MJPG", PixelFormat::Mjpg),
    ("YUYV", *b"YUYV", PixelFormat::Yuyv),
    ("UYVY", *b"UYVY", PixelFormat::Uyvy),
    ("NV12", *b"NV12", PixelFormat::Nv12),
    ("NM12", *b"NM12", PixelFormat::Nv12),
    ("RGB3", *b"RGB3", PixelFormat::Rgb3),
    ("BGR3", *b"BGR3", PixelFormat::Bgr3),
    ("GREY", *b"GREY", PixelFormat::Grey),
    ("Y10", *b"Y10 ", PixelFormat::Y10),
    ("Y12", *b"Y12 ", PixelFormat::Y12),
    ("Y16", *b"Y16 ", PixelFormat::Y16),
    ("RGGB", *b"RGGB", PixelFormat::Bayer(BayerOrder::Rggb)),
    ("GRBG", *b"GRBG", PixelFormat::Bayer(BayerOrder::Grbg)),
    ("GBRG", *b"GBRG", PixelFormat::Bayer(BayerOrder::Gbrg)),
    ("BA81", *b"BA81", PixelFormat::Bayer(BayerOrder::Bggr)),
];

impl PixelFormat {
    /// The format of a code, if it can be decoded.
    pub fn of(code: FourCc) -> Option<PixelFormat> {
        FORMATS.iter().find(|(_, known, _)| *known == code.0).map(|(_, _, format)| *format)
    }
}

/// The name of a format that can be decoded, as V4L2 writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct FormatName(FourCc);

impl FormatName {
    /// Its code.
    pub fn code(self) -> FourCc {
        self.0
    }
}

impl TryFrom<String> for FormatName {
    type Error = String;

    fn try_from(name: String) -> Result<FormatName, String> {
        name.parse()
    }
}

impl std::str::FromStr for FormatName {
    type Err = String;

    fn from_str(name: &str) -> Result<FormatName, String> {
        let found = FORMATS.iter().find(|(known, ..)| name.eq_ignore_ascii_case(known));
        found.map(|(_, code, _)| FormatName(FourCc(*code))).ok_or_else(|| {
            let names: Vec<_> = FORMATS.iter().map(|(known, ..)| *known).collect();
            format!("{name:?} is no pixel format that can be decoded; there are {}", names.join(", "))
        })
    }
}

/// How luma and chroma were made of red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Matrix {
    /// ITU-R BT.601: standard definition, and webcams.
    Bt601,
    /// ITU-R BT.709: high definition.
    Bt709,
}

/// Which values black and white have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Range {
    /// Luma 0 to 255, as in JPEG.
    Full,
    /// Luma 16 to 235, chroma 16 to 240, as in video.
    Limited,
}

/// How luma and chroma become red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the types say it")]
pub struct Conversion {
    pub matrix: Matrix,
    pub range: Range,
}

/// How a frame lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What the bytes mean.
    pub format: PixelFormat,
    /// Pixels in a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Bytes from one line to the next in the first plane; nothing is to be read between them.
    pub stride: usize,
    /// The same in the second plane, where there is one.
    pub chroma_stride: usize,
    /// For formats of luma and chroma; [`PixelFormat::Mjpg`] always has JPEG's own (BT.601, full).
    pub conversion: Conversion,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes() {
        let y10: FormatName = "y10".parse().unwrap();
        assert_eq!((y10.code().0, y10.code().to_string()), (*b"Y10 ", "Y10".into()));
        assert_eq!(FourCc::from_number(y10.code().number()), y10.code());
        assert_eq!(FourCc(*b"Y16\xA0").to_string(), "Y16-BE");
        assert_eq!(PixelFormat::of(FourCc(*b"BA81")), Some(PixelFormat::Bayer(BayerOrder::Bggr)));
        assert_eq!(PixelFormat::of(FourCc(*b"H264")), None);
        assert!("H264".parse::<FormatName>().unwrap_err().contains("YUYV"));
    }
}
