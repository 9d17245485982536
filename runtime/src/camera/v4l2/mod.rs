//! Video4Linux2: a thin layer over the requests and structures of the crate `v4l`. `docs/decisions/0014-own-v4l2-stream.md` says why the
//! streams of that crate are not used.

mod abi;
pub mod control;
pub mod device;
mod open;
pub mod stream;
mod sys;

pub use abi::Rectangle;
pub use open::OpenError;
