//! Boots the machine and reads its answer from the console.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Machine, refill};
use crate::process;

/// Longest time for everything: a machine that hangs must not hold up who waits for it.
pub const SHORT: Duration = Duration::from_secs(3600);
/// The same for the long scenarios.
pub const LONG: Duration = Duration::from_secs(6 * 3600);
/// Lines of the console that are shown when the machine ends without an answer.
const TAIL: usize = 40;

/// What every kernel is told: a quiet console, for the results come over it.
pub const KERNEL: [&str; 4] = ["rw", "rootfstype=ext4", "loglevel=4", "systemd.show_status=0"];
/// The line's camera, with one HDMI input and one HDMI output: what is written to the output arrives at the input. And two that show test
/// pictures in all formats, the second in buffers of planes.
pub const CAMERA: [&str; 7] = [
    "vivid.n_devs=3",
    "vivid.node_types=0x101,0x1,0x1",
    "vivid.multiplanar=1,1,2",
    "vivid.num_inputs=1,1,1",
    "vivid.input_types=0x3,0x0,0x0",
    "vivid.num_outputs=1,0,0",
    "vivid.output_types=0x1",
];

/// What a machine boots from.
pub struct Files<'a> {
    /// The folder of the root file system's image, and of the kernel where that is a package of it.
    pub image: &'a Path,
    /// What the guest sees as /host.
    pub share: &'a Path,
    /// An empty folder for as long as it runs.
    pub scratch: &'a Path,
}

/// What the guest said.
#[derive(Debug, Default)]
struct Console {
    /// What is on the screen, without the kernel's words.
    text: Vec<String>,
    /// How many scenarios passed, failed, and failed each time on a machine that stood still.
    counts: Option<[usize; 3]>,
}

/// How many scenarios passed, failed, and failed each time on a machine that stood still. Changes of the image are thrown away.
pub fn boot(machine: &Machine, image: &Path, share: &Path, scratch: &Path, limit: Duration) -> Result<[usize; 3]> {
    refill(scratch)?;
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
    fs::remove_dir_all(scratch).with_context(|| format!("cannot remove {}", scratch.display()))?;
    console.counts.with_context(|| format!("the machine ended without an answer ({status}); its last words:\n{}", console.tail()))
}

impl Console {
    /// Takes a line in; whether it is a result.
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

/// The numbers of the last line.
fn counts(line: &str) -> Option<[usize; 3]> {
    let (passed, rest) = line.split_once(" passed, ")?;
    let (failed, unsure) = rest.strip_suffix(" unsure")?.split_once(" failed, ")?;
    Some([passed.parse().ok()?, failed.parse().ok()?, unsure.parse().ok()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_told_from_other_lines() {
        let mut console = Console::default();
        assert!(!console.take("[    0.1] some driver: 3 passed, 0 failed over"));
        assert!(console.take("PASS  10-replay: all is well (3 s)\r") && console.take("        a note"));
        assert_eq!(console.counts, None);
        assert!(console.take("12 passed, 1 failed, 2 unsure\r"));
        assert_eq!(console.counts, Some([12, 1, 2]));
    }
}
