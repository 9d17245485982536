//! From a run of the trainer to one bundle for the camera.
//!
//! ```text
//! Run -> fold -> ONNX -> parity gate against libtorch's results -> threshold, self-test, variants, report -> Bundle
//! ```
//!
//! Nothing is written before everything is known to be sound. `kinds` holds the parts that only one kind of detector has, such as a memory
//! bank; all else serves every kind.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "files of tests may be half written"))]

mod bundle;
pub mod cli;
mod engine;
mod error;
mod fold;
mod gate;
mod kinds;
mod misses;
mod onnx;
mod parity;
mod progress;
mod report;
mod self_test;
mod training;
mod variants;

pub use bundle::{Exported, Options, export};
pub use error::{Error, Result};
pub use fold::{Folded, fold};
pub use kinds::{BANK_LIMIT, fused};
pub use misses::ExpectedMisses;
pub use onnx::{INPUT, IR_VERSION, OPSET, backbone};
pub use parity::{BankDifference, Differences, LIMIT, Parity};
pub use progress::Progress;
pub use report::{CalibrationReport, Report};
pub use training::{Curves, Learner};
pub use variants::{AUROC_LIMIT, FUSED_LIMIT, INT8_LIMIT, VariantReport};
