//! Engines: they agree, a list falls back in order, and one that cannot start is an error that says why.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use apc_tests::SyntheticRun;
use detector::bundle::Bundle;
use detector::network::Backbone;
use serde_json::Value;

use crate::support::{Finished, bin, finish, onnxruntime, product};

fn score(engines: &str, library: Option<&Path>) -> Command {
    let mut command = Command::new(bin("apc-runtime"));
    command.args(["score", "--json", "--engine", engines, "--model"]).arg(product().bundle()).env_remove("ORT_DYLIB_PATH");
    if let Some(library) = library {
        command.arg("--onnxruntime").arg(library);
    }
    command.args(images());
    command
}

fn images() -> Vec<PathBuf> {
    let folders = ["test/good", "test/spot"].map(|folder| product().data().join(folder));
    let mut images: Vec<_> =
        folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path()).collect();
    images.sort();
    images
}

fn json(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
}

fn scores(document: &Value) -> Vec<(f64, String)> {
    let images = document["images"].as_array().unwrap().iter();
    images.map(|image| (image["score"].as_f64().unwrap(), image["verdict"].to_string())).collect()
}

#[test]
fn engines_agree() {
    let Some(library) = onnxruntime() else { return };
    let tract = json(&finish(&mut score("tract", None)).expect(0));
    let ort = json(&finish(&mut score("ort-cpu", Some(&library))).expect(0));
    assert_eq!((&tract["engine"], &ort["engine"]), (&"tract".into(), &"ort-cpu".into()));
    let (tract, ort) = (scores(&tract), scores(&ort));
    assert!(tract.len() >= 28);
    for ((a, verdict), (b, other)) in tract.iter().zip(&ort) {
        assert!((a - b).abs() <= 1e-3 * a, "{a} {b}");
        assert_eq!(verdict, other, "{a} {b}");
    }
    assert_ne!(tract, ort, "two engines, not one under two names");
}

/// A bundle with the float and the fused network.
fn variants(folder: &Path) -> PathBuf {
    let bundle = folder.join("variants.apc");
    let arguments = ["bundle".into(), product().run(), "-o".into(), bundle.clone()];
    let mut export = Command::new(bin("apc-export"));
    let stdout = finish(export.args(arguments).args(["--fused", "--no-evaluate"])).expect(0).stdout;
    assert!(stdout.contains("fused "), "{stdout}");
    bundle
}

/// With a defect head and distances that are means over neighbours: the exporter's gates compare the forms image by image, and the camera
/// runs the fused one.
#[test]
fn a_defect_head_judges_alike_in_the_fused_form() {
    let folder = tempfile::tempdir().unwrap();
    let [run, data, bundle] = ["run", "data", "head.apc"].map(|name| folder.path().join(name));
    let plain = SyntheticRun::default();
    SyntheticRun { backbone: Backbone { defect_units: Some(6), ..plain.backbone.clone() }, ..plain }.write(&run, &data);
    let mut export = Command::new(bin("apc-export"));
    finish(export.arg("bundle").arg(run).arg("-o").arg(&bundle).args(["--fused", "--no-evaluate"])).expect(0);
    let manifest = Bundle::read(&bundle).unwrap().manifest;
    assert!(manifest.defects.is_some() && manifest.smoothing.neighbourhood == 3);
    let Some(library) = onnxruntime() else { return };
    let score = |variant: &str| {
        let mut command = Command::new(bin("apc-runtime"));
        command.args(["score", "--json", "--engine", "ort-cpu", "--variant", variant, "--model"]).arg(&bundle);
        scores(&json(&finish(command.arg("--onnxruntime").arg(&library).args(images())).expect(0)))
    };
    let (float, fused) = (score("float"), score("fused"));
    assert!(float.len() >= 28);
    for ((a, _), (b, _)) in float.iter().zip(&fused) {
        assert!((a - b).abs() <= 2e-3 * a, "{a} {b}");
    }
}

