//! Video4Linux2: a thin layer over the kernel's requests. Why not the crate `v4l`: `docs/decisions/0014-own-v4l2-layer.md`.

mod abi;
pub mod control;
pub mod device;
pub mod stream;
mod sys;

pub use abi::Rectangle;
