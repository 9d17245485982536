//! Builds the whole workspace: the one selection of packages and targets that everything here uses.
//!
//! Cargo chooses features per selection. Building, testing and linting different ones would compile tract twice.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::libtorch::Libtorch;
use crate::process;
use crate::workspace::Workspace;

/// The selection, for `cargo build` and `cargo clippy` alike.
const SELECTION: [&str; 2] = ["--workspace", "--all-targets"];

/// Everything that cargo built.
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
    /// Builds all programs and tests.
    pub fn of_everything(workspace: &Workspace, libtorch: &Libtorch) -> Result<Self> {
        eprintln!("build: all programs (minutes the first time: libtorch's bindings and the engine are large)");
        let mut command = cargo(workspace);
        command.arg("build").args(SELECTION);
        libtorch.apply(&mut command);
        Self::by(&mut command)
    }

    /// Builds what runs on a camera as a camera gets it: optimised over all crates, without checks. Takes some minutes the first time.
    pub fn as_packaged(workspace: &Workspace) -> Result<Self> {
        eprintln!("build: the camera's program as it is packaged (minutes the first time)");
        let packages = ["--package", "apc-runtime", "--package", "apc-detector"];
        let mut command = cargo(workspace);
        command.args(["build", "--release"]).args(packages).args(["--bin", "apc-runtime"]);
        command.args(["--example", "search", "--example", "roofline"]);
        Self::by(&mut command)
    }

    /// What this cargo command builds.
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
    // What `cargo run` tells this program about its own package would make others believe that they must be built again.
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

/// The executable that a line of cargo's JSON tells of.
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
