//! Boots the machine and reads its answer from the console.

use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::parts::{Files, Machine};
use crate::{files, process};

/// Longest time of a machine: one that hangs must not hold up its user.
pub const SHORT: Duration = Duration::from_secs(3600);
/// The same for the long scenarios.
pub const LONG: Duration = Duration::from_secs(6 * 3600);
/// Lines of the console that are shown when the machine ends without an answer.
const TAIL: usize = 40;

/// The guest's console.
#[derive(Debug, Default)]
struct Console {
    /// Its lines, without spaces at their ends.
    text: Vec<String>,
    /// How many scenarios passed, failed, and failed each time on a machine that stood still.
    counts: Option<[usize; 3]>,
}

/// Boots the machine and waits for its end. Returns how many scenarios passed, failed, and failed each time on a machine that stood still.
/// Changes of the image are thrown away.
pub fn boot(machine: &Machine, image: &Path, share: &Path, scratch: &Path, limit: Duration) -> Result<[usize; 3]> {
    files::make_empty_folder(scratch)?;
    eprintln!("machine-test: booting {}; it may take {} minutes at most", machine.name, limit.as_secs() / 60);
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", &limit.as_secs().to_string()]);
    (machine.start)(&mut command, &Files { image, share, scratch });
    let mut console = Console::default();
    let status = process::run_with_lines(&mut command, |line| {
        if console.take(line) {
            // Nobody is left to read a broken pipe's error.
            let _ = writeln!(io::stdout(), "{}", line.trim_end());
        }
    })?;
    files::remove(scratch)?;
    console.counts.with_context(|| format!("the machine ended without an answer ({status}); its last lines:\n{}", console.tail()))
}

impl Console {
    /// Adds a line; whether the line is a result.
    fn take(&mut self, line: &str) -> bool {
        let line = line.trim_end();
        self.text.push(line.to_owned());
        if let Some(counts) = counts(line) {
            self.counts = Some(counts);
            return true;
        }
        ["PASS  ", "FAIL  ", "UNSURE  ", "        "].iter().any(|start| line.starts_with(start))
    }

    /// The last lines.
    fn tail(&self) -> String {
        self.text[self.text.len().saturating_sub(TAIL)..].join("\n")
    }
}

/// The numbers of the guest's last line.
fn counts(line: &str) -> Option<[usize; 3]> {
    let (passed, rest) = line.split_once(" passed, ")?;
    let (failed, unsure) = rest.strip_suffix(" unsure")?.split_once(" failed, ")?;
    Some([passed.parse().ok()?, failed.parse().ok()?, unsure.parse().ok()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_recognised_among_other_lines() {
        let mut console = Console::default();
        assert!(!console.take("[    0.1] some driver: 3 passed, 0 failed over"));
        assert!(console.take("PASS  10-replay: all is well (3 s)\r") && console.take("        a note"));
        assert_eq!(console.counts, None);
        assert!(console.take("12 passed, 1 failed, 2 unsure\r"));
        assert_eq!(console.counts, Some([12, 1, 2]));
    }
}
