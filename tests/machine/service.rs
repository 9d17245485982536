//! The service as systemd sees it.

use std::fs;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::account::Verdict;
use crate::{clock, shell};

/// The unit under test.
pub const UNIT: &str = "apc-runtime@line1.service";

/// Where its configuration tells it to write verdicts.
pub const VERDICTS: &str = "/var/log/apc/line1/verdicts.jsonl";

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

/// A thread of the service that something else holds until this is dropped: a debugger that delays each of its system calls.
pub struct Hung {
    strace: Child,
}

impl Hung {
    /// The thread of the main process that has this name.
    pub fn new(name: &str) -> Result<Hung> {
        let thread = thread(name)?;
        let mut strace = Command::new("strace");
        strace.args(["-qq", "-o", "/dev/null", "--inject=all:delay_enter=600s", "-p", &thread.to_string()]);
        let strace = strace.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("cannot start strace")?;
        let hung = Hung { strace };
        let status = format!("/proc/{thread}/status");
        let is_held =
            || Ok(fs::read_to_string(&status)?.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0")));
        wait_until(clock::now() + 5.0, "strace holds the thread", || is_held().map(|held| held.then_some(())))?;
        Ok(hung)
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

/// The thread of the main process that has this name.
fn thread(name: &str) -> Result<u32> {
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

/// What the service has said since the scenario began, on our clock.
pub fn verdicts() -> Result<Vec<Verdict>> {
    let text = fs::read_to_string(VERDICTS).unwrap_or_default();
    let offset = clock::offset();
    // A line that is being written is no line yet.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let parse = |line: &str| {
        let verdict: Verdict = serde_json::from_str(line).with_context(|| format!("not a verdict: {line}"))?;
        Ok(Verdict { captured: verdict.captured - offset, ..verdict })
    };
    match whole.lines().map(parse).collect::<Result<Vec<_>>>() {
        Ok(verdicts) => Ok(verdicts),
        Err(error) => bail!(error),
    }
}
