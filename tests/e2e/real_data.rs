//! The whole main job on real images, with ImageNet weights: trained, exported, judged. Skipped where the images are not
//! (`APC_DATA`, see `cargo xtask test`).
//!
//! Floors are a little below what `cargo xtask bench product` prints, since libtorch's arithmetic differs between processors and one
//! seed is not a mean; a broken step costs far more (random weights give 0.75 on the pills).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{onnxruntime, run};

struct Product {
    name: &'static str,
    recipe: &'static str,
    image_auroc: f64,
    pixel_auroc: f64,
}

/// Folder of the real images; none where there are none, which is said.
fn real_data() -> Option<PathBuf> {
    let data = std::env::var_os("APC_DATA").map(PathBuf::from).filter(|data| data.is_dir());
    if data.is_none() {
        println!("skipped: no real images (APC_DATA names no folder)");
    }
    data
}

impl Product {
    /// PatchCore from images to figures, through the bundle; with `int8` also the int8 network.
    fn check(&self, int8: bool) {
        let Some(data) = real_data() else { return };
        let images = data.join(self.name);
        let weights = data.join("weights/resnet18_imagenet_layer3.safetensors");
        let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/train").join(self.recipe);
        let folder = tempfile::tempdir().unwrap();
        let (out, bundle) = (folder.path().join("run"), folder.path().join("product.apc"));
        let arguments = ["train".as_ref(), "--config".as_ref(), recipe.as_os_str(), "--data".as_ref(), images.as_os_str()];
        let places = ["--weights".as_ref(), weights.as_os_str(), "--out".as_ref(), out.as_os_str()];
        run("apc-trainer", arguments.into_iter().chain(places)).expect(0);
        let arguments = ["bundle".as_ref(), out.as_os_str(), "-o".as_ref(), bundle.as_os_str(), "--no-evaluate".as_ref()];
        run("apc-export", arguments.into_iter().chain(int8.then_some("--int8".as_ref()))).expect(0);
        let arguments = ["evaluate".as_ref(), "--json".as_ref(), "--model".as_ref(), bundle.as_os_str()];
        let arguments = arguments.into_iter().chain(["--data".as_ref(), images.as_os_str()]);
        let figures: Value = serde_json::from_str(&run("apc-runtime", arguments).expect(0).stdout).unwrap();
        println!("{}: {figures}", self.name);
        for (figure, floor) in [("image_auroc", self.image_auroc), ("pixel_auroc", self.pixel_auroc)] {
            assert!(figures[figure].as_f64().unwrap() >= floor, "{figure} is below {floor}: {figures}");
        }
        if let Some(library) = onnxruntime().filter(|_| int8) {
            judges_as_float(&bundle, &images, &library);
        }
    }
}

/// With the int8 network every verdict is the float network's, for near the threshold that one decides; scores are near, and not the same.
/// The exporter's limit is 2e-2, of what it expects among many.
fn judges_as_float(bundle: &Path, images: &Path, library: &Path) {
    let kinds = std::fs::read_dir(images.join("test")).unwrap().map(|kind| kind.unwrap().path());
    let mut images: Vec<PathBuf> =
        kinds.flat_map(|kind| std::fs::read_dir(kind).unwrap()).map(|image| image.unwrap().path()).collect();
    images.sort();
    let score = |engine: &str, variant: &str| -> Vec<(f64, String)> {
        let arguments = ["score", "--json", "--engine", engine, "--variant", variant, "--onnxruntime"].map(OsStr::new);
        let files = [library.as_os_str(), "--model".as_ref(), bundle.as_os_str()];
        let arguments = arguments.into_iter().chain(files).chain(images.iter().map(|image| image.as_os_str()));
        let document: Value = serde_json::from_str(&run("apc-runtime", arguments).expect(0).stdout).unwrap();
        let judged = document["images"].as_array().unwrap().iter();
        judged.map(|image| (image["score"].as_f64().unwrap(), image["verdict"].to_string())).collect()
    };
    let (float, int8) = (score("tract", "float"), score("ort-cpu", "int8"));
    let verdicts = |judged: &[(f64, String)]| judged.iter().map(|(_, verdict)| verdict.clone()).collect::<Vec<_>>();
    assert_eq!(verdicts(&int8), verdicts(&float));
    let differences = float.iter().zip(&int8).map(|((float, _), (int8, _))| (float - int8).abs() / float);
    let largest = differences.fold(0.0, f64::max);
    println!("int8: scores differ by up to {largest:.1e}");
    assert!(largest > 1e-4 && largest < 3e-2, "{largest}");
}

