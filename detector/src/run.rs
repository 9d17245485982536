//! A run: what the trainer leaves for the exporter, complete without the training images.
//!
//! ```text
//! RUN/run.toml                   this module's RunInfo; written last: without it a run is unfinished
//!     weights.safetensors        unfolded backbone weights, torchvision's names
//!     bank.safetensors           float coreset, tensor `vectors [len, dims]`
//!     places.safetensors         what good parts have at each place, where that does not count
//!     split.json                 every image that training or calibration saw
//!     training.json              training curves, where something was trained
//!     reference/000.png ...      network-size pictures: good, anomalous, noise
//!     reference.safetensors      libtorch's results for them: `000.layer2`, `000.layer3`, `000.map` ...
//!     calibration/000.png ...    network-size pictures of the good images that the threshold comes from
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::bank::{MemoryBank, Quantisation};
use crate::calibration::{Calibration, Place, calibrate};
use crate::descriptor::{FeatureMap, PatchDescriptor};
use crate::engine::Engine;
use crate::map::Smoothing;
use crate::network::{Backbone, Output};
use crate::picture::Picture;
use crate::preprocess::{Prepared, Preprocess, Rect};
use crate::scorer::{KnownDefects, PatchScorer, Places, ScoreRule};
use crate::tensors::{Tensors, Values};
use crate::{Error, Result, files};

/// Format that this version writes; older ones are read. Since format 2, the threshold may come from [`FoldScores`]. Since
/// format 3, what good parts have at each place may be taken off the score.
pub const FORMAT: u32 = 3;
/// Fewest references that a parity gate may rest on.
pub const FEWEST_REFERENCES: usize = 16;

/// Largest file of places: 1,024 x 1,024 patches have 4 MiB.
const PLACES_LIMIT: u64 = 8 << 20;

/// Content of `run.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunInfo {
    /// [`FORMAT`]
    pub format: u32,
    /// Name of the product.
    pub name: String,
    /// How it was trained: `patchcore`, `apc` or `apc+`.
    pub mode: String,
    /// Version of the kit.
    pub kit: String,
    /// Seconds since 1970, UTC.
    pub created: u64,
    /// Seed of every random choice.
    pub seed: u64,
    /// Folder of the images, for evaluation at export.
    pub data: PathBuf,
    /// False-reject rate that the threshold is to promise.
    pub false_reject_rate: f64,
    /// What decides where the threshold lies.
    #[serde(default, skip_serializing_if = "Place::is_rate")]
    pub place: Place,
    /// How feature maps become descriptors.
    pub descriptor: PatchDescriptor,
    /// Structure of the network.
    pub backbone: Backbone,
    /// How a picture becomes the network's input.
    pub input: Preprocess,
    /// How distances become a score and a map.
    pub smoothing: Smoothing,
    /// How the network's defect head joins the distances, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defects: Option<KnownDefects>,
    /// Name of the file with what good parts have at each place, if that does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub places: Option<String>,
    /// Pictures for the parity gate.
    pub references: Vec<Reference>,
    /// Pictures for the threshold.
    pub calibration: Vec<StoredPicture>,
    /// Scores of these pictures by detectors that have not learned from them; none where the pictures are held out: then no detector has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold_scores: Option<FoldScores>,
    /// Scores of the anomalous samples by defect heads that have not learned from them; empty where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anomalous_scores: Vec<f32>,
    /// Seconds that each stage took.
    pub seconds: BTreeMap<String, f64>,
    /// The recipe as it was used.
    pub recipe: toml::Table,
}

/// A network-size picture in the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredPicture {
    /// Path inside the run, `/` between parts.
    pub file: String,
    /// Where the picture lies in the input.
    pub content: Rect,
    /// The image that it was made from, relative to the data folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// Scores of the good images by detectors that have not learned from them (Vovk, "Cross-conformal predictors", Annals of Mathematics and
/// Artificial Intelligence 74, 2015). The images are divided into folds. For each fold a detector learns from the other folds, and scores
/// the images of this one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoldScores {
    /// Number of folds.
    pub folds: usize,
    /// Score of each calibration picture by the detector of its fold.
    pub unseen: Vec<f32>,
    /// Score of each calibration picture by the run's detector, which has learned from it.
    pub seen: Vec<f32>,
}

/// What a reference shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReferenceKind {
    /// A good image.
    Good,
    /// An anomalous image.
    Anomalous,
    /// Random pixels.
    Noise,
}

/// A picture with libtorch's image score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The picture.
    pub picture: StoredPicture,
    /// What it shows.
    pub kind: ReferenceKind,
    /// libtorch's image score, with the float bank.
    pub score: f32,
}

