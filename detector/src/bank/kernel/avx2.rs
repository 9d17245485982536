//! AVX2: codes widened to 16 bit, multiplied and added in pairs.
#![allow(unsafe_code, reason = "vector loads through pointers; the lengths are checked by the methods of `Kernel`")]

use std::arch::x86_64::*;

use super::shared::{chosen, push_near, push_set, quantise};
use super::table::{Boxes, COARSE, FINE, Kernel, TILE};

/// The kernel, if this processor has AVX2.
pub(super) fn kernel() -> Option<Kernel> {
    // SAFETY: these closures are handed out only where AVX2 was detected; lengths are checked by the methods of `Kernel`.
    is_x86_feature_detected!("avx2").then_some(Kernel {
        name: "avx2",
        dots: |queries, rows, stride, dots| unsafe { dots_avx2(queries, rows, stride, dots) },
        dot: |query, row| unsafe { dot_avx2(query, row) },
        boxes: |boxes, query, limit, near| unsafe { boxes_avx2(boxes, query, limit, near) },
        scan: |groups, near, query, limit, found| unsafe { scan_avx2(groups, near, query, limit, found) },
        thin: |query, rows, positions, limit, near| unsafe { thin_avx2(query, rows, positions, limit, near) },
        quantise: |vector, mean, limit, codes| unsafe { quantise_avx2(vector, mean, limit, codes) },
    })
}

#[target_feature(enable = "avx2")]
fn dots_avx2(queries: &[i16], rows: &[i8], stride: usize, dots: &mut [i32]) {
    let mut pairs = rows.chunks_exact(2 * stride);
    let mut results = dots.chunks_exact_mut(2 * TILE);
    for (pair, dots) in (&mut pairs).zip(&mut results) {
        let (a, b) = pair.split_at(stride);
        tile([a, b], queries, stride, dots);
    }
    if let (last, true) = (pairs.remainder(), !pairs.remainder().is_empty()) {
        tile([last], queries, stride, results.into_remainder());
    }
}

/// `N` rows against `TILE` queries, all sums in registers.
#[inline]
#[allow(clippy::needless_range_loop, reason = "the compiler is known to unroll plain counted loops here")]
#[target_feature(enable = "avx2")]
fn tile<const N: usize>(rows: [&[i8]; N], queries: &[i16], stride: usize, dots: &mut [i32]) {
    assert!(queries.len() == TILE * stride && rows.iter().all(|row| row.len() == stride));
    let mut sums = [[_mm256_setzero_si256(); TILE]; N];
    for at in (0..stride).step_by(16) {
        // SAFETY: `stride` is a multiple of 16, so `at + 16 <= stride`, the length of every row and query (asserted above).
        unsafe {
            let row = rows.map(|row| _mm256_cvtepi8_epi16(_mm_loadu_si128(row.as_ptr().add(at).cast())));
            for query in 0..TILE {
                let codes = _mm256_loadu_si256(queries.as_ptr().add(query * stride + at).cast());
                for n in 0..N {
                    sums[n][query] = _mm256_add_epi32(sums[n][query], _mm256_madd_epi16(row[n], codes));
                }
            }
        }
    }
    for (sums, dots) in sums.iter().zip(dots.chunks_exact_mut(TILE)) {
        sums.iter().zip(dots).for_each(|(sum, dot)| *dot = total(*sum));
    }
}

#[target_feature(enable = "avx2")]
fn dot_avx2(query: &[i16], row: &[i8]) -> i32 {
    let mut sums = [_mm256_setzero_si256(); 2];
    for (query, row) in query.as_chunks::<32>().0.iter().zip(row.as_chunks::<32>().0) {
        for (half, sum) in sums.iter_mut().enumerate() {
            // SAFETY: both halves of 16 codes lie in the arrays of 32.
            let products = unsafe {
                let codes = _mm_loadu_si128(row.as_ptr().add(half * 16).cast());
                _mm256_madd_epi16(_mm256_cvtepi8_epi16(codes), _mm256_loadu_si256(query.as_ptr().add(half * 16).cast()))
            };
            *sum = _mm256_add_epi32(*sum, products);
        }
    }
    total(_mm256_add_epi32(sums[0], sums[1]))
}