#[test]
fn pills() {
    Product { name: "mvtec_pill", recipe: "patchcore.toml", image_auroc: 0.935, pixel_auroc: 0.955 }.check(true);
}

#[test]
fn cookies() {
    Product { name: "cookies", recipe: "whole.toml", image_auroc: 0.96, pixel_auroc: 0.94 }.check(false);
}

/// Over many random draws of calibration images, thresholds reject on average about the wished share of the other good images. Half of the
/// good images are held out, so that there are some to draw from.
#[test]
fn thresholds_reject_the_wished_share_of_good_pills() {
    use rand::SeedableRng;
    use rand::seq::SliceRandom;
    let Some(data) = real_data() else { return };
    let (images, folder) = (data.join("mvtec_pill"), tempfile::tempdir().unwrap());
    let [recipe, out, bundle] = ["recipe.toml", "run", "pill.apc"].map(|name| folder.path().join(name));
    std::fs::write(&recipe, "mode = \"patchcore\"\n[data]\ncalibration_share = 0.5\n").unwrap();
    let weights = data.join("weights/resnet18_imagenet_layer3.safetensors");
    let arguments = ["train".as_ref(), "--config".as_ref(), recipe.as_os_str(), "--data".as_ref(), images.as_os_str()];
    let places = ["--weights".as_ref(), weights.as_os_str(), "--out".as_ref(), out.as_os_str()];
    run("apc-trainer", arguments.into_iter().chain(places)).expect(0);
    run("apc-export", ["bundle".as_ref(), out.as_os_str(), "-o".as_ref(), bundle.as_os_str(), "--no-evaluate".as_ref()])
        .expect(0);
    let split = detector::run::Run::open(&out).unwrap().split().unwrap();
    let held_out = split.images.iter().filter(|image| image.r#use == detector::run::Use::Calibration);
    let held_out: Vec<PathBuf> = held_out.map(|image| images.join(&image.path)).collect();
    let arguments = ["score".as_ref(), "--json".as_ref(), "--model".as_ref(), bundle.as_os_str()];
    let finished = run("apc-runtime", arguments.into_iter().chain(held_out.iter().map(|image| image.as_os_str())));
    let document: Value = serde_json::from_str(&finished.stdout).unwrap();
    let mut scores: Vec<f32> =
        document["images"].as_array().unwrap().iter().map(|image| image["score"].as_f64().unwrap() as f32).collect();
    assert!(scores.len() > 100, "{}", scores.len());

    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    // Forty images are too few for the second rate: its threshold is an estimate.
    for (rate, calibrated, expected) in [(0.05, 60, 0.04..0.06), (0.01, 40, 0.003..0.025)] {
        let mut rejected = 0.0;
        for _ in 0..1000 {
            scores.shuffle(&mut random);
            let (known, future) = scores.split_at(calibrated);
            let calibration = detector::calibration::calibrate(known, rate).unwrap();
            rejected += future.iter().filter(|score| calibration.is_anomalous(**score)).count() as f64 / future.len() as f64;
        }
        let rejected = rejected / 1000.0;
        println!("{calibrated} images, {rate} asked for: {rejected:.4} rejected on average");
        assert!(expected.contains(&rejected), "{rejected} {rate}");
    }
}
