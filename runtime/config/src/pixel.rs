//! Names of pixel formats and of the ways in which luma and chroma are made.

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
        // The top bit means big-endian.
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

/// Names of pixel formats in a configuration, with V4L2's codes. The camera's decoder can decode each of them.
pub const FORMATS: [(&str, FourCc); 15] = [
    ("MJPG", FourCc(*b"MJPG")),
    ("YUYV", FourCc(*b"YUYV")),
    ("UYVY", FourCc(*b"UYVY")),
    ("NV12", FourCc(*b"NV12")),
    ("NM12", FourCc(*b"NM12")),
    ("RGB3", FourCc(*b"RGB3")),
    ("BGR3", FourCc(*b"BGR3")),
    ("GREY", FourCc(*b"GREY")),
    ("Y10", FourCc(*b"Y10 ")),
    ("Y12", FourCc(*b"Y12 ")),
    ("Y16", FourCc(*b"Y16 ")),
    ("RGGB", FourCc(*b"RGGB")),
    ("GRBG", FourCc(*b"GRBG")),
    ("GBRG", FourCc(*b"GBRG")),
    ("BA81", FourCc(*b"BA81")),
];

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
        let format = FORMATS.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
        format.map(|(_, code)| FormatName(*code)).ok_or_else(|| {
            let names: Vec<_> = FORMATS.iter().map(|(known, _)| *known).collect();
            format!("{name:?} is no pixel format that can be decoded; expected one of {}", names.join(", "))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes() {
        let y10: FormatName = "y10".parse().unwrap();
        assert_eq!((y10.code().0, y10.code().to_string()), (*b"Y10 ", "Y10".into()));
        assert_eq!(FourCc::from_number(y10.code().number()), y10.code());
        assert_eq!(FourCc(*b"Y16\xA0").to_string(), "Y16-BE");
        assert!("H264".parse::<FormatName>().unwrap_err().contains("YUYV"));
    }
}
