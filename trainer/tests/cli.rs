//! The real `apc-trainer` on small data sets: whole trainings, resuming, and bad input.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use detector::bank::Quantisation;
use detector::descriptor::FeatureMap;
use detector::engine::Engine;
use detector::run::{Run, Use};
use detector::scorer::Scorer;
use image::{GrayImage, RgbImage};

const SMALL: &str = "mode = \"apc\"\ndevice = \"cpu\"\n[data]\nanomalous_samples = 3\n[input]\nsize = [64, 64]\n\
    [backbone]\nname = \"resnet10\"\n[bank]\nshare = 0.05\n[examples]\nbatch = 4\n[finetune]\ncheckpoint = 2\n";

struct Place(tempfile::TempDir);

impl Place {
    /// A folder with a small rendered product and a recipe for it.
    fn new(steps: usize) -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        let size = ["--size", "64", "--train", "14", "--good", "4", "--anomalous", "12"];
        let data = place.path("data");
        let output = trainer(&[&["synth", "--out", data.to_str().unwrap()], &size[..]].concat());
        assert!(output.status.success(), "{}", error(&output));
        place.recipe(&format!("{SMALL}steps = {steps}\n"));
        place
    }

    /// The same, letterboxed, for mode `apc+`: without weights the backbone learns from scratch, then the heads.
    fn with_defect_head(steps: usize) -> Place {
        let place = Place::new(steps);
        let recipe = SMALL.replace("\"apc\"", "\"apc+\"").replace("batch = 4", "batch = 4\nsimulated = 0.3");
        let recipe = recipe.replace("[64, 64]", "[64, 96]\nresize = \"letterbox\"");
        let defects = format!("[defects]\nunits = 8\nexamples = 10\nsteps = {steps}\ncheckpoint = 2\n");
        place.recipe(&format!("{recipe}steps = {steps}\n{defects}[smoothing]\nneighbourhood = 3\n"));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn recipe(&self, text: &str) {
        fs::write(self.path("recipe.toml"), text).unwrap();
    }

    fn command(&self, out: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_apc-trainer"));
        command.arg("train").arg("--config").arg(self.path("recipe.toml")).arg("--data").arg(self.path("data"));
        command.arg("--out").arg(self.path(out)).args(more).stdin(Stdio::null());
        command
    }

    fn train(&self, out: &str, more: &[&str]) -> Output {
        self.command(out, more).output().unwrap()
    }

    /// Trains, expecting exit code 2 and every word in the message; no run may be left that claims to be finished.
    #[track_caller]
    fn refuses(&self, words: &[&str]) {
        let output = self.train("refused", &[]);
        let message = error(&output);
        assert_eq!(output.status.code(), Some(2), "{message}");
        words.iter().for_each(|word| assert!(message.contains(word), "{word:?} is not in: {message}"));
        assert!(!message.contains("panicked"), "{message}");
        assert!(!self.path("refused/run.toml").exists());
    }

    fn first_good(&self) -> PathBuf {
        let mut images: Vec<_> = fs::read_dir(self.path("data/train/good")).unwrap().map(|e| e.unwrap().path()).collect();
        images.sort();
        images[0].clone()
    }
}

fn trainer(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_apc-trainer")).args(args).output().unwrap()
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn bytes(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

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
    resumes(&Place::new(6), "finetune.checkpoint.safetensors");
    resumes(&Place::with_defect_head(6), "defects.checkpoint.safetensors");
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
    let status = child.wait().unwrap();
    if !status.success() {
        assert_eq!(status.code(), Some(2), "a stop is no crash");
        assert!(!place.path("parts/run.toml").exists());
        let output = place.train("parts", &["--resume"]);
        assert!(output.status.success(), "{}", error(&output));
    }
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

/// From feature maps to score and map, the detector's code and libtorch's, written apart, agree: smoothed distances and logits within the
/// letterbox, and noise that fills all of the input.
#[track_caller]
fn judges_as_libtorch_does(run: &Run) {
    for (reference, expected) in run.info.references.iter().zip(run.expected().unwrap()) {
        let picture = run.picture(&reference.picture).unwrap();
        let mut scorer = run.info.scorer(Replayed(expected.results), run.bank(Quantisation::F32).unwrap());
        let scored = scorer.score_prepared(&picture).unwrap();
        let close = |found: f32, expected: f32| (found - expected).abs() < 1e-3 * expected.abs().max(0.1);
        assert!(close(scored.score, reference.score), "{} {}", scored.score, reference.score);
        assert!(scored.map.values.iter().zip(&expected.map).all(|(found, expected)| close(*found, *expected)));
    }
}

#[test]
fn a_defect_head_becomes_part_of_the_run() {
    let place = Place::with_defect_head(4);
    let output = place.train("run", &["--json"]);
    assert!(output.status.success(), "{}", error(&output));
    let run = Run::open(&place.path("run")).unwrap();
    assert_eq!((run.info.mode.as_str(), run.info.backbone.defect_units), ("apc+", Some(5 * 8)));
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

/// New good images widen the bank, new anomalous ones teach the head, what is known is passed over, and both runs are judged on the same.
#[test]
fn a_run_learns_on_from_new_images() {
    let place = Place::with_defect_head(4);
    assert!(place.train("run", &[]).status.success());
    let (run, out, add) = (place.path("run"), place.path("new"), place.path("add"));
    let update = |out: &Path| {
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        trainer(&["update", &path(&run), "--add", &path(&add), "--out", &path(out), "--device", "cpu", "--json"])
    };
    fs::create_dir_all(add.join("good")).unwrap();
    let known = place.first_good();
    fs::copy(&known, add.join("good/known.png")).unwrap();
    let refused = update(&out);
    assert_eq!(refused.status.code(), Some(2));
    assert!(error(&refused).contains("already"), "{}", error(&refused));

    let flat = |path: &str, shade: u8| {
        let path = add.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_pixel(64, 64, image::Rgb([shade; 3])).save(path).unwrap();
    };
    (0..4).for_each(|i| flat(&format!("good/{i}.png"), 90 + i));
    flat("anomalous/x.png", 250);
    let output = update(&out);
    assert!(output.status.success(), "{}", error(&output));
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&figures["old"]["images"], &figures["new"]["images"]), (&13.into(), &13.into()));
    let (old, new) = (Run::open(&run).unwrap(), Run::open(&out).unwrap());
    let count = |run: &Run, r#use: Use| run.split().unwrap().images.iter().filter(|image| image.r#use == r#use).count();
    assert_eq!(count(&new, Use::Anomalous), count(&old, Use::Anomalous) + 1);
    let good = |run: &Run| count(run, Use::Bank) + count(run, Use::Calibration);
    assert_eq!(good(&new), good(&old) + 4);
    assert!(new.vectors().unwrap().len() > old.vectors().unwrap().len());
    assert_ne!(bytes(&out.join("weights.safetensors")), bytes(&run.join("weights.safetensors")));

    // The new run can be learned on from as well: it knows where its images are.
    flat("good/another.png", 97);
    let (run, out) = (out, place.path("newer"));
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let output = trainer(&["update", &path(&run), "--add", &path(&add), "--out", &path(&out), "--device", "cpu"]);
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
    place.refuses(&["PatchCore", "--weights"]);
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
    for place in [Place::new(2), Place::with_defect_head(2)] {
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
