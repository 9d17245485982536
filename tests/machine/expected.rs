//! What the service must say of each picture: what `apc-runtime score` says of the same frame, captured by the same camera.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::account::Expected;
use crate::bench::Bench;
use crate::feeder::Belt;
use crate::shell;

/// Where captured frames are kept.
const FRAMES: &str = "/run/machine-test";

#[derive(Deserialize)]
struct Document {
    images: Vec<Scoring>,
}

#[derive(Deserialize)]
struct Scoring {
    verdict: String,
    score: f32,
}

/// Captures and scores every picture, once.
pub fn of(bench: &Bench, config: &Path) -> Result<Vec<Expected>> {
    static KNOWN: OnceLock<Vec<Expected>> = OnceLock::new();
    match KNOWN.get() {
        Some(known) => Ok(known.clone()),
        None => {
            let found = measure(bench, config)?;
            Ok(KNOWN.get_or_init(|| found).clone())
        }
    }
}

fn measure(bench: &Bench, config: &Path) -> Result<Vec<Expected>> {
    fs::create_dir_all(FRAMES).with_context(|| format!("cannot make {FRAMES}"))?;
    let mut belt = Belt::start(&bench.pictures[0].bytes)?;
    let mut files = Vec::new();
    for (index, picture) in bench.pictures.iter().enumerate() {
        belt.show(&picture.bytes)?;
        thread::sleep(Duration::from_millis(100));
        let file = format!("{FRAMES}/{index:03}.png");
        shell::must(&format!("apc-runtime camera grab --config {} --out {file}", config.display()))?;
        let frame = image::open(&file).with_context(|| format!("cannot read {file}"))?.into_rgb8();
        ensure!(frame.as_raw() == &picture.bytes, "{}: the captured frame is not what was shown", picture.name);
        files.push(file);
    }
    drop(belt);
    let model = bench.folder.join("product.apc");
    let text = shell::must(&format!("apc-runtime score --json --model {} {}", model.display(), files.join(" ")))?;
    let document: Document = serde_json::from_str(&text).context("`apc-runtime score` printed something else")?;
    let pairs = bench.pictures.iter().zip(document.images);
    let expected: Vec<_> = pairs
        .map(|(picture, Scoring { verdict, score })| Expected {
            name: picture.name.clone(),
            score,
            anomalous: verdict == "anomalous",
        })
        .collect();
    let anomalous = expected.iter().filter(|expected| expected.anomalous).count();
    ensure!(anomalous > 0 && anomalous < expected.len(), "the bundle finds {anomalous} of {} anomalous", expected.len());
    Ok(expected)
}
