//! Whole configuration files: the checked settings, and the errors.

mod line;
mod products;

use std::path::{Path, PathBuf};

use detector::Setup;
use detector::engine::EngineKind;
use proptest::prelude::*;

use crate::{Binding, Config, ConfigError, FramesConfig, Images, SourceConfig};

const LEAST: &str = "[detector]\nbundle = \"a.apc\"\n[source.replay]\nimages = \"images\"\n";

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("line.toml"), text)
}

/// Appends `line` to the smallest configuration; the error must name the line and hold `word`.
fn refused(line: &str, word: &str) {
    let error = parse(&format!("{LEAST}{line}\n")).unwrap_err().to_string();
    let number = LEAST.lines().count() + line.lines().count();
    assert!(error.contains(&format!("line {number}")) && error.contains(word), "{line}: {error}");
}

#[test]
fn defaults() {
    let config = parse(LEAST).unwrap();
    assert_eq!(config.frames, FramesConfig { bind: Binding::Part, queue: 8, max_age_ms: 1000 });
    let SourceConfig::Replay(replay) = &config.views[0].source else { panic!("{config:?}") };
    assert_eq!((replay.rate, replay.repeat), (10.0, false));
    assert_eq!((&config.detector.engines[..], config.detector.threads), (&[EngineKind::Tract][..], 0));
    assert_eq!(config.setup(), Setup::default());
    assert_eq!(config.output.verdicts, Path::new("-"));
    assert_eq!(config.log.level.filter(), log::LevelFilter::Info);
}

#[test]
fn errors_name_line_and_key() {
    refused("rte = 5", "rte");
    refused("rate = \"fast\"", "fast");
    refused("rate = 0.0", "more than 0");
    refused("rate = nan", "out of bounds");
    refused("rate = inf", "out of bounds");
    refused("[frames]\nbind = \"parts\"", "parts");
    refused("[frames]\nqueue = 0", "1 to 1024");
    refused("[frames]\nqueue = -1", "-1");
    refused("[frames]\nmax_age_ms = 0", "ms");
    refused("[output]\nmax_mib = 0", "1 to 1048576 MiB");
    refused("[output]\nfiles = 0", "1 to 1000 files");
    refused("[log]\nlevel = \"loud\"", "loud");
    refused("[lines]", "lines");
    refused("[runtime]\nonnx = \"a.so\"", "onnx");
    let engines = |list: &str| {
        let text = LEAST.replace("\"a.apc\"\n", &format!("\"a.apc\"\nengines = {list}\n"));
        parse(&text).map(|config| config.detector.engines).map_err(|error| error.to_string())
    };
    for (list, word) in [("[]", "at least one"), ("[\"tract\", \"tract\"]", "twice"), ("[\"abacus\"]", "ort-cpu")] {
        let error = engines(list).unwrap_err();
        assert!(error.contains("line 3") && error.contains(word), "{error}");
    }
    for share in ["-0.1", "0.6", "nan"] {
        let error = parse(&LEAST.replace("\"a.apc\"\n", &format!("\"a.apc\"\nsecond_look = {share}\n"))).unwrap_err().to_string();
        assert!(error.contains("line 3") && error.contains("0 to 0.5"), "{error}");
    }
    let all = engines("[\"tensorrt\", \"cuda\", \"ort-cpu\", \"tract\"]").unwrap();
    assert_eq!(all, [EngineKind::Tensorrt, EngineKind::Cuda, EngineKind::OrtCpu, EngineKind::Tract]);
}

#[test]
fn required_keys_are_named() {
    assert!(parse("[source.replay]\nimages = []\n").unwrap_err().to_string().contains("detector"));
    assert!(parse("[detector]\nbundle = \"a\"\n[source.replay]\n").unwrap_err().to_string().contains("images"));
    let error = parse(&LEAST.replace("replay", "film")).unwrap_err().to_string();
    assert!(error.contains("line 3") && error.contains("film") && error.contains("replay"), "{error}");
    let error = parse("[detector]\nbundle = \"a\"\n[source.replay]\nimages = 5\n").unwrap_err().to_string();
    assert!(error.contains("line 4") && error.contains("list of images"), "{error}");
}

#[test]
fn paths_lead_from_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("line.toml");
    let text = LEAST.replace("\"images\"", "[\"a.png\", \"/b.png\"]") + "[output]\nverdicts = \"v.jsonl\"\n";
    std::fs::write(&path, text).unwrap();
    let config = Config::read(&path).unwrap();
    assert_eq!(config.detector.bundle, folder.path().join("a.apc"));
    let SourceConfig::Replay(replay) = &config.views[0].source else { panic!("no replay") };
    assert_eq!(replay.images, Images::Listed(vec![folder.path().join("a.png"), "/b.png".into()]));
    assert_eq!(config.output.verdicts, folder.path().join("v.jsonl"));
    std::fs::write(&path, LEAST).unwrap();
    assert_eq!(Config::read(&path).unwrap().output.verdicts, Path::new("-"));
}

fn examples() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/line");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let examples: Vec<_> = paths.map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect();
    assert!(!examples.is_empty());
    examples
}

/// The text with every comment `# key = value` made a setting.
fn uncommented(text: &str) -> String {
    let is_key = |key: &str| !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let live = |line: &str| {
        let setting = line.strip_prefix("# ")?;
        let (key, _) = setting.split_once(" = ")?;
        is_key(key).then(|| setting.to_string())
    };
    text.lines().map(|line| live(line).unwrap_or_else(|| line.to_string()) + "\n").collect()
}

#[test]
fn examples_load_and_write_the_defaults() {
    for (path, text) in examples() {
        let config = Config::parse(&path, &text).unwrap();
        let full = uncommented(&text);
        assert_ne!(full, text);
        assert_eq!(Config::parse(&path, &full).unwrap(), config, "{}", path.display());
    }
}

#[test]
fn the_replay_example_writes_every_key() {
    let (_, text) = examples().into_iter().find(|(path, _)| path.ends_with("replay.toml")).unwrap();
    let full = uncommented(&text);
    let keys = "bundle engines variant second_look threads images rate loop settle_frames bind queue max_age_ms verdicts max_mib files level onnxruntime state";
    for key in keys.split(' ') {
        assert!(full.lines().any(|line| line.starts_with(&format!("{key} = "))), "{key}");
    }
}

proptest! {
    #[test]
    fn noise_never_panics(text in "(\\PC|\n)*") {
        let _ = parse(&text);
        let _ = parse(&format!("{LEAST}{text}"));
    }
}
