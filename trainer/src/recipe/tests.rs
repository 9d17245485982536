use std::path::PathBuf;

use super::*;

fn configs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/train");
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn every_shipped_recipe_loads() {
    let recipes = configs();
    assert!(recipes.len() >= 3);
    recipes.iter().for_each(|path| drop(Recipe::read(path).unwrap()));
}

/// The commented lines `# key = value` of `patchcore.toml` are the defaults, and all of them are there.
#[test]
fn the_example_writes_every_default() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/train/patchcore.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let key = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let setting = |line: &str| line.strip_prefix("# ").and_then(|rest| rest.split_once(" = ")).is_some_and(|(name, _)| key(name));
    let all: Vec<&str> = text.lines().map(|line| if setting(line) { &line[2..] } else { line }).collect();
    let explicit: toml::Table = all.join("\n").parse().unwrap();
    let mut defaults = toml::Table::try_from(Recipe::read(&path).unwrap()).unwrap();
    for (section, values) in &explicit {
        let Some(values) = values.as_table() else {
            assert_eq!(&defaults[section], values, "{section}");
            continue;
        };
        let known = defaults[section].as_table_mut().unwrap();
        for (key, value) in values {
            if let Some(default) = known.remove(key) {
                assert_eq!(&default, value, "{section}.{key}");
            }
        }
        assert!(known.is_empty(), "the example does not write {section}: {known:?}");
    }
}

#[test]
fn bad_values_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.toml");
    let cases = [
        ("mode = \"patchcore\"\n[bank]\nshares = 0.1\n", "line 3"),
        ("mode = \"patchcore\"\nseed = \"x\"\n", "line 2"),
        ("mode = \"patchcore\"\n[bank]\nshare = 2.0\n", "bank.share"),
        ("mode = \"patchcore\"\n[input]\nsize = [250, 256]\n", "250"),
        ("mode = \"apc\"\n", "anomalous_samples"),
        ("mode = \"patch\"\n", "line 1"),
    ];
    for (text, word) in cases {
        std::fs::write(&path, text).unwrap();
        let error = Recipe::read(&path).unwrap_err().to_string();
        assert!(error.contains(word) && error.contains("r.toml"), "{error}");
    }
}
