//! The Python environment in the cache: its pip fetches wheels, its packages check exported networks in the tests.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::files::{self, sha256};
use crate::process;
use crate::workspace::Workspace;

/// A virtual environment that works.
pub struct Python {
    interpreter: PathBuf,
}

impl Python {
    /// The environment in the cache, made with the machine's `python3` if it is not there.
    pub fn prepare(workspace: &Workspace) -> Result<Self> {
        let folder = workspace.cache().join("venv");
        let python = Self { interpreter: folder.join("bin/python") };
        if process::succeeds(Command::new(&python.interpreter).args(["-m", "pip", "--version"])) {
            return Ok(python);
        }
        eprintln!("setup: making a Python environment in {}", folder.display());
        let version = Command::new("python3").args(["-c", ENOUGH]).stdin(Stdio::null()).status();
        match version {
            Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
                "python3 is missing. Its pip fetches the libraries that cargo does not, and the tests check exported networks with it: \
                 `apt install python3 python3-venv`"
            ),
            Err(error) => return Err(error).context("cannot start python3"),
            Ok(status) if !status.success() => bail!("python3 is too old: 3.11 or newer is needed"),
            Ok(_) => {}
        }
        let mut venv = Command::new("python3");
        process::run_to_success(
            venv.args(["-m", "venv", "--clear"]).arg(&folder),
            "cannot make a Python environment (`apt install python3-venv`?)",
        )?;
        Ok(python)
    }

    /// The environment's interpreter.
    pub fn interpreter(&self) -> &Path {
        &self.interpreter
    }

    /// Installs the packages that the tests use, pinned in `xtask/requirements.txt`.
    pub fn install_test_packages(&self, workspace: &Workspace) -> Result<()> {
        let requirements = workspace.root().join("xtask/requirements.txt");
        let stamp = workspace.cache().join("venv/requirements-sha256");
        let wanted = sha256(&requirements)?;
        if files::read(&stamp).is_ok_and(|found| found == wanted) {
            return Ok(());
        }
        eprintln!("setup: installing the tests' Python packages");
        let mut pip = self.pip();
        process::run_to_success(
            pip.args(["install", "--only-binary=:all:", "--requirement"]).arg(&requirements),
            "pip could not install the tests' Python packages (is the package index reachable?)",
        )?;
        files::write(&stamp, wanted)
    }

    /// pip of this environment.
    pub fn pip(&self) -> Command {
        let mut pip = Command::new(&self.interpreter);
        pip.args(["-m", "pip", "--disable-pip-version-check", "--no-input"]);
        pip
    }
}

/// Ends with success where Python is new enough for the pinned packages.
const ENOUGH: &str = "import sys; sys.exit(sys.version_info < (3, 11))";
