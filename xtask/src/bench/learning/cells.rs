//! Finished trainings with their figures, in a JSON file; the scores of each cell's images in a file of its own beside it.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use detector::calibration::is_anomalous;
use detector::evaluate::{Figures, ImageScore};
use detector::files::write_atomic;
use serde::{Deserialize, Serialize};

use crate::files;

/// One training and its figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Cell {
    /// The product: name of its folder.
    pub data: String,
    pub system: String,
    pub seed: u64,
    /// How the anomalous samples were drawn, how many, and whether their masks were used.
    pub split: String,
    pub image_auroc: Option<f64>,
    pub image_f1: Option<f64>,
    pub pixel_auroc: Option<f64>,
    pub pixel_f1: Option<f64>,
    pub aupro: Option<f64>,
    pub miss_rate: Option<f64>,
    pub false_reject_rate: Option<f64>,
    /// Misses where at most 1 % and 5 % of the good test images are rejected: what a threshold could reach that knows them. From the scores of
    /// the images.
    #[serde(skip)]
    pub missed_at: [Option<f64>; 2],
    /// Median time of one image, from picture to score and map.
    pub latency_ms: f64,
    pub train_seconds: f64,
    /// Hashes of recipe, defaults, weights and images; other inputs make another cell.
    pub inputs: String,
    pub commit: String,
}

/// A cell to be filled.
pub(super) struct Wanted {
    pub data: PathBuf,
    pub name: String,
    pub seed: u64,
    pub system: String,
    pub split: String,
    /// The recipe as TOML.
    pub recipe: String,
    pub inputs: String,
}

impl Wanted {
    fn is(&self, cell: &Cell) -> bool {
        let Wanted { name, seed, system, split, inputs, .. } = self;
        (&cell.data, cell.seed, &cell.system, &cell.split, &cell.inputs) == (name, *seed, system, split, inputs)
    }
}

/// The file of cells.
pub(super) struct Cells {
    path: PathBuf,
    cells: Vec<Cell>,
}

impl Cells {
    pub fn read(path: &Path) -> Result<Cells> {
        if !path.exists() {
            return Ok(Cells { path: path.into(), cells: Vec::new() });
        }
        let cells = serde_json::from_str(&files::read(path)?)
            .with_context(|| format!("{}: does not hold the cells of this bench; name another --out", path.display()))?;
        Ok(Cells { path: path.into(), cells })
    }

    /// The finished cell and the scores of its images.
    pub fn find(&self, wanted: &Wanted) -> Result<Option<(Cell, Vec<ImageScore>)>> {
        let Some(cell) = self.cells.iter().find(|cell| wanted.is(cell)) else { return Ok(None) };
        let path = self.scores_of(wanted);
        if !path.exists() {
            return Ok(None);
        }
        let scores: Vec<ImageScore> = serde_json::from_str(&files::read(&path)?)
            .with_context(|| format!("{}: is damaged; remove it to fill its cell again", path.display()))?;
        let missed_at = [0.01, 0.05].map(|rate| missed_at(&scores, rate));
        Ok(Some((Cell { missed_at, ..cell.clone() }, scores)))
    }

    /// Whether a cell and the scores of its images are there.
    pub fn finished(&self, wanted: &Wanted) -> bool {
        self.cells.iter().any(|cell| wanted.is(cell)) && self.scores_of(wanted).exists()
    }

    /// Where the scores of a cell's images belong.
    pub fn scores_of(&self, wanted: &Wanted) -> PathBuf {
        let Wanted { name, seed, system, split, inputs, .. } = wanted;
        let key = fnv(&format!("{name}\n{seed}\n{system}\n{split}\n{inputs}"));
        self.path.with_extension("scores").join(format!("{key:016x}.json"))
    }

    /// Makes the folder for scores. No other bench can fill the same file until the lock is dropped.
    pub fn prepare(&self) -> Result<File> {
        let folder = self.path.with_extension("scores");
        files::make_folder(&folder)?;
        let lock = files::create(&folder.join("lock"))?;
        let taken = || format!("{}: another bench fills it; wait, or name another --out", self.path.display());
        lock.try_lock().with_context(taken)?;
        Ok(lock)
    }

    /// Adds a finished cell and keeps the file.
    pub fn add(&mut self, wanted: &Wanted, figures: &Figures, train_seconds: f64, commit: String) -> Result<()> {
        self.cells.retain(|cell| !wanted.is(cell));
        self.cells.push(Cell::new(wanted, figures, train_seconds, commit));
        let text = serde_json::to_string_pretty(&self.cells).context("cannot write the cells as JSON")?;
        // A bench that is killed meanwhile must not lose hours.
        write_atomic(&self.path, (text + "\n").as_bytes()).map_err(anyhow::Error::msg)
    }
}

