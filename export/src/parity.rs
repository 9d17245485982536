//! The parity gate: the bundle must judge as the trained network does.

use detector::bank::Quantisation;
use detector::descriptor::FeatureMap;
use detector::engine::{Engine, TractEngine};
use detector::network::Network;
use detector::preprocess::Prepared;
use detector::run::{Expected, FEWEST_REFERENCES, Reference, ReferenceKind, Run, Use};
use detector::scorer::Scorer;
use serde::{Deserialize, Serialize};

use crate::{Error, Progress, Result};

/// Largest accepted relative difference between libtorch and tract, both with the float bank: of feature maps, score maps and
/// image scores.
pub const LIMIT: f32 = 1e-3;
/// Largest accepted relative difference of an image score that the int8 bank makes on top.
pub const BANK_LIMIT: f32 = 2e-2;

const STEP: &str = "parity gate";

/// What the gate found; everything within the limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parity {
    /// [`LIMIT`]
    pub limit: f32,
    /// Largest differences from libtorch, by what the references show.
    pub kinds: Vec<Differences>,
    /// What the int8 bank changes on top; none for a float bank.
    pub bank: Option<BankDifference>,
}

/// Largest relative differences over references of one kind: `max |a - b| / max |b|`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Differences {
    /// What the references show.
    pub kind: ReferenceKind,
    /// How many there are.
    pub references: usize,
    /// Of any layer's feature map.
    pub feature_maps: f32,
    /// Of the score map.
    pub score_map: f32,
    /// Of the image score.
    pub image_score: f32,
}

/// What the int8 bank changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BankDifference {
    /// [`BANK_LIMIT`]
    pub limit: f32,
    /// Largest relative difference of an image score from the float bank's.
    pub image_score: f32,
}

/// Compares the engine with libtorch on every reference of the run, and the quantised bank with the float one.
///
/// # Errors
/// [`Error::Parity`] when a difference is over its limit; otherwise when the run's references are too few, lack a kind, or cannot
/// be read.
pub fn check(run: &Run, engine: &mut TractEngine, quantisation: Quantisation, progress: Progress<'_>) -> Result<Parity> {
    let references = &run.info.references;
    enough(run)?;
    let expected = run.expected()?;
    let pictures: Vec<Prepared> =
        references.iter().map(|reference| run.picture(&reference.picture)).collect::<detector::Result<_>>()?;
    let passes = if quantisation == Quantisation::F32 { 2 } else { 3 };
    let total = passes * references.len();
    let mut done = 0;
    let mut tick = || {
        done += 1;
        progress(STEP, done, total);
    };

    let network = run.info.backbone.network()?;
    let mut kinds: Vec<Differences> = Vec::new();
    for ((reference, expected), picture) in references.iter().zip(&expected).zip(&pictures) {
        let found = engine.run(&run.info.input.normalise(&picture.pixels))?;
        let difference = results(&network, reference, &found, expected)?;
        entry(&mut kinds, reference.kind).feature_maps.raise(difference);
        tick();
    }

    let info = &run.info;
    let mut scores = Vec::with_capacity(references.len());
    let bank = run.bank(Quantisation::F32)?;
    let mut scorer = info.scorer(&mut *engine, bank);
    for ((reference, expected), picture) in references.iter().zip(&expected).zip(&pictures) {
        let scored = scorer.score_prepared(picture)?;
        let found = scored.map().values;
        same_size(reference, "score map", found.len(), expected.map.len())?;
        let map = gate(reference, "score map", relative(&found, &expected.map))?;
        let score = gate(reference, "image score", relative(&[scored.score], &[reference.score]))?;
        let worst = entry(&mut kinds, reference.kind);
        worst.references += 1;
        worst.score_map.raise(map);
        worst.image_score.raise(score);
        scores.push(scored.score);
        tick();
    }

    let bank = match quantisation {
        Quantisation::F32 => None,
        Quantisation::Int8 => {
            let mut worst = 0.0f32;
            let bank = run.bank(quantisation)?;
            let mut scorer = info.scorer(&mut *engine, bank);
            for ((reference, score), picture) in references.iter().zip(scores).zip(&pictures) {
                let difference = relative(&[scorer.score_prepared(picture)?.score], &[score]);
                worst.raise(within(reference, "image score", difference, BANK)?);
                tick();
            }
            Some(BankDifference { limit: BANK_LIMIT, image_score: worst })
        }
    };
    Ok(Parity { limit: LIMIT, kinds, bank })
}

