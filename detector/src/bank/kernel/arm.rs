//! NEON: products of 16 bit widened as they accumulate; the dot-product extension multiplies bytes, four a lane.
#![allow(unsafe_code, reason = "vector loads through pointers; the lengths are checked by the methods of `Kernel`")]

use std::arch::aarch64::*;
use std::arch::asm;

use super::shared::{chosen, push_near, push_set, quantise};
use super::table::{Boxes, COARSE, FINE, Kernel, TILE};

/// The kernels that this processor can run, slowest first.
pub(super) fn kernels() -> Vec<Kernel> {
    // SAFETY: NEON is part of the base architecture; lengths are checked by the methods of `Kernel`.
    let neon = Kernel {
        name: "neon",
        dots: |queries, rows, stride, dots| unsafe { dots_neon(queries, rows, stride, dots) },
        dot: |query, row| unsafe { dot_neon(query, row) },
        boxes: |boxes, query, limit, near| unsafe { boxes_neon(boxes, query, limit, near) },
        scan: |groups, near, query, limit, found| unsafe { scan_neon(groups, near, query, limit, found) },
        thin: |query, rows, positions, limit, near| unsafe { thin_neon(query, rows, positions, limit, near) },
        // NEON is part of the base architecture: the reference uses it already.
        quantise,
    };
    let mut kernels = vec![neon];
    if std::arch::is_aarch64_feature_detected!("dotprod") {
        // SAFETY: as above, and the extension was detected.
        let dots = |queries: &[i16], rows: &[i8], stride, dots: &mut [i32]| unsafe { dots_dotprod(queries, rows, stride, dots) };
        kernels.push(Kernel { name: "neon-dotprod", dots, ..neon });
    }
    kernels
}

