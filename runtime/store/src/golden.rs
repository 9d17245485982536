//! The golden part's picture in the state folder.

use std::path::{Path, PathBuf};

use detector::archive::SIZE_LIMIT;
use detector::file_system::FileSystem;
use detector::picture::Picture;
use detector::preprocess::Rect;
use detector::{Error, Result, files};
use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::folder::{GOLDEN as FOLDER, now};
use crate::models::short;
use crate::store::{LockedStore, Store};
use crate::text::{toml, utf8};

/// Format that this version writes.
const FORMAT: u32 = 1;
/// Largest record.
const RECORD_LIMIT: u64 = 64 << 10;

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

/// A golden part as it is captured.
#[derive(Clone, Copy, Debug)]
pub struct Capture<'a> {
    /// The picture of the detector's region, as the bytes of a PNG file.
    pub png: &'a [u8],
    /// Light and focus of that picture.
    pub measures: Measures,
    /// What the detector looks at in the whole picture.
    pub region: Option<Rect>,
    /// Who captures.
    pub by: &'a str,
    /// Camera or file.
    pub source: &'a str,
}

impl<F: FileSystem> Store<F> {
    /// The golden part of a seat and the picture of its region; none where it was never captured.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn golden(&self, role: &str) -> Result<Option<(Golden, RgbImage)>> {
        let path = self.golden_record(role);
        if !self.files.is_file(&path) {
            return Ok(None);
        }
        let golden = Golden::parse(&path, utf8(&self.files.read(&path, RECORD_LIMIT)?, &path)?)?;
        let path = self.golden_picture(&golden);
        let png = self.files.read(&path, SIZE_LIMIT)?;
        if files::sha256(&png) != golden.sha256 {
            return Err(Error::file(path, "is not the golden part's picture that was captured: capture it again"));
        }
        let pixels = Picture::parse(&png, &path)?.pixels;
        Ok(Some((golden, pixels)))
    }

    pub(crate) fn golden_record(&self, role: &str) -> PathBuf {
        self.folder().join(FOLDER).join(format!("{role}.toml"))
    }

    pub(crate) fn golden_picture(&self, golden: &Golden) -> PathBuf {
        self.folder().join(FOLDER).join(&golden.picture)
    }
}

impl<F: FileSystem> LockedStore<F> {
    /// Keeps a golden part in place of the one before. Its picture is named by its content: a record never leads to another picture.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write_golden(&self, role: &str, capture: &Capture<'_>) -> Result<Golden> {
        let Capture { png, measures, region, by, source } = *capture;
        self.subfolder(FOLDER)?;
        let before = self.golden(role).ok().flatten();
        let sha256 = files::sha256(png);
        let picture = format!("{role}-{}.png", short(&sha256));
        let golden =
            Golden { format: FORMAT, at: now(), by: by.into(), source: source.into(), picture, sha256, region, measures };
        self.files.write(&self.golden_picture(&golden), png)?;
        self.files.write(&self.golden_record(role), toml(&golden)?.as_bytes())?;
        if let Some((before, _)) = before.filter(|(before, _)| before.picture != golden.picture) {
            self.files.remove(&self.golden_picture(&before))?;
        }
        Ok(golden)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use config::MAIN;

    use super::*;
    use crate::memory::{Memory, finish, interrupt};

    fn capture<F: FileSystem>(store: Store<F>, grey: u8) -> Result<()> {
        let pixels = RgbImage::from_pixel(9, 9, image::Rgb([grey; 3]));
        let mut png = Cursor::new(Vec::new());
        pixels.write_to(&mut png, image::ImageFormat::Png).unwrap();
        let measures = Measures { levels: [f64::from(grey); 3], sharpness: 0.0 };
        let capture = Capture { png: png.get_ref(), measures, region: None, by: "ana", source: "camera" };
        store.lock()?.write_golden(MAIN, &capture).map(drop)
    }

    #[test]
    fn a_crash_leaves_the_old_golden_part_or_the_new_one() {
        let on = |disk: &Memory| Store::on(disk.clone(), "/var/lib/apc");
        for old in [None, Some(10)] {
            let before = Memory::new();
            old.iter().for_each(|grey| finish(&before, |disk| capture(on(disk), *grey)));
            let go = |disk: &Memory| capture(on(disk), 20);
            let states = interrupt(&before, go, |end, after| {
                let grey = |disk: &Memory| {
                    let (golden, pixels) = on(disk).golden(MAIN).unwrap()?;
                    let grey = pixels.get_pixel(4, 4).0[0];
                    assert_eq!(golden.measures.levels[0], f64::from(grey), "{end:?}");
                    Some(grey)
                };
                let found = grey(after);
                assert!([old, Some(20)].contains(&found), "{end:?}: {found:?}");
                finish(after, go);
                assert_eq!(grey(after), Some(20), "given again after {end:?}");
            });
            assert!(states >= 40, "{states} states after a crash");
        }
    }

    #[test]
    fn a_golden_part_takes_the_place_of_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        assert_eq!(store.golden(MAIN).unwrap(), None);
        for grey in [10, 20] {
            capture(store.clone(), grey).unwrap();
            assert_eq!(store.golden(MAIN).unwrap().unwrap().1.get_pixel(0, 0).0, [grey; 3]);
        }
        assert_eq!(std::fs::read_dir(folder.path().join(FOLDER)).unwrap().count(), 2, "the old picture is gone");
    }
}
