//! A finished run of a tiny random network.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use detector::bank::{MemoryBank, Quantisation};
use detector::calibration::Place;
use detector::dataset::Dataset;
use detector::descriptor::PatchDescriptor;
use detector::engine::Engine;
use detector::files;
use detector::map::Smoothing;
use detector::network::{Backbone, Block, Network, Variant};
use detector::picture::{Colour, Picture};
use detector::preprocess::{IMAGENET_MEAN, IMAGENET_STD, Prepared, Preprocess, Rect, Resize, Size};
use detector::run::{FORMAT, Reference, ReferenceKind, RunInfo, Split, SplitImage, StoredPicture, Use};
use detector::scorer::{KnownDefects, MapShare, PatchScorer, Places, ScoreRule, Scorer};
use detector::tensors::Tensors;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::naive::NaiveEngine;
use crate::product;

/// Good training images whose patches fill the memory bank; the others calibrate.
const BANK_IMAGES: usize = 24;
/// Anomalous images taken out of the test set.
const ANOMALOUS: usize = 4;
const GOOD_REFERENCES: usize = 8;
const NOISE_REFERENCES: u64 = 4;

/// What run to make; the default separates the product's good images from its anomalous ones.
#[derive(Clone, Debug)]
pub struct SyntheticRun {
    /// Network; its weights are random.
    pub backbone: Backbone,
    /// Preprocessing.
    pub input: Preprocess,
    /// Of the weights.
    pub seed: u64,
    /// Asked of the calibration; there are 20 images for it.
    pub false_reject_rate: f64,
}

impl Default for SyntheticRun {
    fn default() -> SyntheticRun {
        let backbone = Backbone {
            name: "tiny".into(),
            block: Block::Basic,
            blocks: vec![1, 1, 1],
            width: 4,
            inner_factor: 1,
            variant: Variant::Torchvision,
            layers: vec!["layer2".into(), "layer3".into()],
            defect_units: None,
        };
        let input = Preprocess {
            colour: Colour::Rgb,
            region: None,
            size: Size { height: 64, width: 64 },
            resize: Resize::Stretch,
            crop: None,
            mean: IMAGENET_MEAN,
            std: IMAGENET_STD,
        };
        SyntheticRun { backbone, input, seed: 1, false_reject_rate: 0.05 }
    }
}

impl SyntheticRun {
    /// Writes the product's data set into `data` and a finished run on it into `run`; both folders are made.
    pub fn write(&self, run: &Path, data: &Path) {
        product::write_data(data);
        for folder in ["reference", "calibration"] {
            fs::create_dir_all(run.join(folder)).expect("folder");
        }
        let weights = self.weights();
        weights.write(&run.join("weights.safetensors")).expect("weights");
        let mut engine = self.engine(weights);

        let dataset = Dataset::open(data).expect("data set");
        let anomalous: Vec<PathBuf> =
            dataset.test.iter().filter(|s| s.is_anomalous()).map(|s| s.path.clone()).take(ANOMALOUS).collect();
        let (bank_images, calibration) = dataset.train.split_at(BANK_IMAGES);
        let bank = self.bank(&mut engine, bank_images);
        bank.to_tensors().write(&run.join("bank.safetensors")).expect("bank");
        write_split(run, data, &[(Use::Bank, bank_images), (Use::Calibration, calibration), (Use::Anomalous, &anomalous)]);

        let rule = self.score_rule();
        if let Some(places) = &rule.places {
            places.to_tensors().write(&run.join(Places::FILE)).expect("places");
        }
        let (for_scores, input) = (self.engine(self.weights()), self.input.clone());
        let scorer = PatchScorer::new(for_scores, input, PatchDescriptor::Concat, bank, rule);
        let mut references = Vec::new();
        references.extend(calibration[..GOOD_REFERENCES].iter().map(|path| (ReferenceKind::Good, self.prepare(path))));
        references.extend(anomalous.iter().map(|path| (ReferenceKind::Anomalous, self.prepare(path))));
        let Size { height, width } = self.input.input();
        let content = Rect { x: 0, y: 0, width, height };
        references.extend(
            (0..NOISE_REFERENCES)
                .map(|seed| (ReferenceKind::Noise, Prepared { pixels: product::noise(3000 + seed, width, height), content })),
        );
        let references = write_references(run, &mut engine, scorer, &references);
        let calibration: Vec<StoredPicture> =
            calibration.iter().enumerate().map(|(i, path)| store(run, "calibration", i, &self.prepare(path))).collect();
        self.info(data, references, calibration).write(run).expect("run.toml");
    }

