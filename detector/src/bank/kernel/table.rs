//! What a kernel computes, and the checks that its unsafe code relies on.

/// Queries that [`Kernel::dots`] handles at once.
pub(in crate::bank) const TILE: usize = 4;
/// Rows that [`Kernel::scan`] handles at once: they lie in the lanes of vector registers.
pub(in crate::bank) const GROUP: usize = 16;
/// Coordinates of a coarse sketch.
pub(in crate::bank) const COARSE: usize = 8;
/// Coordinates of a fine sketch.
pub(in crate::bank) const FINE: usize = 32;
/// Codes of a group: `[COARSE / 2, GROUP, 2]`, so that the pairs of all rows lie side by side.
pub(in crate::bank) const GROUP_CODES: usize = GROUP * COARSE;
/// Largest magnitude of a sketch's code: squared distances of two fine sketches fit 31 bits.
pub(in crate::bank) const SKETCH_LIMIT: i16 = 2047;

/// Smallest and largest code of each coordinate in each of [`GROUP`] groups. The layout is that of a group, with groups in the place of
/// rows.
pub(in crate::bank) type Boxes = [[i16; GROUP_CODES]; 2];

/// Keeps the rows of the near groups that are within the limit.
type Scan = fn(&[i16], &[u32], &[i16; COARSE], i32, &mut Vec<u32>);
/// Keeps the fine sketches among those found that are within the limit, with their squared distances.
type Thin = fn(&[i16; FINE], &[[i16; FINE]], &[u32], i32, &mut Vec<(i32, u32)>);

/// Fills in the codes of a vector less the mean; gives the value of one step of a code, and the sum of the codes' squares.
type Quantise = fn(&[f32], &[f32], u16, &mut [i16]) -> (f32, u64);

/// One way to compute that this processor can run.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// `scalar`, `avx2`, `avx512-vnni`, `neon` or `neon-dotprod`.
    pub name: &'static str,
    pub(super) dots: fn(&[i16], &[i8], usize, &mut [i32]),
    pub(super) dot: fn(&[i16], &[i8]) -> i32,
    pub(super) boxes: fn(&[Boxes], &[i16; COARSE], i32, &mut Vec<u32>),
    pub(super) scan: Scan,
    pub(super) thin: Thin,
    pub(super) quantise: Quantise,
}

/// These functions check the lengths that the unsafe kernels rely on.
impl Kernel {
    /// `dots[row * TILE + query] = queries[query] · rows[row]` for `TILE` queries; `stride` codes each, a multiple of 32.
    pub(in crate::bank) fn dots(&self, queries: &[i16], rows: &[i8], stride: usize, dots: &mut [i32]) {
        assert!(stride.is_multiple_of(32) && stride > 0, "stride is padded");
        assert_eq!(queries.len(), TILE * stride, "one tile of queries");
        assert_eq!(rows.len(), dots.len() / TILE * stride, "one result for every pair");
        (self.dots)(queries, rows, stride, dots);
    }

    /// Multiplies and adds on data that stays in the first cache, and gives the number of multiplications: the roof of a roofline.
    pub fn exercise(&self, rounds: usize) -> usize {
        const STRIDE: usize = 384;
        const ROWS: usize = 16;
        let (queries, rows, mut dots) = ([1; TILE * STRIDE], [1; ROWS * STRIDE], [0; ROWS * TILE]);
        for _ in 0..rounds {
            self.dots(std::hint::black_box(&queries), &rows, STRIDE, &mut dots);
        }
        rounds * std::hint::black_box(dots).len() * STRIDE
    }

    /// Dot product of two vectors of codes, whose length is a multiple of 32.
    pub(in crate::bank) fn dot(&self, query: &[i16], row: &[i8]) -> i32 {
        assert!(query.len() == row.len() && query.len().is_multiple_of(32), "padded codes");
        (self.dot)(query, row)
    }

    /// Appends the groups whose box is at most the root of `limit` away from the query.
    pub(in crate::bank) fn boxes(&self, boxes: &[Boxes], query: &[i16; COARSE], limit: i32, near: &mut Vec<u32>) {
        (self.boxes)(boxes, query, limit, near);
    }

    /// Appends the rows of those `groups` that are `near` whose squared distance to the query is at most `limit`. Groups behind the last
    /// one, which padding makes, are passed over.
    pub(in crate::bank) fn scan(&self, groups: &[i16], near: &[u32], query: &[i16; COARSE], limit: i32, found: &mut Vec<u32>) {
        assert!(groups.len().is_multiple_of(GROUP_CODES), "whole groups");
        (self.scan)(groups, near, query, limit, found);
    }

    /// Appends the squared distance to the query, and the position, of those `rows` at `positions` where it is at most `limit`.
    /// Positions behind the last row, which padding makes, are passed over.
    pub(in crate::bank) fn thin(
        &self,
        query: &[i16; FINE],
        rows: &[[i16; FINE]],
        positions: &[u32],
        limit: i32,
        near: &mut Vec<(i32, u32)>,
    ) {
        (self.thin)(query, rows, positions, limit, near);
    }

    /// Fills in the codes of `vector - mean`, with magnitudes up to `limit`; gives the value of one step of a code, and the sum of the
    /// codes' squares. Codes behind the vector's end stay as they are, and count in the sum.
    pub(in crate::bank) fn quantise(&self, vector: &[f32], mean: &[f32], limit: u16, codes: &mut [i16]) -> (f32, u64) {
        assert!(vector.len() == mean.len() && vector.len() <= codes.len(), "a mean and a code for each value");
        (self.quantise)(vector, mean, limit, codes)
    }
}
