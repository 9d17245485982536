use std::fs;

use config::MAIN;
use detector::bundle::Variant;
use detector::calibration::calibrate;
use detector::engine::EngineKind;

use super::audit::{AUDIT, AUDIT_LIMIT};
use super::*;
use crate::memory::{Memory, finish, interrupt};

fn binding(bundle: &str) -> Binding {
    Binding {
        bundle: bundle.repeat(64),
        engine: EngineKind::Tract,
        variant: Variant::Float,
        port: "/dev/v4l/by-path/port-1".into(),
        picture: "YUYV 640x480, gain 3".into(),
    }
}

fn threshold(bundle: &str, highest: u8) -> SiteThreshold {
    let scores: Vec<f32> = (0..=highest).map(f32::from).collect();
    SiteThreshold::new("ana".into(), "images".into(), 1.5, binding(bundle), calibrate(&scores, 0.1).unwrap())
}

/// The state folder on a file system in memory.
fn on(disk: &Memory) -> Store<Memory> {
    Store::on(disk.clone(), "/var/lib/apc")
}

fn set<F: FileSystem>(store: Store<F>, threshold: &SiteThreshold) -> Result<(), SiteError> {
    store.lock()?.set_site_threshold(MAIN, threshold).map(drop)
}

fn clear<F: FileSystem>(store: Store<F>) -> Result<usize, SiteError> {
    store.lock()?.clear_site_thresholds(MAIN, "ben")
}

/// The entries of the audit log.
fn log<F: FileSystem>(store: &Store<F>) -> Vec<serde_json::Value> {
    let bytes = store.files.read(&store.folder().join(FOLDER).join(AUDIT), AUDIT_LIMIT).unwrap();
    String::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Format 1 had the estimate beside the threshold, which was the largest score all the same.
#[test]
fn thresholds_of_the_first_format_are_read_and_newer_ones_refused() {
    let bytes = threshold("a", 40).to_bytes().unwrap();
    let (text, _) = std::str::from_utf8(&bytes).unwrap().rsplit_once("# ").expect("a seal");
    let as_format = |format: u32| {
        let tail = "tail = { rate = 0.1, threshold = 3.5, low = 3.0, high = 5.0, images = 7 }\n";
        let text = text.replacen("format = 2\n", &format!("format = {format}\n"), 1);
        detector::archive::seal(if format == 1 { text.replacen("\n[", &format!("\n{tail}\n["), 1) } else { text })
    };
    let parse = |format| SiteThreshold::parse(Path::new("old.toml"), &as_format(format));
    assert_eq!(parse(2).unwrap().calibration, threshold("a", 40).calibration);
    let old = parse(1).unwrap();
    assert_eq!((old.calibration, old.tail.map(|tail| tail.high)), (threshold("a", 40).calibration, Some(5.0)));
    assert!(parse(3).unwrap_err().to_string().contains("format 3"));
}

#[test]
fn a_threshold_holds_for_what_it_was_calibrated_on_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path());
    let find = |now: &Binding| store.site_threshold(MAIN, now);
    assert_eq!(find(&binding("a")).unwrap(), None, "nobody calibrated");
    set(store.clone(), &threshold("a", 40)).unwrap();
    assert_eq!(find(&binding("a")).unwrap().unwrap().calibration, threshold("a", 40).calibration);
    let sound = binding("a");
    let cases = [
        ("the bundle", binding("b")),
        ("the engine", Binding { engine: EngineKind::OrtCpu, ..sound.clone() }),
        ("the network", Binding { variant: Variant::Int8, ..sound.clone() }),
        ("a camera at the port", Binding { port: "/dev/v4l/by-path/port-2".into(), ..sound.clone() }),
        ("the picture settings", Binding { picture: "YUYV 640x480, gain 4".into(), ..sound.clone() }),
    ];
    for (what, now) in &cases {
        let error = find(now).unwrap_err();
        assert!(matches!(&error, SiteError::Unbound { what: found, .. } if found == what), "{error}");
        assert!(error.to_string().contains("calibrate --config FILE --clear"), "{error}");
    }
    // Each bundle has its own: going back needs no new calibration.
    set(store.clone(), &threshold("b", 30)).unwrap();
    assert_eq!(find(&binding("a")).unwrap().unwrap().calibration, threshold("a", 40).calibration);
    assert_eq!(find(&binding("b")).unwrap().unwrap().calibration, threshold("b", 30).calibration);
    assert_eq!(clear(store.clone()).unwrap(), 2);
    assert_eq!(find(&binding("c")).unwrap(), None);
}

