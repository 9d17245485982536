//! NEON: byte products widened pairwise; with the dot-product extension four products an instruction lane.
#![allow(unsafe_code)]

use std::arch::aarch64::*;
use std::arch::asm;

use super::TILE;

/// Every 64-bit ARM processor has NEON; lengths are checked by [`super::Kernel::dots`].
pub(super) fn neon(queries: &[i8], rows: &[i8], stride: usize, dots: &mut [i32]) {
    // SAFETY: NEON is part of the base architecture.
    unsafe { each_row(queries, rows, stride, dots, |sum, a, b| multiply_add(sum, a, b)) }
}

/// Needs the dot-product extension; lengths are checked by [`super::Kernel::dots`].
pub(super) fn dotprod(queries: &[i8], rows: &[i8], stride: usize, dots: &mut [i32]) {
    // SAFETY: `kernels()` offers this function only where the extension was detected.
    unsafe { each_row(queries, rows, stride, dots, |sum, a, b| sdot(sum, a, b)) }
}

#[inline(always)]
unsafe fn each_row(
    queries: &[i8],
    rows: &[i8],
    stride: usize,
    dots: &mut [i32],
    step: impl Fn(int32x4_t, int8x16_t, int8x16_t) -> int32x4_t,
) {
    for (row, dots) in rows.chunks_exact(stride).zip(dots.chunks_exact_mut(TILE)) {
        assert!(queries.len() == TILE * stride && row.len() == stride);
        // SAFETY: `stride` is a multiple of 16, so `at + 16 <= stride`, the length of the row and of every query (asserted above).
        unsafe {
            let mut sums = [vdupq_n_s32(0); TILE];
            for at in (0..stride).step_by(16) {
                let codes = vld1q_s8(row.as_ptr().add(at));
                for (query, sum) in sums.iter_mut().enumerate() {
                    *sum = step(*sum, codes, vld1q_s8(queries.as_ptr().add(query * stride + at)));
                }
            }
            dots.iter_mut().zip(sums).for_each(|(dot, sum)| *dot = vaddvq_s32(sum));
        }
    }
}

/// Products of two codes fit 16 bit (127² twice is below 2¹⁵), so two may be added before widening.
#[inline(always)]
fn multiply_add(sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: NEON is part of the base architecture.
    unsafe {
        let products = vmlal_s8(vmull_s8(vget_low_s8(a), vget_low_s8(b)), vget_high_s8(a), vget_high_s8(b));
        vpadalq_s16(sum, products)
    }
}

/// The `sdot` instruction; its intrinsic is not stable in this Rust.
#[inline(always)]
fn sdot(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: reached only through `dotprod`, that is where the extension was detected; the instruction touches registers only.
    unsafe {
        asm!(".arch_extension dotprod", "sdot {sum:v}.4s, {a:v}.16b, {b:v}.16b",
            sum = inout(vreg) sum, a = in(vreg) a, b = in(vreg) b, options(pure, nomem, nostack, preserves_flags));
    }
    sum
}
