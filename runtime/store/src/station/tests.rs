use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use config::MAIN;
use detector::archive;
use detector::bank::{MemoryBank, Quantisation};
use detector::bundle::{Bundle, Manifest as BundleManifest, Variant};
use detector::calibration::calibrate;
use detector::engine::EngineKind;
use detector::file_system::{Disk, FileSystem, Kind};
use image::{ImageFormat, RgbImage};

use super::*;
use crate::golden::{Capture, Measures};
use crate::memory::{Memory, finish, interrupt};
use crate::models::{self, Model};
use crate::site::{Binding, SiteThreshold};
use crate::store::Store;

/// The smallest sound bundle: the seed of the fuzz targets.
fn bundle(name: &str) -> (Bundle, Vec<u8>) {
    let mut manifest = BundleManifest::parse(include_bytes!("../../../../fuzz/seeds/manifest/sound.toml")).unwrap();
    manifest.detector.name = name.into();
    let bank = MemoryBank::new(&[1.0, 2.0, 3.0, 4.0, -1.0, 0.5, 0.25, 8.0], 4, Quantisation::Int8).unwrap();
    let files = BTreeMap::from([
        (manifest.backbone.file.clone(), b"not looked at".to_vec()),
        (manifest.bank.file.clone(), bank.to_tensors().to_bytes().unwrap()),
        ("split.json".to_owned(), br#"{"images":[]}"#.to_vec()),
        (manifest.self_test.references[0].file.clone(), png(&RgbImage::new(32, 32))),
    ]);
    Bundle::build(manifest, files, Path::new("sound.apc")).unwrap()
}

fn png(pixels: &RgbImage) -> Vec<u8> {
    let mut png = Cursor::new(Vec::new());
    pixels.write_to(&mut png, ImageFormat::Png).unwrap();
    png.into_inner()
}

fn model(bundle: &Bundle) -> Model {
    Model {
        file: format!("{}-{}.apc", bundle.manifest.detector.name, models::short(&bundle.id)),
        id: bundle.id.clone(),
        product: bundle.manifest.detector.name.clone(),
        engine: EngineKind::Tract,
        variant: Variant::Float,
        self_test_difference: 0.0,
        self_test_tolerance: 1e-3,
        installed: 1,
    }
}

const LINE_TEXT: &str = "[detector]\nbundle = \"active\"\n[runtime]\nstate = \"state\"\n[source.camera]\n\
                         device = \"/dev/v4l/by-path/port-1\"\nformat = \"GREY\"\nwidth = 64\nheight = 64\n";

/// Two models, a threshold of the active one, a golden part.
fn commissioned<F: FileSystem + Clone>(files: &F, folder: &Path) -> PathBuf {
    let config = folder.join("line.toml");
    files.create_folders(folder).unwrap();
    files.write(&config, LINE_TEXT.as_bytes()).unwrap();
    let store = Store::on(files.clone(), folder.join("state")).lock().unwrap();
    for name in ["old", "new"] {
        let (bundle, bytes) = bundle(name);
        store.install(model(&bundle), &bytes).unwrap();
        store.activate(name).unwrap();
    }
    let picture = "GREY 64x64".into();
    let (engine, variant, port) = (EngineKind::Tract, Variant::Float, "/dev/v4l/by-path/port-1".into());
    let binding = Binding { bundle: bundle("new").0.id, engine, variant, port, picture };
    let calibration = calibrate(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 0.2).unwrap();
    let threshold = SiteThreshold::new("ana".into(), "the line".into(), 2.0, binding, calibration);
    store.set_site_threshold(MAIN, &threshold).unwrap();
    let (pixels, measures) = (png(&RgbImage::new(16, 16)), Measures { levels: [0.0; 3], sharpness: 0.0 });
    store.write_golden(MAIN, &Capture { png: &pixels, measures, region: None, by: "ana", source: "camera" }).unwrap();
    config
}

/// Another machine, in memory, with nothing but the folder of configurations.
fn empty() -> Memory {
    let disk = Memory::new();
    disk.create_folders(Path::new("/etc/apc")).unwrap();
    disk
}

/// A station, exported from a machine in memory.
fn exported() -> (Station, Vec<u8>) {
    let disk = Memory::new();
    let config = commissioned(&disk, Path::new("/etc/apc"));
    Station::export(disk, &config, "ana").unwrap()
}

fn import<F: FileSystem + Clone>(station: &Station, files: &F, folder: &Path) -> Result<(), StationError> {
    let tested: Vec<Model> = station.models.iter().map(|(_, bundle)| model(bundle)).collect();
    let store = Store::on(files.clone(), folder.join("state")).lock()?;
    store.import_station(station, &folder.join("line.toml"), &tested, "ben")
}

/// Everything below a folder that counts: not the lock, the audit log, and what a power cut leaves unfinished.
fn content(files: &impl FileSystem, folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for path in files.list(folder).unwrap() {
        let name = PathBuf::from(path.file_name().unwrap());
        if files.kind(&path) == Some(Kind::Folder) {
            found.extend(content(files, &path).into_iter().map(|(path, bytes)| (name.join(path), bytes)));
        } else if !name.to_string_lossy().starts_with('.') && name != Path::new("audit.jsonl") {
            found.insert(name, files.read(&path, archive::SIZE_LIMIT).unwrap());
        }
    }
    found
}

#[test]
fn what_is_exported_is_imported() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (station, bytes) = Station::export(Disk, &commissioned(&Disk, here.path()), "ana").unwrap();
    assert_eq!(station.devices, [Device { role: "main".into(), port: "/dev/v4l/by-path/port-1".into() }]);
    assert_eq!(station.models.iter().map(|(model, _)| model.product.as_str()).collect::<Vec<_>>(), ["old", "new"]);
    import(&Station::parse(&bytes, Path::new("a.station")).unwrap(), &Disk, there.path()).unwrap();
    assert_eq!(content(&Disk, here.path()), content(&Disk, there.path()));
    let log = fs::read_to_string(there.path().join("state/site/audit.jsonl")).unwrap();
    assert!(log.contains("\"imported\"") && log.contains(&station.id) && log.contains("\"ben\""), "{log}");
}

