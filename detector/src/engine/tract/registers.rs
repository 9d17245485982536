//! The vector registers after a run.

/// Marks the upper halves of this thread's vector registers as unused.
///
/// The last of tract's kernels may leave them in use, as the kernel of a convolution with a single output does. Until some other code
/// clears them, every SSE instruction waits for them: with a defect head, normalising the next picture took several times as long.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "an instruction that only processors with AVX have")]
pub fn clear_upper() {
    #[target_feature(enable = "avx")]
    fn clear() {
        std::arch::x86_64::_mm256_zeroupper();
    }
    if std::is_x86_feature_detected!("avx") {
        // SAFETY: this processor has AVX.
        unsafe { clear() }
    }
}

/// Only x86-64 has registers with such halves.
#[cfg(not(target_arch = "x86_64"))]
pub fn clear_upper() {}
