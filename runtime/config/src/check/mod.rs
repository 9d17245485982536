//! Checks keys that depend on each other, and builds the checked settings from the whole raw file.

mod control;
mod gpio;
mod line;
mod products;
mod selection;
mod trigger;

use std::path::{Path, PathBuf};

use crate::config::{ACTIVE, Config};
use crate::error::{ConfigError, Problem};
use crate::raw::RawConfig;
use crate::source::Binding;

/// Checks a raw configuration; `path` and `text` are only for errors.
pub(crate) fn check(raw: RawConfig, path: &Path, text: &str) -> Result<Config, ConfigError> {
    // A problem of [line] is reported with the line of the file on which that section begins.
    let line_of = |start: usize| text.get(..start).map(|before| before.matches('\n').count() + 1);
    let section = raw.line.as_ref().and_then(|line| line_of(line.span().start));
    let at = |line: Option<usize>| move |problem: Problem| problem.at(path, line);

    if raw.line.is_some() && raw.frames.bind == Binding::Free {
        let problem =
            Problem::new("frames.bind", "is \"free\", which binds no frame to a part, but [line] follows parts; use \"part\"");
        return Err(at(None)(problem));
    }
    let is_active = |bundle: &PathBuf| bundle.as_os_str() == ACTIVE;
    if raw.runtime.state.as_os_str().is_empty() && raw.bundles().any(is_active) {
        let problem = Problem::new(
            "runtime.state",
            "is missing: bundle = \"active\" is a model of the state folder, which runtime.state names",
        );
        return Err(at(None)(problem));
    }
    if raw.line.is_none() {
        products::refuse_without_line(&raw).map_err(at(None))?;
    }

    let views = products::views(&raw).map_err(at(None))?;
    let products = products::products(&raw).map_err(at(None))?;
    let seats = products::seats(&raw, &views, &products).map_err(at(None))?;
    let RawConfig { detector, recipes, frames, line, golden, output, log, runtime, .. } = raw;
    let recipes: Vec<_> = recipes.into_iter().collect();
    let line = line.map(|line| line::settings(line.into_inner(), &recipes, views.len()).map_err(at(section))).transpose()?;
    Ok(Config { detector, views, products, seats, frames, line, golden, output, log, runtime })
}
