//! The replayed production line: parts that the detector has not seen, in mixed order, through the camera service.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde::Deserialize;

use crate::binaries::Build;
use crate::figures::{Figures, Latency};
use crate::wheel::sha256;
use crate::{process, replay};

/// What runs past the camera.
pub struct Line {
    /// The images' folder.
    pub data: PathBuf,
    /// The run that knows which images training saw.
    pub run: PathBuf,
    /// The detector.
    pub bundle: PathBuf,
    /// For the generated configuration and the verdicts.
    pub folder: PathBuf,
    /// How many parts at most.
    pub parts: usize,
}

/// What the service said of the parts.
#[derive(Debug, Default, PartialEq)]
pub struct Outcome {
    /// Good parts judged good.
    pub passed_right: usize,
    /// Anomalous parts judged good.
    pub missed: usize,
    /// Anomalous parts judged anomalous.
    pub rejected_right: usize,
    /// Good parts judged anomalous.
    pub rejected_wrong: usize,
    /// Parts that were not judged in time.
    pub unknown: usize,
    /// From the frame to its verdict.
    pub latency: Option<Latency>,
}

impl Outcome {
    /// All parts that got a verdict, be it "unknown".
    pub fn parts(&self) -> usize {
        self.passed_right + self.missed + self.rejected_right + self.rejected_wrong + self.unknown
    }
}

/// One line of the service's output.
#[derive(Deserialize)]
struct Verdict {
    source: PathBuf,
    verdict: String,
    latency_ms: f64,
}

/// Runs the service over the parts until the replay ends.
pub fn run(build: &Build, line: &Line, figures: &Figures) -> Result<Outcome> {
    let parts = line.draw()?;
    let rate = rate(figures.latency_ms);
    let config = line.configure(&parts, rate)?;
    eprintln!("demo: {} parts pass the camera, {rate} a second", parts.len());
    let mut service = Command::new(build.program("apc-runtime")?);
    let text = process::output_of(service.arg("run").arg("--config").arg(config), "the camera service failed")?;
    let kept = line.folder.join("verdicts.jsonl");
    fs::write(&kept, &text).with_context(|| format!("cannot write {}", kept.display()))?;
    let outcome = judge(&parts, &text)?;
    if outcome.parts() != parts.len() {
        bail!("{} parts passed the camera, but {} got a verdict: see {}", parts.len(), outcome.parts(), kept.display());
    }
    Ok(outcome)
}

/// Parts per second that the detector keeps up with easily, so that a slow machine does not turn the demo into "unknown".
fn rate(latency: Latency) -> f64 {
    (500.0 / latency.p95.max(1.0)).round().clamp(0.5, 10.0)
}

/// A part and whether it is anomalous.
type Part = (PathBuf, bool);

impl Line {
    /// Unseen images of the data set in a mixed order that is the same every time.
    fn draw(&self) -> Result<Vec<Part>> {
        let seen = seen(&self.run.join("split.json"))?;
        let mut parts = Vec::new();
        for part in images(&self.data)? {
            if !seen.contains(&sha256(&part.0)?) {
                parts.push(part);
            }
        }
        if parts.is_empty() {
            bail!("{}: training has seen every image, so that none is left for the production line", self.data.display());
        }
        parts.shuffle(&mut StdRng::seed_from_u64(0));
        parts.truncate(self.parts);
        Ok(parts)
    }

    /// Writes the line configuration and the list of parts beside it.
    fn configure(&self, parts: &[Part], rate: f64) -> Result<PathBuf> {
        fs::create_dir_all(&self.folder).with_context(|| format!("cannot make the folder {}", self.folder.display()))?;
        let images: Vec<&Path> = parts.iter().map(|(path, _)| path.as_path()).collect();
        replay::configure(&self.folder.join("line.toml"), &self.bundle, &images, rate)
    }
}

/// SHA-256 of the images that training or calibration used.
fn seen(split: &Path) -> Result<HashSet<String>> {
    #[derive(Deserialize)]
    struct Split {
        images: Vec<Image>,
    }
    #[derive(Deserialize)]
    struct Image {
        sha256: String,
    }
    let text = fs::read_to_string(split).with_context(|| format!("cannot read {}", split.display()))?;
    let split: Split = serde_json::from_str(&text).with_context(|| format!("{}: not a run's split", split.display()))?;
    Ok(split.images.into_iter().map(|image| image.sha256).collect())
}

/// The images to test on, MVTec's layout or flat.
fn images(data: &Path) -> Result<Vec<Part>> {
    let test = data.join("test");
    let folders = if test.is_dir() { entries(&test)? } else { vec![data.join("good"), data.join("anomalous")] };
    let mut parts = Vec::new();
    for folder in folders.into_iter().filter(|folder| folder.is_dir()) {
        let anomalous = folder.file_name().is_some_and(|name| name != "good");
        parts.extend(entries(&folder)?.into_iter().filter(|path| is_image(path)).map(|path| (path, anomalous)));
    }
    Ok(parts)
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_ascii_lowercase();
    ["png", "jpg", "jpeg", "bmp", "tif", "tiff"].contains(&extension.as_str())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let list = || -> std::io::Result<Vec<PathBuf>> { fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect() };
    let mut paths = list().with_context(|| format!("cannot list {}", folder.display()))?;
    paths.sort();
    Ok(paths)
}

