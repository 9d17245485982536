//! The programs that the machine test needs on this computer.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::binaries::cargo;
use crate::workspace::Workspace;
use crate::{files, process};

/// Programs that every machine needs, and the Debian packages that bring them.
const PROGRAMS: [(&str, &str); 4] =
    [("mmdebstrap", "mmdebstrap"), ("mke2fs", "e2fsprogs"), ("fakeroot", "fakeroot"), ("strip", "binutils")];

/// The version of cargo-deb that packs.
const CARGO_DEB: &str = "3.8.0";

/// An error names the missing programs among [`PROGRAMS`] and `more`, and the packages that bring them.
pub fn check(more: &[(&str, &str)]) -> Result<()> {
    let is_missing = |program: &str| !process::succeeds(Command::new("sh").args(["-c", &format!("command -v {program}")]));
    let missing: Vec<_> = PROGRAMS.iter().chain(more).filter(|(program, _)| is_missing(program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let programs: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
    let packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
    bail!("missing: {}; on Debian: apt install {}", programs.join(", "), packages.join(" "))
}

/// cargo-deb, built once.
pub fn cargo_deb(workspace: &Workspace) -> Result<PathBuf> {
    let tools = workspace.cache().join("tools");
    let program = tools.join("bin/cargo-deb");
    let is_right = |program: &Path| {
        let version = Command::new(program).arg("--version").output();
        version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(CARGO_DEB))
    };
    if is_right(&program) {
        return Ok(program);
    }
    eprintln!("machine-test: building cargo-deb {CARGO_DEB}");
    let target = tools.join("target");
    let mut install = cargo(workspace);
    // Unoptimised: it is built in a third of the time.
    install.env("CARGO_TARGET_DIR", &target).env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0").env("CARGO_PROFILE_RELEASE_LTO", "off");
    install.args(["install", "cargo-deb", "--version", CARGO_DEB, "--locked", "--force", "--quiet", "--root"]).arg(&tools);
    process::run_to_success(&mut install, "cannot build cargo-deb")?;
    files::remove(&target)?;
    Ok(program)
}
