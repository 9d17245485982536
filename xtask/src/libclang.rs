//! libclang, with which the crate `v4l` makes its bindings from the kernel's header when it is built.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Result, bail};

use crate::files;
use crate::python::Python;
use crate::wheel::{self, Wheel};
use crate::workspace::Workspace;

const VARIABLE: &str = "LIBCLANG_PATH";

#[cfg(target_arch = "aarch64")]
const WHEEL: Wheel = Wheel {
    name: "libclang",
    version: "18.1.1",
    platform: "manylinux2014_aarch64",
    file: "libclang-18.1.1-py2.py3-none-manylinux2014_aarch64.whl",
    sha256: "54dda940a4a0491a9d1532bf071ea3ef26e6dbaf03b5000ed94dd7174e8f9592",
    variable: VARIABLE,
};

#[cfg(not(target_arch = "aarch64"))]
const WHEEL: Wheel = Wheel {
    name: "libclang",
    version: "18.1.1",
    platform: "manylinux2010_x86_64",
    file: "libclang-18.1.1-py2.py3-none-manylinux2010_x86_64.whl",
    sha256: "c533091d8a3bbf7460a00cb6c1a71da93bffe148f172c7d03b1c31fbf8aa2a0b",
    variable: VARIABLE,
};

const LIBRARY: &str = "libclang.so";

/// Puts `libclang.so` into `.cache/libclang`, where `.cargo/config.toml` points to; nothing where the user names another.
pub fn prepare(workspace: &Workspace) -> Result<()> {
    let folder = workspace.cache().join("libclang");
    if let Some(own) = env::var_os(VARIABLE).map(PathBuf::from).filter(|path| *path != folder) {
        return check_own(&own);
    }
    let stamp = format!("{} {}\n", WHEEL.sha256, WHEEL.file);
    if files::is_installed(&folder, &stamp) {
        return Ok(());
    }
    let file = WHEEL.fetch(&Python::prepare(workspace)?, &workspace.cache().join("downloads"))?;
    files::install(&folder, &stamp, |partial| {
        let found = wheel::unpack(&file, partial, |name| {
            name.ends_with(&format!("clang/native/{LIBRARY}")).then(|| Path::new(LIBRARY).to_owned())
        })?;
        if found != 1 {
            bail!("{} holds no {LIBRARY}", file.display());
        }
        Ok(())
    })?;
    files::remove(&file)
}

/// The library itself or its folder, as clang-sys takes it; distributions add a version to the name.
fn check_own(path: &Path) -> Result<()> {
    let is_library = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libclang"));
    let mut inside = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    if (path.is_file() && is_library(path)) || inside.any(|entry| is_library(&entry)) {
        return Ok(());
    }
    bail!(
        "{VARIABLE} is {:?}, but no libclang is there: point it to the folder of libclang.so, or unset it to have the pinned one fetched",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_ones_own_must_lead_to_a_libclang() {
        let folder = tempfile::tempdir().unwrap();
        let error = check_own(folder.path()).unwrap_err().to_string();
        assert!(error.contains(VARIABLE) && error.contains("unset it"), "{error}");
        check_own(Path::new("/nowhere")).unwrap_err();
        let library = folder.path().join("libclang-14.so.1");
        fs::write(&library, "").unwrap();
        check_own(folder.path()).unwrap();
        check_own(&library).unwrap();
    }
}
