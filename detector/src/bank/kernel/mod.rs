//! Integer dot products, one scalar reference and one kernel for each instruction set, chosen at run time. All give the same integers.

#[cfg(target_arch = "aarch64")]
mod arm;
#[cfg(target_arch = "x86_64")]
mod x86;

/// Queries that a kernel handles at once.
pub(super) const TILE: usize = 4;

/// Computes `dots[row * TILE + query] = queries[query] · rows[row]` for `TILE` queries; `stride` values each, a multiple of 32.
type Dots = fn(queries: &[i8], rows: &[i8], stride: usize, dots: &mut [i32]);

/// One way to compute dot products that this processor can run.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// `scalar`, `avx2`, `neon` or `neon-dotprod`.
    pub name: &'static str,
    run: Dots,
}

impl Kernel {
    /// The fastest that this processor can run.
    pub fn best() -> Kernel {
        static BEST: std::sync::OnceLock<Kernel> = std::sync::OnceLock::new();
        *BEST.get_or_init(|| kernels().pop().unwrap_or(SCALAR))
    }

    /// Checks the lengths that the unsafe kernels rely on.
    pub(super) fn dots(&self, queries: &[i8], rows: &[i8], stride: usize, dots: &mut [i32]) {
        assert!(stride.is_multiple_of(32) && stride > 0, "stride is padded");
        assert_eq!(queries.len(), TILE * stride, "one tile of queries");
        assert_eq!(rows.len() / stride * TILE, dots.len(), "one result for every pair");
        (self.run)(queries, rows, stride, dots);
    }
}

const SCALAR: Kernel = Kernel { name: "scalar", run: scalar };

/// All kernels that this processor can run, slowest first.
pub fn kernels() -> Vec<Kernel> {
    #[allow(unused_mut)]
    let mut kernels = vec![SCALAR];
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        kernels.push(Kernel { name: "avx2", run: x86::avx2 });
    }
    #[cfg(target_arch = "aarch64")]
    {
        kernels.push(Kernel { name: "neon", run: arm::neon });
        if std::arch::is_aarch64_feature_detected!("dotprod") {
            kernels.push(Kernel { name: "neon-dotprod", run: arm::dotprod });
        }
    }
    kernels
}

fn scalar(queries: &[i8], rows: &[i8], stride: usize, dots: &mut [i32]) {
    for (row, dots) in rows.chunks_exact(stride).zip(dots.chunks_exact_mut(TILE)) {
        for (query, dot) in queries.chunks_exact(stride).zip(dots) {
            *dot = query.iter().zip(row).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Codes at both extremes and in between.
    fn code() -> impl Strategy<Value = i8> {
        prop_oneof![Just(-127i8), Just(127i8), -127i8..=127]
    }

    proptest! {
        #[test]
        fn every_kernel_equals_the_reference(
            (stride, rows, queries) in (1usize..14, 0usize..9).prop_flat_map(|(blocks, rows)| {
                let stride = blocks * 32;
                let codes = |n| prop::collection::vec(code(), n);
                (Just(stride), codes(rows * stride), codes(TILE * stride))
            })
        ) {
            let mut expected = vec![0; rows.len() / stride * TILE];
            SCALAR.dots(&queries, &rows, stride, &mut expected);
            for kernel in kernels() {
                let mut dots = vec![-1; expected.len()];
                kernel.dots(&queries, &rows, stride, &mut dots);
                prop_assert_eq!(&dots, &expected, "{}", kernel.name);
            }
        }
    }

    #[test]
    fn the_longest_extreme_vectors_do_not_overflow() {
        let stride = super::super::DIMS_LIMIT;
        let (queries, rows) = (vec![-127i8; TILE * stride], vec![127i8; stride]);
        for kernel in kernels() {
            let mut dots = [0; TILE];
            kernel.dots(&queries, &rows, stride, &mut dots);
            assert_eq!(dots, [-127 * 127 * stride as i32; TILE], "{}", kernel.name);
        }
    }
}
