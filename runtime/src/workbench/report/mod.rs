//! One HTML file that shows how a detector does on a data set: figures, curves, and the pictures worth looking at. It holds
//! everything itself and loads nothing.
//!
//! ```text
//! Evaluation -> EvaluationReport -> Report (content) -> page (figures, chart, table) and gallery (pictures)
//! ```

mod at_export;
mod chart;
mod content;
mod defects;
mod gallery;
mod of_evaluation;
mod page;
#[cfg(test)]
mod tests;
mod text;
mod threshold;
mod write;

pub use content::{Pictures, PixelFigures, Report, ReportImage};
pub use of_evaluation::EvaluationReport;
