use std::path::{Path, PathBuf};

/// What can go wrong in this crate. Every message names the file or value, what was expected and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused something.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// File or folder.
        path: PathBuf,
        /// A verb: `read`, `write`, `create` ...
        action: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file was read, and its content is not acceptable.
    #[error("{path}: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, what was expected, what to do.
        problem: String,
    },
    /// An inference engine cannot start or run.
    #[error("engine {engine}: {problem}")]
    Engine {
        /// Name of the engine.
        engine: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// None of several engines starts.
    #[error("no engine of the list starts:\n{}", .0.iter().map(|error| format!("  {error}")).collect::<Vec<_>>().join("\n"))]
    NoEngine(Vec<Error>),
    /// Values that do not fit together.
    #[error("{0}")]
    Invalid(String),
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// For `map_err` after a system call on `path`.
    pub fn io(path: impl AsRef<Path>, action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.as_ref().to_path_buf();
        move |source| Error::Io { path, action, source }
    }

    /// A file whose content is not acceptable.
    pub fn file(path: impl AsRef<Path>, problem: impl Into<String>) -> Error {
        Error::File { path: path.as_ref().to_path_buf(), problem: problem.into() }
    }

    /// Values that do not fit together.
    pub fn invalid(problem: impl Into<String>) -> Error {
        Error::Invalid(problem.into())
    }

    #[cfg(feature = "tract")]
    pub(crate) fn engine(engine: &'static str, problem: impl std::fmt::Display) -> Error {
        Error::Engine { engine, problem: problem.to_string() }
    }
}
