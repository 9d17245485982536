//! The defect head: two 1x1 convolutions on the patch descriptors whose logit tells whether a patch looks like a known defect.
//!
//! The backbone stays as it is, so the memory bank and its score map stay PatchCore's. The head adds to the distance of a patch where
//! it recognises a defect ([`detector::scorer::KnownDefects`]). It is the mean of several heads that learn side by side, each without
//! its share of the good images; the logits of a head on its share tell from which value on a logit counts. Reasons and alternatives:
//! `docs/decisions/0020-a-defect-head.md`.

mod described;
mod head;
mod learn;

pub use self::head::Head;
pub use self::learn::learn_head;
