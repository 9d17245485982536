//! AVX-512 with VNNI: multiply, add in pairs and accumulate are one instruction.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::{COARSE, FINE, GROUP_CODES, Kernel, TILE, push_near, push_set};

/// Where the processor has it.
pub(super) fn kernel() -> Option<Kernel> {
    let there =
        is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vnni");
    // SAFETY: these closures are handed out only where the extensions were detected; lengths are checked by the methods of `Kernel`.
    there.then_some(Kernel {
        name: "avx512-vnni",
        dots: |queries, rows, stride, dots| unsafe { dots_vnni(queries, rows, stride, dots) },
        dot: |query, row| unsafe { dot_vnni(query, row) },
        scan: |groups, query, limit, found| unsafe { scan_vnni(groups, query, limit, found) },
        thin: |query, rows, positions, limit, near| unsafe { thin_vnni(query, rows, positions, limit, near) },
    })
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn dots_vnni(queries: &[i16], rows: &[i8], stride: usize, dots: &mut [i32]) {
    for (row, dots) in rows.chunks_exact(stride).zip(dots.chunks_exact_mut(TILE)) {
        assert!(queries.len() == TILE * stride && row.len() == stride);
        let mut sums = [_mm512_setzero_si512(); TILE];
        for at in (0..stride).step_by(32) {
            // SAFETY: `stride` is a multiple of 32, so `at + 32 <= stride`, the length of the row and of every query (asserted above).
            unsafe {
                let row = _mm512_cvtepi8_epi16(_mm256_loadu_si256(row.as_ptr().add(at).cast()));
                for (query, sum) in sums.iter_mut().enumerate() {
                    *sum = _mm512_dpwssd_epi32(*sum, row, _mm512_loadu_si512(queries.as_ptr().add(query * stride + at).cast()));
                }
            }
        }
        sums.iter().zip(dots).for_each(|(sum, dot)| *dot = _mm512_reduce_add_epi32(*sum));
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn dot_vnni(query: &[i16], row: &[i8]) -> i32 {
    let mut sum = _mm512_setzero_si512();
    for (query, row) in query.as_chunks::<32>().0.iter().zip(row.as_chunks::<32>().0) {
        // SAFETY: both are arrays of 32 codes.
        sum = unsafe {
            let row = _mm512_cvtepi8_epi16(_mm256_loadu_si256(row.as_ptr().cast()));
            _mm512_dpwssd_epi32(sum, row, _mm512_loadu_si512(query.as_ptr().cast()))
        };
    }
    _mm512_reduce_add_epi32(sum)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn scan_vnni(groups: &[i16], query: &[i16; COARSE], limit: i32, found: &mut Vec<u32>) {
    let pairs = query.as_chunks::<2>().0;
    let query: [__m512i; COARSE / 2] =
        std::array::from_fn(|k| _mm512_set1_epi32(i32::from(pairs[k][0] as u16) | (i32::from(pairs[k][1]) << 16)));
    let limit = _mm512_set1_epi32(limit);
    for (group, codes) in groups.as_chunks::<GROUP_CODES>().0.iter().enumerate() {
        let mut sum = _mm512_setzero_si512();
        for (k, query) in query.iter().enumerate() {
            // SAFETY: a group is `COARSE / 2` times 32 codes.
            let codes = unsafe { _mm512_loadu_si512(codes.as_ptr().add(k * 32).cast()) };
            let difference = _mm512_sub_epi16(*query, codes);
            sum = _mm512_dpwssd_epi32(sum, difference, difference);
        }
        push_set(u32::from(_mm512_cmple_epi32_mask(sum, limit)), group, found);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn thin_vnni(query: &[i16; FINE], rows: &[[i16; FINE]], positions: &[u32], limit: i32, near: &mut Vec<(i32, u32)>) {
    push_near(rows, positions, limit, near, |row| squared_vnni(query, row));
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn squared_vnni(a: &[i16; FINE], b: &[i16; FINE]) -> i32 {
    let mut sum = _mm512_setzero_si512();
    for at in (0..FINE).step_by(32) {
        // SAFETY: `FINE` is a multiple of 32.
        let difference = unsafe {
            _mm512_sub_epi16(_mm512_loadu_si512(a.as_ptr().add(at).cast()), _mm512_loadu_si512(b.as_ptr().add(at).cast()))
        };
        sum = _mm512_dpwssd_epi32(sum, difference, difference);
    }
    _mm512_reduce_add_epi32(sum)
}