#[test]
fn a_crash_while_importing_leaves_no_half_station() {
    let (station, _) = exported();
    let (there, folder) = (empty(), Path::new("/etc/apc"));
    let go = |disk: &Memory| import(&station, disk, folder);
    let whole = there.restarted(usize::MAX);
    finish(&whole, go);
    let whole = content(&whole, folder);
    let states = interrupt(&there, go, |end, after| {
        // The service starts from the configuration: with it, everything must be there.
        if after.is_file(&folder.join("line.toml")) {
            assert_eq!(content(after, folder), whole, "{end:?}");
        }
        finish(after, go);
        assert_eq!(content(after, folder), whole, "given again after {end:?}");
    });
    assert!(states >= 200, "{states} states after a crash");
}

#[test]
fn nothing_that_differs_is_overwritten() {
    let (station, _) = exported();
    for name in ["line.toml", "state/models/active.toml", "state/golden/main.toml"] {
        let (there, folder) = (empty(), Path::new("/etc/apc"));
        let path = folder.join(name);
        there.create_folders(path.parent().unwrap()).unwrap();
        there.write(&path, b"history = []\n").unwrap();
        let before = content(&there, folder);
        let error = import(&station, &there, folder).unwrap_err();
        assert!(matches!(&error, StationError::Occupied(found) if *found == path), "{error}");
        assert_eq!(content(&there, folder), before);
    }
}

/// The sound station with a change that whoever writes a hostile one would make: all hashes are right.
fn changed(change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>)) -> Result<Station, StationError> {
    let (mut station, _) = exported();
    change(&mut station.files);
    Station::build(station.devices, station.files, "eve", Path::new("a.station")).map(|(station, _)| station)
}

