//! The real `apc-trainer` on small data sets: whole trainings, resuming, and bad input.
#![allow(clippy::disallowed_methods, reason = "files of tests may be half written")]
#![allow(missing_docs, clippy::unwrap_used)]

mod folds;
mod place;
mod update;
mod waiting;

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use detector::bank::Quantisation;
use detector::descriptor::FeatureMap;
use detector::engine::Engine;
use detector::run::{Run, Use};
use detector::scorer::Scorer;
use image::{GrayImage, RgbImage};

use self::place::{Place, SMALL, bytes, error, trainer};

#[test]
fn a_training_leaves_a_complete_run() {
    let place = Place::new(4);
    let output = place.train("run", &["--json"]);
    assert!(output.status.success(), "{}", error(&output));
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed["mode"], "apc");
    let run = Run::open(&place.path("run")).unwrap();
    assert!(run.info.references.len() >= detector::run::FEWEST_REFERENCES);
    assert_eq!(run.expected().unwrap().len(), run.info.references.len());
    run.weights().unwrap();
    let split = run.split().unwrap();
    assert_eq!(split.images.iter().filter(|image| image.r#use == Use::Anomalous).count(), 3);
    for picture in &run.info.calibration {
        run.picture(picture).unwrap();
    }
    let left: Vec<_> = fs::read_dir(place.path("run")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(
        !left.iter().any(|name| name.to_string_lossy().contains("patches") || name.to_string_lossy().contains("lock")),
        "{left:?}"
    );

    let output = trainer(&["evaluate", place.path("run").to_str().unwrap(), "--json"]);
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(figures["images"], 4 + 9, "anomalous samples are out of the test set");

    let again = place.train("run", &[]);
    assert_eq!(again.status.code(), Some(2));
    assert!(error(&again).contains("already holds a run"), "{}", error(&again));
}

#[test]
fn a_stopped_training_resumes_to_the_same_weights() {
    // So many steps that the stop comes well before the last: those of a defect head are quick.
    resumes(&Place::new(8), "finetune.checkpoint.safetensors");
    resumes(&Place::with_defect_head(2, 40), "defects.checkpoint.safetensors");
}

#[track_caller]
fn resumes(place: &Place, checkpoint: &str) {
    assert!(place.train("whole", &[]).status.success());
    // SIGINT as soon as the first checkpoint is there; SIGKILL is the same to the files, they are written in one step.
    let mut child = place.command("parts", &[]).stderr(Stdio::null()).spawn().unwrap();
    let checkpoint = place.path("parts").join(checkpoint);
    while !checkpoint.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert_eq!(child.wait().unwrap().code(), Some(2), "a stop is no crash, and there was something left to stop");
    assert!(!place.path("parts/run.toml").exists());

    // What was learned from must not become something else: other images need another run.
    let image = place.first_good();
    let original = bytes(&image);
    RgbImage::from_pixel(64, 64, image::Rgb([9, 8, 7])).save(&image).unwrap();
    let refused = place.train("parts", &["--resume"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(error(&refused).contains("split.json: the images are not those"), "{}", error(&refused));
    fs::write(&image, original).unwrap();

    let output = place.train("parts", &["--resume"]);
    assert!(output.status.success() && error(&output).contains("goes on after step"), "{}", error(&output));
    assert_eq!(bytes(&place.path("parts/weights.safetensors")), bytes(&place.path("whole/weights.safetensors")));
    assert_eq!(bytes(&place.path("parts/bank.safetensors")), bytes(&place.path("whole/bank.safetensors")));
}

/// libtorch's results, as the run keeps them.
struct Replayed(Vec<FeatureMap>);

impl Engine for Replayed {
    fn name(&self) -> &'static str {
        "replayed"
    }

    fn run(&mut self, _: &[f32]) -> detector::Result<Vec<FeatureMap>> {
        Ok(self.0.clone())
    }
}

/// From feature maps to score and map, the detector's code and libtorch's, written apart, agree: smoothed distances and logits within
/// the letterbox, and noise that fills all of the input.
#[track_caller]
fn judges_as_libtorch_does(run: &Run) {
    for (reference, expected) in run.info.references.iter().zip(run.expected().unwrap()) {
        let picture = run.picture(&reference.picture).unwrap();
        let bank = run.bank(Quantisation::F32).unwrap();
        let mut scorer = run.scorer(Replayed(expected.results), bank, run.score_rule().unwrap());
        let scored = scorer.score_prepared(&picture).unwrap();
        let close = |found: f32, expected: f32| (found - expected).abs() < 1e-3 * expected.abs().max(0.1);
        assert!(close(scored.score, reference.score), "{} {}", scored.score, reference.score);
        assert!(scored.map().values.iter().zip(&expected.map).all(|(found, expected)| close(*found, *expected)));
    }
}

#[test]
fn a_defect_head_becomes_part_of_the_run() {
    let place = Place::with_defect_head(4, 4);
    let output = place.train("run", &["--json"]);
    assert!(output.status.success(), "{}", error(&output));
    let run = Run::open(&place.path("run")).unwrap();
    assert_eq!((run.info.mode.as_str(), run.info.backbone.defect_units), ("apc+", Some(10 * 8)));
    assert!(run.info.defects.unwrap().weight > 0.0 && run.info.smoothing.neighbourhood == 3);
    assert!(run.info.references.iter().any(|reference| reference.picture.content.width < 96), "letterboxed");
    judges_as_libtorch_does(&run);
    run.weights().unwrap();
    let grid = &run.expected().unwrap()[0].results;
    assert_eq!((grid.len(), grid[2].channels, grid[2].height), (3, 1, grid[0].height));
    let curves: serde_json::Value = serde_json::from_slice(&bytes(&place.path("run/training.json"))).unwrap();
    assert!(curves["finetune"].is_array() && curves["defects"].is_array(), "{curves}");
    let output = trainer(&["evaluate", place.path("run").to_str().unwrap(), "--json"]);
    assert!(output.status.success(), "{}", error(&output));
}

#[test]
fn resuming_is_guarded() {
    let place = Place::new(2);
    let output = place.train("none", &["--resume"]);
    assert!(error(&output).contains("holds no run to resume"), "{}", error(&output));
    // A run that was begun and not finished.
    fs::create_dir(place.path("begun")).unwrap();
    fs::write(place.path("begun/recipe.toml"), SMALL).unwrap();
    let output = place.train("begun", &["--resume", "--seed", "5"]);
    assert!(error(&output).contains("another recipe"), "{}", error(&output));
    // A folder that somebody uses for something else.
    fs::create_dir(place.path("other")).unwrap();
    fs::write(place.path("other/precious.txt"), "x").unwrap();
    assert!(error(&place.train("other", &[])).contains("not empty"));
}

#[test]
fn two_trainings_do_not_share_an_output() {
    let place = Place::new(2);
    fs::create_dir(place.path("run")).unwrap();
    let lock = fs::File::create(place.path("run/.lock")).unwrap();
    lock.try_lock().unwrap();
    fs::write(place.path("run/recipe.toml"), "").unwrap();
    let output = place.train("run", &["--resume"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(error(&output).contains("another training writes"), "{}", error(&output));
}

#[test]
fn bad_folders_are_named() {
    let place = Place::new(2);
    let data = place.path("data");
    fs::rename(&data, place.path("away")).unwrap();
    place.refuses(&["data", "is no folder"]);
    fs::create_dir(&data).unwrap();
    place.refuses(&["train/good"]);
    fs::create_dir_all(data.join("train/good")).unwrap();
    place.refuses(&["no good images"]);
    for i in 0..5 {
        GrayImage::from_pixel(64, 64, image::Luma([i])).save(data.join(format!("train/good/{i}.png"))).unwrap();
    }
    place.refuses(&["5 good images", "at least"]);
}

#[test]
fn bad_images_are_named() {
    let place = Place::new(2);
    let image = place.first_good();
    let good = bytes(&image);
    let name = image.file_name().unwrap().to_str().unwrap();
    fs::write(&image, b"").unwrap();
    place.refuses(&[name, "is empty"]);
    fs::remove_dir_all(place.path("refused")).ok();
    fs::write(&image, &good[..good.len() / 2]).unwrap();
    place.refuses(&[name, "sound"]);
    fs::remove_dir_all(place.path("refused")).ok();
    fs::write(&image, b"not an image at all").unwrap();
    place.refuses(&[name]);
    fs::remove_dir_all(place.path("refused")).ok();
    fs::remove_file(&image).unwrap();
    fs::create_dir(&image).unwrap();
    place.refuses(&[name, "is a folder"]);
    fs::remove_dir(&image).unwrap();
    GrayImage::new(20_000, 1).save(&image).unwrap();
    place.refuses(&[name, "20000x1", "16384"]);
    fs::remove_dir_all(place.path("refused")).ok();
    GrayImage::new(64, 64).save(&image).unwrap();
    place.refuses(&["colour", "grey", "expected"]);
}

#[test]
fn masks_of_another_size_are_named() {
    let place = Place::new(2);
    let recipe = fs::read_to_string(place.path("recipe.toml")).unwrap();
    place.recipe(&recipe.replace("anomalous_samples = 3", "anomalous_samples = 12"));
    let defect = fs::read_dir(place.path("data/ground_truth")).unwrap().next().unwrap().unwrap().path();
    let mask = fs::read_dir(defect).unwrap().next().unwrap().unwrap().path();
    GrayImage::new(32, 64).save(&mask).unwrap();
    place.refuses(&[mask.file_name().unwrap().to_str().unwrap(), "32x64", "64x64"]);
}

#[test]
fn bad_weights_and_recipes_are_named() {
    let place = Place::new(2);
    let recipe = fs::read_to_string(place.path("recipe.toml")).unwrap();
    let weights = place.path("w.safetensors");
    let with_weights = recipe.replace("name = \"resnet10\"", "name = \"resnet10\"\nweights = \"w.safetensors\"");
    place.recipe(&with_weights);
    place.refuses(&["w.safetensors", "cannot open"]);
    fs::write(&weights, [0xff; 100]).unwrap();
    place.refuses(&["w.safetensors", "safetensors file"]);
    let mut tensors = detector::tensors::Tensors::default();
    tensors.insert("conv1.weight", [1], vec![0.0]);
    tensors.write(&weights).unwrap();
    place.refuses(&["w.safetensors", "conv1.weight", "shape"]);
    place.recipe(&recipe.replace("mode = \"apc\"", "mode = \"patchcore\""));
    place.refuses(&["patchcore", "--weights"]);
    place.recipe(&format!("{recipe}stepps = 3\n"));
    place.refuses(&["recipe.toml", "stepps", "line"]);
    place.recipe(&recipe.replace("share = 0.05", "vectors = 1000000"));
    let output = place.train("few", &[]);
    assert!(error(&output).contains("1000000 patches"), "{}", error(&output));
    place.recipe(&recipe.replace("\"cpu\"", "\"cuda:7\""));
    place.refuses(&["cuda:7"]);
}

#[test]
fn flat_folders_and_images_without_masks_work() {
    for place in [Place::new(2), Place::with_defect_head(2, 2)] {
        flat_without_masks(&place);
    }
}

fn flat_without_masks(place: &Place) {
    let data = place.path("data");
    fs::remove_dir_all(&data).unwrap();
    for (folder, count) in [("good", 20), ("anomalous", 5)] {
        fs::create_dir_all(data.join(folder)).unwrap();
        for i in 0..count {
            let shade = if folder == "good" { 90 + i } else { 200 + i };
            RgbImage::from_pixel(80, 60, image::Rgb([shade; 3])).save(data.join(folder).join(format!("{i}.jpg"))).unwrap();
        }
    }
    let output = place.train("run", &[]);
    assert!(output.status.success(), "{}", error(&output));
    let figures = trainer(&["evaluate", place.path("run").to_str().unwrap(), "--json"]);
    let figures: serde_json::Value = serde_json::from_slice(&figures.stdout).unwrap();
    assert_eq!((&figures["good"], &figures["anomalous"]), (&4.into(), &2.into()));
    assert!(figures["pixel_auroc"].is_null());
}