/// Holds the service's verdicts against the truth.
fn judge(parts: &[Part], verdicts: &str) -> Result<Outcome> {
    let truth: HashMap<&Path, bool> = parts.iter().map(|(path, anomalous)| (path.as_path(), *anomalous)).collect();
    let mut outcome = Outcome::default();
    let mut latencies = Vec::new();
    for line in verdicts.lines() {
        let verdict: Verdict = serde_json::from_str(line).with_context(|| format!("not a verdict of the service: {line}"))?;
        let anomalous = *truth.get(verdict.source.as_path()).with_context(|| format!("a verdict on no part of ours: {line}"))?;
        *match (verdict.verdict.as_str(), anomalous) {
            ("good", false) => &mut outcome.passed_right,
            ("good", true) => &mut outcome.missed,
            ("anomalous", true) => &mut outcome.rejected_right,
            ("anomalous", false) => &mut outcome.rejected_wrong,
            ("unknown", _) => &mut outcome.unknown,
            _ => bail!("a verdict that is none of good, anomalous and unknown: {line}"),
        } += 1;
        latencies.push(verdict.latency_ms);
    }
    outcome.latency = Latency::of(latencies);
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use tempfile::{TempDir, tempdir};

    use super::*;

    /// A data set with 12 test images, of which the run has seen "seen.png".
    fn line() -> (TempDir, Line) {
        let folder = tempdir().unwrap();
        let data = folder.path().join("data");
        for (defect, count) in [("good", 6), ("scratch", 5)] {
            let test = data.join("test").join(defect);
            fs::create_dir_all(&test).unwrap();
            for index in 0..count {
                fs::write(test.join(format!("{index}.png")), format!("{defect} {index}")).unwrap();
            }
            fs::write(test.join("notes.txt"), "no image").unwrap();
        }
        let seen = data.join("test/scratch/seen.png");
        fs::write(&seen, "seen").unwrap();
        let run = folder.path().join("run");
        fs::create_dir_all(&run).unwrap();
        let split = format!(r#"{{"images":[{{"path":"x","sha256":"{}","use":"anomalous"}}]}}"#, sha256(&seen).unwrap());
        fs::write(run.join("split.json"), split).unwrap();
        let bundle = folder.path().join("part.apc");
        let line = Line { data, run, bundle, folder: folder.path().join("line"), parts: 100 };
        (folder, line)
    }

    #[test]
    fn parts_are_unseen_mixed_and_the_same_every_time() {
        let (_folder, line) = line();
        let parts = line.draw().unwrap();
        assert_eq!(parts.len(), 11);
        assert_eq!(parts.iter().filter(|(_, anomalous)| *anomalous).count(), 5);
        assert!(parts.iter().all(|(path, _)| !path.ends_with("seen.png")));
        assert!(!parts.is_sorted());
        assert_eq!(parts, line.draw().unwrap());
    }

    #[test]
    fn the_configuration_lists_the_parts_in_order() {
        let (_folder, line) = line();
        let parts = line.draw().unwrap();
        let text = fs::read_to_string(line.configure(&parts, 5.0).unwrap()).unwrap();
        let config: toml::Table = text.parse().unwrap();
        let images = config["source"]["replay"]["images"].as_array().unwrap();
        let listed: Vec<&str> = images.iter().map(|image| image.as_str().unwrap()).collect();
        assert_eq!(listed, parts.iter().map(|(path, _)| path.to_str().unwrap()).collect::<Vec<_>>());
    }

    #[test]
    fn verdicts_are_held_against_the_truth() {
        let parts = ["a", "b", "c", "d", "e"].map(|name| (PathBuf::from(name), name > "b"));
        let text = r#"{"source":"a","verdict":"good","score":0.5,"latency_ms":10.0}
{"source":"b","verdict":"anomalous","score":2.0,"latency_ms":20.0}
{"source":"c","verdict":"anomalous","score":2.0,"latency_ms":30.0}
{"source":"d","verdict":"good","score":0.5,"latency_ms":40.0}
{"source":"e","verdict":"unknown","score":null,"reason":"stale","latency_ms":50.0}
"#;
        let outcome = judge(&parts, text).unwrap();
        let latency = Some(Latency { p50: 30.0, p95: 50.0 });
        let one_each = Outcome { passed_right: 1, missed: 1, rejected_right: 1, rejected_wrong: 1, unknown: 1, latency };
        assert_eq!(outcome, one_each);
        assert_eq!(outcome.parts(), 5);
        for line in
            ["{}", r#"{"source":"z","verdict":"good","latency_ms":1.0}"#, r#"{"source":"a","verdict":"fine","latency_ms":1.0}"#]
        {
            assert!(judge(&parts, line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_rate_fits_the_machine() {
        let rate_at = |p95| rate(Latency { p50: 1.0, p95 });
        assert_eq!((rate_at(0.0), rate_at(100.0), rate_at(10_000.0)), (10.0, 5.0, 0.5));
    }
}
