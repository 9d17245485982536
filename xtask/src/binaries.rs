//! Builds the targets that a chore uses, and no others.
//!
//! Cargo chooses features for the selected packages together: another selection would compile tract again. So everything is built with
//! `--workspace`, and chores choose among its targets only.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::libtorch::Libtorch;
use crate::process;
use crate::workspace::Workspace;

/// Targets of the workspace that a chore uses.
#[derive(Clone, Copy)]
pub enum Targets<'a> {
    /// Programs, tests, examples and benchmarks; `.ci/run` lints the same.
    All,
    /// Programs.
    Programs,
    /// The example of this name.
    Example(&'a str),
    /// The benchmark of this name.
    Benchmark(&'a str),
}

impl<'a> Targets<'a> {
    /// The arguments with which cargo builds them.
    fn arguments(self) -> Vec<&'a str> {
        let chosen = match self {
            Targets::All => vec!["--all-targets"],
            Targets::Programs => vec!["--bins"],
            Targets::Example(name) => vec!["--example", name],
            Targets::Benchmark(name) => vec!["--bench", name],
        };
        [vec!["build", "--workspace"], chosen].concat()
    }
}

impl fmt::Display for Targets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Targets::All => f.write_str("all programs and tests"),
            Targets::Programs => f.write_str("all programs"),
            Targets::Example(name) => write!(f, "the example {name}"),
            Targets::Benchmark(name) => write!(f, "the benchmark {name}"),
        }
    }
}

/// The executables of a build.
pub struct Build {
    executables: Vec<Executable>,
}

/// A program or a test program.
pub struct Executable {
    /// The target's name.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Its package's folder.
    pub folder: PathBuf,
    is_test: bool,
}

impl Executable {
    /// The name of its package's folder.
    pub fn package(&self) -> &str {
        self.folder.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }
}

impl Build {
    /// Builds these targets of all packages.
    pub fn of(workspace: &Workspace, libtorch: &Libtorch, targets: Targets<'_>) -> Result<Self> {
        eprintln!("build: {targets} (minutes the first time: libtorch's bindings and the engine are large)");
        let mut command = cargo(workspace);
        command.args(targets.arguments());
        libtorch.apply(&mut command);
        Self::by(&mut command)
    }

    /// Builds the camera's program as a camera gets it, and these of the detector's examples: optimised over all crates, without checks.
    /// Takes some minutes the first time.
    pub fn as_packaged(workspace: &Workspace, examples: &[&str]) -> Result<Self> {
        eprintln!("build: the camera's program as it is packaged (minutes the first time)");
        let mut command = cargo(workspace);
        command.args(["build", "--release", "--package", "apc-runtime", "--package", "apc-detector", "--bin", "apc-runtime"]);
        command.args(examples.iter().flat_map(|example| ["--example", example]));
        Self::by(&mut command)
    }

    /// Builds what this cargo command builds.
    pub fn by(command: &mut Command) -> Result<Self> {
        Ok(Self { executables: build(command)? })
    }

    /// The program of this name.
    pub fn program(&self, name: &str) -> Result<&Path> {
        let found = self.executables.iter().find(|program| !program.is_test && program.name == name);
        found.map(|program| program.path.as_path()).with_context(|| format!("cargo built no program {name}"))
    }

    /// The folder of the programs.
    pub fn folder(&self) -> Result<&Path> {
        self.program("apc-runtime")?.parent().context("apc-runtime lies in no folder")
    }

    /// The benchmark of this name; to cargo it is a test.
    pub fn benchmark(&self, name: &str) -> Result<&Path> {
        let found = self.executables.iter().find(|program| program.is_test && program.name == name);
        found.map(|program| program.path.as_path()).with_context(|| format!("cargo built no benchmark {name}"))
    }

    /// The test programs.
    pub fn tests(&self) -> impl Iterator<Item = &Executable> {
        self.executables.iter().filter(|executable| executable.is_test)
    }
}

/// The cargo that runs this xtask, in the checkout's top folder.
pub fn cargo(workspace: &Workspace) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace.root());
    // `cargo run` sets variables about this program's own package; with them, build scripts of other packages would run again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a cargo command that builds, and returns the executables that it made.
pub fn build(command: &mut Command) -> Result<Vec<Executable>> {
    let mut executables = Vec::new();
    let status = process::run_with_lines(command.arg("--message-format=json-render-diagnostics"), |line| {
        executables.extend(executable(line));
    })?;
    if !status.success() {
        bail!("the build failed, see cargo's message above");
    }
    Ok(executables)
}

/// The executable that a line of cargo's JSON names.
fn executable(line: &str) -> Option<Executable> {
    #[derive(Deserialize)]
    struct Artifact {
        manifest_path: PathBuf,
        target: Target,
        profile: Profile,
        executable: PathBuf,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    #[derive(Deserialize)]
    struct Profile {
        test: bool,
    }
    let Artifact { manifest_path, target, profile, executable } = serde_json::from_str(line).ok()?;
    Some(Executable { name: target.name, path: executable, folder: manifest_path.parent()?.to_owned(), is_test: profile.test })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another selection of packages would compile the engine again; another selection of targets builds what the chore does not use.
    #[test]
    fn only_the_tests_build_tests_and_all_keep_the_selection_of_packages() {
        let targets = [Targets::All, Targets::Programs, Targets::Example("a"), Targets::Benchmark("b")];
        let expected = [vec!["--all-targets"], vec!["--bins"], vec!["--example", "a"], vec!["--bench", "b"]];
        for (targets, expected) in targets.into_iter().zip(expected) {
            let arguments = targets.arguments();
            let (packages, chosen) = arguments.split_at(2);
            assert_eq!((packages, chosen), (&["build", "--workspace"][..], &expected[..]));
        }
    }

    #[test]
    fn reads_programs_and_tests_from_cargos_messages() {
        let line = |test: bool, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"path+file:///repo/runtime#apc-runtime@0.1.0",
                "manifest_path":"/repo/runtime/Cargo.toml","target":{{"kind":["bin"],"name":"apc-runtime"}},
                "profile":{{"opt_level":"3","test":{test}}},"executable":{executable},"fresh":true}}"#
            )
        };
        let program = executable(&line(false, "\"/repo/target/debug/apc-runtime\"")).unwrap();
        assert_eq!((program.package(), program.name.as_str(), program.is_test), ("runtime", "apc-runtime", false));
        assert!(executable(&line(true, "\"/repo/target/debug/deps/x\"")).unwrap().is_test);
        assert!(executable(&line(false, "null")).is_none());
        assert!(executable(r#"{"reason":"build-finished","success":true}"#).is_none());
    }
}
