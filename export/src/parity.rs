//! The parity gate: the bundle must judge as the trained network does.

use detector::descriptor::FeatureMap;
use detector::engine::Engine;
use detector::network::Network;
use detector::preprocess::Prepared;
use detector::run::{Expected, FEWEST_REFERENCES, Reference, ReferenceKind, Run, Use};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::gate::{Gate, relative};
use crate::kinds::Parts;
use crate::progress::Progress;

/// Largest accepted relative difference between libtorch and tract, both with the parts that the trainer wrote: of feature maps, score
/// maps and image scores.
pub const LIMIT: f32 = 1e-3;

const LIBTORCH: Gate =
    Gate { from: "from libtorch's", limit: LIMIT, advice: "this is a fault of the exporter or the engine, please report it" };

const STEP: &str = "parity gate";

/// Differences of a bundle that passed the gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parity {
    /// [`LIMIT`]
    pub limit: f32,
    /// Largest differences from libtorch, by the kind of the references.
    pub kinds: Vec<Differences>,
    /// Further difference that storing the memory bank in int8 makes; none for a float bank.
    pub bank: Option<BankDifference>,
}

/// Largest relative differences over references of one kind: `max |a - b| / max |b|`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Differences {
    /// Kind of the references.
    pub kind: ReferenceKind,
    /// Number of references.
    pub references: usize,
    /// Largest difference of any of the network's results.
    pub feature_maps: f32,
    /// Largest difference of a score map.
    pub score_map: f32,
    /// Largest difference of an image score.
    pub image_score: f32,
}

/// Difference that storing the memory bank in int8 makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BankDifference {
    /// [`crate::BANK_LIMIT`]
    pub limit: f32,
    /// Largest relative difference of an image score from the float bank's.
    pub image_score: f32,
}

/// Compares the engine with libtorch on every reference of the run, and the parts as the bundle stores them with those that the trainer
/// wrote.
///
/// # Errors
/// [`crate::Error::Parity`] when a difference is over its limit; otherwise when the run's references are too few, lack a kind, or cannot
/// be read.
pub fn check(run: &Run, engine: &mut dyn Engine, parts: &dyn Parts, progress: Progress<'_>) -> Result<Parity> {
    let references = &run.info.references;
    enough(run)?;
    let expected = run.expected()?;
    let pictures: Vec<Prepared> =
        references.iter().map(|reference| run.picture(&reference.picture)).collect::<detector::Result<_>>()?;
    let passes = if parts.rounding().is_none() { 2 } else { 3 };
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

    let mut scores = Vec::with_capacity(references.len());
    let mut scorer = parts.trained_scorer(Box::new(&mut *engine))?;
    for ((reference, expected), picture) in references.iter().zip(&expected).zip(&pictures) {
        let scored = scorer.score_prepared(picture)?;
        let found = scored.map().values;
        same_size(reference, "score map", found.len(), expected.map.len())?;
        let file = &reference.picture.file;
        let map = LIBTORCH.check(file, "score map", relative(&found, &expected.map))?;
        let score = LIBTORCH.check(file, "image score", relative(&[scored.score], &[reference.score]))?;
        let worst = entry(&mut kinds, reference.kind);
        worst.references += 1;
        worst.score_map.raise(map);
        worst.image_score.raise(score);
        scores.push(scored.score);
        tick();
    }

    drop(scorer);

    let mut bank = None;
    if let Some(gate) = parts.rounding() {
        let mut worst = 0.0f32;
        let mut scorer = parts.scorer(Box::new(engine));
        for ((reference, score), picture) in references.iter().zip(scores).zip(&pictures) {
            let difference = relative(&[scorer.score_prepared(picture)?.score], &[score]);
            worst.raise(gate.check(&reference.picture.file, "image score", difference)?);
            tick();
        }
        bank = Some(BankDifference { limit: gate.limit, image_score: worst });
    }
    Ok(Parity { limit: LIMIT, kinds, bank })
}

/// Refuses a run whose references cannot show a difference.
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
        let difference = relative(&found.values, &expected.values);
        worst.raise(LIBTORCH.check(&reference.picture.file, &output.layer, difference)?);
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

/// The entry of a kind, added where it is missing.
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

    use crate::Error;
    use crate::kinds::{BANK_LIMIT, parts};
    use apc_tests::SyntheticRun;
    use detector::bank::Quantisation;
    use detector::engine::TractEngine;
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
        let mut engine = TractEngine::load(&onnx, run.info.input.input())?;
        check(&run, &mut engine, &*parts(&run, quantisation)?, &mut |_, _, _| {})
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
}