impl Cell {
    fn new(wanted: &Wanted, figures: &Figures, train_seconds: f64, commit: String) -> Cell {
        let Figures { image_auroc, image_f1, pixel_auroc, pixel_f1, aupro, miss_rate, false_reject_rate, .. } = *figures;
        Cell {
            data: wanted.name.clone(),
            system: wanted.system.clone(),
            seed: wanted.seed,
            split: wanted.split.clone(),
            image_auroc,
            image_f1,
            pixel_auroc,
            pixel_f1,
            aupro,
            miss_rate,
            false_reject_rate,
            missed_at: [None; 2],
            latency_ms: figures.latency_ms.p50,
            train_seconds,
            inputs: wanted.inputs.clone(),
            commit,
        }
    }
}

/// Share of the anomalous images that score no more than the lowest threshold that rejects at most this share of the good ones.
fn missed_at(scores: &[ImageScore], rate: f64) -> Option<f64> {
    let of = |anomalous: bool| scores.iter().filter(move |image| image.defect.is_some() == anomalous).map(|image| image.score);
    let mut good: Vec<f32> = of(false).collect();
    good.sort_by(|a, b| b.total_cmp(a));
    let threshold = good.get((good.len() as f64 * rate) as usize)?;
    let (missed, all) = (of(true).filter(|score| !is_anomalous(*score, *threshold)).count(), of(true).count());
    (all > 0).then(|| missed as f64 / all as f64)
}

/// A hash of a text (FNV-1a), to tell recipes apart; nobody makes collisions on purpose here.
pub(super) fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use detector::evaluate::Latency;

    use super::*;

    pub(in super::super) fn cell(data: &str, system: &str, seed: u64, image_auroc: f64) -> Cell {
        let figures = Figures {
            images: 20,
            good: 10,
            anomalous: 10,
            image_auroc: Some(image_auroc),
            image_f1: Some(0.9),
            pixel_auroc: None,
            pixel_f1: None,
            aupro: None,
            miss_rate: Some(0.1),
            false_reject_rate: Some(0.0),
            engine: "tract".into(),
            latency_ms: Latency { p50: 50.0, p95: 60.0, p99: 70.0 },
        };
        Cell::new(&wanted(data, system, seed, "x"), &figures, 60.0, "c".into())
    }

    fn wanted(data: &str, system: &str, seed: u64, inputs: &str) -> Wanted {
        Wanted {
            data: data.into(),
            name: data.into(),
            seed,
            system: system.into(),
            split: "random 10".into(),
            recipe: String::new(),
            inputs: inputs.into(),
        }
    }

    #[test]
    fn misses_are_counted_where_the_good_images_allow_it() {
        let image = |defect: Option<&str>, score: f32| ImageScore {
            path: String::new(),
            defect: defect.map(str::to_owned),
            score,
            good_pixels: Vec::new(),
            anomalous_pixels: Vec::new(),
        };
        let mut scores: Vec<_> = (0..40).map(|i| image(None, i as f32)).collect();
        scores.extend([37.5, 38.5, 39.0, 40.0].map(|score| image(Some("dent"), score)));
        // One per cent of forty images is none, five per cent are two: the threshold is 39, then 37.
        assert_eq!([0.01, 0.05].map(|rate| missed_at(&scores, rate)), [Some(0.75), Some(0.0)]);
        assert_eq!((missed_at(&scores[..40], 0.05), missed_at(&scores[40..], 0.05)), (None, None));
    }

    #[test]
    fn cells_survive_the_file_and_stand_beside_those_of_other_inputs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cells.json");
        let figures = |cell: Cell| Figures {
            images: 1,
            good: 1,
            anomalous: 0,
            image_auroc: cell.image_auroc,
            image_f1: None,
            pixel_auroc: None,
            pixel_f1: None,
            aupro: None,
            miss_rate: None,
            false_reject_rate: None,
            engine: "tract".into(),
            latency_ms: Latency { p50: 1.0, p95: 1.0, p99: 1.0 },
        };
        let (first, second) = (wanted("a", "apc", 0, "first"), wanted("a", "apc", 0, "second"));
        let mut cells = Cells::read(&path).unwrap();
        let lock = cells.prepare().unwrap();
        assert!(cells.prepare().unwrap_err().to_string().contains("--out"), "it is being filled");
        drop(lock);
        cells.prepare().unwrap();
        cells.add(&first, &figures(cell("a", "apc", 0, 0.5)), 1.0, "c".into()).unwrap();
        assert!(!Cells::read(&path).unwrap().finished(&first), "its scores are missing");
        fs::write(cells.scores_of(&first), "[]").unwrap();
        let again = Cells::read(&path).unwrap();
        let (found, scores) = again.find(&first).unwrap().unwrap();
        assert_eq!((found.image_auroc, scores.len(), again.finished(&second)), (Some(0.5), 0, false));
        cells.add(&second, &figures(cell("a", "apc", 0, 0.6)), 1.0, "c".into()).unwrap();
        fs::write(cells.scores_of(&second), "[]").unwrap();
        let both = Cells::read(&path).unwrap();
        assert!(both.finished(&first) && both.finished(&second));
        fs::write(&path, "[{}]").unwrap();
        assert!(Cells::read(&path).err().unwrap().to_string().contains("--out"));
    }
}
