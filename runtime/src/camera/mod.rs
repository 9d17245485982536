//! Sources of frames: V4L2 cameras, from the driver's bytes to pictures, and image files in place of a camera.
//!
//! ```text
//! v4l2 (device, controls, stream) -> v4l2_source (times, gaps, recovery by watch) -> decode -> Picture
//! image files -> replay -> Picture
//! ```
//!
//! [`watch`] is a pure state machine that decides when a camera is given up and opened again. [`decode`] is pure too. [`Settling`] knows on
//! which product's settings a frame was taken.

pub mod decode;
pub mod format;
pub mod list;
mod replay;
mod settling;
mod source;
pub mod v4l2;
pub mod v4l2_source;
mod wait;
pub mod watch;

pub use replay::Replay;
pub use settling::Settling;
pub use source::{Capture, Shot, Source};
pub use v4l2_source::Camera;
pub use wait::wait;
