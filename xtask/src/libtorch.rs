//! libtorch for the trainer: the user's own, PyTorch's, or the pinned one in the cache.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::files;
use crate::process;
use crate::python::Python;
use crate::wheel::{self, Wheel};
use crate::workspace::Workspace;

/// The version that the `tch` crate in Cargo.toml binds to.
pub const VERSION: &str = "2.11.0";

/// torch, and the two CUDA libraries that its CPU half is linked against.
const WHEELS: [Wheel; 3] = [
    Wheel {
        name: "torch",
        version: VERSION,
        platform: "manylinux_2_28_x86_64",
        file: "torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl",
        sha256: "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a",
        variable: "LIBTORCH",
    },
    Wheel {
        name: "nvidia-cuda-runtime",
        version: "13.0.96",
        platform: "manylinux_2_17_x86_64",
        file: "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        sha256: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
        variable: "LIBTORCH",
    },
    Wheel {
        name: "nvidia-cuda-cupti",
        version: "13.0.85",
        platform: "manylinux_2_25_x86_64",
        file: "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl",
        sha256: "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
        variable: "LIBTORCH",
    },
];

/// Which libtorch the trainer is built with.
#[derive(Debug, PartialEq, Eq)]
pub enum Libtorch {
    /// The one inside the machine's PyTorch (LIBTORCH_USE_PYTORCH).
    PyTorch,
    /// The user's own folder (LIBTORCH).
    Own(PathBuf),
    /// The pinned one, in this folder.
    Pinned(PathBuf),
}

impl Libtorch {
    /// The choice that torch-sys will make in this environment.
    pub fn choose(workspace: &Workspace) -> Self {
        let pinned = workspace.cache().join("libtorch");
        decide(env::var_os("LIBTORCH_USE_PYTORCH").as_deref(), env::var_os("LIBTORCH"), pinned)
    }

    /// Puts the chosen libtorch in place; an error tells why it cannot be used.
    pub fn prepare(&self, workspace: &Workspace) -> Result<()> {
        check_compiler()?;
        match self {
            Self::PyTorch => check_pytorch(),
            Self::Own(folder) => {
                let lib = env::var_os("LIBTORCH_LIB").map_or_else(|| folder.clone(), PathBuf::from);
                check_own(&lib)
            }
            Self::Pinned(folder) => install(workspace, folder),
        }
    }

    /// Makes a nested cargo see the environment that a cargo started by hand sees.
    ///
    /// `cargo xtask` itself runs with the LIBTORCH of `.cargo/config.toml`; handing that on would have torch-sys, which
    /// watches the variable, compiled again whenever the user changes between `cargo` and `cargo xtask`.
    pub fn apply(&self, cargo: &mut Command) {
        if matches!(self, Self::Pinned(_)) {
            cargo.env_remove("LIBTORCH");
        }
    }
}

/// PyTorch wins over LIBTORCH, as in torch-sys; the cache's own path in LIBTORCH comes from `.cargo/config.toml`.
fn decide(use_pytorch: Option<&OsStr>, libtorch: Option<OsString>, pinned: PathBuf) -> Libtorch {
    match libtorch.map(PathBuf::from) {
        _ if use_pytorch.is_some() => Libtorch::PyTorch,
        Some(own) if own != pinned => Libtorch::Own(own),
        _ => Libtorch::Pinned(pinned),
    }
}

fn check_compiler() -> Result<()> {
    let compiler = compiler();
    if !process::succeeds(Command::new(&compiler).arg("--version")) {
        bail!(
            "the C++ compiler {} is missing or does not work. It builds the bindings to libtorch: `apt install g++`, or \
             name another one in the variable CXX",
            compiler.display()
        );
    }
    Ok(())
}

fn compiler() -> OsString {
    env::var_os("CXX").unwrap_or_else(|| "c++".into())
}

fn check_pytorch() -> Result<()> {
    // torch-sys picks the same interpreter.
    let python = if env::var_os("VIRTUAL_ENV").is_some() { "python" } else { "python3" };
    let script = "import torch; print(torch.__version__)";
    let output = Command::new(python).args(["-c", script]).output().with_context(|| format!("cannot start {python}"))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() {
        bail!("LIBTORCH_USE_PYTORCH is set, but {python} cannot import torch: install torch {VERSION}, or unset it");
    }
    if version.split('+').next() != Some(VERSION) && env::var_os("LIBTORCH_BYPASS_VERSION_CHECK").is_none() {
        bail!("LIBTORCH_USE_PYTORCH is set, but {python} has torch {version}: {VERSION} is needed, or unset it");
    }
    Ok(())
}

fn check_own(folder: &Path) -> Result<()> {
    let library = folder.join("lib/libtorch_cpu.so");
    if !library.is_file() {
        bail!(
            "LIBTORCH (or LIBTORCH_LIB) is {:?}, but {} is not there: point it to an unpacked libtorch {VERSION}, or \
             unset it to have the pinned one fetched",
            folder.display(),
            library.display()
        );
    }
    Ok(())
}

