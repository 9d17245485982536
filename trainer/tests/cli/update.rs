//! `apc-trainer update`: runs that learn on.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use detector::run::{Run, Use};
use image::RgbImage;

use crate::place::{Place, bytes, error};

/// Updates `run` to `out` with the images in `add`, everything named relative to the place.
fn update(place: &Place, [run, out]: [&str; 2], more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apc-trainer"));
    command.args(["update", run, "--add", "add", "--out", out, "--device", "cpu", "--json"]).args(more);
    command.current_dir(place.path("")).output().unwrap()
}

#[track_caller]
fn figures(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", error(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn refuses(output: &Output, word: &str) {
    assert_eq!(output.status.code(), Some(2), "{}", error(output));
    assert!(error(output).contains(word), "{}", error(output));
}

fn paint(path: &Path, shade: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(64, 64, image::Rgb([shade; 3])).save(path).unwrap();
}

/// New good images widen the bank, new anomalous ones teach the head, what is known is passed over, and both runs are judged on the
/// same.
#[test]
fn a_run_learns_on_from_new_images() {
    let place = Place::with_defect_head(4, 4);
    assert!(place.train("run", &[]).status.success());
    let add = place.path("add");
    fs::create_dir_all(add.join("good")).unwrap();
    fs::copy(place.first_good(), add.join("good/known.png")).unwrap();
    refuses(&update(&place, ["run", "new"], &[]), "already");

    (0..4).for_each(|i| paint(&add.join(format!("good/{i}.png")), 90 + i));
    paint(&add.join("anomalous/x.png"), 250);
    let compared = figures(&update(&place, ["run", "new"], &[]));
    assert_eq!((&compared["old"]["images"], &compared["new"]["images"]), (&13.into(), &13.into()));
    let (old, new) = (Run::open(&place.path("run")).unwrap(), Run::open(&place.path("new")).unwrap());
    let count = |run: &Run, r#use: Use| run.split().unwrap().images.iter().filter(|image| image.r#use == r#use).count();
    assert_eq!(count(&new, Use::Anomalous), count(&old, Use::Anomalous) + 1);
    let good = |run: &Run| count(run, Use::Bank) + count(run, Use::Calibration);
    assert_eq!(good(&new), good(&old) + 4);
    assert!(new.vectors().unwrap().len() > old.vectors().unwrap().len());
    assert_ne!(bytes(&place.path("new/weights.safetensors")), bytes(&place.path("run/weights.safetensors")));

    a_finished_update_only_compares(&place, &compared);

    // The new run can be learned on from as well, from everywhere: it knows where its images are.
    paint(&add.join("good/another.png"), 97);
    refuses(&update(&place, ["run", "new"], &["--resume"]), "split.json: the images are not those");
    let path = |name: &str| place.path(name).to_str().unwrap().to_owned();
    let output =
        crate::place::trainer(&["update", &path("new"), "--add", &path("add"), "--out", &path("newer"), "--device", "cpu"]);
    assert!(output.status.success(), "{}", error(&output));
    new_defects_need_a_head(&place);
}

/// A comparison that was interrupted can be repeated, and there need be nothing to compare on.
#[track_caller]
fn a_finished_update_only_compares(place: &Place, compared: &serde_json::Value) {
    let description = bytes(&place.path("new/run.toml"));
    let mut again = figures(&update(place, ["run", "new"], &["--resume"]));
    for run in ["old", "new"] {
        again[run]["latency_ms"] = compared[run]["latency_ms"].clone();
    }
    assert_eq!(&again, compared);

    let used = Run::open(&place.path("run")).unwrap().split().unwrap().images;
    let used: Vec<_> = used.iter().map(|image| place.path("data").join(&image.path)).collect();
    fs::create_dir(place.path("away")).unwrap();
    let data = detector::dataset::Dataset::open(&place.path("data")).unwrap();
    let unused: Vec<_> = data.test.iter().map(|sample| &sample.path).filter(|path| !used.contains(path)).collect();
    let away = |index: usize| place.path("away").join(index.to_string());
    unused.iter().enumerate().for_each(|(index, path)| fs::rename(path, away(index)).unwrap());
    let output = update(place, ["run", "new"], &["--resume"]);
    assert_eq!(figures(&output), serde_json::json!({ "old": null, "new": null }));
    assert!(error(&output).contains("nothing to compare on"), "{}", error(&output));
    unused.iter().enumerate().for_each(|(index, path)| fs::rename(away(index), path).unwrap());

    assert!(bytes(&place.path("new/run.toml")) == description && !place.path("new/.lock").exists());
}

/// As if the run had been trained in a mode without a defect head.
#[track_caller]
fn new_defects_need_a_head(place: &Place) {
    fs::create_dir(place.path("headless")).unwrap();
    fs::copy(place.path("run/split.json"), place.path("headless/split.json")).unwrap();
    for (mode, word) in [("patchcore", "leave them out"), ("apc", "train again")] {
        let text = fs::read_to_string(place.path("run/run.toml")).unwrap();
        fs::write(place.path("headless/run.toml"), text.replace("mode = \"apc+\"", &format!("mode = \"{mode}\""))).unwrap();
        refuses(&update(place, ["headless", "refused"], &[]), word);
        assert!(!place.path("refused").exists());
    }
}
