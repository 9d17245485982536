//! Which kernels this processor can run.

use super::scalar::SCALAR;
use super::table::Kernel;

impl Kernel {
    /// The fastest that this processor can run.
    pub fn best() -> Kernel {
        static BEST: std::sync::OnceLock<Kernel> = std::sync::OnceLock::new();
        *BEST.get_or_init(|| kernels().pop().unwrap_or(SCALAR))
    }
}

/// All kernels that this processor can run, slowest first.
pub fn kernels() -> Vec<Kernel> {
    #[allow(unused_mut, reason = "some processors have the scalar kernel only")]
    let mut kernels = vec![SCALAR];
    #[cfg(target_arch = "x86_64")]
    {
        kernels.extend(super::avx2::kernel());
        kernels.extend(super::avx512::kernel());
    }
    #[cfg(target_arch = "aarch64")]
    kernels.extend(super::arm::kernels());
    kernels
}
