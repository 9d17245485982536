//! How fast a bundle is on this machine: one detector in detail, or all engines and networks side by side.
//!
//! ```text
//! Pictures -> measure (one stage after the other, then overlapped as in the service) -> Measurement
//!          -> compare (every engine with every network, in turn)                     -> Comparison
//! ```

mod compare;
mod error;
mod measure;
mod overlapped;
mod pictures;

pub use compare::{Candidate, Comparison, Recommended, compare};
pub use error::BenchError;
pub use measure::{Course, Measurement, Stages, measure, warm_up};
pub use overlapped::Overlapped;
pub use pictures::Pictures;
