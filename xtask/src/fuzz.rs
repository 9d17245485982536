//! `cargo xtask fuzz`: the targets of `fuzz/` under libFuzzer, with stable Rust.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::binaries::{self, cargo};
use crate::workspace::Workspace;
use crate::{files, process, setup};

/// Run the fuzz targets one after the other. Exit code 1 if one finds a fault.
#[derive(clap::Args)]
pub struct Args {
    /// How long each target runs
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Only these targets
    targets: Vec<String>,
}

/// Runs the command; `false` if a fault was found.
pub fn run(workspace: &Workspace, args: &Args) -> Result<bool> {
    setup::prepare_for_camera(workspace)?;
    let targets = build(workspace)?;
    if let Some(unknown) = args.targets.iter().find(|name| !targets.iter().any(|target| target.name == **name)) {
        let names: Vec<_> = targets.iter().map(|target| target.name.as_str()).collect();
        bail!("no fuzz target is called {unknown}; there are {}", names.join(", "));
    }
    let mut clean = true;
    for target in targets.iter().filter(|target| args.targets.is_empty() || args.targets.contains(&target.name)) {
        clean &= target.run(workspace, args.seconds)?;
    }
    Ok(clean)
}

/// The compiler flags of cargo-fuzz, less the address sanitiser, which needs a nightly compiler.
const RUSTFLAGS: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
];

/// A fuzz target's program.
pub struct Target {
    /// Its name.
    pub name: String,
    path: PathBuf,
}

/// Builds all targets.
pub fn build(workspace: &Workspace) -> Result<Vec<Target>> {
    eprintln!("build: fuzz targets");
    let mut command = cargo(workspace);
    command
        .args(["build", "--bins", "--manifest-path", "fuzz/Cargo.toml"])
        // Naming the target keeps the flags off build scripts and macros, which have no fuzzer to link to.
        .args(["--target", &host()?])
        .env("RUSTFLAGS", RUSTFLAGS.join(" "));
    let mut targets: Vec<_> =
        binaries::build(&mut command)?.into_iter().map(|built| Target { name: built.name, path: built.path }).collect();
    targets.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(targets)
}

/// The triple of this machine.
fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` names no host")
}

impl Target {
    /// Runs the target, starting from the inputs in `fuzz/seeds` and those that earlier runs found; `false` if it found a fault.
    pub fn run(&self, workspace: &Workspace, seconds: u32) -> Result<bool> {
        let found = workspace.cache().join("fuzz").join(&self.name);
        files::make_folder(&found.join("corpus"))?;
        let log = found.join("log");
        eprintln!("fuzz: {} for {seconds} s", self.name);
        let mut command = Command::new(&self.path);
        command
            .arg(format!("-max_total_time={seconds}"))
            .args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"])
            .arg(format!("-artifact_prefix={}/", found.display()))
            .arg(found.join("corpus"))
            .args(Some(workspace.root().join("fuzz/seeds").join(&self.name)).filter(|seeds| seeds.is_dir()))
            .stderr(files::create(&log)?);
        let status = process::run(&mut command)?;
        // A target may print bytes that are no text.
        let text =
            String::from_utf8_lossy(&std::fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?).into_owned();
        if !status.success() {
            // The log ends with the fault and the path of the input that shows it.
            let _ = std::io::stderr().write_all(text.as_bytes());
            eprintln!("fuzz: {} found a fault; to see it again: {} FILE-NAMED-ABOVE", self.name, self.path.display());
            return Ok(false);
        }
        let runs = text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:")).unwrap_or("?");
        eprintln!("fuzz: {} found no fault in {} runs", self.name, runs.trim());
        Ok(true)
    }
}
