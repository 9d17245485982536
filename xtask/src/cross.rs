//! `cargo xtask cross`: the camera's program for 64-bit ARM, and the detector's tests under emulation.

use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::binaries::{Build, cargo};
use crate::workspace::Workspace;
use crate::{process, setup};

/// Cargo's name of a camera's processor and system.
pub const TARGET: &str = "aarch64-unknown-linux-gnu";
const LINKER: &str = "aarch64-linux-gnu-gcc";
const EMULATOR: &str = "qemu-aarch64-static";
/// Libraries of the target, where Debian's cross compiler has them.
const SYSROOT: &str = "/usr/aarch64-linux-gnu";
/// Emulated processors: one with every extension that the emulator knows, and one without the dot-product instruction.
const PROCESSORS: [&str; 2] = ["max", "cortex-a72"];

/// Build apc-runtime for aarch64-unknown-linux-gnu, or run the detector's tests under emulation.
///
/// Exit code 1 if a test fails.
#[derive(clap::Args)]
pub struct Args {
    /// Instead of building the program: run the detector's tests (kernels against the scalar reference, bank, formats) under QEMU, once
    /// with every extension and once as a Cortex-A72, which has no dot product
    #[arg(long)]
    test: bool,
    /// Where tools are missing, say so and end well
    #[arg(long)]
    if_possible: bool,
    /// Cargo's profile of the program
    #[arg(long, default_value = "release", conflicts_with = "test", value_name = "NAME")]
    profile: String,
}

/// Runs the command; `false` if a test failed.
pub fn run(workspace: &Workspace, args: &Args) -> Result<bool> {
    if let Some(missing) = missing(args.test) {
        if args.if_possible {
            writeln!(io::stdout(), "skipped: {missing}").context("cannot print the result")?;
            return Ok(true);
        }
        bail!(missing);
    }
    if args.test {
        return test(workspace);
    }
    setup::prepare_for_camera(workspace)?;
    program(workspace, &args.profile)
}

/// The tools that are missing, and the commands that install them; `None` where all are there.
pub fn missing(emulator: bool) -> Option<String> {
    let libraries = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    let has_target = libraries.is_ok_and(|found| Path::new(String::from_utf8_lossy(&found.stdout).trim()).is_dir());
    let mut steps = Vec::new();
    if !has_target {
        steps.push(format!("`rustup target add {TARGET}`"));
    }
    let mut packages = Vec::new();
    if !process::succeeds(Command::new(LINKER).arg("--version")) {
        packages.push("gcc-aarch64-linux-gnu");
    }
    if !Path::new(SYSROOT).join("lib/libc.so.6").exists() {
        packages.push("libc6-dev-arm64-cross");
    }
    if emulator && !process::succeeds(Command::new(EMULATOR).arg("--version")) {
        packages.push("qemu-user-static");
    }
    if !packages.is_empty() {
        steps.push(format!("`apt-get install {}`", packages.join(" ")));
    }
    (!steps.is_empty()).then(|| format!("tools for {TARGET} are missing: {}", steps.join(" and ")))
}

fn cargo_for_target(workspace: &Workspace) -> Command {
    let mut command = cargo(workspace);
    command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER);
    // The bindings to V4L2 are made from the target's headers.
    command.env("BINDGEN_EXTRA_CLANG_ARGS_aarch64_unknown_linux_gnu", format!("-I{SYSROOT}/include"));
    command
}

/// Builds these packages for the target.
pub fn build(workspace: &Workspace, packages: &[&str], profile: &str) -> Result<Build> {
    eprintln!("cross: building {} for {TARGET} (minutes: the engine is large)", packages.join(" and "));
    let mut command = cargo_for_target(workspace);
    command.args(["build", "--target", TARGET, "--profile", profile]);
    command.args(packages.iter().flat_map(|package| ["--package", package]));
    Build::by(&mut command)
}

fn program(workspace: &Workspace, profile: &str) -> Result<bool> {
    let built = build(workspace, &["apc-runtime"], profile)?;
    writeln!(io::stdout(), "{}", built.program("apc-runtime")?.display()).context("cannot print the result")?;
    Ok(true)
}

fn test(workspace: &Workspace) -> Result<bool> {
    eprintln!("cross: building the detector's tests for {TARGET}");
    let mut command = cargo_for_target(workspace);
    // Without the engine, which takes minutes to compile: kernels, search, formats and metrics are the code that differs by processor.
    command.args(["test", "--no-run", "--package", "apc-detector", "--no-default-features", "--target", TARGET]);
    let tests = Build::by(&mut command)?;
    let mut passed = true;
    for processor in PROCESSORS {
        for test in tests.tests() {
            eprintln!("\ncross: {} on {processor}", test.name);
            let mut emulated = Command::new(EMULATOR);
            emulated.args(["-cpu", processor, "-L", SYSROOT]).arg(&test.path);
            emulated.current_dir(&test.folder).env("CARGO_MANIFEST_DIR", &test.folder);
            passed &= process::run(&mut emulated)?.success();
        }
    }
    let word = if passed { "passed" } else { "FAILED" };
    writeln!(io::stdout(), "the detector's tests {word} on emulated processors {}", PROCESSORS.join(", "))
        .context("cannot print the result")?;
    Ok(passed)
}
