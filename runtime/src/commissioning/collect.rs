//! The picture of every part as a file: the images to learn from.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use config::{Config, SeatId};
use detector::files;
use detector::picture::Picture;
use log::warn;
use serde::Serialize;

use super::parts::{Part, each_part};
use crate::workbench::png;

/// Longest name of a session.
const NAME_LIMIT: usize = 64;

/// Whether a session may have this name, which becomes part of file names: letters, digits, `-` and `_`, at most 64.
pub fn is_session_name(name: &str) -> bool {
    (1..=NAME_LIMIT).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

/// A line of SESSION.jsonl.
#[derive(Serialize)]
struct Record<'a> {
    session: &'a str,
    part: u64,
    /// Time of the trigger, or of the capture where frames are parts; seconds since 1970, UTC.
    at: f64,
    source: &'a str,
    /// The picture's file; `None` where there is a problem.
    file: Option<&'a str>,
    /// Why there is no picture.
    problem: Option<&'a str>,
}

/// A session of collecting: pictures `SESSION-PART.png`, and a line for each part in `SESSION.jsonl`.
#[derive(Debug)]
pub struct Session {
    folder: PathBuf,
    name: String,
    path: PathBuf,
    records: File,
    saved: u64,
    parts: u64,
}

/// How many parts a session saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collected {
    /// Parts.
    pub parts: u64,
    /// Parts with a picture.
    pub saved: u64,
}

impl Session {
    /// Makes the folder where it is missing, and begins the file of the session.
    ///
    /// # Errors
    /// When the folder cannot be made or the file cannot be written; also when the session is there already.
    pub fn begin(folder: &Path, name: &str) -> Result<Session> {
        fs::create_dir_all(folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
        let path = folder.join(format!("{name}.jsonl"));
        let records = OpenOptions::new().create_new(true).append(true).open(&path);
        let records = records
            .with_context(|| format!("cannot begin {}; where it is there already, choose another --session", path.display()))?;
        Ok(Session { folder: folder.to_owned(), name: name.to_owned(), path, records, saved: 0, parts: 0 })
    }

    /// Saves the parts of a seat until `count` pictures are saved, the source ends, or `stop` becomes true.
    ///
    /// # Errors
    /// When the source or a GPIO line fails, or a file cannot be written or is there already.
    pub fn collect(mut self, config: &Config, seat: SeatId, count: Option<u64>, stop: &AtomicBool) -> Result<Collected> {
        each_part(config, seat, stop, |Part { number, at, source, picture }| {
            self.save(number, at, &source, picture)?;
            Ok(if count.is_some_and(|count| self.saved >= count) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        self.records.sync_all().with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(Collected { parts: self.parts, saved: self.saved })
    }

    /// Saves one part: its picture, if it has one, and its line.
    fn save(&mut self, number: u64, at: SystemTime, source: &str, picture: std::result::Result<Picture, String>) -> Result<()> {
        self.parts += 1;
        let name = format!("{}-{number:06}.png", self.name);
        let problem = match picture {
            Ok(picture) => {
                let path = self.folder.join(&name);
                if path.exists() {
                    bail!("{} is there already: choose another --session", path.display());
                }
                files::write_atomic(&path, &png::encode(&picture)?)?;
                self.saved += 1;
                None
            }
            Err(problem) => {
                warn!("part {number}: {problem}");
                Some(problem)
            }
        };
        let at = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64();
        let (file, problem) = (problem.is_none().then_some(name.as_str()), problem.as_deref());
        let record = serde_json::to_string(&Record { session: &self.name, part: number, at, source, file, problem })?;
        writeln!(self.records, "{record}").with_context(|| format!("cannot write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use detector::picture::Colour;

    #[test]
    fn sessions_are_file_names() {
        assert!(is_session_name("line-2_monday") && is_session_name(&"a".repeat(64)));
        assert!(!is_session_name("../up") && !is_session_name("") && !is_session_name(&"a".repeat(65)));
    }

    #[test]
    fn a_part_is_saved_or_its_problem_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut session = Session::begin(folder.path(), "monday").unwrap();
        let picture = Picture { pixels: image::RgbImage::from_pixel(3, 2, image::Rgb([7; 3])), colour: Colour::Grey };
        let at = UNIX_EPOCH + Duration::from_millis(1500);
        session.save(1, at, "camera", Ok(picture.clone())).unwrap();
        session.save(2, at, "", Err("no frame".into())).unwrap();
        assert_eq!((session.parts, session.saved), (2, 1));
        let read = Picture::read(&folder.path().join("monday-000001.png")).unwrap();
        assert_eq!((read.colour, read.pixels), (picture.colour, picture.pixels.clone()));
        let lines = fs::read_to_string(folder.path().join("monday.jsonl")).unwrap();
        let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0]["file"], &lines[0]["at"]), (&"monday-000001.png".into(), &1.5.into()));
        assert_eq!((&lines[1]["file"], &lines[1]["problem"]), (&serde_json::Value::Null, &"no frame".into()));
        // Neither a picture nor a session is overwritten.
        let error = session.save(1, at, "camera", Ok(picture)).unwrap_err().to_string();
        assert!(error.contains("monday-000001.png is there already"), "{error}");
        let error = Session::begin(folder.path(), "monday").unwrap_err().to_string();
        assert!(error.contains("monday.jsonl") && error.contains("choose another --session"), "{error}");
    }
}
