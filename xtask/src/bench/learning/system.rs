//! A way to learn: a recipe, or one with other settings.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::files;
use crate::workspace::Workspace;

/// A named recipe.
pub(super) struct System {
    pub name: String,
    pub recipe: toml::Table,
}

impl System {
    /// `NAME`, `NAME=RECIPE` or `NAME=RECIPE:KEY=VALUE:...`; a recipe is a file or the name of one in `configs/train/`, a key is dotted.
    pub fn read(workspace: &Workspace, text: &str) -> Result<System> {
        let (name, rest) = text.split_once('=').unwrap_or((text, text));
        let mut parts = rest.split(':');
        let recipe = parts.next().unwrap_or_default();
        let path = match recipe.ends_with(".toml") {
            true => PathBuf::from(recipe),
            false => workspace.root().join("configs/train").join(recipe).with_extension("toml"),
        };
        let content = files::read(&path).with_context(|| format!("system {name}"))?;
        let mut recipe: toml::Table = content.parse().with_context(|| format!("{}: is no TOML", path.display()))?;
        for setting in parts {
            set(&mut recipe, setting).with_context(|| format!("system {name}: {setting:?}"))?;
        }
        Ok(System { name: name.into(), recipe })
    }

    /// Its mode, as the recipe names it.
    pub fn mode(&self) -> &str {
        self.recipe.get("mode").and_then(toml::Value::as_str).unwrap_or_default()
    }
}

/// Puts `KEY=VALUE` into a recipe; the trainer refuses keys and values that it does not know.
fn set(recipe: &mut toml::Table, setting: &str) -> Result<()> {
    let (key, value) = setting.split_once('=').context("KEY=VALUE was expected, defects.units=1 for instance")?;
    let parsed = format!("value = {value}").parse::<toml::Table>().ok().and_then(|mut table| table.remove("value"));
    let Some(value) = parsed else { bail!("{value} is no TOML value (text needs quotes)") };
    let (section, key) = key.split_once('.').context("a key with its section was expected, defects.units for instance")?;
    let section = recipe.entry(section).or_insert_with(|| toml::Table::new().into());
    section.as_table_mut().context("is no section of the recipe")?.insert(key.into(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_change_a_recipe() {
        let mut recipe: toml::Table = "mode = \"apc+\"\n[examples]\nbatch = 16".parse().unwrap();
        for setting in ["examples.batch=8", "defects.units=1", "data.draw=\"stratified\""] {
            set(&mut recipe, setting).unwrap();
        }
        assert_eq!(recipe["examples"]["batch"].as_integer(), Some(8));
        assert_eq!(recipe["defects"]["units"].as_integer(), Some(1));
        assert_eq!(recipe["data"]["draw"].as_str(), Some("stratified"));
        for wrong in ["defects.units", "units=1", "defects.units=many", "mode.units=1"] {
            assert!(set(&mut recipe, wrong).is_err(), "{wrong}");
        }
    }
}
