//! AVX-512 with VNNI: multiply, add in pairs and accumulate are one instruction.
#![allow(unsafe_code, reason = "vector loads through pointers; the lengths are checked by the methods of `Kernel`")]

use std::arch::x86_64::*;

use super::shared::{chosen, quantise};
use super::table::{Boxes, COARSE, FINE, GROUP, Kernel, TILE};

/// The kernel, if this processor has these extensions.
pub(super) fn kernel() -> Option<Kernel> {
    let there =
        is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vnni");
    // SAFETY: these closures are handed out only where the extensions were detected; lengths are checked by the methods of `Kernel`.
    there.then_some(Kernel {
        name: "avx512-vnni",
        dots: |queries, rows, stride, dots| unsafe { dots_vnni(queries, rows, stride, dots) },
        dot: |query, row| unsafe { dot_vnni(query, row) },
        boxes: |boxes, query, limit, near| unsafe { boxes_vnni(boxes, query, limit, near) },
        scan: |groups, near, query, limit, found| unsafe { scan_vnni(groups, near, query, limit, found) },
        thin: |query, rows, positions, limit, near| unsafe { thin_vnni(query, rows, positions, limit, near) },
        quantise: |vector, mean, limit, codes| unsafe { quantise_vnni(vector, mean, limit, codes) },
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
    // Each addition waits for the one before it: four sums run side by side.
    let mut sums = [_mm512_setzero_si512(); 4];
    let (query, row) = (query.as_chunks::<32>().0, row.as_chunks::<32>().0);
    for (query, row) in query.chunks(4).zip(row.chunks(4)) {
        for (sum, (query, row)) in sums.iter_mut().zip(query.iter().zip(row)) {
            // SAFETY: both are arrays of 32 codes.
            *sum = unsafe {
                let row = _mm512_cvtepi8_epi16(_mm256_loadu_si256(row.as_ptr().cast()));
                _mm512_dpwssd_epi32(*sum, row, _mm512_loadu_si512(query.as_ptr().cast()))
            };
        }
    }
    let [a, b, c, d] = sums;
    _mm512_reduce_add_epi32(_mm512_add_epi32(_mm512_add_epi32(a, b), _mm512_add_epi32(c, d)))
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn boxes_vnni(boxes: &[Boxes], query: &[i16; COARSE], limit: i32, near: &mut Vec<u32>) {
    let (query, limit) = (pairs(query), _mm512_set1_epi32(limit));
    for (at, [low, high]) in boxes.iter().enumerate() {
        let mut sum = _mm512_setzero_si512();
        for (k, query) in query.iter().enumerate() {
            // SAFETY: bounds are `COARSE / 2` times 32 codes.
            let (low, high) = unsafe {
                (_mm512_loadu_si512(low.as_ptr().add(k * 32).cast()), _mm512_loadu_si512(high.as_ptr().add(k * 32).cast()))
            };
            let outside = _mm512_max_epi16(_mm512_sub_epi16(low, *query), _mm512_sub_epi16(*query, high));
            let outside = _mm512_max_epi16(outside, _mm512_setzero_si512());
            sum = _mm512_dpwssd_epi32(sum, outside, outside);
        }
        push_set(_mm512_cmple_epi32_mask(sum, limit), at, near);
    }
}

/// The query's coordinates, two and two in all lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn pairs(query: &[i16; COARSE]) -> [__m512i; COARSE / 2] {
    let pairs = query.as_chunks::<2>().0;
    std::array::from_fn(|k| _mm512_set1_epi32(i32::from(pairs[k][0] as u16) | (i32::from(pairs[k][1]) << 16)))
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn scan_vnni(groups: &[i16], near: &[u32], query: &[i16; COARSE], limit: i32, found: &mut Vec<u32>) {
    let (query, limit) = (pairs(query), _mm512_set1_epi32(limit));
    for (group, codes) in chosen(groups, near) {
        let mut sum = _mm512_setzero_si512();
        for (k, query) in query.iter().enumerate() {
            // SAFETY: a group is `COARSE / 2` times 32 codes.
            let codes = unsafe { _mm512_loadu_si512(codes.as_ptr().add(k * 32).cast()) };
            let difference = _mm512_sub_epi16(*query, codes);
            sum = _mm512_dpwssd_epi32(sum, difference, difference);
        }
        push_set(_mm512_cmple_epi32_mask(sum, limit), group, found);
    }
}

/// Appends the rows of a group whose bit is set, without a branch for each.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn push_set(mask: __mmask16, group: usize, found: &mut Vec<u32>) {
    if mask == 0 {
        return;
    }
    let lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    let rows = _mm512_add_epi32(lanes, _mm512_set1_epi32((group * GROUP) as i32));
    found.reserve(GROUP);
    // SAFETY: there is room for a whole group, and as many rows as the mask has bits are written first.
    unsafe {
        _mm512_storeu_si512(found.as_mut_ptr().add(found.len()).cast(), _mm512_maskz_compress_epi32(mask, rows));
        found.set_len(found.len() + mask.count_ones() as usize);
    }
}

/// Sixteen rows at a time, whose lanes are added together in one go.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn thin_vnni(query: &[i16; FINE], rows: &[[i16; FINE]], positions: &[u32], limit: i32, near: &mut Vec<(i32, u32)>) {
    // SAFETY: `FINE` is 32.
    let query = unsafe { _mm512_loadu_si512(query.as_ptr().cast()) };
    let limit = _mm512_set1_epi32(limit);
    let behind = _mm512_set1_epi32(u32::try_from(rows.len()).unwrap_or(u32::MAX) as i32);
    for some in positions.chunks(GROUP) {
        let mut positions = [u32::MAX; GROUP];
        positions[..some.len()].copy_from_slice(some);
        let sums = positions.map(|position| {
            // Positions behind the last row are dropped below, whatever is computed for them.
            let row = rows.get(position as usize).unwrap_or(&[0; FINE]);
            // SAFETY: a row is 32 codes.
            let difference = _mm512_sub_epi16(query, unsafe { _mm512_loadu_si512(row.as_ptr().cast()) });
            _mm512_madd_epi16(difference, difference)
        });
        let squared = totals(sums);
        // SAFETY: arrays of sixteen.
        let positions = unsafe { _mm512_loadu_si512(positions.as_ptr().cast()) };
        let mask = _mm512_cmple_epi32_mask(squared, limit) & _mm512_cmplt_epu32_mask(positions, behind);
        let (mut near_squared, mut near_positions) = ([0i32; GROUP], [0u32; GROUP]);
        // SAFETY: arrays of sixteen.
        unsafe {
            _mm512_storeu_si512(near_squared.as_mut_ptr().cast(), _mm512_maskz_compress_epi32(mask, squared));
            _mm512_storeu_si512(near_positions.as_mut_ptr().cast(), _mm512_maskz_compress_epi32(mask, positions));
        }
        near.extend(near_squared.into_iter().zip(near_positions).take(mask.count_ones() as usize));
    }
}

/// The sum of each vector's lanes, in the order of the vectors.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn totals(vectors: [__m512i; GROUP]) -> __m512i {
    let twos: [__m512i; 8] = std::array::from_fn(|i| {
        let (a, b) = (vectors[2 * i], vectors[2 * i + 1]);
        _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b))
    });
    let fours: [__m512i; 4] = std::array::from_fn(|i| {
        let (a, b) = (twos[2 * i], twos[2 * i + 1]);
        _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b))
    });
    let halves =
        |a, b| _mm512_add_epi32(_mm512_shuffle_i32x4::<0b10_00_10_00>(a, b), _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b));
    halves(halves(fours[0], fours[1]), halves(fours[2], fours[3]))
}

/// The reference, compiled for wider registers.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn quantise_vnni(vector: &[f32], mean: &[f32], limit: u16, codes: &mut [i16]) -> (f32, u64) {
    quantise(vector, mean, limit, codes)
}