#[test]
fn variants_agree_on_all_engines() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = variants(folder.path());
    let library = onnxruntime();
    let run = |engine: &str, variant: &str| {
        let mut command = Command::new(bin("apc-runtime"));
        command.args(["score", "--json", "--engine", engine, "--variant", variant, "--model"]).arg(&bundle);
        if let Some(library) = &library {
            command.arg("--onnxruntime").arg(library);
        }
        finish(command.args(images()))
    };
    let score = |engine: &str, variant: &str| {
        let document = json(&run(engine, variant).expect(0));
        assert_eq!(document["variant"], if variant == "auto" { "float" } else { variant });
        scores(&document)
    };
    let tract = score("tract", "auto");
    run("tract", "fused").refused(&["engine tract", "fused", "ort-cpu"]);
    if library.is_none() {
        return;
    }
    for variant in ["float", "fused"] {
        for ((a, verdict), (b, other)) in score("ort-cpu", variant).iter().zip(&tract) {
            assert!((a - b).abs() <= 1e-3 * b, "{variant}: {a} {b}");
            assert_eq!(verdict, other, "{variant}: {a} {b}");
        }
    }
}

/// This network's noise lies far outside the ranges that good images show: the gate must see it.
#[test]
fn an_int8_network_that_judges_otherwise_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("int8.apc");
    let mut export = Command::new(bin("apc-export"));
    export.arg("bundle").arg(product().run()).arg("-o").arg(&bundle).args(["--int8", "--no-evaluate"]);
    let finished = finish(&mut export).expect(1);
    assert!(finished.stderr.contains("int8 network") && finished.stderr.contains("--int8"), "{}", finished.stderr);
    assert!(!bundle.exists());
}

#[test]
fn bench_compares_and_recommends_what_runs() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = Command::new(bin("apc-runtime"));
    bench.args(["bench", "--compare", "--frames", "3", "--json", "--engine", "cuda,tract", "--onnxruntime", "/nowhere/lib.so"]);
    let document = json(&finish(bench.arg("--model").arg(variants(folder.path()))).expect(0));
    let candidates = document["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 4);
    for candidate in candidates {
        let runs = candidate["engine"] == "tract" && candidate["variant"] == "float";
        assert_eq!(candidate["total_ms"].is_object(), runs, "{candidate}");
        assert_eq!(candidate["problem"].is_string(), !runs, "{candidate}");
    }
    assert_eq!(document["recommended"]["engine"], "tract");
}

#[test]
fn a_model_is_installed_after_its_self_test() {
    let folder = tempfile::tempdir().unwrap();
    let install = |engine: &str| {
        let mut command = Command::new(bin("apc-runtime"));
        command.args(["model", "install", "--json", "--engine", engine, "--state"]).arg(folder.path().join("state"));
        finish(command.arg(product().bundle()).env_remove("ORT_DYLIB_PATH"))
    };
    install("tensorrt").refused(&["engine tensorrt", "ORT_DYLIB_PATH"]);
    assert!(!folder.path().join("state").exists(), "nothing is installed that does not run");
    let document = json(&install("tensorrt,tract").expect(0));
    assert_eq!((&document["engine"], &document["declined"][0]["engine"]), (&"tract".into(), &"tensorrt".into()));
    let installed = Path::new(document["path"].as_str().unwrap());
    assert_eq!(fs::read(installed).unwrap(), fs::read(product().bundle()).unwrap());
    assert!(installed.starts_with(folder.path().join("state/models")));
}

#[test]
fn threads_do_not_change_scores() {
    let library = onnxruntime();
    for engine in if library.is_some() { &["tract", "ort-cpu"][..] } else { &["tract"] } {
        let with = |threads: &str| json(&finish(score(engine, library.as_deref()).args(["--threads", threads])).expect(0));
        let (one, three) = (scores(&with("1")), scores(&with("3")));
        if *engine == "tract" {
            assert_eq!(one, three);
        }
        for ((a, verdict), (b, other)) in one.iter().zip(&three) {
            assert!((a - b).abs() <= 1e-5 * a && verdict == other, "{engine}: {a} {b}");
        }
    }
}

