//! From a run to a bundle.

use std::collections::BTreeMap;
use std::path::Path;

use detector::bank::Quantisation;
use detector::bundle::{BackboneFile, Bundle, DetectorInfo, Variant};
use detector::calibration::{Calibration, Place};
use detector::dataset::{Dataset, Sample};
use detector::engine::TractEngine;
use detector::evaluate::evaluate;
use detector::run::Run;
use detector::scorer::Scorer;
use detector::{Error, files};

use crate::error::Result;
use crate::kinds::{self, Shared};
use crate::misses::{self, ExpectedMisses};
use crate::progress::Progress;
use crate::report::{CalibrationReport, Report, without_latency};
use crate::variants::{Float, Made};
use crate::{onnx, parity, self_test, training};

const BACKBONE: &str = "backbone.onnx";
/// Largest relative difference of a self-test score that an engine of the float network may show.
const TOLERANCE: f32 = 1e-3;
/// Largest picture that goes from the run into the bundle.
const PICTURE_LIMIT: u64 = 64 << 20;

/// The user's choices.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How the vectors of a memory bank are stored.
    pub bank: Quantisation,
    /// Whether to evaluate on the run's data set, where it is there.
    pub evaluate: bool,
    /// Whether to add the network with the detector's other parts inside, for GPUs.
    pub fused: bool,
    /// Whether to add the backbone in int8.
    pub int8: bool,
}

/// A bundle that was written.
#[derive(Clone, Debug)]
pub struct Exported {
    /// As read again from the bytes that were written.
    pub bundle: Bundle,
    /// Size of the file.
    pub bytes: usize,
    /// Content of its `report.json`.
    pub report: Report,
}

/// Makes a bundle of a run and writes it to `output`, in one step and only when all is sound. The same run gives the same bytes.
///
/// # Errors
/// [`crate::Error::Parity`] when the bundle would not judge as the trained network does; otherwise when `output` is no place for a
/// file, or a file of the run is missing or does not fit.
pub fn export(run: &Path, output: &Path, options: &Options, progress: Progress<'_>) -> Result<Exported> {
    check_output(output)?;
    let run = Run::open(run)?;
    let info = &run.info;
    let input = info.input.input();
    let weights = run.weights()?;
    let in_weights = |error: Error| Error::file(run.folder.join("weights.safetensors"), error.to_string());
    let backbone = onnx::backbone(&info.backbone.network()?, &weights, input).map_err(in_weights)?;
    let mut engine = TractEngine::load(&backbone, input)?;
    let parts = kinds::parts(&run, options.bank)?;
    let parity = parity::check(&run, &mut engine, &*parts, progress)?;

    let pictures = self_test::pictures(&run);
    let mut scorer = parts.scorer(Box::new(&mut engine));
    let (good, calibration, calibration_report) = threshold(&run, &mut *scorer, progress)?;
    let self_test = self_test::record(&run, &pictures, &mut *scorer, TOLERANCE)?;
    let unseen = if options.evaluate { unseen(&run)? } else { Vec::new() };
    let evaluation = evaluation(&unseen, &mut *scorer, &calibration, progress)?;
    let mut made = BTreeMap::new();
    if options.int8 || options.fused {
        let float = Float::new(&run, &*parts, &pictures, &unseen, &mut *scorer, progress)?;
        if options.int8 {
            made.insert(Variant::Int8, float.int8(progress)?);
        }
        if options.fused {
            made.insert(Variant::Fused, float.fused(progress)?);
        }
    }
    drop(scorer);
    let (mut expected_misses, mut choices) = (None, Vec::new());
    let samples = if options.evaluate { misses::samples(&run)? } else { Vec::new() };
    if !samples.is_empty()
        && let Some(mut scorer) = parts.untaught_scorer(Box::new(&mut engine))?
    {
        let scores = misses::scores(&run, &samples, &mut *scorer, progress)?;
        expected_misses = Some(ExpectedMisses::at(&scores, calibration.threshold));
        choices = misses::choices(&good, &scores, &info.anomalous_scores)?;
    }
    let report = Report {
        parity,
        calibration: calibration_report,
        evaluation,
        expected_misses,
        choices,
        training: training::curves(&run)?,
        variants: made.iter().map(|(variant, made)| (*variant, made.report)).collect(),
    };

    let mut contents = BTreeMap::from([(BACKBONE.to_owned(), backbone)]);
    contents.extend(parts.entries()?);
    contents.extend(self_test::entries(&run, &pictures)?);
    for name in report.calibration.highest.iter().filter_map(|good| good.picture.as_ref()) {
        contents.insert(name.clone(), files::read_bounded(&run.folder.join(name), PICTURE_LIMIT)?);
    }
    contents.insert("split.json".into(), json(&run.split()?)?);
    contents.insert("report.json".into(), json(&report)?);
    let mut variants = BTreeMap::new();
    for (variant, Made { onnx, section, .. }) in made {
        contents.insert(section.file.clone(), onnx);
        variants.insert(variant, section);
    }
    let manifest = parts.manifest(Shared {
        detector: who_and_when(&run)?,
        input: info.input.clone(),
        backbone: BackboneFile { file: BACKBONE.into(), structure: info.backbone.clone() },
        calibration,
        self_test,
        variants,
    });
    let (bundle, bytes) = Bundle::build(manifest, contents, output)?;
    files::write_atomic(output, &bytes)?;
    Ok(Exported { bundle, bytes: bytes.len(), report })
}

