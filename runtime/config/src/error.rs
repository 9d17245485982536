//! Why a line configuration cannot be used.

use std::path::{Path, PathBuf};

/// Why a line configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read, is no TOML, or has an unknown key or a value that is out of bounds.
    #[error(transparent)]
    File(#[from] detector::Error),
    /// Values contradict each other.
    #[error("{}: {}{key} {problem}", path.display(), line.map_or(String::new(), |line| format!("line {line}: ")))]
    Setting {
        /// The file.
        path: PathBuf,
        /// The line of the file on which the section begins, from 1; none if the problem has no single section.
        line: Option<usize>,
        /// The key or section, such as `line.delay_ms` or `[views]`.
        key: String,
        /// The problem, the expected value and the remedy, as the end of a sentence that begins with `key`.
        problem: String,
    },
}

/// A [`ConfigError::Setting`] before its file and line are known.
#[derive(Debug)]
pub(crate) struct Problem {
    key: String,
    text: String,
}

impl Problem {
    pub(crate) fn new(key: impl Into<String>, text: impl Into<String>) -> Problem {
        Problem { key: key.into(), text: text.into() }
    }

    pub(crate) fn at(self, path: &Path, line: Option<usize>) -> ConfigError {
        ConfigError::Setting { path: path.to_owned(), line, key: self.key, problem: self.text }
    }
}
