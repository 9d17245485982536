//! Fine-tuning of AnomalousPatchCore (Koshil et al., arXiv 2408.15113): classification, segmentation and reconstruction teach the
//! backbone what defects look like; heads and decoder are thrown away afterwards.
//!
//! What the publication leaves open is decided in `docs/decisions/0003-apc-as-published.md`.

mod decoder;
mod learn;

pub use learn::{Outcome, Start, finetune};
