//! ONNX Runtime's shared library, for engines that load it at run time.

use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::files;
use crate::python::Python;
use crate::wheel::{self, Wheel};
use crate::workspace::Workspace;

const WHEEL: Wheel = Wheel {
    name: "onnxruntime",
    version: "1.32.0",
    platform: "manylinux_2_28_x86_64",
    file: "onnxruntime-1.32.0-cp311-cp311-manylinux_2_28_x86_64.whl",
    sha256: "5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d",
    variable: "ORT_DYLIB_PATH",
};

/// The library's name in the wheel; the plain name without a version links to it.
const LIBRARY: &str = "libonnxruntime.so.1.32.0";

/// Puts `lib/libonnxruntime.so` into `.cache/onnxruntime`; on other machines than x86-64 Linux there is nothing to do.
pub fn prepare(workspace: &Workspace) -> Result<()> {
    let folder = workspace.cache().join("onnxruntime");
    let stamp = format!("{} {}\n", WHEEL.sha256, WHEEL.file);
    if cfg!(not(all(target_os = "linux", target_arch = "x86_64"))) || files::is_installed(&folder, &stamp) {
        return Ok(());
    }
    let file = WHEEL.fetch(&Python::prepare(workspace)?, &workspace.cache().join("downloads"))?;
    files::install(&folder, &stamp, |partial| {
        eprintln!("setup: unpacking ONNX Runtime into {}", folder.display());
        let found = wheel::unpack(&file, partial, |name| {
            (name == format!("onnxruntime/capi/{LIBRARY}")).then(|| Path::new("lib").join(LIBRARY))
        })?;
        if found != 1 {
            bail!("{} holds no {LIBRARY}", file.display());
        }
        symlink(LIBRARY, partial.join("lib/libonnxruntime.so")).context("cannot link libonnxruntime.so")
    })?;
    files::remove(&file)
}
