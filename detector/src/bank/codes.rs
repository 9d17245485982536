//! Bounds of the codes that vectors become.

/// Most values of one descriptor: the integer dot product of two must fit 32 bits.
pub const DIMS_LIMIT: usize = 1 << 16;

/// Largest magnitude of a bank vector's code: -128 is left out so that kernels may negate.
pub(super) const CODE_LIMIT: u16 = 127;
/// Codes of one vector are padded with zeros to a multiple of this, so that no kernel has a tail.
pub(super) const PADDING: usize = 32;

/// Largest magnitude of a query's code: more bits than the bank's, which cost nothing, as far as 32 bits hold the sum of `stride`
/// products.
pub(super) fn query_limit(stride: usize) -> u16 {
    const SPLIT: usize = 127 * 128;
    (i32::MAX as usize / (usize::from(CODE_LIMIT) * stride)).min(SPLIT) as u16
}
