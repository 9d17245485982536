use super::audit::{AUDIT, AUDIT_LIMIT};
use super::*;
use config::MAIN;
use detector::bundle::Variant;
use detector::calibration::calibrate;
use detector::engine::EngineKind;
use std::fs;
use std::io;

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

fn set_now(folder: &Path, threshold: &SiteThreshold) {
    set(&State::open(folder).unwrap(), &mut Disk::default(), MAIN, threshold).unwrap();
}

#[test]
fn a_threshold_holds_for_what_it_was_calibrated_on_alone() {
    let folder = tempfile::tempdir().unwrap();
    let find = |now: &Binding| find(folder.path(), MAIN, now);
    assert_eq!(find(&binding("a")).unwrap(), None, "nobody calibrated");
    set_now(folder.path(), &threshold("a", 40));
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
    set_now(folder.path(), &threshold("b", 30));
    assert_eq!(find(&binding("a")).unwrap().unwrap().calibration, threshold("a", 40).calibration);
    assert_eq!(find(&binding("b")).unwrap().unwrap().calibration, threshold("b", 30).calibration);
    let state = State::open(folder.path()).unwrap();
    assert_eq!(clear(&state, &mut Disk::default(), MAIN, "ben").unwrap(), 2);
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
    let folder = tempfile::tempdir().unwrap();
    set_now(folder.path(), &threshold("a", 40));
    let path = folder.path().join(FOLDER).join(MAIN).join(binding("a").file());
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("threshold = ", "threshold = 9", 1)).unwrap();
    let error = find(folder.path(), MAIN, &binding("a")).unwrap_err().to_string();
    assert!(error.contains("changed by hand") && error.contains(&binding("a").file()), "{error}");
}

#[test]
fn everything_is_in_the_audit_log_which_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    set_now(folder.path(), &threshold("a", 40));
    clear(&State::open(folder.path()).unwrap(), &mut Disk::default(), MAIN, "ben").unwrap();
    let path = folder.path().join(FOLDER).join(AUDIT);
    let lines = || -> Vec<serde_json::Value> {
        fs::read_to_string(&path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let found = lines();
    let threshold = &found[0]["set"]["threshold"];
    assert_eq!((&threshold["by"], &threshold["calibration"]["images"]), (&"ana".into(), &41.into()));
    assert_eq!((&threshold["previous"], &threshold["binding"]["bundle"]), (&1.5.into(), &binding("a").bundle.into()));
    assert_eq!(
        (&found[1]["cleared"]["by"], &found[1]["cleared"]["removed"][0]["port"]),
        (&"ben".into(), &binding("a").port.into())
    );
    // A full log loses its oldest entries, and none of the others is cut.
    let old = format!("{}\n", serde_json::json!({ "old": "x".repeat(1000) }));
    fs::write(&path, old.repeat(AUDIT_LIMIT as usize / old.len())).unwrap();
    set_now(folder.path(), &threshold("b", 40));
    assert!(fs::metadata(&path).unwrap().len() <= AUDIT_LIMIT);
    let found = lines();
    assert!(found.len() > 3000 && found.last().unwrap()["set"].is_object());
}

#[test]
fn a_power_cut_leaves_no_threshold_that_is_not_in_the_log() {
    for cut in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        set_now(folder.path(), &threshold("a", 20));
        let mut left = cut;
        let mut watch = |_| match left {
            0 => Err(io::Error::from(io::ErrorKind::Interrupted)),
            _ => {
                left -= 1;
                Ok(())
            }
        };
        let state = State::open(folder.path()).unwrap();
        assert!(set(&state, &mut Disk::watched(&mut watch), MAIN, &threshold("a", 40)).is_err(), "{cut}");
        let threshold = find(folder.path(), MAIN, &binding("a")).unwrap().unwrap().calibration.threshold;
        let log = fs::read_to_string(folder.path().join(FOLDER).join(AUDIT)).unwrap();
        let logged = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let logged: Vec<_> =
            logged.map(|entry| entry["set"]["threshold"]["calibration"]["threshold"].as_f64().unwrap()).collect();
        assert!([19.0, 37.0].contains(&threshold), "{threshold}");
        assert!(logged.contains(&f64::from(threshold)), "{cut}: {threshold} {logged:?}");
    }
}