#[test]
fn roles_are_file_names_and_differ() {
    assert_eq!(role("main", ""), MAIN);
    let names = ["a", "../a", "a.b", "a/b", "\u{e4}", ""];
    let roles: std::collections::BTreeSet<String> =
        names.iter().flat_map(|view| names.map(|recipe| role(view, recipe))).collect();
    assert_eq!(roles.len(), names.len() * names.len());
    assert!(roles.iter().all(|role| !role.contains(['/', '\\']) && !role.starts_with("..")));
}

#[test]
fn changes_by_hand_are_noticed() {
    let disk = Memory::new();
    set(on(&disk), &threshold("a", 40)).unwrap();
    let path = on(&disk).site_folder(MAIN).join(binding("a").file());
    let text = String::from_utf8(disk.read(&path, SIZE_LIMIT).unwrap()).unwrap();
    disk.write(&path, text.replacen("threshold = ", "threshold = 9", 1).as_bytes()).unwrap();
    let error = on(&disk).site_threshold(MAIN, &binding("a")).unwrap_err().to_string();
    assert!(error.contains("changed by hand") && error.contains(&binding("a").file()), "{error}");
}

#[test]
fn everything_is_in_the_audit_log_which_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path());
    set(store.clone(), &threshold("a", 40)).unwrap();
    clear(store.clone()).unwrap();
    let found = log(&store);
    let set_first = &found[0]["set"]["threshold"];
    assert_eq!((&set_first["by"], &set_first["calibration"]["images"]), (&"ana".into(), &41.into()));
    assert_eq!((&set_first["previous"], &set_first["binding"]["bundle"]), (&1.5.into(), &binding("a").bundle.into()));
    assert_eq!(
        (&found[1]["cleared"]["by"], &found[1]["cleared"]["removed"][0]["port"]),
        (&"ben".into(), &binding("a").port.into())
    );
    // A full log loses its oldest entries, and none of the others is cut.
    let path = folder.path().join(FOLDER).join(AUDIT);
    let old = format!("{}\n", serde_json::json!({ "old": "x".repeat(1000) }));
    fs::write(&path, old.repeat(AUDIT_LIMIT as usize / old.len())).unwrap();
    set(store.clone(), &threshold("b", 40)).unwrap();
    assert!(fs::metadata(&path).unwrap().len() <= AUDIT_LIMIT);
    let found = log(&store);
    assert!(found.len() > 3000 && found.last().unwrap()["set"].is_object());
}

#[test]
fn a_crash_leaves_no_threshold_that_is_not_in_the_log() {
    // Of the first threshold the folders are made too.
    for (old, highest) in [(None, 20), (Some(20), 40)] {
        let before = Memory::new();
        let value = |highest| threshold("a", highest).calibration.threshold;
        old.iter().for_each(|old| finish(&before, |disk| set(on(disk), &threshold("a", *old))));
        let (old, new) = (old.map(value), value(highest));
        let go = |disk: &Memory| set(on(disk), &threshold("a", highest));
        let states = interrupt(&before, go, |end, after| {
            let in_force =
                |disk: &Memory| on(disk).site_threshold(MAIN, &binding("a")).unwrap().map(|found| found.calibration.threshold);
            let found = in_force(after);
            assert!([old, Some(new)].contains(&found), "{end:?}: {found:?}");
            if let Some(found) = found {
                let logged = |entry: &serde_json::Value| entry["set"]["threshold"]["calibration"]["threshold"].as_f64();
                let is_it = |entry: &serde_json::Value| logged(entry).is_some_and(|logged| logged as f32 == found);
                assert!(log(&on(after)).iter().any(is_it), "{end:?}: {found} is not in the log");
            }
            finish(after, go);
            assert_eq!(in_force(after), Some(new), "given again after {end:?}");
        });
        assert!(states >= 40, "{states} states after a crash");
    }
}

#[test]
fn a_crash_removes_no_threshold_without_an_entry_in_the_log() {
    let before = Memory::new();
    for bundle in ["a", "b"] {
        finish(&before, |disk| set(on(disk), &threshold(bundle, 40)));
    }
    let go = |disk: &Memory| clear(on(disk)).map(drop);
    let states = interrupt(&before, go, |end, after| {
        let store = on(after);
        let left = store.files_in(&store.site_folder(MAIN), "toml").unwrap();
        left.iter().for_each(|path| drop(store.read_threshold(path).unwrap()));
        let is_logged = log(&store).iter().any(|entry| entry["cleared"]["removed"].as_array().is_some_and(|all| all.len() == 2));
        assert!(left.len() == 2 || is_logged, "{end:?}: {left:?}");
        finish(after, go);
        assert_eq!(on(after).site_threshold(MAIN, &binding("a")).unwrap(), None, "given again after {end:?}");
    });
    assert!(states >= 30, "{states} states after a crash");
}
