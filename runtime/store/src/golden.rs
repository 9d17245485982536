//! The golden part's picture in the state folder.

use std::path::{Path, PathBuf};

use detector::files::{self, Disk};
use detector::picture::Picture;
use detector::preprocess::Rect;
use detector::{Error, Result};
use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::folder::{GOLDEN as FOLDER, now};
use crate::models::short;
use crate::state::State;

/// Format that this version writes.
const FORMAT: u32 = 1;

/// Light and focus of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measures {
    /// Means of red, green and blue, 0 to 255.
    pub levels: [f64; 3],
    /// Contrast of fine detail relative to the brightness; larger is sharper.
    pub sharpness: f64,
}

/// `golden/ROLE.toml`: the golden part as it was when everything was right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// [`FORMAT`]
    format: u32,
    /// When; seconds since 1970, UTC.
    pub at: u64,
    /// Who.
    pub by: String,
    /// Camera or file.
    pub source: String,
    /// File of the region's picture, in the same folder.
    pub picture: String,
    /// Its SHA-256.
    pub sha256: String,
    /// What the detector looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Rect>,
    /// Light and focus.
    pub measures: Measures,
}

impl Golden {
    /// Parses a record; `path` only names it in errors.
    ///
    /// # Errors
    /// When it is unsound, or newer than this version.
    pub fn parse(path: &Path, text: &str) -> Result<Golden> {
        let golden: Golden = files::parse_toml(path, text)?;
        if golden.format != FORMAT {
            let problem = format!("has format {}; this version reads {FORMAT}: update apc-runtime", golden.format);
            return Err(Error::file(path, problem));
        }
        let measures = &golden.measures;
        if !measures.levels.iter().chain([&measures.sharpness]).all(|value| value.is_finite()) {
            return Err(Error::file(path, "holds a measure that is no number"));
        }
        Ok(golden)
    }
}

/// Where a role's record is.
pub fn record(state: &Path, role: &str) -> PathBuf {
    state.join(FOLDER).join(role).with_extension("toml")
}

/// The golden part of a station and the region of its picture; none where it was never captured.
///
/// # Errors
/// When it is damaged.
pub fn read(state: &Path, role: &str) -> Result<Option<(Golden, RgbImage)>> {
    let path = record(state, role);
    if !path.is_file() {
        return Ok(None);
    }
    let text = String::from_utf8(files::read_bounded(&path, 64 << 10)?).map_err(|_| Error::file(&path, "is not UTF-8 text"))?;
    let golden = Golden::parse(&path, &text)?;
    let picture = state.join(FOLDER).join(&golden.picture);
    if files::sha256_file(&picture)? != golden.sha256 {
        return Err(Error::file(picture, "is not the golden part's picture that was captured: capture it again"));
    }
    let pixels = Picture::read(&picture)?.pixels;
    Ok(Some((golden, pixels)))
}

/// Keeps a golden part in place of the one before: the PNG file of the region's picture and its measures. The picture has a name of its own content: a record never leads to another picture.
///
/// # Errors
/// When a file cannot be written.
pub fn write(
    state: &State,
    disk: &mut Disk<'_>,
    role: &str,
    (png, measures): (&[u8], Measures),
    region: Option<Rect>,
    (by, source): (String, String),
) -> Result<Golden> {
    let folder = state.subfolder(FOLDER)?;
    let path = record(state.folder(), role);
    let before = read(state.folder(), role).ok().flatten();
    let sha256 = files::sha256(png);
    let picture = format!("{role}-{}.png", short(&sha256));
    let golden = Golden { format: FORMAT, at: now(), by, source, picture, sha256, region, measures };
    disk.write(&folder.join(&golden.picture), png)?;
    let text = toml::to_string(&golden).map_err(|error| Error::invalid(format!("cannot write TOML: {error}")))?;
    disk.write(&path, text.as_bytes())?;
    if let Some((before, _)) = before.filter(|(before, _)| before.picture != golden.picture) {
        disk.remove(&folder.join(before.picture))?;
    }
    Ok(golden)
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::MAIN;
    use std::io::{self, Cursor};

    fn capture(folder: &Path, grey: u8, disk: &mut Disk<'_>) -> Result<Golden> {
        let pixels = RgbImage::from_pixel(9, 9, image::Rgb([grey; 3]));
        let mut png = Cursor::new(Vec::new());
        pixels.write_to(&mut png, image::ImageFormat::Png).unwrap();
        let state = State::open(folder)?;
        let measures = Measures { levels: [f64::from(grey); 3], sharpness: 0.0 };
        write(&state, disk, MAIN, (png.get_ref(), measures), None, ("ana".into(), "camera".into()))
    }

    #[test]
    fn a_power_cut_leaves_the_old_golden_part_or_the_new_one() {
        for cut in 0..12 {
            let folder = tempfile::tempdir().unwrap();
            assert_eq!(read(folder.path(), MAIN).unwrap(), None);
            capture(folder.path(), 10, &mut Disk::default()).unwrap();
            let mut left = cut;
            let mut watch = |_| match left {
                0 => Err(io::Error::from(io::ErrorKind::Interrupted)),
                _ => {
                    left -= 1;
                    Ok(())
                }
            };
            assert!(capture(folder.path(), 20, &mut Disk::watched(&mut watch)).is_err(), "{cut}");
            let (golden, pixels) = read(folder.path(), MAIN).unwrap().unwrap();
            let grey = pixels.get_pixel(4, 4).0[0];
            assert!([10, 20].contains(&grey) && golden.measures.levels[0] == f64::from(grey), "{cut}");
        }
        let folder = tempfile::tempdir().unwrap();
        for grey in [10, 20] {
            capture(folder.path(), grey, &mut Disk::default()).unwrap();
        }
        assert_eq!(std::fs::read_dir(folder.path().join(FOLDER)).unwrap().count(), 2, "the old picture is gone");
    }
}
