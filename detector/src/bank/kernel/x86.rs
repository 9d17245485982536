//! AVX2: bytes widened to 16 bit, multiplied and added in pairs.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::TILE;

/// Needs a processor with AVX2; lengths are checked by [`super::Kernel::dots`].
pub(super) fn avx2(queries: &[i8], rows: &[i8], stride: usize, dots: &mut [i32]) {
    // SAFETY: `kernels()` offers this function only where AVX2 was detected.
    unsafe { avx2_impl(queries, rows, stride, dots) }
}

#[target_feature(enable = "avx2")]
fn avx2_impl(queries: &[i8], rows: &[i8], stride: usize, dots: &mut [i32]) {
    // Queries are widened once for all rows; rows are widened as they are loaded.
    let wide: Vec<i16> = queries.iter().map(|code| i16::from(*code)).collect();
    let mut pairs = rows.chunks_exact(2 * stride);
    let mut results = dots.chunks_exact_mut(2 * TILE);
    for (pair, dots) in (&mut pairs).zip(&mut results) {
        let (a, b) = pair.split_at(stride);
        tile([a, b], &wide, stride, dots);
    }
    if let (last, true) = (pairs.remainder(), !pairs.remainder().is_empty()) {
        tile([last], &wide, stride, results.into_remainder());
    }
}

/// `N` rows against `TILE` queries, all sums in registers.
#[inline]
// Plain counted loops are what the compiler is known to unroll here.
#[allow(clippy::needless_range_loop)]
#[target_feature(enable = "avx2")]
fn tile<const N: usize>(rows: [&[i8]; N], queries: &[i16], stride: usize, dots: &mut [i32]) {
    assert!(queries.len() == TILE * stride && rows.iter().all(|row| row.len() == stride));
    let mut sums = [[_mm256_setzero_si256(); TILE]; N];
    for at in (0..stride).step_by(16) {
        // SAFETY: `stride` is a multiple of 16, so `at + 16 <= stride`, the length of every row and query (asserted above).
        unsafe {
            let row = rows.map(|row| _mm256_cvtepi8_epi16(_mm_loadu_si128(row.as_ptr().add(at).cast())));
            for query in 0..TILE {
                let query_codes = _mm256_loadu_si256(queries.as_ptr().add(query * stride + at).cast());
                for n in 0..N {
                    let products = _mm256_madd_epi16(row[n], query_codes);
                    sums[n][query] = _mm256_add_epi32(sums[n][query], products);
                }
            }
        }
    }
    for (sums, dots) in sums.iter().zip(dots.chunks_exact_mut(TILE)) {
        for (sum, dot) in sums.iter().zip(dots) {
            let half = _mm_add_epi32(_mm256_castsi256_si128(*sum), _mm256_extracti128_si256::<1>(*sum));
            let quarter = _mm_add_epi32(half, _mm_shuffle_epi32::<0b01_00_11_10>(half));
            let eighth = _mm_add_epi32(quarter, _mm_shuffle_epi32::<0b00_00_00_01>(quarter));
            *dot = _mm_cvtsi128_si32(eighth);
        }
    }
}