/// `max |a - b| / max |b|`; infinite where the reference is nothing but zeros and the other is not, NaN where either holds NaN.
pub fn relative(found: &[f32], reference: &[f32]) -> f32 {
    // f32::max would pass over NaN.
    let largest = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, |a: f64, b| if a.is_nan() || a >= b { a } else { b });
    let difference = largest(&mut found.iter().zip(reference).map(|(a, b)| f64::from(a - b).abs()));
    let scale = largest(&mut reference.iter().map(|value| f64::from(value.abs())));
    if difference == 0.0 && !scale.is_nan() { 0.0 } else { (difference / scale) as f32 }
}

fn enough(run: &Run) -> Result<()> {
    let references = &run.info.references;
    let refuse = |problem: String| Err(detector::Error::file(run.folder.join("run.toml"), problem).into());
    if references.len() < FEWEST_REFERENCES {
        let found = references.len();
        return refuse(format!("names {found} references; the parity gate needs at least {FEWEST_REFERENCES}: train again"));
    }
    let mut needed = vec![(ReferenceKind::Good, "good"), (ReferenceKind::Noise, "noise")];
    if run.split()?.images.iter().any(|image| image.r#use == Use::Anomalous) {
        needed.push((ReferenceKind::Anomalous, "anomalous"));
    }
    match needed.iter().find(|(kind, _)| !references.iter().any(|reference| reference.kind == *kind)) {
        Some((_, name)) => refuse(format!("names no {name} reference; the parity gate needs some: train again")),
        None => Ok(()),
    }
}

/// Largest difference of any of the network's results.
fn results(network: &Network, reference: &Reference, found: &[FeatureMap], expected: &Expected) -> Result<f32> {
    same_size(reference, "results", found.len(), expected.results.len())?;
    let mut worst = 0.0f32;
    for ((output, found), expected) in network.results().zip(found).zip(&expected.results) {
        same_size(reference, &output.layer, found.values.len(), expected.values.len())?;
        worst.raise(gate(reference, &output.layer, relative(&found.values, &expected.values))?);
    }
    Ok(worst)
}

fn same_size(reference: &Reference, what: &str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let file = &reference.picture.file;
    let problem =
        format!("{file}: the exported network gives {found} values for its {what}, the run stores {expected}: train again");
    Err(detector::Error::invalid(problem).into())
}

/// What is compared, how far apart the two may be, and what helps if they are further.
type Gate = (&'static str, f32, &'static str);
const LIBTORCH: Gate = ("from libtorch's", LIMIT, "this is a fault of the exporter or the engine, please report it");
const BANK: Gate = ("with the int8 bank", BANK_LIMIT, "export with --bank f32");

fn gate(reference: &Reference, quantity: &str, difference: f32) -> Result<f32> {
    within(reference, quantity, difference, LIBTORCH)
}

fn within(reference: &Reference, quantity: &str, difference: f32, (from, limit, advice): Gate) -> Result<f32> {
    // Written so that NaN fails.
    if difference <= limit {
        return Ok(difference);
    }
    let reference = reference.picture.file.clone();
    Err(Error::Parity { reference, quantity: quantity.into(), difference, from, limit, advice })
}

fn entry(kinds: &mut Vec<Differences>, kind: ReferenceKind) -> &mut Differences {
    let index = kinds.iter().position(|differences| differences.kind == kind).unwrap_or_else(|| {
        kinds.push(Differences { kind, references: 0, feature_maps: 0.0, score_map: 0.0, image_score: 0.0 });
        kinds.len() - 1
    });
    &mut kinds[index]
}

trait Raise {
    fn raise(&mut self, value: f32);
}

