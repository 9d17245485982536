//! Fine-tuning of AnomalousPatchCore (Koshil et al., arXiv 2408.15113): classification, segmentation and reconstruction teach the
//! backbone what defects look like. Heads and decoder are only needed for this and are not kept.
//!
//! Choices that the publication leaves open are recorded in `docs/decisions/0003-apc-as-published.md`.

mod decoder;
mod learn;

pub use learn::{Outcome, Start, finetune};
