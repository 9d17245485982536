use super::kernels;
use super::scalar::SCALAR;
use super::table::*;
use crate::bank::codes::{DIMS_LIMIT, query_limit};
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
    let stride = DIMS_LIMIT;
    let limit = query_limit(stride) as i16;
    let (queries, rows) = (vec![-limit; TILE * stride], vec![127i8; stride]);
    for kernel in kernels() {
        let mut dots = [0; TILE];
        kernel.dots(&queries, &rows, stride, &mut dots);
        assert_eq!(dots, [-i32::from(limit) * 127 * stride as i32; TILE], "{}", kernel.name);
    }
}
