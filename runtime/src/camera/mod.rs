//! Cameras.

pub mod decode;
pub mod format;
