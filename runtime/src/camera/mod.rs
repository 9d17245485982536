//! V4L2 cameras: from the driver's bytes to pictures.
//!
//! ```text
//! v4l2 (device, controls, stream) -> source (times, gaps, recovery by watch) -> decode -> Picture
//! ```
//!
//! [`watch`] decides when a camera is given up and opened again, as a pure state machine; [`decode`] is pure too.

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
