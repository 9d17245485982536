//! The configuration of a production line that replays images, for `apc-runtime run`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::files;

/// Writes `path`: each image is a part, `rate` of them a second.
pub fn configure(path: &Path, bundle: &Path, images: &[&Path], rate: f64) -> Result<PathBuf> {
    let text = |path: &Path| toml::Value::from(path.display().to_string());
    let table = |entries: Vec<(&str, toml::Value)>| -> toml::Value {
        toml::Value::Table(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    };
    let images: Vec<toml::Value> = images.iter().map(|path| text(path)).collect();
    let config = table(vec![
        ("detector", table(vec![("bundle", text(bundle))])),
        ("source", table(vec![("replay", table(vec![("images", images.into()), ("rate", rate.into())]))])),
        ("log", table(vec![("level", "warn".into())])),
    ]);
    let config = toml::to_string(&config).context("cannot write the line configuration as TOML")?;
    files::write(path, config)?;
    Ok(path.to_owned())
}
