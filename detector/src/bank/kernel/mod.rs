//! Integer kernels of the search: one scalar reference and one set for each instruction set, chosen at run time. All give the same
//! integers.

#[cfg(target_arch = "aarch64")]
mod arm;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

/// Queries that [`Kernel::dots`] handles at once.
pub(super) const TILE: usize = 4;
/// Rows that [`Kernel::scan`] handles at once: they lie in the lanes of vector registers.
pub(super) const GROUP: usize = 16;
/// Coordinates of a coarse sketch.
pub(super) const COARSE: usize = 8;
/// Coordinates of a fine sketch.
pub(super) const FINE: usize = 32;
/// Codes of a group: `[COARSE / 2, GROUP, 2]`, so that the pairs of all rows lie side by side.
pub(super) const GROUP_CODES: usize = GROUP * COARSE;
/// Largest magnitude of a sketch's code: squared distances of two fine sketches fit 31 bits.
pub(super) const SKETCH_LIMIT: i16 = 2047;

/// What [`GROUP`] groups hold at least and at most of each coordinate. Laid out like a group, with groups in the place of rows.
pub(super) type Boxes = [[i16; GROUP_CODES]; 2];

/// Keeps the rows of the near groups that are within the limit.
type Scan = fn(&[i16], &[u32], &[i16; COARSE], i32, &mut Vec<u32>);
/// Keeps the fine sketches among those found that are within the limit, with their squared distances.
type Thin = fn(&[i16; FINE], &[[i16; FINE]], &[u32], i32, &mut Vec<(i32, u32)>);

/// Codes of a vector less the mean; what a step of them is worth, and the sum of their squares.
type Quantise = fn(&[f32], &[f32], u16, &mut [i16]) -> (f32, u64);

/// One way to compute that this processor can run.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// `scalar`, `avx2`, `avx512-vnni`, `neon` or `neon-dotprod`.
    pub name: &'static str,
    dots: fn(&[i16], &[i8], usize, &mut [i32]),
    dot: fn(&[i16], &[i8]) -> i32,
    boxes: fn(&[Boxes], &[i16; COARSE], i32, &mut Vec<u32>),
    scan: Scan,
    thin: Thin,
    quantise: Quantise,
}

/// Functions check the lengths that the unsafe kernels rely on.
impl Kernel {
    /// The fastest that this processor can run.
    pub fn best() -> Kernel {
        static BEST: std::sync::OnceLock<Kernel> = std::sync::OnceLock::new();
        *BEST.get_or_init(|| kernels().pop().unwrap_or(SCALAR))
    }

    /// `dots[row * TILE + query] = queries[query] · rows[row]` for `TILE` queries; `stride` codes each, a multiple of 32.
    pub(super) fn dots(&self, queries: &[i16], rows: &[i8], stride: usize, dots: &mut [i32]) {
        assert!(stride.is_multiple_of(32) && stride > 0, "stride is padded");
        assert_eq!(queries.len(), TILE * stride, "one tile of queries");
        assert_eq!(rows.len(), dots.len() / TILE * stride, "one result for every pair");
        (self.dots)(queries, rows, stride, dots);
    }

    /// Multiplies and adds as often as it says, on data that never leaves the first cache: the roof of a roofline.
    pub fn exercise(&self, rounds: usize) -> usize {
        const STRIDE: usize = 384;
        const ROWS: usize = 16;
        let (queries, rows, mut dots) = ([1; TILE * STRIDE], [1; ROWS * STRIDE], [0; ROWS * TILE]);
        for _ in 0..rounds {
            self.dots(std::hint::black_box(&queries), &rows, STRIDE, &mut dots);
        }
        rounds * std::hint::black_box(dots).len() * STRIDE
    }

    /// One product; the length is a multiple of 32.
    pub(super) fn dot(&self, query: &[i16], row: &[i8]) -> i32 {
        assert!(query.len() == row.len() && query.len().is_multiple_of(32), "padded codes");
        (self.dot)(query, row)
    }

    /// Appends the groups whose box is at most the root of `limit` away from the query.
    pub(super) fn boxes(&self, boxes: &[Boxes], query: &[i16; COARSE], limit: i32, near: &mut Vec<u32>) {
        (self.boxes)(boxes, query, limit, near);
    }

    /// Appends the rows of those `groups` that are `near` whose squared distance to the query is at most `limit`. Groups behind the last
    /// one, which padding makes, are passed over.
    pub(super) fn scan(&self, groups: &[i16], near: &[u32], query: &[i16; COARSE], limit: i32, found: &mut Vec<u32>) {
        assert!(groups.len().is_multiple_of(GROUP_CODES), "whole groups");
        (self.scan)(groups, near, query, limit, found);
    }

    /// Appends the squared distance to the query, and the position, of those `rows` at `positions` where it is at most `limit`.
    /// Positions behind the last row, which padding makes, are passed over.
    pub(super) fn thin(
        &self,
        query: &[i16; FINE],
        rows: &[[i16; FINE]],
        positions: &[u32],
        limit: i32,
        near: &mut Vec<(i32, u32)>,
    ) {
        (self.thin)(query, rows, positions, limit, near);
    }

