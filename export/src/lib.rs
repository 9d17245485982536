//! From a run of the trainer to one bundle for the camera.
//!
//! ```text
//! Run -> fold -> ONNX -> parity gate against libtorch's results -> bank, threshold, self-test, report -> Bundle
//! ```
//!
//! Nothing is written before everything is known to be sound.

mod bundle;
pub mod cli;
mod error;
mod fold;
mod misses;
mod onnx;
mod parity;
mod report;
mod variants;

pub use bundle::{Exported, Options, export};
pub use error::{Error, Result};
pub use fold::{Folded, fold};
pub use misses::ExpectedMisses;
pub use onnx::{INPUT, IR_VERSION, OPSET, backbone, fused};
pub use parity::{BANK_LIMIT, BankDifference, Differences, LIMIT, Parity};
pub use report::Report;
pub use variants::{AUROC_LIMIT, FUSED_LIMIT, INT8_LIMIT, VariantReport};

/// Told of every step that may take long: its title, and how many of how many parts are done.
pub type Progress<'a> = &'a mut dyn FnMut(&'static str, usize, usize);
