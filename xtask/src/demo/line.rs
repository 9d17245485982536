//! The replayed production line: parts that the detector has not seen, in mixed order, through the camera service.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use detector::dataset::{Dataset, Sample};
use detector::evaluate::{Figures, Latency};
use detector::run::Split;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde::Deserialize;

use crate::binaries::Build;
use crate::{files, process, replay};

/// A production line and the parts that pass its camera.
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

/// Numbers of parts by verdict and truth.
#[derive(Debug, Default, PartialEq)]
pub struct Counts {
    /// Good parts with the verdict good.
    pub passed_right: usize,
    /// Anomalous parts with the verdict good.
    pub missed: usize,
    /// Anomalous parts with the verdict anomalous.
    pub rejected_right: usize,
    /// Good parts with the verdict anomalous.
    pub rejected_wrong: usize,
    /// Parts with the verdict unknown.
    pub unknown: usize,
    /// From the frame to its verdict; none without parts.
    pub latency: Option<Latency>,
}

impl Counts {
    /// All parts that got a verdict, be it unknown.
    pub fn parts(&self) -> usize {
        self.passed_right + self.missed + self.rejected_right + self.rejected_wrong + self.unknown
    }
}

/// One verdict line of the service.
#[derive(Deserialize)]
struct Verdict {
    source: PathBuf,
    verdict: String,
    latency_ms: f64,
}

/// Runs the service over the parts until the replay ends.
pub fn run(build: &Build, line: &Line, figures: &Figures) -> Result<Counts> {
    let parts = line.draw()?;
    let rate = rate(figures.latency_ms);
    let config = line.configure(&parts, rate)?;
    eprintln!("demo: {} parts pass the camera, {rate} a second", parts.len());
    let mut service = Command::new(build.program("apc-runtime")?);
    let text = process::output_of(service.arg("run").arg("--config").arg(config), "the camera service failed")?;
    let kept = line.folder.join("verdicts.jsonl");
    files::write(&kept, &text)?;
    let counts = count(&parts, &text)?;
    if counts.parts() != parts.len() {
        bail!("{} parts passed the camera, but {} got a verdict: see {}", parts.len(), counts.parts(), kept.display());
    }
    Ok(counts)
}

/// Parts per second that the detector keeps up with easily, so that no part of the demo is unknown on a slow machine.
fn rate(latency: Latency) -> f64 {
    (500.0 / latency.p95.max(1.0)).round().clamp(0.5, 10.0)
}

impl Line {
    /// Unseen images of the data set in a mixed order that is the same every time.
    fn draw(&self) -> Result<Vec<Sample>> {
        let path = self.run.join("split.json");
        let split: Split =
            serde_json::from_str(&files::read(&path)?).with_context(|| format!("{}: not a run's split", path.display()))?;
        let mut parts = Dataset::open(&self.data)?.unseen(&split)?;
        if parts.is_empty() {
            bail!("{}: training has seen every image, so that none is left for the production line", self.data.display());
        }
        parts.shuffle(&mut StdRng::seed_from_u64(0));
        parts.truncate(self.parts);
        Ok(parts)
    }

    /// Writes the line configuration and the list of parts beside it.
    fn configure(&self, parts: &[Sample], rate: f64) -> Result<PathBuf> {
        files::make_folder(&self.folder)?;
        let images: Vec<&Path> = parts.iter().map(|part| part.path.as_path()).collect();
        replay::configure(&self.folder.join("line.toml"), &self.bundle, &images, rate)
    }
}

/// Counts the verdicts by the truth about each part.
fn count(parts: &[Sample], verdicts: &str) -> Result<Counts> {
    let truth: HashMap<&Path, bool> = parts.iter().map(|part| (part.path.as_path(), part.is_anomalous())).collect();
    let mut counts = Counts::default();
    let mut latencies = Vec::new();
    for line in verdicts.lines() {
        let verdict: Verdict =
            serde_json::from_str(line).with_context(|| format!("not a verdict line of the service: {line}"))?;
        let anomalous = *truth.get(verdict.source.as_path()).with_context(|| format!("a verdict on no part of ours: {line}"))?;
        *match (verdict.verdict.as_str(), anomalous) {
            ("good", false) => &mut counts.passed_right,
            ("good", true) => &mut counts.missed,
            ("anomalous", true) => &mut counts.rejected_right,
            ("anomalous", false) => &mut counts.rejected_wrong,
            ("unknown", _) => &mut counts.unknown,
            _ => bail!("a verdict that is none of good, anomalous and unknown: {line}"),
        } += 1;
        let latency = Duration::try_from_secs_f64(verdict.latency_ms / 1e3);
        latencies.push(latency.with_context(|| format!("a latency that is no duration: {line}"))?);
    }
    counts.latency = (!latencies.is_empty()).then(|| Latency::of(&latencies));
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::{TempDir, tempdir};

    use super::*;
    use crate::files::sha256;

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
        assert_eq!(parts.iter().filter(|part| part.is_anomalous()).count(), 5);
        assert!(parts.iter().all(|part| !part.path.ends_with("seen.png")));
        assert!(!parts.is_sorted_by_key(|part| &part.path));
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
        assert_eq!(listed, parts.iter().map(|part| part.path.to_str().unwrap()).collect::<Vec<_>>());
    }

    #[test]
    fn verdicts_are_compared_with_the_truth() {
        let part = |name: &str| Sample { path: name.into(), defect: (name > "b").then(|| "scratch".into()), mask: None };
        let parts = ["a", "b", "c", "d", "e"].map(part);
        let text = r#"{"source":"a","verdict":"good","score":0.5,"latency_ms":10.0}
{"source":"b","verdict":"anomalous","score":2.0,"latency_ms":20.0}
{"source":"c","verdict":"anomalous","score":2.0,"latency_ms":30.0}
{"source":"d","verdict":"good","score":0.5,"latency_ms":40.0}
{"source":"e","verdict":"unknown","score":null,"reason":"stale","latency_ms":50.0}
"#;
        let counts = count(&parts, text).unwrap();
        let latency = Some(Latency { p50: 30.0, p95: 50.0, p99: 50.0 });
        let one_each = Counts { passed_right: 1, missed: 1, rejected_right: 1, rejected_wrong: 1, unknown: 1, latency };
        assert_eq!(counts, one_each);
        assert_eq!(counts.parts(), 5);
        for line in [
            "{}",
            r#"{"source":"z","verdict":"good","latency_ms":1.0}"#,
            r#"{"source":"a","verdict":"fine","latency_ms":1.0}"#,
            r#"{"source":"a","verdict":"good","latency_ms":-1.0}"#,
        ] {
            assert!(count(&parts, line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_rate_fits_the_machine() {
        let rate_at = |p95| rate(Latency { p50: 1.0, p95, p99: p95 });
        assert_eq!((rate_at(0.0), rate_at(100.0), rate_at(10_000.0)), (10.0, 5.0, 0.5));
    }
}
