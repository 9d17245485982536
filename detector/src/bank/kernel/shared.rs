//! Steps that several kernels share. They are inlined into each kernel, so that the compiler uses that kernel's instructions.

use super::table::{FINE, GROUP, GROUP_CODES};

/// Quantises a vector, see [`Kernel::quantise`](super::Kernel). Each value takes the same operations whatever the width of registers, so
/// all kernels give the same codes.
#[inline(always)]
pub(super) fn quantise(vector: &[f32], mean: &[f32], limit: u16, codes: &mut [i16]) -> (f32, u64) {
    /// Adding this number leaves the nearest whole number, ties to even, in the lowest bits. `f32::round_ties_even` would be a function
    /// call on processors of the base instruction set.
    const ROUND: f32 = 12_582_912.0;
    let mut largest = [0.0f32; 16];
    for (vector, mean) in vector.chunks(16).zip(mean.chunks(16)) {
        for ((value, mean), largest) in vector.iter().zip(mean).zip(&mut largest) {
            let size = (value - mean).abs();
            *largest = if size > *largest { size } else { *largest };
        }
    }
    let largest = largest.into_iter().fold(0.0, f32::max);
    // A vector that is the mean itself has no largest value; any scale represents it. An overflow must not become NaN.
    let scale = if largest.is_normal() { largest / f32::from(limit) } else { 1.0 };
    let limit = f32::from(limit);
    for ((code, value), mean) in codes.iter_mut().zip(vector).zip(mean) {
        let steps = ((value - mean) / scale).clamp(-limit, limit);
        *code = (steps + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i16;
    }
    let mut squares = [0u64; 16];
    for codes in codes.chunks(16) {
        for (sum, code) in squares.iter_mut().zip(codes) {
            *sum += u64::from((i32::from(*code) * i32::from(*code)) as u32);
        }
    }
    (scale, squares.iter().sum())
}

/// The codes of the `near` groups, without numbers behind the last group.
#[inline(always)]
pub(super) fn chosen<'a>(groups: &'a [i16], near: &'a [u32]) -> impl Iterator<Item = (usize, &'a [i16; GROUP_CODES])> {
    let groups = groups.as_chunks::<GROUP_CODES>().0;
    near.iter().filter_map(|group| Some((*group as usize, groups.get(*group as usize)?)))
}

/// The loop of every kernel's `thin`.
#[inline(always)]
pub(super) fn push_near(
    rows: &[[i16; FINE]],
    positions: &[u32],
    limit: i32,
    near: &mut Vec<(i32, u32)>,
    squared: impl Fn(&[i16; FINE]) -> i32,
) {
    for &position in positions {
        if let Some(row) = rows.get(position as usize) {
            let squared = squared(row);
            if squared <= limit {
                near.push((squared, position));
            }
        }
    }
}

/// Appends the rows of a group whose bit is set in `mask`.
#[inline(always)]
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) fn push_set(mut mask: u32, group: usize, found: &mut Vec<u32>) {
    while mask != 0 {
        found.push((group * GROUP) as u32 + mask.trailing_zeros());
        mask &= mask - 1;
    }
}
