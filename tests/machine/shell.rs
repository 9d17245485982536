//! Programs of the guest.

use std::process::Command;

use anyhow::{Context, Result, bail};

/// What a finished command left.
pub struct Finished {
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output, then standard error.
    pub text: String,
}

/// Runs a line of shell.
pub fn run(line: &str) -> Result<Finished> {
    let output = Command::new("sh").args(["-c", line]).output().with_context(|| format!("cannot run {line:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ok(Finished { code: output.status.code().unwrap_or(-1), text })
}

/// Runs a line of shell that must succeed; gives what it printed.
pub fn must(line: &str) -> Result<String> {
    let Finished { code, text } = run(line)?;
    if code != 0 {
        bail!("`{line}` ended with {code}:\n{text}");
    }
    Ok(text)
}
