//! The service as systemd sees it.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::{clock, shell};

/// The unit under test.
pub const UNIT: &str = "apc-runtime@line1.service";

/// Lines of the log that are shown.
const LINES: usize = 40;

/// A property of the unit.
pub fn property(name: &str) -> Result<String> {
    Ok(shell::must(&format!("systemctl show --property={name} --value {UNIT}"))?.trim().to_owned())
}

/// Its main process.
pub fn process() -> Result<u32> {
    let pid = property("MainPID")?;
    match pid.parse() {
        Ok(0) | Err(_) => bail!("{UNIT} has no main process: it is {}", property("ActiveState")?),
        Ok(pid) => Ok(pid),
    }
}

/// How often systemd has started it anew.
pub fn restarts() -> Result<u32> {
    property("NRestarts")?.parse().context("systemd gives no number of restarts")
}

/// Waits until `done`, at most until `end` (a time since boot).
pub fn wait_until<T>(end: f64, what: &str, mut done: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    loop {
        if let Some(found) = done()? {
            return Ok(found);
        }
        if clock::now() > end {
            bail!("{what}: not in time");
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Resident memory in bytes and open descriptors of the main process.
pub fn usage() -> Result<(u64, usize)> {
    let pid = process()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).context("cannot list descriptors")?.count();
    Ok((kib.context("the kernel tells no VmRSS")? * 1024, descriptors))
}

/// The thread of the main process that has this name.
pub fn thread(name: &str) -> Result<u32> {
    let pid = process()?;
    for task in fs::read_dir(format!("/proc/{pid}/task")).context("cannot list threads")?.flatten() {
        let found = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if found.trim() == name {
            return task.file_name().to_string_lossy().parse().context("a thread without a number");
        }
    }
    bail!("{UNIT} has no thread {name:?}")
}

/// The end of its log since a time since boot.
pub fn journal(since: f64) -> String {
    let since = since + clock::offset();
    let line = format!("journalctl --no-pager --output=short-monotonic --since=@{since:.3} --lines={LINES} --unit={UNIT}");
    shell::run(&line).map_or_else(|error| error.to_string(), |finished| finished.text)
}
