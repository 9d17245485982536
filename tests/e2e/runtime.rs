//! `apc-runtime score`, `evaluate` and `bench`.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Finished, bin, finish, product, run};

fn runtime(command: &str) -> Command {
    let mut runtime = Command::new(bin("apc-runtime"));
    runtime.args([command, "--model"]).arg(product().bundle());
    runtime
}

fn json(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
}

fn images(folder: &str) -> Vec<PathBuf> {
    let folder = product().data().join(folder);
    let mut images: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    images.sort();
    images
}

#[test]
fn images_are_judged_and_anomalous_ones_are_no_failure() {
    let spots = &images("test/spot")[..3];
    let finished = finish(runtime("score").args(spots)).expect(0);
    let lines: Vec<_> = finished.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{}", finished.stdout);
    for (line, image) in lines.iter().zip(spots) {
        assert!(line.starts_with("anomalous ") && line.ends_with(&*image.to_string_lossy()), "{line}");
    }
    let document = json(&finish(runtime("score").arg("--json").args(&images("test/good")[..4])).expect(0));
    let good = document["images"].as_array().unwrap().iter().filter(|image| image["verdict"] == "good").count();
    assert!(good >= 3, "{document}");
    assert!(document["images"][0]["score"].as_f64().unwrap() > 0.0);
    assert_eq!(document["engine"], "tract");
}

#[test]
fn heat_maps_have_unique_names_and_leave_the_images_alone() {
    let folder = tempfile::tempdir().unwrap();
    let images = ["a/0.png", "b/0.png"].map(|name| folder.path().join(name));
    for (image, from) in images.iter().zip(["test/good/000.png", "test/spot/000.png"]) {
        fs::create_dir_all(image.parent().unwrap()).unwrap();
        fs::copy(product().data().join(from), image).unwrap();
    }
    // The images' own folder, to see that nothing is overwritten.
    let before = fs::read(&images[0]).unwrap();
    let maps = folder.path().join("a");
    let document = json(&finish(runtime("score").arg("--json").arg("--heatmap").arg(&maps).args(&images)).expect(0));
    let names: HashSet<_> = document["images"].as_array().unwrap().iter().map(|image| image["heatmap"].to_string()).collect();
    assert_eq!(names.len(), 2);
    for image in document["images"].as_array().unwrap() {
        let path = Path::new(image["heatmap"].as_str().unwrap());
        let map = detector::picture::Picture::read(path).unwrap();
        assert_eq!(map.pixels.width(), map.pixels.height());
    }
    assert_eq!(fs::read(&images[0]).unwrap(), before);
}

#[test]
fn an_unreadable_image_is_named_and_the_others_are_judged() {
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.png");
    fs::write(&cut, &fs::read(&images("test/good")[0]).unwrap()[..300]).unwrap();
    let grey = folder.path().join("grey.png");
    image::GrayImage::new(96, 96).save(&grey).unwrap();
    let missing = folder.path().join("missing.png");
    let all = [&cut, &grey, &missing, folder.path(), &images("test/good")[0]].map(Path::to_path_buf);
    let finished = finish(runtime("score").args(&all)).refused(&["cut.png", "grey.png", "missing.png", "4 of 5"]);
    assert_eq!(finished.stdout.lines().count(), 1);
    let document = json(&finish(runtime("score").arg("--json").args(&all)).expect(2));
    assert!(document["images"][1]["error"].as_str().unwrap().contains("grey"));
    assert_eq!(document["images"][1]["verdict"], Value::Null);
}

#[test]
fn bad_bundles_and_options_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let damaged = folder.path().join("damaged.apc");
    let mut bytes = fs::read(product().bundle()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    let score = |model: &Path| run("apc-runtime", ["score".as_ref(), "--model".as_ref(), model, Path::new("x.png")]);
    score(&damaged).refused(&["damaged.apc"]);
    score(&folder.path().join("none.apc")).refused(&["none.apc"]);
    finish(runtime("score").args(["--engine", "abacus", "x.png"])).refused(&["abacus", "tract"]);
    finish(runtime("score").args(["--threads", "0", "x.png"])).refused(&["--threads"]);
}