/// What an image was used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Use {
    /// Good image whose patches fill the memory bank.
    Bank,
    /// Good image held out for the threshold.
    Calibration,
    /// Anomalous sample, taken out of the test set; fine-tuning in APC mode learns from it.
    Anomalous,
    /// Not used, and yet not to be tested on: it is too close to an image that was learned from (the same picture, part or session), or
    /// it shows a type of defect that is kept out of the test.
    SetAside,
}

/// An image that must not be used for evaluation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitImage {
    /// Relative to the data folder.
    pub path: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Images of one part or session belong together; absent when nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Of a good image that was learned from: the fold that it belongs to, see [`FoldScores`]. The defect head of this number has not
    /// learned from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<usize>,
    /// What it was used for.
    pub r#use: Use,
}

/// Content of `split.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Every image that training or calibration saw.
    pub images: Vec<SplitImage>,
}

/// A finished run on disk.
#[derive(Clone, Debug)]
pub struct Run {
    /// The folder.
    pub folder: PathBuf,
    /// Content of `run.toml`.
    pub info: RunInfo,
}

/// libtorch's results for one reference.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// In the order of the network's results: feature maps, then the defect head's logits if it has one.
    pub results: Vec<FeatureMap>,
    /// `[height, width]` of the input, row-major.
    pub map: Vec<f32>,
}

impl Run {
    /// Opens a finished run.
    ///
    /// # Errors
    /// When `run.toml` is missing (the run is unfinished), has another format, or holds values that do not fit.
    pub fn open(folder: &Path) -> Result<Run> {
        let path = folder.join("run.toml");
        if !path.exists() {
            return Err(Error::file(
                folder,
                "holds no run.toml: no run, or one that was not finished (apc-trainer train --resume)",
            ));
        }
        let info: RunInfo = files::read_toml(&path)?;
        if info.format == 0 || info.format > FORMAT {
            let problem =
                format!("has format {}; this version reads up to {FORMAT}: update the kit, or train again", info.format);
            return Err(Error::file(path, problem));
        }
        info.validate().map_err(Error::at(&path))?;
        Ok(Run { folder: folder.to_path_buf(), info })
    }

    /// Backbone weights, every tensor checked against the network's description.
    ///
    /// # Errors
    /// When one is missing or has another shape.
    pub fn weights(&self) -> Result<Tensors> {
        let path = self.folder.join("weights.safetensors");
        let weights = Tensors::read(&path)?;
        for (name, shape) in self.info.backbone.network()?.parameters() {
            weights.f32(&name, &shape).map_err(Error::at(&path))?;
        }
        Ok(weights)
    }

    /// The coreset as a memory bank with this quantisation.
    ///
    /// # Errors
    /// When the file is missing or does not fit.
    pub fn bank(&self, quantisation: Quantisation) -> Result<MemoryBank> {
        let path = self.folder.join("bank.safetensors");
        let file = Tensors::read(&path)?;
        let shape = file.tensors.get("vectors").map(|tensor| tensor.shape.clone()).unwrap_or_default();
        let vectors = file.f32("vectors", &shape).map_err(Error::at(&path))?;
        MemoryBank::new(vectors, shape.last().copied().unwrap_or(0), quantisation).map_err(Error::at(&path))
    }

    /// The coreset as the trainer wrote it, `[len, dims]` row-major.
    ///
    /// # Errors
    /// When the file is missing or does not fit.
    pub fn vectors(&self) -> Result<Vec<f32>> {
        let path = self.folder.join("bank.safetensors");
        let file = Tensors::read(&path)?;
        let shape = file.tensors.get("vectors").map(|tensor| tensor.shape.clone()).unwrap_or_default();
        Ok(file.f32("vectors", &shape).map_err(Error::at(&path))?.to_vec())
    }

    /// How distances and logits become a score and a map.
    ///
    /// # Errors
    /// When a file of it is missing or unsound.
    pub fn score_rule(&self) -> Result<ScoreRule> {
        let RunInfo { smoothing, defects, places, .. } = &self.info;
        let read = |name: &String| {
            let path = self.folder.join(name);
            Ok(Arc::new(Places::parse(&files::read_bounded(&path, PLACES_LIMIT)?, &path)?))
        };
        Ok(ScoreRule { smoothing: *smoothing, defects: *defects, places: places.as_ref().map(read).transpose()? })
    }

