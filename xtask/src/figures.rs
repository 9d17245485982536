//! Figures as the programs print and keep them.

use std::path::Path;

use anyhow::{Context, Result};
use detector::evaluate::Figures;

use crate::files;

/// Reads a file that `evaluate --json` wrote.
pub fn read(path: &Path) -> Result<Figures> {
    parse(&files::read(path)?, path)
}

/// Parses what `evaluate --json` printed; `origin` names it in errors.
pub fn parse(text: &str, origin: &Path) -> Result<Figures> {
    serde_json::from_str(text).with_context(|| format!("{}: not the figures of an evaluation", origin.display()))
}

/// A figure as text, with this many digits after the point; `-` where it has no meaning for the images.
pub fn show(figure: Option<f64>, digits: usize) -> String {
    figure.map_or_else(|| "-".into(), |figure| format!("{figure:.digits$}"))
}