/// A place that takes no file must show before the long work begins.
fn check_output(output: &Path) -> Result<()> {
    if output.is_dir() {
        return Err(Error::file(output, "is a folder; the path of a file was expected, such as NAME.apc").into());
    }
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
    match parent {
        Some(parent) if !parent.is_dir() => Err(Error::file(parent, "is no folder; create it first").into()),
        _ => Ok(()),
    }
}

fn who_and_when(run: &Run) -> Result<DetectorInfo> {
    let info = &run.info;
    Ok(DetectorInfo {
        name: info.name.clone(),
        kind: kinds::kind_of(run)?,
        mode: info.mode.clone(),
        kit: env!("CARGO_PKG_VERSION").into(),
        created: info.created,
        seed: info.seed,
    })
}

fn json<T: serde::Serialize>(value: &T) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec_pretty(value).map_err(|error| Error::invalid(format!("cannot be written as JSON: {error}")))?)
}

/// The threshold from the scores that this bundle gives to good images that it has not learned from.
fn threshold(run: &Run, scorer: &mut dyn Scorer, progress: Progress<'_>) -> Result<(Vec<f32>, Calibration, CalibrationReport)> {
    let pictures = &run.info.calibration;
    let mut scores = Vec::with_capacity(pictures.len());
    for picture in pictures {
        scores.push(scorer.score_prepared(&run.picture(picture)?)?.score);
        progress("calibration", scores.len(), pictures.len());
    }
    let scores = run.info.unseen_scores(&scores);
    let calibration = run.info.calibrate(&scores)?;
    if !calibration.is_supported() {
        log::warn!("threshold {:.4}: {}", calibration.threshold, calibration.describe());
    }
    if let Some(text) = calibration.describe_gap() {
        log::info!("{text}");
    } else if run.info.place == Place::Gap && calibration.gap.is_none() {
        log::warn!(
            "there is no clear gap between good images and anomalous samples: the false-reject rate decides about the threshold"
        );
    }
    let report = CalibrationReport::new(&calibration, &scores, pictures);
    if let Some(text) = report.far_out() {
        log::warn!("{text}");
    }
    Ok((scores, calibration, report))
}

/// Images that neither training nor calibration saw; none where the run's data set is not there.
fn unseen(run: &Run) -> Result<Vec<Sample>> {
    let data = &run.info.data;
    if !data.is_dir() {
        log::warn!("{}: the run's images are not there: the bundle's report has no evaluation", data.display());
        return Ok(Vec::new());
    }
    let samples = Dataset::open(data)?.unseen(&run.split()?)?;
    if samples.is_empty() {
        log::warn!("{}: holds no images that training has not seen: the bundle's report has no evaluation", data.display());
    }
    Ok(samples)
}