fn install(workspace: &Workspace, folder: &Path) -> Result<()> {
    let stamp = wheel_stamp();
    if files::is_installed(folder, &stamp) {
        return Ok(());
    }
    if cfg!(not(all(target_os = "linux", target_arch = "x86_64"))) {
        bail!(
            "the pinned libtorch is for Linux on x86-64 only: set LIBTORCH to an unpacked libtorch {VERSION}, or install \
             torch {VERSION} for Python and set LIBTORCH_USE_PYTORCH=1"
        );
    }
    let python = Python::prepare(workspace)
        .with_context(|| format!("cannot fetch libtorch {VERSION}; to do without, set LIBTORCH to one of your own"))?;
    let downloads = workspace.cache().join("downloads");
    let wheels = WHEELS.iter().map(|wheel| wheel.fetch(&python, &downloads)).collect::<Result<Vec<_>>>()?;
    files::install(folder, &stamp, |partial| {
        eprintln!("setup: unpacking libtorch into {}", folder.display());
        let mut libraries = 0;
        for wheel in &wheels {
            wheel::unpack(wheel, partial, |name| {
                let place = place(name)?;
                (!place.starts_with("lib")).then_some(place)
            })?;
            libraries += wheel::unpack(wheel, partial, |name| place(name).filter(|place| place.starts_with("lib")))?;
        }
        if libraries != LIBRARIES.len() {
            bail!("the wheels hold {libraries} of the {} libraries that are needed", LIBRARIES.len());
        }
        link_stub(&partial.join("lib"))?;
        // torch-sys compares this file with the version that it needs.
        files::write(&partial.join("build-version"), VERSION)
    })?;
    // The wheels take half a gigabyte, and nothing reads them again.
    wheels.iter().try_for_each(|wheel| files::remove(wheel))
}

fn wheel_stamp() -> String {
    WHEELS.iter().map(|wheel| format!("{} {}\n", wheel.sha256, wheel.file)).collect()
}

/// The libraries of the wheels that the CPU half needs.
const LIBRARIES: [&str; 5] = [
    "torch/lib/libtorch_cpu.so",
    "torch/lib/libc10.so",
    "torch/lib/libgomp.so.1",
    "nvidia/cu13/lib/libcudart.so.13",
    "nvidia/cu13/lib/libcupti.so.13",
];

/// Where a file of a wheel goes in our libtorch: headers and the libraries above, nothing else.
fn place(name: &str) -> Option<PathBuf> {
    if LIBRARIES.contains(&name) {
        return Some(Path::new("lib").join(Path::new(name).file_name()?));
    }
    name.starts_with("torch/include/").then(|| name.strip_prefix("torch/").map(PathBuf::from))?
}

/// Links a `libtorch.so` over the CPU half: the wheel's own also wants the CUDA half, three gigabytes in all.
fn link_stub(lib: &Path) -> Result<()> {
    let source = lib.join("stub.cpp");
    files::write(&source, "extern \"C\" int apc_libtorch_stub() { return 0; }\n")?;
    let mut link = Command::new(compiler());
    link.args(["-shared", "-fPIC", "stub.cpp", "-o", "libtorch.so", "-Wl,-soname,libtorch.so", "-Wl,-rpath,$ORIGIN"])
        .args(["-L.", "-Wl,--no-as-needed", "-ltorch_cpu", "-lc10"])
        .current_dir(lib);
    process::run_to_success(&mut link, "cannot link libtorch.so")?;
    files::remove(&source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(use_pytorch: Option<&str>, libtorch: Option<&str>) -> Libtorch {
        decide(use_pytorch.map(OsStr::new), libtorch.map(OsString::from), "/repo/.cache/libtorch".into())
    }

    #[test]
    fn pytorch_comes_before_libtorch_and_both_before_the_pinned_one() {
        assert_eq!(decided(Some("1"), Some("/opt/libtorch")), Libtorch::PyTorch);
        assert_eq!(decided(Some("1"), None), Libtorch::PyTorch);
        assert_eq!(decided(None, Some("/opt/libtorch")), Libtorch::Own("/opt/libtorch".into()));
        assert_eq!(decided(None, None), Libtorch::Pinned("/repo/.cache/libtorch".into()));
    }

    #[test]
    fn the_path_from_cargos_configuration_is_not_the_users_own() {
        assert!(matches!(decided(None, Some("/repo/.cache/libtorch")), Libtorch::Pinned(_)));
    }

    #[test]
    fn an_own_libtorch_without_libraries_is_refused_by_name() {
        for folder in ["", "/nowhere"] {
            let error = check_own(Path::new(folder)).unwrap_err().to_string();
            assert!(error.contains("LIBTORCH") && error.contains("lib/libtorch_cpu.so"), "{error}");
        }
    }

    #[test]
    fn unpacks_headers_and_the_libraries_of_the_cpu_half() {
        let placed = |name| place(name).map(|path| path.display().to_string());
        assert_eq!(placed("torch/include/ATen/ATen.h").as_deref(), Some("include/ATen/ATen.h"));
        assert_eq!(placed("torch/lib/libtorch_cpu.so").as_deref(), Some("lib/libtorch_cpu.so"));
        assert_eq!(placed("nvidia/cu13/lib/libcupti.so.13").as_deref(), Some("lib/libcupti.so.13"));
        for name in ["torch/lib/libtorch_cuda.so", "torch/lib/libtorch.so", "torch/__init__.py", "nvidia/include/x.h"] {
            assert_eq!(placed(name), None, "{name}");
        }
    }
}
