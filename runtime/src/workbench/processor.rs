//! Which instructions of this processor the search uses.

use detector::bank::{Kernel, kernels};

/// The instructions that matter to the kernels, and whether this processor has them.
fn features() -> Vec<(&'static str, bool)> {
    macro_rules! detected {
        ($detect:ident: $($name:tt),*) => { vec![$(($name, std::arch::$detect!($name))),*] };
    }
    #[cfg(target_arch = "x86_64")]
    return detected!(is_x86_feature_detected: "avx2", "fma", "avx512f", "avx512vnni", "avxvnni");
    #[cfg(target_arch = "aarch64")]
    return detected!(is_aarch64_feature_detected: "neon", "dotprod", "i8mm");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return Vec::new();
}

/// One line for people: the search kernel, the kernels that it was chosen from, and which instructions the processor has and lacks.
pub fn describe() -> String {
    let with = |wanted: bool| {
        let names: Vec<&str> = features().into_iter().filter(|(_, has)| *has == wanted).map(|(name, _)| name).collect();
        if names.is_empty() { "nothing".to_string() } else { names.join(" ") }
    };
    let names: Vec<&str> = kernels().iter().map(|kernel| kernel.name).collect();
    format!(
        "{}, search kernel {}: the fastest of those that run here ({}); it has {}, it lacks {}",
        std::env::consts::ARCH,
        Kernel::best().name,
        names.join(", "),
        with(true),
        with(false)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_the_last_that_runs_here() {
        let text = describe();
        let last = kernels().pop().unwrap().name;
        assert!(text.contains(&format!("search kernel {last}:")) && text.contains("scalar"), "{text}");
    }
}
