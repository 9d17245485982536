//! Line configurations: what is wrong is named, with its line.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::{Finished, product, run};

/// A folder with `line.toml`.
fn line(text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("line.toml"), text).unwrap();
    folder
}

fn runtime(command: &str, folder: &Path) -> Finished {
    run("apc-runtime", [command.as_ref(), "--config".as_ref(), folder.join("line.toml").as_os_str()])
}

fn sound() -> String {
    let images = product().data().join("test/good");
    format!("[detector]\nbundle = {:?}\n[source.replay]\nimages = {images:?}\n", product().bundle())
}

#[test]
fn a_wrong_configuration_is_refused_with_its_line() {
    let cases = [
        ("rat = 5.0\n", ["line 5", "rat"]),
        ("rate = \"5\"\n", ["line 5", "rate"]),
        ("rate = -1.0\n", ["line 5", "out of bounds"]),
        ("[frames]\nbind = \"maybe\"\n", ["line 6", "maybe"]),
        ("[detector]\n", ["line 5", "detector"]),
        ("[frames\n", ["line 5", "line.toml"]),
    ];
    for (wrong, words) in cases {
        runtime("run", line(&(sound() + wrong)).path()).refused(&words);
    }
    runtime("run", Path::new("no-such-folder")).refused(&["no-such-folder"]);
}

#[test]
fn missing_files_are_named() {
    let missing = "[detector]\nbundle = \"none.apc\"\n[source.replay]\nimages = [\"a.png\"]\n";
    let folder = line(missing);
    let path = folder.path().join("none.apc");
    runtime("run", folder.path()).refused(&[&*path.to_string_lossy()]);
    let images = line(&sound().replace("test/good", "test/none"));
    runtime("run", images.path()).refused(&["test/none"]);
    let output = line(&(sound() + "[output]\nverdicts = \"none/verdicts.jsonl\"\n"));
    runtime("run", output.path()).refused(&["none/verdicts.jsonl"]);
}

#[test]
fn check_tells_everything_and_fails_when_one_thing_does() {
    let stdout = runtime("check", line(&sound()).path()).expect(0).stdout;
    for words in ["configuration", "bundle", "self-test", "source: 16 images", "latency"] {
        assert!(stdout.contains(&format!("ok      {words}")), "{words}: {stdout}");
    }
    let stdout = runtime("check", line(&sound().replace("disc.apc", "none.apc")).path()).expect(1).stdout;
    assert!(stdout.contains("FAILED  bundle") && stdout.contains("ok      source"), "{stdout}");
    let fast = sound().replace("[source.replay]\n", "[source.replay]\nrate = 10000.0\n");
    let stdout = runtime("check", line(&fast).path()).expect(1).stdout;
    assert!(stdout.contains("FAILED  latency") && stdout.contains("but 10000.0 come"), "{stdout}");
    let stdout = runtime("check", line("[detector]\nbundel = 1\n").path()).expect(1).stdout;
    assert!(stdout.contains("FAILED  configuration") && stdout.contains("line 2"), "{stdout}");
}

#[test]
fn a_camera_that_is_not_there_is_named_with_what_to_do() {
    let camera = "[source.camera]\ndevice = \"/dev/v4l/by-path/none\"\nformat = \"YUYV\"\nwidth = 640\nheight = 480\n";
    let scene = "[source.camera.scene]\nwidth_mm = 64.0\nbelt_speed_mm_s = 500.0\nexposure_ms = 2.0\nparts_per_second = 5.0\n";
    let folder = line(&format!("[detector]\nbundle = {:?}\n{camera}{scene}", product().bundle()));
    runtime("run", folder.path()).refused(&["/dev/v4l/by-path/none", "camera list"]);
    let stdout = runtime("check", folder.path()).expect(1).stdout;
    for words in ["FAILED  camera", "camera list", "FAILED  blur", "at most 0.40 ms", "ok      takt"] {
        assert!(stdout.contains(words), "{words}: {stdout}");
    }
    let config = folder.path().join("line.toml");
    let grab = ["camera".as_ref(), "grab".as_ref(), "--config".as_ref(), config.as_os_str(), "-o".as_ref(), "a.png".as_ref()];
    run("apc-runtime", grab).refused(&["/dev/v4l/by-path/none"]);
    let other = |option: &str| run("apc-runtime", grab.into_iter().chain([option, "side"].map(OsStr::new)));
    other("--view").refused(&["no view side", "main"]);
    other("--recipe").refused(&["no product side"]);
}
