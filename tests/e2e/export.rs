//! `apc-export` from a run to a bundle, and everything that must be refused.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use apc_tests::SyntheticRun;
use detector::bank::{MemoryBank, Quantisation};
use detector::bundle::{Bundle, MANIFEST};
use detector::files;
use detector::tensors::{Tensors, Values};
use tempfile::TempDir;

use crate::support::{Finished, bin, finish, product, run};

const BANK: &str = "memory_bank.safetensors";

/// A run of one test's own, to be damaged.
struct Damaged {
    folder: TempDir,
}

impl Damaged {
    fn new() -> Damaged {
        let damaged = Damaged { folder: tempfile::tempdir().unwrap() };
        SyntheticRun::default().write(&damaged.path("run"), &damaged.path("data"));
        damaged
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn export(&self) -> Finished {
        run("apc-export", ["bundle".into(), self.path("run"), "-o".into(), self.path("out.apc")])
    }

    /// Neither a bundle nor a temporary file.
    fn is_clean(&self) -> bool {
        fs::read_dir(self.folder.path())
            .unwrap()
            .all(|entry| ["run", "data"].map(Into::into).contains(&entry.unwrap().file_name()))
    }

    fn change_tensors(&self, file: &str, change: impl FnOnce(&mut Tensors)) {
        let path = self.path("run").join(file);
        let mut tensors = Tensors::read(&path).unwrap();
        change(&mut tensors);
        tensors.write(&path).unwrap();
    }
}

#[test]
fn a_bundle_is_made_inspected_and_verified() {
    let bundle = product().bundle();
    let arguments = |command: &str| [command.into(), bundle.clone()];
    let text = run("apc-export", arguments("inspect")).expect(0).stdout;
    for words in [
        "product      disc",
        "patchcore",
        "2026-01-02 03:04:05 UTC",
        "colour, whole picture, stretched to 64x64 px",
        "tiny, outputs layer2, layer3",
        "1536 vectors of 24 values, int8",
        "about 5 % of good parts like the 20",
        "highest ",
        "reference/003.png",
        "image_auroc",
        "backbone.onnx",
        &files::sha256(&fs::read(&bundle).unwrap()),
    ] {
        assert!(text.contains(words), "no {words:?} in:\n{text}");
    }
    let text = run("apc-export", arguments("verify")).expect(0).stdout;
    assert!(text.contains("sound") && text.contains("4 references"), "{text}");

    let mut json = arguments("inspect").to_vec();
    json.push("--json".into());
    let json: serde_json::Value = serde_json::from_str(&run("apc-export", json).expect(0).stdout).unwrap();
    assert_eq!(json["manifest"]["bank"]["vectors"], 1536);
    assert!(json["report"]["evaluation"]["image_auroc"].as_f64().unwrap() > 0.99);
    assert_eq!(json["report"]["parity"]["kinds"].as_array().unwrap().len(), 3);
}

#[test]
fn exporting_says_how_near_it_came() {
    let damaged = Damaged::new();
    fs::remove_dir_all(damaged.path("data")).unwrap();
    fs::write(damaged.path("out.apc"), "old").unwrap();
    let finished = damaged.export().expect(0);
    for words in ["8 good: feature maps", "4 anomalous", "4 noise", "int8 bank", "threshold"] {
        assert!(finished.stdout.contains(words), "no {words:?} in:\n{}", finished.stdout);
    }
    assert!(finished.stderr.contains("images are not there"), "{}", finished.stderr);
    assert!(Bundle::read(&damaged.path("out.apc")).is_ok(), "an existing file is replaced");

    let arguments = ["bundle".into(), damaged.path("run"), "-o".into(), damaged.path("f32.apc")];
    let options = ["--bank", "f32", "--no-evaluate", "--json"].map(PathBuf::from);
    let finished = run("apc-export", arguments.into_iter().chain(options)).expect(0);
    let json: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
    assert!(json["report"]["parity"]["bank"].is_null() && json["report"]["evaluation"].is_null(), "{json}");
    assert_eq!(json["id"], Bundle::read(&damaged.path("f32.apc")).unwrap().id);
}

#[test]
fn a_network_that_judges_differently_is_not_exported() {
    let damaged = Damaged::new();
    damaged.change_tensors("weights.safetensors", |weights| {
        let Values::F32(values) = &mut weights.tensors.get_mut("conv1.weight").unwrap().values else { unreachable!() };
        values.iter_mut().for_each(|value| *value *= 1.1);
    });
    let finished = damaged.export().expect(1);
    for words in ["parity gate", "reference/000.png", "layer2", "libtorch"] {
        assert!(finished.stderr.contains(words), "no {words:?} in:\n{}", finished.stderr);
    }
    assert!(damaged.is_clean());
}

#[test]
fn missing_files_are_named() {
    for file in [
        "run.toml",
        "weights.safetensors",
        "bank.safetensors",
        "split.json",
        "reference.safetensors",
        "reference/005.png",
        "calibration/003.png",
    ] {
        let damaged = Damaged::new();
        fs::remove_file(damaged.path("run").join(file)).unwrap();
        damaged.export().refused(&[file]);
        assert!(damaged.is_clean(), "{file}");
    }
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let damaged = Damaged::new();
    damaged.change_tensors("weights.safetensors", |weights| {
        let tensor = weights.tensors.remove("layer2.0.conv1.weight").unwrap();
        weights.tensors.insert("layer2.0.conv9.weight".into(), tensor);
    });
    damaged.export().refused(&["weights.safetensors", "layer2.0.conv1.weight", "missing"]);

    let damaged = Damaged::new();
    damaged.change_tensors("weights.safetensors", |weights| {
        weights.tensors.get_mut("layer1.0.bn1.bias").unwrap().shape = vec![2, 2];
    });
    damaged.export().refused(&["weights.safetensors", "layer1.0.bn1.bias", "[2, 2]", "[4]"]);

    let damaged = Damaged::new();
    damaged.change_tensors("bank.safetensors", |bank| {
        let Values::F32(values) = &mut bank.tensors.get_mut("vectors").unwrap().values else { unreachable!() };
        values[77] = f32::NAN;
    });
    damaged.export().refused(&["bank.safetensors", "finite"]);
    assert!(damaged.is_clean());
}

#[test]
fn places_that_take_no_file_are_refused_first() {
    let product = product();
    let folder = tempfile::tempdir().unwrap();
    let export = |output: PathBuf| run("apc-export", ["bundle".into(), product.run(), "-o".into(), output]);
    export(folder.path().into()).refused(&["is a folder"]);
    export(folder.path().join("none/x.apc")).refused(&["none", "create it first"]);
    let no_run = [Path::new("bundle"), folder.path(), Path::new("-o"), &folder.path().join("x.apc")];
    run("apc-export", no_run).refused(&["run.toml"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// The file-size limit stands in for a full disk: both make `write` fail halfway.
#[test]
fn a_disk_that_fills_leaves_nothing_behind() {
    let product = product();
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("x.apc");
    fs::write(&output, "old").unwrap();
    let script = r#"trap '' XFSZ; ulimit -f 8; exec "$0" bundle "$1" -o "$2" --no-evaluate"#;
    let finished = finish(Command::new("sh").args(["-c", script]).arg(bin("apc-export")).arg(product.run()).arg(&output));
    finished.refused(&["x.apc", "cannot write"]);
    assert_eq!(fs::read(&output).unwrap(), b"old");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
}

/// Every byte of headers, padding and manifest, and every 89th of the contents, in memory; a few through the binaries.
#[test]
fn no_flipped_byte_goes_unnoticed() {
    let sound = fs::read(product().bundle()).unwrap();
    let path = Path::new("flipped.apc");
    let mut contents = vec![false; sound.len()];
    for entry in tar::Archive::new(sound.as_slice()).entries().unwrap() {
        let entry = entry.unwrap();
        if entry.path_bytes() != MANIFEST.as_bytes() {
            let start = entry.raw_file_position() as usize;
            contents[start..start + entry.size() as usize].fill(true);
        }
    }
    // A digit that becomes another digit, a letter another case, and noise.
    for mask in [0x01, 0x20, 0xff] {
        let mut bytes = sound.clone();
        for at in (0..sound.len()).filter(|at| !contents[*at] || at % 89 == 0) {
            bytes[at] ^= mask;
            assert!(Bundle::parse(&bytes, path).is_err(), "byte {at} ^ {mask:#x}");
            bytes[at] ^= mask;
        }
        assert!(Bundle::parse(&bytes, path).is_ok());
    }
    for at in [0, 157, 600, sound.len() / 2, sound.len() - 1] {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        refuse_bundle(&bytes, &[]);
    }
}

#[test]
fn truncated_bundles_are_refused() {
    let sound = fs::read(product().bundle()).unwrap();
    for length in [0, 1, 511, 512, 5000, sound.len() / 2, sound.len() - 1024, sound.len() - 1] {
        refuse_bundle(&sound[..length], &[]);
    }
    let mut longer = sound.clone();
    longer.extend([0; 512]);
    refuse_bundle(&longer, &["behind its end"]);
}

#[test]
fn hostile_bundles_are_refused() {
    let entries = entries();
    // tar's own writer refuses such a path, so it is put into the header by hand.
    let hostile = |change: &dyn Fn(&mut tar::Header, &str)| {
        let mut bytes = Vec::new();
        for (name, content) in &entries {
            let mut header = header(name, content.len());
            change(&mut header, name);
            header.set_cksum();
            bytes.extend(header.as_bytes());
            bytes.extend(content);
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
        bytes.extend([0; 1024]);
        bytes
    };
    let sound = fs::read(product().bundle()).unwrap();
    assert!(hostile(&|_, _| {}) == sound, "unchanged, it is the sound one");
    let rename = |to: &'static [u8]| {
        move |header: &mut tar::Header, name: &str| {
            if name == BANK {
                header.as_mut_bytes()[..100].fill(0);
                header.as_mut_bytes()[..to.len()].copy_from_slice(to);
            }
        }
    };
    refuse_bundle(&hostile(&rename(b"../../etc/cron.d/x")), &["../../etc/cron.d/x", "not allowed"]);
    refuse_bundle(&hostile(&rename(b"/etc/x")), &["/etc/x", "not allowed"]);
    for size in [1 << 30, u64::MAX] {
        let gigabyte = hostile(&|header, name| {
            if name == BANK {
                header.set_size(size)
            }
        });
        refuse_bundle(&gigabyte, &[]);
    }
}

/// Format 2 knew single distances only, format 3 no estimated thresholds, format 4 no places.
#[test]
fn bundles_of_older_formats_are_read() {
    for format in [3, 4] {
        let older = |manifest: &str| manifest.replacen("format = 5", &format!("format = {format}"), 1);
        assert_eq!(Bundle::parse(&repacked(older, |_, _| {}), Path::new("old.apc")).unwrap().manifest.format, format);
    }
    let before = |manifest: &str| manifest.replacen("format = 5", "format = 2", 1).replacen("neighbourhood = 1\n", "", 1);
    let bundle = Bundle::parse(&repacked(before, |_, _| {}), Path::new("old.apc")).unwrap();
    assert_eq!((bundle.manifest.format, bundle.manifest.smoothing.neighbourhood), (2, 1));
}

/// A sound archive around a bank that is not: what a wrong exporter would write.
#[test]
fn unsound_contents_are_named() {
    let newer = repacked(|manifest| manifest.replacen("format = 5", "format = 6", 1), |_, _| {});
    refuse_bundle(&newer, &["format 6", "up to 5", "update"]);
    let placeless =
        repacked(|manifest| manifest.replacen("format = 5", "format = 5\nplaces = \"places.safetensors\"", 1), |_, _| {});
    refuse_bundle(&placeless, &["places.safetensors", "no entry"]);
    let even = repacked(|manifest| manifest.replacen("neighbourhood = 1", "neighbourhood = 2", 1), |_, _| {});
    refuse_bundle(&even, &["smoothing.neighbourhood", "odd"]);
    let unknown = repacked(|manifest| format!("colour_of_magic = 8\n{manifest}"), |_, _| {});
    refuse_bundle(&unknown, &["colour_of_magic"]);

    let nan = repacked(str::to_string, |name, content| {
        if name == BANK {
            let mut bank = Tensors::parse(content, Path::new(BANK)).unwrap();
            let Values::F32(norms) = &mut bank.tensors.get_mut("norms").unwrap().values else { unreachable!() };
            norms[3] = f32::NAN;
            *content = bank.to_bytes().unwrap();
        }
    });
    refuse_bundle(&nan, &[BANK, "finite"]);
    let smaller = repacked(str::to_string, |name, content| {
        if name == BANK {
            *content = MemoryBank::new(&[1.0; 48], 24, Quantisation::Int8).unwrap().to_tensors().to_bytes().unwrap();
        }
    });
    refuse_bundle(&smaller, &[BANK, "manifest describes"]);
}

/// A detector that has become another one: everything is well-formed, only the scores are wrong.
#[test]
fn a_failed_self_test_is_not_sound() {
    let other = repacked(str::to_string, |name, content| {
        if name == BANK {
            *content = MemoryBank::new(&[0.5; 24 * 1536], 24, Quantisation::Int8).unwrap().to_tensors().to_bytes().unwrap();
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.apc");
    fs::write(&path, other).unwrap();
    let finished = run("apc-export", ["verify".into(), path.clone()]).expect(1);
    assert!(finished.stdout.contains("not sound") && finished.stderr.contains("self-test"), "{finished:?}");
    run("apc-export", ["inspect".into(), path]).expect(0);
    run("apc-export", ["verify".into(), folder.path().join("none.apc")]).refused(&["none.apc"]);
}

/// `inspect` could not do it, `verify` answers no; neither panics.
#[track_caller]
fn refuse_bundle(bytes: &[u8], words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.apc");
    fs::write(&path, bytes).unwrap();
    let words = [&["bad.apc"], words].concat();
    run("apc-export", ["inspect".into(), path.clone()]).refused(&words);
    let verified = run("apc-export", ["verify".into(), path]).expect(1);
    assert!(verified.stdout.contains("not sound"), "{verified:?}");
}

fn entries() -> Vec<(String, Vec<u8>)> {
    let sound = fs::read(product().bundle()).unwrap();
    let mut entries = Vec::new();
    for entry in tar::Archive::new(sound.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        entries.push((String::from_utf8(entry.path_bytes().into_owned()).unwrap(), content));
    }
    entries
}

fn header(name: &str, size: usize) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_path(name).unwrap();
    header.set_size(size as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_cksum();
    header
}

/// The sound bundle with changed contents, all hashes made right again.
fn repacked(change_manifest: impl Fn(&str) -> String, change: impl Fn(&str, &mut Vec<u8>)) -> Vec<u8> {
    let mut entries = entries();
    let mut manifest = String::from_utf8(entries.remove(0).1).unwrap();
    for (name, content) in &mut entries {
        let before = files::sha256(content);
        change(name, content);
        manifest = manifest.replace(&before, &files::sha256(content));
    }
    let manifest = change_manifest(&manifest);
    let (text, last) = manifest.trim_end().rsplit_once('\n').unwrap();
    let (label, _) = last.rsplit_once(' ').unwrap();
    let hash = files::sha256(format!("{text}\n").as_bytes());
    entries.insert(0, (MANIFEST.into(), format!("{text}\n{label} {hash}\n").into_bytes()));
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in &entries {
        tar.append(&header(name, content.len()), content.as_slice()).unwrap();
    }
    tar.into_inner().unwrap()
}