#[target_feature(enable = "avx2")]
fn boxes_avx2(boxes: &[Boxes], query: &[i16; COARSE], limit: i32, near: &mut Vec<u32>) {
    let (query, limit) = (pairs(query), _mm256_set1_epi32(limit));
    for (at, [low, high]) in boxes.iter().enumerate() {
        let mut sums = [_mm256_setzero_si256(); 2];
        for (k, query) in query.iter().enumerate() {
            for (half, sum) in sums.iter_mut().enumerate() {
                let from = (k * 2 + half) * 16;
                // SAFETY: bounds are `COARSE / 2` times two halves of 16 codes.
                let (low, high) = unsafe {
                    (_mm256_loadu_si256(low.as_ptr().add(from).cast()), _mm256_loadu_si256(high.as_ptr().add(from).cast()))
                };
                let outside = _mm256_max_epi16(_mm256_sub_epi16(low, *query), _mm256_sub_epi16(*query, high));
                let outside = _mm256_max_epi16(outside, _mm256_setzero_si256());
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(outside, outside));
            }
        }
        push_set(within(sums, limit), at, near);
    }
}

/// The query's coordinates, two and two in all lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn pairs(query: &[i16; COARSE]) -> [__m256i; COARSE / 2] {
    let pairs = query.as_chunks::<2>().0;
    std::array::from_fn(|k| _mm256_set1_epi32(i32::from(pairs[k][0] as u16) | (i32::from(pairs[k][1]) << 16)))
}

/// A bit for each of sixteen sums that is at most the limit.
#[inline]
#[target_feature(enable = "avx2")]
fn within(sums: [__m256i; 2], limit: __m256i) -> u32 {
    let far = sums.map(|sum| _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(sum, limit))) as u32);
    !(far[0] | far[1] << 8) & 0xffff
}

#[target_feature(enable = "avx2")]
fn scan_avx2(groups: &[i16], near: &[u32], query: &[i16; COARSE], limit: i32, found: &mut Vec<u32>) {
    let (query, limit) = (pairs(query), _mm256_set1_epi32(limit));
    for (group, codes) in chosen(groups, near) {
        let mut sums = [_mm256_setzero_si256(); 2];
        for (k, query) in query.iter().enumerate() {
            for (half, sum) in sums.iter_mut().enumerate() {
                // SAFETY: a group is `COARSE / 2` times two halves of 16 codes.
                let codes = unsafe { _mm256_loadu_si256(codes.as_ptr().add((k * 2 + half) * 16).cast()) };
                let difference = _mm256_sub_epi16(*query, codes);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(difference, difference));
            }
        }
        push_set(within(sums, limit), group, found);
    }
}

#[target_feature(enable = "avx2")]
fn thin_avx2(query: &[i16; FINE], rows: &[[i16; FINE]], positions: &[u32], limit: i32, near: &mut Vec<(i32, u32)>) {
    push_near(rows, positions, limit, near, |row| squared_avx2(query, row));
}

#[inline]
#[target_feature(enable = "avx2")]
fn squared_avx2(a: &[i16; FINE], b: &[i16; FINE]) -> i32 {
    let mut sum = _mm256_setzero_si256();
    for at in (0..FINE).step_by(16) {
        // SAFETY: `FINE` is a multiple of 16.
        let difference = unsafe {
            _mm256_sub_epi16(_mm256_loadu_si256(a.as_ptr().add(at).cast()), _mm256_loadu_si256(b.as_ptr().add(at).cast()))
        };
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(difference, difference));
    }
    total(sum)
}

/// The reference, compiled for wider registers.
#[target_feature(enable = "avx2")]
fn quantise_avx2(vector: &[f32], mean: &[f32], limit: u16, codes: &mut [i16]) -> (f32, u64) {
    quantise(vector, mean, limit, codes)
}

/// Sum of eight lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn total(sum: __m256i) -> i32 {
    let half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
    let quarter = _mm_add_epi32(half, _mm_shuffle_epi32::<0b01_00_11_10>(half));
    let eighth = _mm_add_epi32(quarter, _mm_shuffle_epi32::<0b00_00_00_01>(quarter));
    _mm_cvtsi128_si32(eighth)
}
