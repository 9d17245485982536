//! `cargo xtask machine-test`: the packaged service in a real Linux with systemd, where drivers of the kernel are camera and GPIO chip.
//!
//! The program that runs the scenarios inside is `tests/machine`.

mod arm64;
mod guest;
mod parts;
mod product;
mod root;
mod tools;
mod uml;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::binaries::{Build, Targets, cargo};
use crate::files::{copy, copy_folder, list, make_empty_folder, make_folder};
use crate::workspace::Workspace;
use crate::{cross, process, setup};

/// Install the package in a booted Linux with a simulated camera and simulated GPIO lines, and watch from outside what the lines do.
///
/// Prints PASS or FAIL for each scenario of tests/machine/{scenarios,arm64}. A scenario that fails while the machine stands still is UNSURE
/// and is played again. Exit code 1 unless all pass. See docs/machine-test.md.
#[derive(clap::Args)]
pub struct Args {
    /// Which machine
    #[arg(long, value_enum, default_value_t = Tier::Uml)]
    tier: Tier,
    /// The User Mode Linux kernel [default: APC_UML_KERNEL, or ../shared/machine/linux-uml-* beside the checkout]
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Cargo's profile of the packaged program; another one than "dev" is built for minutes
    #[arg(long, default_value = "dev")]
    profile: String,
    /// Where Debian's packages come from [default: deb.debian.org]
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Learn the product again
    #[arg(long)]
    fresh: bool,
    /// Where the kernel or a tool is missing, say so and end well; also where the machine has so much other work that scenarios stay unsure
    #[arg(long)]
    if_possible: bool,
    /// The scenarios of tests/machine/long, which take hours
    #[arg(long)]
    long: bool,
    /// Only scenarios whose names begin so
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,
}

/// A kind of machine.
#[derive(Clone, Copy, ValueEnum)]
enum Tier {
    /// User Mode Linux: an x86-64 kernel as an ordinary process, nearly as fast as the machine
    Uml,
    /// 64-bit ARM with Debian's kernel, emulated: slow, and the program and package of a camera
    Arm64,
}

/// Runs the command; `false` if a scenario failed.
pub fn run(workspace: &Workspace, args: &Args) -> Result<bool> {
    let machine = match args.tier {
        Tier::Uml => uml::machine(workspace, args.kernel.as_deref()),
        Tier::Arm64 if args.kernel.is_some() => bail!("--kernel is for the tier uml: arm64 boots Debian's own kernel"),
        Tier::Arm64 => arm64::machine(workspace),
    };
    let machine = match machine {
        Err(missing) if args.if_possible => {
            writeln!(io::stdout(), "skipped: {missing:#}").context("cannot print the result")?;
            return Ok(true);
        }
        found => found?,
    };
    let (scenarios, limit) = match machine.long {
        Some(long) if args.long => (long, guest::LONG),
        None if args.long => bail!("the tier {} has no long scenarios", machine.name),
        _ => (machine.scenarios, guest::SHORT),
    };
    let libtorch = setup::prepare(workspace)?;
    let build = Build::of(workspace, &libtorch, Targets::Programs)?;
    let crossed = machine.target.map(|_| cross::build(workspace, &["apc-runtime", "apc-tests"], &args.profile)).transpose()?;
    let inside = crossed.as_ref().unwrap_or(&build);
    let cache = workspace.cache().join("machine").join(machine.name);
    let image = machine.root.image(&cache, args.mirror.as_deref())?;
    let product = product::make(&machine.product, &build, &cache, args.fresh)?;

    let share = cache.join("share");
    make_empty_folder(&share)?;
    copy(&product.join("product.apc"), &share.join("product.apc"))?;
    copy_folder(&product.join("pictures"), &share.join("pictures"))?;
    copy(inside.program("apc-machine")?, &share.join("apc-machine"))?;
    let tests = workspace.root().join("tests/machine");
    copy(&tests.join("line.toml"), &share.join("line.toml"))?;
    choose(&tests.join(scenarios), &share.join("scenarios"), &args.scenarios)?;
    package(workspace, machine.target, &args.profile, &share.join("apc-runtime.deb"))?;
    let [passed, failed, unsure] = guest::boot(&machine, &image, &share, &cache.join("boot"), limit)?;
    // On a machine with other work a failure proves nothing: it counts, unless only the possible was asked for.
    Ok(passed > 0 && failed == 0 && (unsure == 0 || args.if_possible))
}

/// The Debian package.
fn package(workspace: &Workspace, target: Option<&str>, profile: &str, into: &Path) -> Result<()> {
    let tool = tools::cargo_deb(workspace)?;
    let mut deb = Command::new(tool);
    deb.current_dir(workspace.root()).args(["deb", "--quiet", "--fast", "--package", "apc-runtime", "--profile", profile]);
    if let Some(target) = target {
        deb.args(["--target", target]);
    }
    if profile == "dev" || target.is_some() {
        // It was built with the other programs; another selection of packages would compile the engine again.
        deb.arg("--no-build");
    }
    deb.env("CARGO", cargo(workspace).get_program());
    process::run_to_success(deb.arg("--output").arg(into), "cannot pack the program")
}

/// Copies the scenarios whose names begin with one of the wished beginnings; all of them without a wish.
fn choose(from: &Path, into: &Path, wished: &[String]) -> Result<()> {
    make_folder(into)?;
    let mut chosen = 0;
    for path in list(from)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if wished.is_empty() || wished.iter().any(|wish| name.starts_with(wish.as_str())) {
            copy(&path, &into.join(name))?;
            chosen += 1;
        }
    }
    if chosen == 0 {
        bail!("no scenario in {} has a name that begins with {}", from.display(), wished.join(" or "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::tempdir;

    use super::*;

    #[test]
    fn scenarios_are_chosen_by_the_beginning_of_their_names() {
        let folder = tempdir().unwrap();
        let (from, into) = (folder.path().join("from"), folder.path().join("into"));
        fs::create_dir(&from).unwrap();
        for name in ["10-a.toml", "20-b.toml", "21-c.toml"] {
            fs::write(from.join(name), "").unwrap();
        }
        choose(&from, &into, &["2".into()]).unwrap();
        assert_eq!(list(&into).unwrap(), ["20-b.toml", "21-c.toml"].map(|name| into.join(name)));
        assert!(choose(&from, &into, &["x".into()]).unwrap_err().to_string().contains("begins with x"));
        choose(&from, &into, &[]).unwrap();
        assert_eq!(list(&into).unwrap().len(), 3);
    }
}
