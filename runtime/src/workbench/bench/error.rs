use std::path::PathBuf;

/// Why a bundle cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A file of the bundle or a picture cannot be used.
    #[error(transparent)]
    File(#[from] detector::Error),
    /// The folder of pictures is empty.
    #[error("{0}: holds no image; PNG, JPEG, BMP or TIFF files were expected")]
    NoImage(PathBuf),
    /// The detector failed on a picture.
    #[error("cannot score a picture: {0}")]
    Score(detector::Error),
    /// The first stage failed on a picture.
    #[error("cannot extract the features of a picture: {0}")]
    Extract(detector::Error),
    /// No engine of the list starts with any network of the bundle. The text lists the reasons.
    #[error("no engine starts: {0}")]
    NoEngine(String),
    /// The thread that extracts features panicked.
    #[error("the thread that extracts features died: a fault of this program")]
    ThreadDied,
}