#[test]
fn evaluation_prints_exactly_the_contracts_keys() {
    let data = product().data();
    let folder = tempfile::tempdir().unwrap();
    let scores = folder.path().join("scores.json");
    let finished = finish(runtime("evaluate").arg("--json").arg("--scores").arg(&scores).arg("--data").arg(&data)).expect(0);
    let document = json(&finished);
    let scores: serde_json::Value = serde_json::from_slice(&fs::read(scores).unwrap()).unwrap();
    let first = &scores[0];
    assert_eq!(scores.as_array().map(Vec::len), Some(28));
    assert!(first["path"].as_str().unwrap().starts_with("test/") && first["score"].is_number(), "{first}");
    let pixels = |class: &str| first[class].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum::<u64>();
    assert_eq!(pixels("good_pixels") + pixels("anomalous_pixels"), 64 * 64);
    let keys: HashSet<_> = document.as_object().unwrap().keys().map(String::as_str).collect();
    let expected =
        "images good anomalous image_auroc image_f1 pixel_auroc pixel_f1 aupro false_reject_rate miss_rate engine latency_ms";
    assert_eq!(keys, expected.split(' ').collect());
    // There are 16 of each kind; the run used four anomalous ones.
    assert_eq!((&document["images"], &document["anomalous"]), (&28.into(), &12.into()));
    for (figure, least) in [("image_auroc", 0.9), ("pixel_auroc", 0.8), ("aupro", 0.5)] {
        assert!(document[figure].as_f64().unwrap() >= least, "{figure}: {document}");
    }
    let threads = finish(runtime("evaluate").args(["--threads", "1", "--json", "--data"]).arg(&data)).expect(0);
    assert_eq!(json(&threads)["pixel_auroc"], document["pixel_auroc"], "independent of the number of threads");
    let table = finish(runtime("evaluate").arg("--data").arg(&data)).expect(0).stdout;
    assert!(table.contains("image AUROC") && table.contains("28 (16 good, 12 anomalous)"), "{table}");
}

#[test]
fn evaluation_leaves_out_what_training_saw_and_writes_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    for (name, from) in [("good", "train/good"), ("anomalous", "test/spot")] {
        fs::create_dir(place(name)).unwrap();
        for image in images(from) {
            fs::copy(&image, place(name).join(image.file_name().unwrap())).unwrap();
        }
    }
    let evaluate = || {
        let report = place("report.html");
        finish(runtime("evaluate").args(["--json", "--report"]).arg(report).arg("--data").arg(folder.path()))
    };
    let document = json(&evaluate().expect(0));
    assert_eq!((&document["good"], &document["anomalous"]), (&0.into(), &12.into()), "all good images were seen: {document}");
    assert_eq!((&document["image_auroc"], &document["pixel_auroc"]), (&Value::Null, &Value::Null));
    assert!(fs::read_to_string(place("report.html")).unwrap().contains("</html>"));
    fs::remove_dir_all(place("anomalous")).unwrap();
    evaluate().refused(&["no images to evaluate"]);
    fs::write(place("good/new.png"), b"").unwrap();
    evaluate().refused(&["new.png", "empty"]);
}

#[test]
fn bench_measures_every_stage() {
    let pictures = product().data().join("test/good");
    for images in [vec![], vec!["--images".as_ref(), pictures.as_os_str()]] {
        let document = json(&finish(runtime("bench").args(["--frames", "5", "--json"]).args(images)).expect(0));
        for stage in ["preprocess", "backbone", "after_backbone", "total"] {
            let stage = &document["stages_ms"][stage];
            assert!(stage["p50"].as_f64().unwrap() > 0.0 && stage["p99"].as_f64() >= stage["p50"].as_f64(), "{document}");
        }
        assert!(document["start_to_first_verdict_ms"].as_f64().unwrap() > 0.0);
        assert!(document["resident_mib"].as_f64().unwrap() > 1.0);
    }
    let table = finish(runtime("bench").args(["--frames", "2"])).expect(0).stdout;
    assert!(table.contains("after the backbone") && table.contains("p95"), "{table}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut child = runtime("score").args(images("test/good")).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}
