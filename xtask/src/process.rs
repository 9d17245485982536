//! Runs programs so that an interrupt reaches them once and is waited for.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGINT, SIGTERM};

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// How long a program may take to stop cleanly after an interrupt.
const GRACE: Duration = Duration::from_secs(10);

/// Turns SIGINT and SIGTERM into a flag that [`wait`] watches.
pub fn catch_interrupts() -> Result<()> {
    let flag = INTERRUPTED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(flag)).context("cannot handle signals")?;
    }
    Ok(())
}

fn interrupted() -> bool {
    INTERRUPTED.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// Starts the program in a process group of its own: the terminal's Ctrl-C then reaches it only through [`wait`], once.
pub fn start(command: &mut Command) -> Result<Child> {
    if interrupted() {
        bail!("interrupted");
    }
    command
        .process_group(0)
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))
}

/// Waits for the program's end. An interrupt is passed on to it and its children, and is an error.
pub fn wait(child: &mut Child) -> Result<ExitStatus> {
    wait_watching(child, |_| {})
}

fn wait_watching(child: &mut Child, mut watch: impl FnMut(&Child)) -> Result<ExitStatus> {
    let mut deadline = None;
    loop {
        watch(child);
        if let Some(status) = child.try_wait().context("cannot wait for a program")? {
            if deadline.is_some() || interrupted() {
                bail!("interrupted");
            }
            return Ok(status);
        }
        match deadline {
            None if interrupted() => {
                signal_group(child, Signal::INT);
                deadline = Some(Instant::now() + GRACE);
            }
            Some(end) if Instant::now() > end => signal_group(child, Signal::KILL),
            _ => {}
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn signal_group(child: &Child, signal: Signal) {
    // An error means that the group is gone: try_wait notices.
    let _ = kill_process_group(Pid::from_child(child), signal);
}

/// Runs the program to its end; its messages go to standard error, so that standard output stays the chore's own.
pub fn run(command: &mut Command) -> Result<ExitStatus> {
    wait(&mut start(command.stdout(io::stderr()))?)
}

/// Like [`run`], but anything but success is an error; `purpose` begins its text.
pub fn run_to_success(command: &mut Command, purpose: &str) -> Result<()> {
    let status = run(command).with_context(|| purpose.to_owned())?;
    expect_success(command, status, purpose)
}

/// Like [`run`], but hands each line of the program's standard output to `on_line` as it comes.
pub fn run_with_lines(command: &mut Command, on_line: impl FnMut(&str) + Send) -> Result<ExitStatus> {
    with_lines(command, on_line, |_| {})
}

fn with_lines(command: &mut Command, mut on_line: impl FnMut(&str) + Send, watch: impl FnMut(&Child)) -> Result<ExitStatus> {
    let mut child = start(command.stdout(Stdio::piped()))?;
    let stdout = child.stdout.take().context("a program has no standard output")?;
    thread::scope(|scope| {
        scope.spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                on_line(&String::from_utf8_lossy(&line));
            }
        });
        let status = wait_watching(&mut child, watch);
        // A process that the program left behind would keep the output open, and this thread waiting, for ever.
        signal_group(&child, Signal::KILL);
        status
    })
}

/// Time and memory of a program.
pub struct Usage {
    /// From start to end.
    pub seconds: f64,
    /// Largest resident memory, in bytes.
    pub peak_memory: u64,
}

/// Like [`run_to_success`], and returns the program's time and memory.
pub fn measure(command: &mut Command, purpose: &str) -> Result<Usage> {
    // The chore has no use for the program's results: they go to standard error with its messages.
    measure_with_lines(command, purpose, |line| eprintln!("{line}"))
}

/// Like [`run_with_lines`], but anything but success is an error; returns the program's time and memory.
pub fn measure_with_lines(command: &mut Command, purpose: &str, on_line: impl FnMut(&str) + Send) -> Result<Usage> {
    let started = Instant::now();
    let mut peak_memory = 0;
    // The kernel keeps the peak only as long as the process lives: growth in its last instants can be missed.
    let status = with_lines(command, on_line, |child| peak_memory = peak_memory.max(resident_peak(child).unwrap_or(0)))?;
    expect_success(command, status, purpose)?;
    Ok(Usage { seconds: started.elapsed().as_secs_f64(), peak_memory })
}

fn expect_success(command: &Command, status: ExitStatus, purpose: &str) -> Result<()> {
    if !status.success() {
        bail!("{purpose}: {} ended with {status}, see its message above", command.get_program().display());
    }
    Ok(())
}

/// The process's largest resident memory so far, in bytes.
fn resident_peak(child: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?;
    kib.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Runs the program and returns its standard output, which must come with success.
pub fn output_of(command: &mut Command, purpose: &str) -> Result<String> {
    let mut text = String::new();
    let status = run_with_lines(command, |line| {
        text.push_str(line);
        text.push('\n');
    })?;
    expect_success(command, status, purpose)?;
    Ok(text)
}

/// Whether the program can be started and succeeds; nothing is shown.
pub fn succeeds(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_time_and_memory_of_a_program() {
        // 64 MiB, held for a moment.
        let mut dd = Command::new("dd");
        dd.args(["if=/dev/zero", "of=/dev/null", "bs=64M", "count=20", "status=none"]);
        let usage = measure(&mut dd, "copy zeros").unwrap();
        assert!(usage.seconds > 0.0);
        assert!((64 << 20..256 << 20).contains(&usage.peak_memory), "{}", usage.peak_memory);
    }

    #[test]
    fn a_process_that_a_program_leaves_behind_holds_nobody_up() {
        let started = Instant::now();
        let text = output_of(Command::new("sh").args(["-c", "sleep 60 & echo done"]), "leave a child").unwrap();
        assert_eq!(text, "done\n");
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_program_that_fails_is_an_error_with_its_purpose() {
        let error = output_of(&mut Command::new("false"), "cannot do it").unwrap_err().to_string();
        assert!(error.starts_with("cannot do it: false ended with"), "{error}");
        let error = run(&mut Command::new("no-such-program")).unwrap_err().to_string();
        assert!(error.contains("no-such-program"), "{error}");
    }
}