#[test]
fn an_engine_alone_is_used_or_an_error() {
    for engine in ["ort-cpu", "cuda", "tensorrt"] {
        finish(&mut score(engine, None)).refused(&[engine, "onnxruntime", "ORT_DYLIB_PATH"]);
        finish(&mut score(engine, Some(Path::new("/nowhere/lib.so")))).refused(&[engine, "/nowhere/lib.so", "cannot be found"]);
    }
    let Some(library) = onnxruntime() else { return };
    // This library knows the CPU alone: it must not be the CPU under another name.
    finish(&mut score("cuda", Some(&library))).refused(&["engine cuda", "CUDA"]);
    finish(&mut score("tensorrt", Some(&library))).refused(&["engine tensorrt"]);
    // Where what TensorRT builds is kept depends on the GPU, so it is asked for first.
    let state = tempfile::tempdir().unwrap();
    if !Path::new("/dev/nvidiactl").exists() {
        finish(score("tensorrt", Some(&library)).arg("--state").arg(state.path())).refused(&["engine tensorrt", "NVIDIA GPU"]);
    }
}

#[test]
fn the_first_engine_that_starts_is_used_and_the_others_are_told() {
    let finished = finish(&mut score("tensorrt,ort-cpu,tract", Some(Path::new("/nowhere/lib.so")))).expect(0);
    let document = json(&finished);
    assert_eq!(document["engine"], "tract");
    let declined: Vec<_> = document["declined"].as_array().unwrap().iter().map(|one| one["engine"].as_str().unwrap()).collect();
    assert_eq!(declined, ["tensorrt", "ort-cpu"]);
    assert!(document["declined"][1]["reason"].as_str().unwrap().contains("/nowhere/lib.so"), "{document}");
    assert!(finished.stderr.contains("engine ort-cpu is not used"), "{}", finished.stderr);
    let none = finish(&mut score("cuda,ort-cpu", Some(Path::new("/nowhere/lib.so"))));
    none.refused(&["no engine of the list starts", "engine cuda", "engine ort-cpu"]);
    assert_eq!(json(&finish(&mut score("tract,cuda", None)).expect(0)).get("declined"), None);
}

#[test]
fn a_library_that_is_damaged_or_another_one_is_an_error() {
    let Some(library) = onnxruntime() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("libonnxruntime.so");
    let whole = fs::read(&library).unwrap();
    for length in [0, 40, 100, whole.len() / 2, whole.len() - 1_000_000] {
        fs::write(&path, &whole[..length]).unwrap();
        finish(&mut score("ort-cpu", Some(&path))).refused(&["engine ort-cpu", "libonnxruntime.so"]);
    }
    finish(&mut score("ort-cpu", Some(&bin("apc-runtime")))).refused(&["engine ort-cpu", "apc-runtime"]);
}

#[test]
fn check_names_the_engine_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("line.toml");
    let (bundle, images) = (product().bundle(), product().data().join("test/good"));
    let text = format!(
        "[detector]\nbundle = {bundle:?}\nengines = [\"cuda\", \"tract\"]\n[source.replay]\nimages = {images:?}\n[runtime]\n\
         onnxruntime = \"none.so\"\n"
    );
    fs::write(&config, &text).unwrap();
    let check = || finish(Command::new(bin("apc-runtime")).args(["check", "--config"]).arg(&config));
    let stdout = check().expect(0).stdout;
    assert!(stdout.contains("engine cuda is not used") && stdout.contains("on engine tract"), "{stdout}");
    // Paths of the configuration lead from its file.
    assert!(stdout.contains(&folder.path().join("none.so").display().to_string()), "{stdout}");
    fs::write(&config, text.replace(", \"tract\"", "")).unwrap();
    let stdout = check().expect(1).stdout;
    assert!(stdout.contains("FAILED  self-test") && stdout.contains("none.so"), "{stdout}");
}