#[test]
fn hostile_stations_are_refused() {
    assert!(changed(|_| {}).is_ok());
    let replace = |name: &'static str, from: &'static str, to: &'static str| {
        move |files: &mut BTreeMap<String, Vec<u8>>| {
            let name = files.keys().find(|entry| entry.starts_with(name) && entry.ends_with(".toml")).unwrap().clone();
            let text = String::from_utf8(files[&name].clone()).unwrap();
            assert!(text.contains(from), "{text}");
            files.insert(name, text.replace(from, to).into_bytes());
        }
    };
    let add =
        |name: &'static str| move |files: &mut BTreeMap<String, Vec<u8>>| drop(files.insert(name.into(), b"x = 1\n".to_vec()));
    let rename = |from: &'static str, to: &'static str| {
        move |files: &mut BTreeMap<String, Vec<u8>>| {
            let from = files.keys().find(|entry| entry.starts_with(from)).unwrap().clone();
            let bytes = files.remove(&from).unwrap();
            files.insert(to.into(), bytes);
        }
    };
    type Change = Box<dyn FnOnce(&mut BTreeMap<String, Vec<u8>>)>;
    let cases: Vec<(&str, Change)> = vec![
        ("not allowed", Box::new(add("../../etc/cron.d/x"))),
        ("not allowed", Box::new(add("/etc/passwd"))),
        ("belongs to no station", Box::new(add("systemd/unit"))),
        ("belongs to no station", Box::new(add("golden/more.png"))),
        ("belongs to no station", Box::new(add("models/more.toml"))),
        ("hash", Box::new(add("site/main/more.toml"))),
        ("line.toml", Box::new(rename("line.toml", "line2.toml"))),
        ("active.toml", Box::new(rename("models/active.toml", "models/other.toml"))),
        ("not \"active\"", Box::new(replace("line.toml", "\"active\"", "\"part.apc\""))),
        ("other devices", Box::new(replace("line.toml", "port-1", "port-2"))),
        ("colour_of_magic", Box::new(replace("line.toml", "[detector]", "[colour_of_magic]"))),
        ("another bundle", Box::new(replace("models/new", "file = \"new", "file = \"../new"))),
        ("another bundle", Box::new(replace("models/new-", "id = \"", "id = \"0"))),
        ("active.toml", Box::new(replace("models/active.toml", "history = [", "history = [\"0\", "))),
        ("changed by hand", Box::new(replace("site/", "threshold = ", "threshold = 9"))),
        ("bound to a model", Box::new(rename("site/", "site/main/a.toml"))),
        ("bound to a model", Box::new(rename("site/", "site/other/a.toml"))),
        ("another picture", Box::new(replace("golden/main.toml", "sha256 = \"", "sha256 = \"0"))),
        ("no entry", Box::new(replace("golden/main.toml", "picture = \"", "picture = \"../"))),
    ];
    for (number, (word, change)) in cases.into_iter().enumerate() {
        let error = changed(change).map(drop).unwrap_err().to_string();
        let found = error.contains(word) || (word == "hash" && error.contains("SHA-256"));
        assert!(found, "{number}: no {word:?} in {error}");
    }
}

#[test]
fn newer_stations_and_noise_are_refused_by_name() {
    let (_, bytes) = exported();
    let path = Path::new("a.station");
    let mut entries = archive::unpack(&bytes, MANIFEST, "station").unwrap();
    let text = String::from_utf8(entries[0].1.clone()).unwrap().replacen("format = 1", "format = 2", 1);
    entries[0].1 = text.into_bytes();
    let error = Station::parse(&archive::pack(&entries).unwrap(), path).unwrap_err().to_string();
    assert!(error.contains("format 2") && error.contains("update apc-runtime"), "{error}");
    for length in [0, 100, 512, 1024, bytes.len() - 1] {
        assert!(Station::parse(&bytes[..length], path).is_err());
    }
    let (_, bundle) = bundle("new");
    assert!(Station::parse(&bundle, path).unwrap_err().to_string().contains("station.toml comes first"));
}
