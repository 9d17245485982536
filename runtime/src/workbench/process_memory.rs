//! Sizes in the kernel's tables: the memory of this process and of the machine.

use std::fs;

/// A size of this process in MiB, such as `VmRSS:` (resident now) or `VmHWM:` (resident at most); `None` where the kernel does not show it.
pub fn of_process(field: &str) -> Option<f64> {
    of_table("/proc/self/status", field)
}

/// The machine's memory in MiB; `None` where the kernel does not show it.
pub fn of_machine() -> Option<f64> {
    of_table("/proc/meminfo", "MemTotal:")
}

/// A value that stands in kB in one of the kernel's tables, in MiB.
fn of_table(table: &str, field: &str) -> Option<f64> {
    let table = fs::read_to_string(table).ok()?;
    let line = table.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read() {
        let resident = of_process("VmRSS:").unwrap();
        assert!((1.0..10_000.0).contains(&resident) && of_machine().unwrap() > resident);
        assert_eq!(of_process("VmNothing:"), None);
    }
}