    /// Codes of `vector - mean` with magnitudes up to `limit`; gives what one step of them is worth, and the sum of their squares. Codes
    /// behind the vector's end stay as they are, and count.
    pub(super) fn quantise(&self, vector: &[f32], mean: &[f32], limit: u16, codes: &mut [i16]) -> (f32, u64) {
        assert!(vector.len() == mean.len() && vector.len() <= codes.len(), "a mean and a code for each value");
        (self.quantise)(vector, mean, limit, codes)
    }
}

pub(super) const SCALAR: Kernel = Kernel {
    name: "scalar",
    dots: scalar_dots,
    dot: scalar_dot,
    boxes: scalar_boxes,
    scan: scalar_scan,
    thin: scalar_thin,
    quantise,
};

/// All kernels that this processor can run, slowest first.
pub fn kernels() -> Vec<Kernel> {
    #[allow(unused_mut)]
    let mut kernels = vec![SCALAR];
    #[cfg(target_arch = "x86_64")]
    {
        kernels.extend(avx2::kernel());
        kernels.extend(avx512::kernel());
    }
    #[cfg(target_arch = "aarch64")]
    kernels.extend(arm::kernels());
    kernels
}

fn scalar_dots(queries: &[i16], rows: &[i8], stride: usize, dots: &mut [i32]) {
    for (row, dots) in rows.chunks_exact(stride).zip(dots.chunks_exact_mut(TILE)) {
        for (query, dot) in queries.chunks_exact(stride).zip(dots) {
            *dot = scalar_dot(query, row);
        }
    }
}