    /// The scorer of this run's detector, over any engine of its network.
    pub fn scorer<E: Engine>(&self, engine: E, bank: MemoryBank, rule: ScoreRule) -> PatchScorer<E> {
        PatchScorer::new(engine, self.info.input.clone(), self.info.descriptor, bank, rule)
    }

    /// Every image that training or calibration saw.
    ///
    /// # Errors
    /// When the file is missing or malformed.
    pub fn split(&self) -> Result<Split> {
        let path = self.folder.join("split.json");
        let bytes = files::read_bounded(&path, 64 << 20)?;
        serde_json::from_slice(&bytes).map_err(|error| Error::file(&path, error.to_string()))
    }

    /// Training curves by the name of what was trained: the mean loss of every ten steps. Empty if nothing was trained.
    ///
    /// # Errors
    /// When the file is malformed.
    pub fn training(&self) -> Result<BTreeMap<String, Vec<f32>>> {
        let path = self.folder.join("training.json");
        if !path.exists() {
            return Ok(BTreeMap::new());
        }
        let bytes = files::read_bounded(&path, 64 << 20)?;
        serde_json::from_slice(&bytes).map_err(|error| Error::file(&path, error.to_string()))
    }

    /// One of the run's pictures.
    ///
    /// # Errors
    /// When it is missing, damaged or not of the network's size.
    pub fn picture(&self, stored: &StoredPicture) -> Result<Prepared> {
        let path = self.folder.join(&stored.file);
        let pixels = Picture::read(&path)?.pixels;
        let size = self.info.input.input();
        if pixels.dimensions() != (size.width, size.height) {
            return Err(Error::file(path, "does not have the size of the network's input"));
        }
        Ok(Prepared { pixels, content: stored.content })
    }

    /// libtorch's results for all references, in their order.
    ///
    /// # Errors
    /// When the file is missing, or a tensor does not fit.
    pub fn expected(&self) -> Result<Vec<Expected>> {
        let path = self.folder.join("reference.safetensors");
        let file = Tensors::read(&path)?;
        let take = |name: String| -> Result<(Vec<usize>, Vec<f32>)> {
            match file.tensors.get(&name) {
                Some(tensor) if matches!(tensor.values, Values::F32(_)) => {
                    Ok((tensor.shape.clone(), file.f32(&name, &tensor.shape)?.to_vec()))
                }
                _ => Err(Error::file(&path, format!("tensor {name:?} is missing"))),
            }
        };
        let network = self.info.backbone.network()?;
        let one = |index: usize| -> Result<Expected> {
            let result = |Output { layer, .. }: &Output| {
                let (shape, values) = take(format!("{index:03}.{layer}"))?;
                let [channels, height, width] = shape[..] else {
                    return Err(Error::file(&path, format!("{index:03}.{layer} must have three axes")));
                };
                Ok(FeatureMap { channels, height, width, values })
            };
            let results = network.results().map(result).collect::<Result<_>>()?;
            Ok(Expected { results, map: take(format!("{index:03}.map"))?.1 })
        };
        (0..self.info.references.len()).map(one).collect()
    }
}

impl RunInfo {
    fn validate(&self) -> Result<()> {
        self.input.validate()?;
        self.smoothing.validate()?;
        if let Some(FoldScores { unseen, seen, .. }) = &self.fold_scores
            && [unseen.len(), seen.len()] != [self.calibration.len(); 2]
        {
            return Err(Error::invalid("fold_scores must hold two scores of each calibration picture"));
        }
        KnownDefects::validate(self.defects, self.backbone.defect_units)
    }

    /// The scores that the threshold comes from, of a form of the detector that gives `scores` to the calibration pictures. A form that has
    /// learned from the pictures changes their unseen scores by as much as it changes their seen ones.
    pub fn unseen_scores(&self, scores: &[f32]) -> Vec<f32> {
        match &self.fold_scores {
            None => scores.to_vec(),
            Some(FoldScores { unseen, seen, .. }) => {
                unseen.iter().zip(seen).zip(scores).map(|((unseen, seen), score)| unseen + (score - seen)).collect()
            }
        }
    }

    /// The threshold from unseen scores of good images.
    ///
    /// # Errors
    /// As [`calibrate`].
    pub fn calibrate(&self, unseen: &[f32]) -> Result<Calibration> {
        Ok(calibrate(unseen, self.false_reject_rate)?.with_samples(unseen, &self.anomalous_scores, self.place))
    }

    /// Writes `run.toml`, the last file of a run.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let text = toml::to_string(self).map_err(|error| Error::invalid(format!("run.toml cannot be written: {error}")))?;
        files::write_atomic(&folder.join("run.toml"), text.as_bytes())
    }
}
