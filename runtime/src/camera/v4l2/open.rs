//! Why a device cannot be opened.

use std::path::PathBuf;

use detector::Error;

/// Why a device cannot be opened for capture.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is a V4L2 device of another kind, such as an output or a metadata node.
    #[error("{}: gives no pictures (it may be an output or carry metadata): choose another node", .0.display())]
    GivesNoPictures(PathBuf),
    /// It is missing, may not be opened, or is no V4L2 device.
    #[error(transparent)]
    Device(#[from] Error),
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Error {
        match error {
            OpenError::Device(error) => error,
            OpenError::GivesNoPictures(path) => {
                Error::file(path, "gives no pictures (it may be an output or carry metadata): choose another node")
            }
        }
    }
}
