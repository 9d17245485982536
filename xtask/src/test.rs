//! `cargo xtask test`: builds everything once and runs every test.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::binaries::{Build, Executable, Targets};
use crate::workspace::Workspace;
use crate::{fuzz, process, setup};

/// Run all tests: set up their needs, build once, then unit tests, the trainer's, the end-to-end tests and the fuzz targets.
///
/// The last line counts the tests. Exit code 1 if one failed.
#[derive(clap::Args)]
pub struct Args {
    /// Handed to every test program, e.g. a part of a test's name; the fuzz targets are then left out
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Time of each fuzz target beside the tests: it shows that the target works; finding faults takes longer.
const FUZZ_SECONDS: u32 = 5;

/// Runs the command; `false` if a test failed.
pub fn run(workspace: &Workspace, args: &Args) -> Result<bool> {
    let libtorch = setup::prepare(workspace)?;
    let python = setup::prepare_for_tests(workspace)?;
    let build = Build::of(workspace, &libtorch, Targets::All)?;
    let mut tests: Vec<&Executable> = build.tests().collect();
    tests.sort_by_key(|test| (stage(test), test.package().to_owned(), test.name.clone()));

    let mut tally = Tally::default();
    for test in tests {
        eprintln!("\ntest: {} ({})", test.package(), test.name);
        let mut command = Command::new(&test.path);
        command
            .args(&args.args)
            .current_dir(&test.folder)
            .env("CARGO_MANIFEST_DIR", &test.folder)
            .env("APC_BIN_DIR", build.folder()?)
            .env("APC_PYTHON", python.interpreter());
        if let Some(data) = real_data(workspace) {
            command.env("APC_DATA", data);
        }
        tally.run(&format!("{} ({})", test.package(), test.name), &mut command)?;
    }
    if args.args.is_empty() {
        for target in fuzz::build(workspace)? {
            tally.count(&format!("fuzz target {}", target.name), target.run(workspace, FUZZ_SECONDS)?);
        }
    }
    tally.print()
}

/// Fast tests first, so that a mistake shows early; packages that this list does not name are fast.
fn stage(test: &Executable) -> u8 {
    match test.package() {
        "tests" => 2,
        "trainer" => 1,
        _ => 0,
    }
}

/// The folder with real images that some end-to-end tests use, unless the user named one: it lies beside the checkout.
fn real_data(workspace: &Workspace) -> Option<PathBuf> {
    let folder = workspace.root().parent()?.join("shared/data");
    (std::env::var_os("APC_DATA").is_none() && folder.is_dir()).then_some(folder)
}

/// Counts over all test programs.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
    /// Programs in which something failed.
    broken: BTreeSet<String>,
}

impl Tally {
    /// Runs one test program, showing what it prints.
    fn run(&mut self, name: &str, command: &mut Command) -> Result<()> {
        let failed = self.failed;
        let status = process::run_with_lines(command, |line| {
            self.add(line);
            // Nobody is left to read a broken pipe's error.
            let _ = writeln!(io::stdout(), "{line}");
        })?;
        if !status.success() {
            eprintln!("test: {name} ended with {status}");
            // A program that died without a result counts as one failed test.
            self.failed += usize::from(self.failed == failed);
            self.broken.insert(name.to_owned());
        }
        Ok(())
    }

    /// Takes the counts from a line like `test result: ok. 12 passed; 0 failed; 1 ignored; ...`.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
            return;
        };
        for count in counts.split("; ") {
            match count.split_once(' ').and_then(|(number, what)| Some((number.parse::<usize>().ok()?, what))) {
                Some((number, "passed")) => self.passed += number,
                Some((number, "failed")) => self.failed += number,
                Some((number, "ignored")) => self.skipped += number,
                _ => {}
            }
        }
    }

    /// Counts one test that is a program.
    fn count(&mut self, name: &str, passed: bool) {
        self.passed += usize::from(passed);
        self.failed += usize::from(!passed);
        if !passed {
            self.broken.insert(name.to_owned());
        }
    }

    /// Prints the counts as the last line; whether all passed.
    fn print(&self) -> Result<bool> {
        for name in &self.broken {
            eprintln!("failed: {name}");
        }
        let Self { passed, failed, skipped, .. } = self;
        writeln!(io::stdout(), "\n{passed} passed, {failed} failed, {skipped} skipped").context("cannot print the result")?;
        Ok(*failed == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_results_of_test_programs() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.02s",
            "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s",
        ] {
            tally.add(line);
        }
        assert_eq!((tally.passed, tally.failed, tally.skipped), (14, 3, 1));
    }

    #[test]
    fn a_program_that_dies_without_a_result_is_a_failed_test() {
        let mut tally = Tally::default();
        tally.run("x", Command::new("sh").args(["-c", "kill -9 $$"])).unwrap();
        assert_eq!((tally.passed, tally.failed), (0, 1));
        assert!(tally.broken.contains("x"));
    }
}