/// Figures on unseen images, if there are any.
fn evaluation(
    samples: &[Sample],
    scorer: &mut dyn Scorer,
    calibration: &Calibration,
    progress: Progress<'_>,
) -> Result<Option<serde_json::Map<String, serde_json::Value>>> {
    if samples.is_empty() {
        return Ok(None);
    }
    let mut done = 0;
    let mut tick = || {
        done += 1;
        progress("evaluation", done, samples.len());
    };
    let evaluation = evaluate(scorer, samples, Some(calibration), &mut tick)?;
    Ok(Some(without_latency(&evaluation.figures)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    use apc_tests::SyntheticRun;
    use detector::engine::VariantChoice;
    use detector::{Detector, Setup};
    use tempfile::TempDir;

    const INT8: Options = Options { bank: Quantisation::Int8, evaluate: true, fused: false, int8: false };

    struct Made {
        folder: TempDir,
    }

    impl Made {
        fn new(synthetic: &SyntheticRun) -> Made {
            let made = Made { folder: tempfile::tempdir().unwrap() };
            synthetic.write(&made.path("run"), &made.path("data"));
            made
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn export(&self, name: &str, options: &Options) -> Result<Exported> {
            export(&self.path("run"), &self.path(name), options, &mut |_, _, _| {})
        }
    }

    #[test]
    fn a_run_becomes_a_bundle_that_separates_good_from_anomalous() {
        let made = Made::new(&SyntheticRun::default());
        let exported = made.export("disc.apc", &INT8).unwrap();
        let bundle = Bundle::read(&made.path("disc.apc")).unwrap();
        assert_eq!(bundle.id, exported.bundle.id);
        let detector = Detector::start(&bundle, &Setup::default()).unwrap();
        assert_eq!(detector.self_test_difference, 0.0, "the same engine gives the same scores");
        let calibration = &bundle.manifest.calibration;
        assert_eq!((calibration.images, calibration.is_supported()), (20, true));
        let evaluation = exported.report.evaluation.unwrap();
        let figure = |name: &str| evaluation[name].as_f64().unwrap();
        assert!(figure("image_auroc") > 0.99 && figure("miss_rate") < 0.1, "{evaluation:?}");
        assert_eq!((figure("good"), figure("anomalous")), (16.0, 12.0));
        let misses = exported.report.expected_misses.unwrap();
        assert!(misses.samples > 0 && misses.missed < misses.samples && misses.low <= misses.high, "{misses:?}");
        let stored: Report = serde_json::from_slice(bundle.file("report.json").unwrap()).unwrap();
        assert_eq!(stored.parity, exported.report.parity);
    }

    #[test]
    fn the_same_run_gives_the_same_bytes() {
        let made = Made::new(&SyntheticRun::default());
        made.export("a.apc", &INT8).unwrap();
        made.export("b.apc", &INT8).unwrap();
        let bytes = |name| std::fs::read(made.path(name)).unwrap();
        assert!(bytes("a.apc") == bytes("b.apc"));
        made.export("c.apc", &Options { bank: Quantisation::F32, evaluate: false, ..INT8 }).unwrap();
        assert!(bytes("c.apc").len() > bytes("a.apc").len());
    }

    #[test]
    fn variants_have_thresholds_and_self_tests_of_their_own() {
        let made = Made::new(&SyntheticRun::default());
        let options = Options { evaluate: false, fused: true, ..INT8 };
        let exported = made.export("disc.apc", &options).unwrap();
        let section = &exported.bundle.manifest.variants[&Variant::Fused];
        assert!(section.calibration.threshold > 0.0 && section.calibration.images == 20);
        assert_ne!(section.self_test.references, exported.bundle.manifest.self_test.references);
        let setup = Setup { variant: VariantChoice::Fused, ..Setup::default() };
        let error = Detector::start(&exported.bundle, &setup).err().unwrap().to_string();
        assert!(error.contains("tract") && error.contains("ort-cpu"), "{error}");
        let difference = exported.report.variants[&Variant::Fused].image_score;
        assert!(difference > 0.0 && difference < crate::FUSED_LIMIT / 3.0, "{difference}");
        let plain = made.export("plain.apc", &Options { evaluate: false, ..INT8 }).unwrap();
        let setup = Setup { variant: VariantChoice::Int8, ..Setup::default() };
        let error = Detector::start(&plain.bundle, &setup).err().unwrap().to_string();
        assert!(error.contains("--int8"), "{error}");
    }

    #[test]
    fn the_self_test_mixes_kinds() {
        let made = Made::new(&SyntheticRun::default());
        let bundle = made.export("disc.apc", &INT8).unwrap().bundle;
        let references = &bundle.manifest.self_test.references;
        assert_eq!(references.len(), crate::self_test::PICTURES);
        let entry = |i: usize| bundle.file(&references[i].file).unwrap().to_vec();
        for (index, of_run) in [(0, 0), (1, 8), (2, 12), (3, 1)] {
            assert_eq!(entry(index), std::fs::read(made.path(&format!("run/reference/{of_run:03}.png"))).unwrap());
        }
    }

    #[test]
    fn without_data_there_is_no_evaluation() {
        let made = Made::new(&SyntheticRun::default());
        std::fs::remove_dir_all(made.path("data")).unwrap();
        assert_eq!(made.export("disc.apc", &INT8).unwrap().report.evaluation, None);
    }

    #[test]
    fn a_rate_without_support_is_exported_and_says_so() {
        let made = Made::new(&SyntheticRun { false_reject_rate: 0.01, ..SyntheticRun::default() });
        let report = made.export("disc.apc", &INT8).unwrap().report.calibration;
        assert_eq!((report.rate_supported, report.images_needed), (false, 99));
        assert!((report.promised_rate - 1.0 / 21.0).abs() < 1e-12);
    }

    #[test]
    fn a_failed_gate_leaves_the_old_file() {
        let made = Made::new(&SyntheticRun::default());
        std::fs::write(made.path("disc.apc"), "old").unwrap();
        let mut info = Run::open(&made.path("run")).unwrap().info;
        info.references[3].score *= 1.01;
        info.write(&made.path("run")).unwrap();
        let error = made.export("disc.apc", &INT8).unwrap_err();
        assert!(matches!(error, crate::Error::Parity { .. }), "{error}");
        assert_eq!(std::fs::read(made.path("disc.apc")).unwrap(), b"old");
    }
}