    /// The network.
    pub fn network(&self) -> Network {
        self.backbone.network().expect("sound description")
    }

    /// Seeded weights that keep activations near one, with batch normalisation that does something.
    pub fn weights(&self) -> Tensors {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let mut uniform =
            |count: usize, from: f32, to: f32| -> Vec<f32> { (0..count).map(|_| random.random_range(from..to)).collect() };
        let mut weights = Tensors::default();
        for (name, shape) in self.network().parameters() {
            let count = shape.iter().product();
            let values = match name.rsplit('.').next() {
                // Uniform with He's variance: 6 / fan-in is a third of its square.
                Some("weight") if shape.len() == 4 => {
                    let bound = (6.0 / (shape[1] * shape[2] * shape[3]) as f32).sqrt();
                    uniform(count, -bound, bound)
                }
                Some("weight" | "running_var") => uniform(count, 0.5, 1.5),
                _ => uniform(count, -0.3, 0.3),
            };
            weights.insert(name, shape, values);
        }
        weights
    }

    /// The slow engine with the given weights.
    pub fn engine(&self, weights: Tensors) -> NaiveEngine {
        NaiveEngine { network: self.network(), weights, size: self.input.input() }
    }

    /// Of the defect head, where the backbone has one; its weights are random like the others.
    fn defects(&self) -> Option<KnownDefects> {
        let map = Some(MapShare { weight: 0.15, lead: 0.5, offset: 0.05 });
        self.backbone.defect_units.map(|_| KnownDefects { weight: 0.1, map })
    }

    /// Distances are means over neighbours where there is a defect head, as in `apc+`.
    fn smoothing(&self) -> Smoothing {
        Smoothing { neighbourhood: if self.backbone.defect_units.is_some() { 3 } else { 1 }, ..Smoothing::default() }
    }

    /// Where there is a defect head, the middle of the picture counts a little less than its edge.
    fn score_rule(&self) -> ScoreRule {
        let [rows, columns] = [self.input.input().height, self.input.input().width].map(|pixels| pixels as usize / 8);
        let at_edge = |patch: usize| [0, rows - 1].contains(&(patch / columns)) || [0, columns - 1].contains(&(patch % columns));
        let distances = (0..rows * columns).map(|patch| if at_edge(patch) { -0.02 } else { 0.01 }).collect();
        let places = self.defects().map(|_| Arc::new(Places::new((rows, columns), distances).expect("as many as patches")));
        ScoreRule { smoothing: self.smoothing(), defects: self.defects(), places }
    }

    fn prepare(&self, path: &Path) -> Prepared {
        self.input.prepare(&Picture::read(path).expect("picture").pixels).expect("region in picture")
    }

    fn bank(&self, engine: &mut NaiveEngine, images: &[PathBuf]) -> MemoryBank {
        let (mut vectors, mut dims) = (Vec::new(), 0);
        for path in images {
            let mut layers = engine.run(&self.input.normalise(&self.prepare(path).pixels)).expect("feature maps");
            layers.truncate(self.backbone.layers.len());
            let patches = PatchDescriptor::Concat.describe(&layers).expect("descriptors");
            dims = patches.dims;
            vectors.extend(patches.values);
        }
        MemoryBank::new(&vectors, dims, Quantisation::F32).expect("bank")
    }

    fn info(&self, data: &Path, references: Vec<Reference>, calibration: Vec<StoredPicture>) -> RunInfo {
        RunInfo {
            format: FORMAT,
            name: "disc".into(),
            mode: "patchcore".into(),
            kit: env!("CARGO_PKG_VERSION").into(),
            // 2026-01-02 03:04:05 UTC
            created: 1_767_323_045,
            seed: self.seed,
            data: data.into(),
            false_reject_rate: self.false_reject_rate,
            place: Place::Rate,
            descriptor: PatchDescriptor::Concat,
            backbone: self.backbone.clone(),
            input: self.input.clone(),
            smoothing: self.smoothing(),
            defects: self.defects(),
            places: self.defects().map(|_| Places::FILE.into()),
            references,
            calibration,
            fold_scores: None,
            anomalous_scores: Vec::new(),
            seconds: BTreeMap::from([("bank".into(), 0.5)]),
            recipe: toml::Table::new(),
        }
    }
}

