//! The defect head: two 1x1 convolutions on the patch descriptors that say whether a patch looks like a defect.
//!
//! The backbone stays as it is, so the memory bank and its map stay PatchCore's; the head adds to the distance where it recognises a
//! defect ([`detector::scorer::KnownDefects`]). It is the mean of several heads that learn side by side, each without its share of the
//! good images: those tell where a logit begins to mean something. Why so, and what else was tried:
//! `docs/decisions/0020-a-defect-head.md` and `0025-quiet-on-good-images.md`.

mod described;
mod head;
mod join;
mod learn;

pub use self::head::Head;
pub use self::learn::learn_head;
