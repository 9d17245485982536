//! What the machine test needs of this machine.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::entries;
use crate::binaries::cargo;
use crate::process;
use crate::workspace::Workspace;

/// Programs and the Debian packages that bring them.
const PROGRAMS: [(&str, &str); 4] =
    [("mmdebstrap", "mmdebstrap"), ("mke2fs", "e2fsprogs"), ("fakeroot", "fakeroot"), ("strip", "binutils")];

/// The version of cargo-deb that packs.
const CARGO_DEB: &str = "3.8.0";

/// The kernel: the one that was named, else one that lies beside the checkout.
pub fn kernel(workspace: &Workspace, named: Option<&Path>) -> Result<PathBuf> {
    let named = named.map(Path::to_owned).or_else(|| env::var_os("APC_UML_KERNEL").map(PathBuf::from));
    if let Some(named) = named {
        let kernel = std::path::absolute(&named).with_context(|| format!("not a path: {}", named.display()))?;
        if !kernel.is_file() {
            bail!("{} does not exist", kernel.display());
        }
        return Ok(kernel);
    }
    let beside = workspace.root().parent().map(|parent| parent.join("shared/machine"));
    let found = beside.into_iter().filter_map(|folder| entries(&folder).ok()).flatten().rfind(|path| is_kernel(path));
    found
        .context("no User Mode Linux kernel: build one as docs/machine-test.md says, and name it with --kernel or APC_UML_KERNEL")
}

fn is_kernel(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("linux-uml-"))
}

/// Says which programs are missing, and how they come.
pub fn check() -> Result<()> {
    let is_missing = |program: &str| !process::succeeds(Command::new("sh").args(["-c", &format!("command -v {program}")]));
    let missing: Vec<_> = PROGRAMS.iter().filter(|(program, _)| is_missing(program)).collect();
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
    std::fs::remove_dir_all(&target).with_context(|| format!("cannot remove {}", target.display()))?;
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_was_named_must_be_there() {
        let workspace = Workspace::find().unwrap();
        let error = kernel(&workspace, Some(Path::new("/no/such/kernel"))).unwrap_err().to_string();
        assert_eq!(error, "/no/such/kernel does not exist");
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert_eq!(kernel(&workspace, Some(&manifest)).unwrap(), manifest);
        assert!(is_kernel(Path::new("/a/linux-uml-7.3")) && !is_kernel(Path::new("/a/uml.config")));
    }
}
