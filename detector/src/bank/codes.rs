//! Bounds of the integer codes of vectors.

/// Most values of one descriptor: the dot product of two vectors' codes must fit 32 bits.
pub const DIMS_LIMIT: usize = 1 << 16;

/// Largest magnitude of a bank vector's code: -128 is left out so that kernels may negate.
pub(super) const CODE_LIMIT: u16 = 127;
/// Codes of one vector are padded with zeros to a multiple of this, so that no kernel has a tail.
pub(super) const PADDING: usize = 32;

/// Largest magnitude of a query's code. It has more bits than the bank's codes, which costs nothing, as long as 32 bits hold the sum of
/// `stride` products.
pub(super) fn query_limit(stride: usize) -> u16 {
    const SPLIT: usize = 127 * 128;
    (i32::MAX as usize / (usize::from(CODE_LIMIT) * stride)).min(SPLIT) as u16
}
