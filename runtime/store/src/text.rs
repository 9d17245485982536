//! Texts of the files in a state folder.

use std::path::Path;

use detector::{Error, Result};
use serde::Serialize;

/// The TOML text of a value.
pub(crate) fn toml(value: &impl Serialize) -> Result<String> {
    toml::to_string(value).map_err(|error| Error::invalid(format!("cannot write TOML: {error}")))
}

/// The text of a file; `path` only names it in errors.
pub(crate) fn utf8<'a>(bytes: &'a [u8], path: &Path) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|_| Error::file(path, "is not UTF-8 text"))
}