impl Raise for f32 {
    fn raise(&mut self, value: f32) {
        *self = self.max(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    use apc_tests::SyntheticRun;
    use detector::run::RunInfo;
    use detector::tensors::{Tensors, Values};
    use tempfile::TempDir;

    fn synthetic() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        SyntheticRun::default().write(&run, &folder.path().join("data"));
        (folder, run)
    }

    fn checked(folder: &Path, quantisation: Quantisation) -> Result<Parity> {
        let run = Run::open(folder)?;
        let onnx = crate::onnx::backbone(&run.info.backbone.network()?, &run.weights()?, run.info.input.input())?;
        check(&run, &mut TractEngine::load(&onnx, run.info.input.input())?, quantisation, &mut |_, _, _| {})
    }

    fn change_info(folder: &Path, change: impl FnOnce(&mut RunInfo)) {
        let mut info = Run::open(folder).unwrap().info;
        change(&mut info);
        info.write(folder).unwrap();
    }

    fn change_tensor(path: &Path, name: &str, change: impl FnOnce(&mut [f32])) {
        let mut file = Tensors::read(path).unwrap();
        let Values::F32(values) = &mut file.tensors.get_mut(name).unwrap().values else { panic!("{name}") };
        change(values);
        file.write(path).unwrap();
    }

    #[test]
    fn a_faithful_export_passes() {
        let (_folder, run) = synthetic();
        let parity = checked(&run, Quantisation::Int8).unwrap();
        let counts: Vec<_> = parity.kinds.iter().map(|kind| (kind.kind, kind.references)).collect();
        assert_eq!(counts, [(ReferenceKind::Good, 8), (ReferenceKind::Anomalous, 4), (ReferenceKind::Noise, 4)]);
        for kind in &parity.kinds {
            // Single against double precision: not the same, and far below the limit.
            let all = [kind.feature_maps, kind.score_map, kind.image_score];
            assert!(all.iter().all(|difference| *difference > 0.0 && *difference < LIMIT / 20.0), "{kind:?}");
        }
        let bank = parity.bank.unwrap();
        assert!(bank.image_score > 0.0 && bank.image_score < BANK_LIMIT, "{bank:?}");
        assert_eq!(checked(&run, Quantisation::F32).unwrap().bank, None);
    }

    #[test]
    fn other_weights_are_caught() {
        let (_folder, run) = synthetic();
        change_tensor(&run.join("weights.safetensors"), "layer1.0.bn1.bias", |bias| {
            bias.iter_mut().for_each(|bias| *bias += 0.2)
        });
        let error = checked(&run, Quantisation::F32).unwrap_err().to_string();
        assert!(error.contains("reference/000.png: layer2") && error.contains("libtorch"), "{error}");
    }

    #[test]
    fn each_quantity_is_gated_and_named() {
        let (_folder, run) = synthetic();
        let results = run.join("reference.safetensors");
        let sound = std::fs::read(&results).unwrap();
        for (tensor, quantity) in [("011.layer3", "layer3"), ("011.map", "score map")] {
            // The largest value changes by three times the limit.
            change_tensor(&results, tensor, |values| {
                let largest = values.iter_mut().max_by(|a, b| a.total_cmp(b)).unwrap();
                *largest *= 1.0 + 3.0 * LIMIT;
            });
            let error = checked(&run, Quantisation::F32).unwrap_err();
            assert!(matches!(error, Error::Parity { .. }), "{error}");
            let error = error.to_string();
            assert!(error.contains("reference/011.png") && error.contains(quantity), "{error}");
            std::fs::write(&results, &sound).unwrap();
        }
        change_info(&run, |info| info.references[15].score *= 1.0 - 3.0 * LIMIT);
        let error = checked(&run, Quantisation::F32).unwrap_err().to_string();
        assert!(error.contains("reference/015.png") && error.contains("image score"), "{error}");
    }

    #[test]
    fn too_few_references_or_kinds_are_refused() {
        let (_folder, run) = synthetic();
        let all = Run::open(&run).unwrap().info.references;
        change_info(&run, |info| info.references.truncate(15));
        assert!(checked(&run, Quantisation::F32).unwrap_err().to_string().contains("at least 16"));
        change_info(&run, |info| info.references = all.iter().chain(&all).cloned().collect());
        for (kind, name) in [(ReferenceKind::Noise, "noise"), (ReferenceKind::Anomalous, "anomalous")] {
            change_info(&run, |info| {
                info.references = all.iter().chain(&all).filter(|reference| reference.kind != kind).cloned().collect();
            });
            let error = checked(&run, Quantisation::F32).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("run.toml"), "{error}");
        }
    }

    #[test]
    fn relative_differences() {
        assert_eq!(relative(&[1.0, 2.0], &[1.0, -2.5]), 1.8);
        assert_eq!(relative(&[0.0], &[0.0]), 0.0);
        assert_eq!(relative(&[1.0], &[0.0]), f32::INFINITY);
        assert!(relative(&[f32::NAN, 9.0], &[1.0, 1.0]).is_nan());
        assert!(relative(&[1.0, 1.0], &[f32::NAN, 1.0]).is_nan());
    }
}