fn scalar_dot(query: &[i16], row: &[i8]) -> i32 {
    query.iter().zip(row).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

fn scalar_scan(groups: &[i16], near: &[u32], query: &[i16; COARSE], limit: i32, found: &mut Vec<u32>) {
    for (group, codes) in chosen(groups, near) {
        for row in 0..GROUP {
            let code = |k: usize| codes[(k / 2 * GROUP + row) * 2 + k % 2];
            let squared: i32 = (0..COARSE).map(|k| (i32::from(query[k]) - i32::from(code(k))).pow(2)).sum();
            if squared <= limit {
                found.push((group * GROUP + row) as u32);
            }
        }
    }
}

fn scalar_thin(query: &[i16; FINE], rows: &[[i16; FINE]], positions: &[u32], limit: i32, near: &mut Vec<(i32, u32)>) {
    let squared = |row: &[i16; FINE]| query.iter().zip(row).map(|(a, b)| (i32::from(*a) - i32::from(*b)).pow(2)).sum();
    push_near(rows, positions, limit, near, squared);
}

fn scalar_boxes(boxes: &[Boxes], query: &[i16; COARSE], limit: i32, near: &mut Vec<u32>) {
    for (at, [low, high]) in boxes.iter().enumerate() {
        for lane in 0..GROUP {
            let code = |codes: &[i16; GROUP_CODES], k: usize| i32::from(codes[(k / 2 * GROUP + lane) * 2 + k % 2]);
            let outside = |k: usize| (code(low, k) - i32::from(query[k])).max(i32::from(query[k]) - code(high, k)).max(0);
            if (0..COARSE).map(|k| outside(k).pow(2)).sum::<i32>() <= limit {
                near.push((at * GROUP + lane) as u32);
            }
        }
    }
}

/// The same operations for each value whatever the width of registers, so all kernels give the same codes.
#[inline(always)]
fn quantise(vector: &[f32], mean: &[f32], limit: u16, codes: &mut [i16]) -> (f32, u64) {
    /// Adding it leaves the nearest whole number, ties to even, in the lowest bits: `f32::round_ties_even` is a function call on
    /// processors of the base instruction set.
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

/// The codes of those groups that are there.
#[inline(always)]
fn chosen<'a>(groups: &'a [i16], near: &'a [u32]) -> impl Iterator<Item = (usize, &'a [i16; GROUP_CODES])> {
    let groups = groups.as_chunks::<GROUP_CODES>().0;
    near.iter().filter_map(|group| Some((*group as usize, groups.get(*group as usize)?)))
}

/// What every kernel's `thin` does, inlined into it so that its instructions can be used.
#[inline(always)]
fn push_near(
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

/// Appends the rows of a group whose bit is set.
#[inline(always)]
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn push_set(mut mask: u32, group: usize, found: &mut Vec<u32>) {
    while mask != 0 {
        found.push((group * GROUP) as u32 + mask.trailing_zeros());
        mask &= mask - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Codes at both extremes and in between.
    fn row(len: usize) -> impl Strategy<Value = Vec<i8>> {
        prop::collection::vec(prop_oneof![Just(-127i8), Just(127i8), -127i8..=127], len)
    }

    fn wide(len: usize, limit: i16) -> impl Strategy<Value = Vec<i16>> {
        prop::collection::vec(prop_oneof![Just(-limit), Just(limit), -limit..=limit], len)
    }

    proptest! {
        #[test]
        fn products_equal_the_reference(
            (stride, rows, queries) in (1usize..14, 0usize..9).prop_flat_map(|(blocks, rows)| {
                let stride = blocks * 32;
                (Just(stride), row(rows * stride), wide(TILE * stride, 16256))
            })
        ) {
            let mut expected = vec![0; rows.len() / stride * TILE];
            SCALAR.dots(&queries, &rows, stride, &mut expected);
            for kernel in kernels() {
                let mut dots = vec![-1; expected.len()];
                kernel.dots(&queries, &rows, stride, &mut dots);
                prop_assert_eq!(&dots, &expected, "{}", kernel.name);
                for (row, dots) in rows.chunks_exact(stride).zip(expected.chunks_exact(TILE)) {
                    prop_assert_eq!(kernel.dot(&queries[..stride], row), dots[0], "{}", kernel.name);
                }
            }
        }

        #[test]
        fn sketches_equal_the_reference(
            groups in (0usize..5).prop_flat_map(|n| wide(n * GROUP_CODES, SKETCH_LIMIT)),
            (query, fine, rows) in (wide(COARSE, SKETCH_LIMIT), wide(FINE, SKETCH_LIMIT), wide(7 * FINE, SKETCH_LIMIT)),
            limit in prop_oneof![0i32..200_000_000, Just(i32::MAX)],
        ) {
            let query: [i16; COARSE] = query.try_into().unwrap();
            let (fine, rows): ([i16; FINE], _) = (fine.try_into().unwrap(), rows.as_chunks().0);
            let mut expected = Vec::new();
            let all: Vec<u32> = (0..6).collect();
            SCALAR.scan(&groups, &all, &query, limit, &mut expected);
            // Two groups as bounds, whichever is larger: kernels must agree whatever they are.
            let boxes: Vec<Boxes> = groups.as_chunks().0.windows(2).map(|pair| [pair[0], pair[1]]).collect();
            let mut expected_boxes = Vec::new();
            SCALAR.boxes(&boxes, &query, limit, &mut expected_boxes);
            for kernel in kernels() {
                let mut found = Vec::new();
                kernel.scan(&groups, &all, &query, limit, &mut found);
                prop_assert_eq!(&found, &expected, "{}", kernel.name);
                found.clear();
                kernel.boxes(&boxes, &query, limit, &mut found);
                prop_assert_eq!(&found, &expected_boxes, "{}", kernel.name);
                let (mut near, mut expected) = (Vec::new(), Vec::new());
                SCALAR.thin(&fine, rows, &[1, 0, 6, 7], limit, &mut expected);
                kernel.thin(&fine, rows, &[1, 0, 6, 7], limit, &mut near);
                prop_assert_eq!(&near, &expected, "{}", kernel.name);
            }
        }
    }

    proptest! {
        #[test]
        fn codes_equal_the_reference(
            (vector, mean) in (1usize..100).prop_flat_map(|n| {
                let value = prop_oneof![-1e3f32..1e3, -1e-40f32..1e-40, -3e38f32..3e38];
                (prop::collection::vec(value.clone(), n), prop::collection::vec(value, n))
            }),
            limit in 1u16..16257,
        ) {
            let quantised = |kernel: Kernel| {
                let mut codes = vec![0; vector.len().next_multiple_of(32)];
                (kernel.quantise(&vector, &mean, limit, &mut codes), codes)
            };
            let ((scale, squares), codes) = quantised(SCALAR);
            prop_assert_eq!(squares, codes.iter().map(|code| u64::from(code.unsigned_abs()).pow(2)).sum::<u64>());
            prop_assert!(codes.iter().all(|code| code.unsigned_abs() <= limit));
            for kernel in kernels() {
                prop_assert_eq!(&quantised(kernel), &((scale, squares), codes.clone()), "{}", kernel.name);
            }
        }
    }

    #[test]
    fn rounding_is_to_the_nearest() {
        for kernel in kernels() {
            let mut codes = [9; 6];
            let found = kernel.quantise(&[4.0, -4.0, 1.4, 0.5, 1.5], &[0.0; 5], 4, &mut codes);
            assert_eq!((found, codes), ((1.0, 37 + 81), [4, -4, 1, 0, 2, 9]), "{}", kernel.name);
        }
    }

    #[test]
    fn the_longest_extreme_vectors_do_not_overflow() {
        let stride = super::super::DIMS_LIMIT;
        let limit = super::super::query_limit(stride) as i16;
        let (queries, rows) = (vec![-limit; TILE * stride], vec![127i8; stride]);
        for kernel in kernels() {
            let mut dots = [0; TILE];
            kernel.dots(&queries, &rows, stride, &mut dots);
            assert_eq!(dots, [-i32::from(limit) * 127 * stride as i32; TILE], "{}", kernel.name);
        }
    }
}