fn write_split(run: &Path, data: &Path, uses: &[(Use, &[PathBuf])]) {
    let image = |r#use: Use, path: &PathBuf| SplitImage {
        path: path.strip_prefix(data).expect("in the data folder").to_string_lossy().into_owned(),
        sha256: files::sha256_file(path).expect("hash"),
        group: None,
        fold: None,
        r#use,
    };
    let images = uses.iter().flat_map(|(r#use, paths)| paths.iter().map(|path| image(*r#use, path))).collect();
    let json = serde_json::to_vec_pretty(&Split { images }).expect("json");
    fs::write(run.join("split.json"), json).expect("split");
}

/// Writes the pictures and this module's stand-in for libtorch's results.
fn write_references(
    run: &Path,
    engine: &mut NaiveEngine,
    mut scorer: PatchScorer<NaiveEngine>,
    pictures: &[(ReferenceKind, Prepared)],
) -> Vec<Reference> {
    let mut expected = Tensors::default();
    let mut references = Vec::new();
    for (i, (kind, prepared)) in pictures.iter().enumerate() {
        let layers = engine.run(&scorer.preprocess().normalise(&prepared.pixels)).expect("feature maps");
        for (output, map) in engine.network.results().zip(layers) {
            expected.insert(format!("{i:03}.{}", output.layer), [map.channels, map.height, map.width], map.values);
        }
        let scored = scorer.score_prepared(prepared).expect("score");
        let map = scored.map();
        expected.insert(format!("{i:03}.map"), [map.height, map.width], map.values);
        references.push(Reference { picture: store(run, "reference", i, prepared), kind: *kind, score: scored.score });
    }
    expected.write(&run.join("reference.safetensors")).expect("reference results");
    references
}

fn store(run: &Path, folder: &str, i: usize, prepared: &Prepared) -> StoredPicture {
    let file = format!("{folder}/{i:03}.png");
    prepared.pixels.save(run.join(&file)).expect("picture");
    StoredPicture { file, content: prepared.content, image: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use detector::evaluate::evaluate;
    use detector::run::Run;

    /// Before format 2 a run had no scores of folds, before format 3 no places and one way to count logits.
    #[test]
    fn runs_of_older_formats_are_read_and_newer_ones_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (run, data) = (folder.path().join("run"), folder.path().join("data"));
        SyntheticRun::default().write(&run, &data);
        let path = run.join("run.toml");
        let text = fs::read_to_string(&path).unwrap();
        let as_format = |format: u32| {
            fs::write(&path, text.replacen("format = 3\n", &format!("format = {format}\n"), 1)).unwrap();
            Run::open(&run)
        };
        for format in 1..=FORMAT {
            assert_eq!(as_format(format).unwrap().info.format, format);
        }
        assert!(as_format(FORMAT + 1).unwrap_err().to_string().contains("train again"));
    }

    #[test]
    fn the_run_is_complete_and_separates_good_from_anomalous() {
        let folder = tempfile::tempdir().unwrap();
        let (run, data) = (folder.path().join("run"), folder.path().join("data"));
        let synthetic = SyntheticRun::default();
        synthetic.write(&run, &data);
        let run = Run::open(&run).unwrap();
        let engine = synthetic.engine(run.weights().unwrap());
        let bank = run.bank(Quantisation::F32).unwrap();
        let mut scorer = run.scorer(engine, bank, run.score_rule().unwrap());
        assert_eq!(run.expected().unwrap().len(), run.info.references.len());
        let samples = Dataset::open(&data).unwrap().unseen(&run.split().unwrap()).unwrap();
        let figures = evaluate(&mut scorer, &samples, None, &mut || {}).unwrap().figures;
        assert!(figures.image_auroc.unwrap() > 0.99, "{figures:?}");
        assert!(figures.pixel_auroc.unwrap() > 0.9, "{figures:?}");
        assert_eq!((figures.good, figures.anomalous), (16, 12));
    }
}
