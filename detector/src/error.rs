//! What can go wrong in this crate.

use std::path::{Path, PathBuf};

use crate::metrics::MetricsError;

/// What can go wrong in this crate. Every message names the file or value, what was expected and what to do.
///
/// The text of an error is complete: it ends with the words of its cause. Therefore no error has a `source`: a program that prints a chain
/// of causes would print those words twice. Programs that decide by a cause or a place match the fields, and never read the text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused something.
    #[error("{path}: cannot {action}: {cause}")]
    Io {
        /// File or folder.
        path: PathBuf,
        /// A verb: `read`, `write`, `create` ...
        action: &'static str,
        /// The system's answer.
        cause: std::io::Error,
    },
    /// A file was read, and its content is not acceptable.
    #[error("{path}: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, what was expected, what to do.
        problem: String,
    },
    /// A file's content, or what was computed from it, is not acceptable for a reason that is an error of its own.
    #[error("{path}: {cause}")]
    At {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: Box<Error>,
    },
    /// A file is no sound TOML, or does not hold what was expected.
    #[error("{path}: {problem}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// Where in it, if the parser says so.
        place: Option<Place>,
        /// The key or table at that place, with those around it: `line.trigger.debounce_ms`. None where the syntax is unsound.
        key: Option<String>,
        /// What is wrong, with the line.
        problem: String,
    },
    /// An inference engine cannot start or run.
    #[error("engine {engine}: {problem}")]
    Engine {
        /// Name of the engine.
        engine: &'static str,
        /// What has failed.
        fault: EngineFault,
        /// What is wrong.
        problem: String,
    },
    /// An engine does not give a reference's score. No verdict may come from it.
    #[error(
        "{path}: failed its self-test on engine {engine}: {reference} scored {found}, expected {expected} within {tolerance}; no verdict \
         may come from it"
    )]
    SelfTest {
        /// The bundle.
        path: PathBuf,
        /// Name of the engine.
        engine: &'static str,
        /// The bundle's entry that was scored.
        reference: String,
        /// Its score on this engine.
        found: f32,
        /// Its score at export.
        expected: f32,
        /// Largest accepted relative difference.
        tolerance: f32,
    },
    /// None of several engines starts.
    #[error("no engine of the list starts:\n{}", .0.iter().map(|error| format!("  {error}")).collect::<Vec<_>>().join("\n"))]
    NoEngine(Vec<Error>),
    /// Figures cannot be computed from these scores.
    #[error("{0}")]
    Metrics(MetricsError),
    /// Values that do not fit together.
    #[error("{0}")]
    Invalid(String),
}

/// A place in a text file, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Character of the line.
    pub column: usize,
}

/// What has failed in an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineFault {
    /// This program was built without the engine.
    NotBuilt,
    /// The engine does not run this form of the network; another engine does.
    Variant,
    /// The library that the engine needs is not named, not there, or not usable.
    Library,
    /// The network's bytes are unsound, or hold what the engine does not know.
    Network,
    /// The engine does not start with this network on this machine's devices.
    Start,
    /// The engine runs, and failed on an image.
    Run,
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// For `map_err` after a system call on `path`.
    pub fn io(path: impl AsRef<Path>, action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.as_ref().to_path_buf();
        move |cause| Error::Io { path, action, cause }
    }

    /// A file whose content is not acceptable.
    pub fn file(path: impl AsRef<Path>, problem: impl Into<String>) -> Error {
        Error::File { path: path.as_ref().to_path_buf(), problem: problem.into() }
    }

    /// For `map_err` where an error does not name the file that it is about.
    pub fn at(path: impl AsRef<Path>) -> impl FnOnce(Error) -> Error {
        let path = path.as_ref().to_path_buf();
        move |cause| Error::At { path, cause: Box::new(cause) }
    }

    /// Values that do not fit together.
    pub fn invalid(problem: impl Into<String>) -> Error {
        Error::Invalid(problem.into())
    }

    pub(crate) fn engine(engine: &'static str, fault: EngineFault, problem: impl std::fmt::Display) -> Error {
        Error::Engine { engine, fault, problem: problem.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    /// Whoever prints a chain of causes prints the words of each cause once.
    #[test]
    fn the_words_of_a_cause_are_in_the_text_and_nowhere_else() {
        let denied = || Error::io("a.apc", "open")(std::io::ErrorKind::PermissionDenied.into());
        assert_eq!(denied().to_string(), "a.apc: cannot open: permission denied");
        let around = Error::at("b.png")(denied());
        assert_eq!(around.to_string(), "b.png: a.apc: cannot open: permission denied");
        for error in [denied(), around, Error::Metrics(MetricsError::NanScore { index: 3 })] {
            assert!(error.source().is_none(), "{error}");
        }
    }
}
