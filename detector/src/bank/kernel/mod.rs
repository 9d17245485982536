//! Integer kernels of the search: one scalar reference and one set for each instruction set, chosen at run time. All give the same
//! integers.

#[cfg(target_arch = "aarch64")]
mod arm;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod choice;
mod scalar;
mod shared;
mod table;
#[cfg(test)]
mod tests;

pub use choice::kernels;
#[cfg(test)]
pub(super) use scalar::SCALAR;
pub use table::Kernel;
pub(super) use table::{Boxes, COARSE, FINE, GROUP, GROUP_CODES, SKETCH_LIMIT, TILE};
