//! Reads a configuration from a file or a text.

use std::path::Path;

use detector::files;

use crate::check;
use crate::config::Config;
use crate::error::ConfigError;
use crate::raw::RawConfig;

/// Largest configuration file, in bytes.
const SIZE_LIMIT: u64 = 1 << 20;

impl Config {
    /// Reads a configuration. Its relative paths are relative to the file; they are resolved against the working directory here.
    ///
    /// # Errors
    /// Names the file, line and key of a value that is missing, unknown, of a wrong type, out of bounds, or in conflict with another value.
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        let bytes = files::read_bounded(path, SIZE_LIMIT)?;
        let text = String::from_utf8(bytes).map_err(|_| detector::Error::file(path, "is not UTF-8 text"))?;
        let mut raw: RawConfig = files::parse_toml(path, &text)?;
        raw.resolve(path.parent().unwrap_or(Path::new("")));
        check::check(raw, path, &text)
    }

    /// Parses a configuration and leaves its paths as they are; `path` only names it in errors.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
        check::check(files::parse_toml(path, text)?, path, text)
    }
}
