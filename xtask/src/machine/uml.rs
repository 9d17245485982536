//! User Mode Linux: an x86-64 kernel as an ordinary process, nearly as fast as the machine.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::parts::{CAMERA, Files, KERNEL, Machine};
use super::product::Source;
use super::root::Root;
use super::tools;
use crate::files::list;
use crate::workspace::Workspace;

/// The machine; an error names what this computer lacks for it.
pub fn machine(workspace: &Workspace, named: Option<&Path>) -> Result<Machine> {
    let kernel = kernel(workspace, named)?;
    tools::check(&[])?;
    Ok(Machine {
        name: "uml",
        target: None,
        // The kernel has the drivers of camera and GPIO chip built in, and mounts the root file system by itself.
        root: Root {
            architecture: "amd64",
            suites: &[],
            packages: &[],
            prepare: "true",
            share: "none /host hostfs defaults 0 0",
        },
        product: Source::best(workspace),
        scenarios: "scenarios",
        long: Some("long"),
        start: Box::new(move |command, files| start(&kernel, command, files)),
    })
}

fn start(kernel: &Path, command: &mut Command, files: &Files<'_>) {
    if let Some(processor) = last_processor() {
        // The machine's processes take turns. On one processor they are twice as fast as where each turn wakes another processor.
        command.args(["taskset", "--cpu-list", &processor]);
    }
    let (changes, image) = (files.scratch.join("changes"), files.image.join("root.ext4"));
    command.arg(kernel).args(["mem=1536M", "seccomp=auto"]);
    command.arg(format!("ubd0={},{}", changes.display(), image.display())).arg("root=/dev/ubda");
    command.arg(format!("hostfs={}", files.share.display()));
    command.args(["con=null", "con0=null,fd:1", "ssl=null", "console=tty0"]).args(KERNEL).args(CAMERA);
    if Path::new("/dev/shm").is_dir() {
        // The machine's memory is a file in this folder; on a disk it would be slow.
        command.env("TMPDIR", "/dev/shm");
    }
}

/// The last processor on which this process may run.
fn last_processor() -> Option<String> {
    last_of_list(&fs::read_to_string("/proc/self/status").ok()?)
}

fn last_of_list(status: &str) -> Option<String> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    list.trim().rsplit([',', '-']).next().map(str::to_owned)
}

/// The named kernel, or one that lies beside the checkout.
fn kernel(workspace: &Workspace, named: Option<&Path>) -> Result<PathBuf> {
    let named = named.map(Path::to_owned).or_else(|| env::var_os("APC_UML_KERNEL").map(PathBuf::from));
    if let Some(named) = named {
        let kernel = std::path::absolute(&named).with_context(|| format!("not a path: {}", named.display()))?;
        if !kernel.is_file() {
            bail!("{} does not exist", kernel.display());
        }
        return Ok(kernel);
    }
    let beside = workspace.root().parent().map(|parent| parent.join("shared/machine"));
    let found = beside.into_iter().filter_map(|folder| list(&folder).ok()).flatten().rfind(|path| is_kernel(path));
    found
        .context("no User Mode Linux kernel: build one as docs/machine-test.md says, and name it with --kernel or APC_UML_KERNEL")
}

fn is_kernel(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("linux-uml-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_processor_of_a_list_is_found() {
        for (list, last) in [("0-1", "1"), ("3", "3"), ("0-2,5,8-11", "11")] {
            assert_eq!(last_of_list(&format!("Name:\tx\nCpus_allowed_list:\t{list}\nz:\t0-99\n")).as_deref(), Some(last));
        }
        assert_eq!(last_of_list("Name:\tx\n"), None);
    }

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