#[target_feature(enable = "neon")]
fn dots_neon(queries: &[i16], rows: &[i8], stride: usize, dots: &mut [i32]) {
    for (row, dots) in rows.chunks_exact(stride).zip(dots.chunks_exact_mut(TILE)) {
        for (query, dot) in queries.chunks_exact(stride).zip(dots) {
            *dot = dot_neon(query, row);
        }
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn dot_neon(query: &[i16], row: &[i8]) -> i32 {
    let mut sums = [vdupq_n_s32(0); 4];
    for (query, row) in query.as_chunks::<16>().0.iter().zip(row.as_chunks::<16>().0) {
        // SAFETY: both are arrays of 16 codes.
        let (codes, low, high) = unsafe { (vld1q_s8(row.as_ptr()), vld1q_s16(query.as_ptr()), vld1q_s16(query.as_ptr().add(8))) };
        let (a, b) = (vmovl_s8(vget_low_s8(codes)), vmovl_high_s8(codes));
        sums[0] = vmlal_s16(sums[0], vget_low_s16(a), vget_low_s16(low));
        sums[1] = vmlal_high_s16(sums[1], a, low);
        sums[2] = vmlal_s16(sums[2], vget_low_s16(b), vget_low_s16(high));
        sums[3] = vmlal_high_s16(sums[3], b, high);
    }
    vaddvq_s32(vaddq_s32(vaddq_s32(sums[0], sums[1]), vaddq_s32(sums[2], sums[3])))
}

/// A query's code is `128 * high + low` with both in a byte, so its product is two products of bytes.
#[target_feature(enable = "neon")]
fn dots_dotprod(queries: &[i16], rows: &[i8], stride: usize, dots: &mut [i32]) {
    let high: Vec<i8> = queries.iter().map(|code| ((code + 64) >> 7) as i8).collect();
    let low: Vec<i8> = queries.iter().map(|code| (code - (((code + 64) >> 7) << 7)) as i8).collect();
    for (row, dots) in rows.chunks_exact(stride).zip(dots.chunks_exact_mut(TILE)) {
        assert!(high.len() == TILE * stride && low.len() == TILE * stride && row.len() == stride);
        let mut sums = [[vdupq_n_s32(0); 2]; TILE];
        for at in (0..stride).step_by(16) {
            // SAFETY: `stride` is a multiple of 16, so `at + 16 <= stride`, the length of the row and of every query (asserted above).
            unsafe {
                let codes = vld1q_s8(row.as_ptr().add(at));
                for (query, [a, b]) in sums.iter_mut().enumerate() {
                    *a = sdot(*a, codes, vld1q_s8(high.as_ptr().add(query * stride + at)));
                    *b = sdot(*b, codes, vld1q_s8(low.as_ptr().add(query * stride + at)));
                }
            }
        }
        for (dot, [high, low]) in dots.iter_mut().zip(sums) {
            *dot = vaddvq_s32(vaddq_s32(vshlq_n_s32::<7>(high), low));
        }
    }
}

/// The `sdot` instruction; its intrinsic is not stable in this Rust.
#[inline(always)]
fn sdot(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: reached only through `dots_dotprod`, that is where the extension was detected; the instruction touches registers only.
    unsafe {
        asm!(".arch_extension dotprod", "sdot {sum:v}.4s, {a:v}.16b, {b:v}.16b",
            sum = inout(vreg) sum, a = in(vreg) a, b = in(vreg) b, options(pure, nomem, nostack, preserves_flags));
    }
    sum
}

#[target_feature(enable = "neon")]
fn boxes_neon(boxes: &[Boxes], query: &[i16; COARSE], limit: i32, near: &mut Vec<u32>) {
    let (query, limit) = (pairs(query), vdupq_n_s32(limit));
    for (at, [low, high]) in boxes.iter().enumerate() {
        let mut mask = 0;
        for quarter in 0..4 {
            let (mut first, mut second) = (vdupq_n_s32(0), vdupq_n_s32(0));
            for (k, query) in query.iter().enumerate() {
                let from = (k * 4 + quarter) * 8;
                // SAFETY: bounds are `COARSE / 2` times four quarters of 8 codes.
                let (low, high) = unsafe { (vld1q_s16(low.as_ptr().add(from)), vld1q_s16(high.as_ptr().add(from))) };
                let outside = vmaxq_s16(vmaxq_s16(vsubq_s16(low, *query), vsubq_s16(*query, high)), vdupq_n_s16(0));
                first = vmlal_s16(first, vget_low_s16(outside), vget_low_s16(outside));
                second = vmlal_high_s16(second, outside, outside);
            }
            mask |= within(first, second, limit) << (quarter * 4);
        }
        push_set(mask, at, near);
    }
}

/// The query's coordinates, two and two in all lanes.
#[inline]
#[target_feature(enable = "neon")]
fn pairs(query: &[i16; COARSE]) -> [int16x8_t; COARSE / 2] {
    let pairs = query.as_chunks::<2>().0;
    std::array::from_fn(|k| {
        let pair = i32::from(pairs[k][0] as u16) | (i32::from(pairs[k][1]) << 16);
        vreinterpretq_s16_s32(vdupq_n_s32(pair))
    })
}

/// A bit for each of four sums of pairs that is at most the limit.
#[inline]
#[target_feature(enable = "neon")]
fn within(first: int32x4_t, second: int32x4_t, limit: int32x4_t) -> u32 {
    // SAFETY: an array of four lanes.
    let bits = unsafe { vld1q_u32([1u32, 2, 4, 8].as_ptr()) };
    vaddvq_u32(vandq_u32(vcleq_s32(vpaddq_s32(first, second), limit), bits))
}

#[target_feature(enable = "neon")]
fn scan_neon(groups: &[i16], near: &[u32], query: &[i16; COARSE], limit: i32, found: &mut Vec<u32>) {
    let (query, limit) = (pairs(query), vdupq_n_s32(limit));
    for (group, codes) in chosen(groups, near) {
        let mut mask = 0;
        for quarter in 0..4 {
            let (mut first, mut second) = (vdupq_n_s32(0), vdupq_n_s32(0));
            for (k, query) in query.iter().enumerate() {
                // SAFETY: a group is `COARSE / 2` times four quarters of 8 codes.
                let codes = unsafe { vld1q_s16(codes.as_ptr().add((k * 4 + quarter) * 8)) };
                let difference = vsubq_s16(*query, codes);
                first = vmlal_s16(first, vget_low_s16(difference), vget_low_s16(difference));
                second = vmlal_high_s16(second, difference, difference);
            }
            mask |= within(first, second, limit) << (quarter * 4);
        }
        push_set(mask, group, found);
    }
}

#[target_feature(enable = "neon")]
fn thin_neon(query: &[i16; FINE], rows: &[[i16; FINE]], positions: &[u32], limit: i32, near: &mut Vec<(i32, u32)>) {
    push_near(rows, positions, limit, near, |row| squared_neon(query, row));
}

#[inline]
#[target_feature(enable = "neon")]
fn squared_neon(a: &[i16; FINE], b: &[i16; FINE]) -> i32 {
    let mut sums = [vdupq_n_s32(0); 2];
    for at in (0..FINE).step_by(8) {
        // SAFETY: `FINE` is a multiple of 8.
        let difference = unsafe { vsubq_s16(vld1q_s16(a.as_ptr().add(at)), vld1q_s16(b.as_ptr().add(at))) };
        sums[0] = vmlal_s16(sums[0], vget_low_s16(difference), vget_low_s16(difference));
        sums[1] = vmlal_high_s16(sums[1], difference, difference);
    }
    vaddvq_s32(vaddq_s32(sums[0], sums[1]))
}
