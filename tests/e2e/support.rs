//! Finding and running the binaries.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use apc_tests::SyntheticRun;

/// Path of one of the workspace's binaries: in `APC_BIN_DIR`, else beside this test's own folder in the target directory.
pub fn bin(name: &str) -> PathBuf {
    let folder = std::env::var_os("APC_BIN_DIR").map(PathBuf::from).unwrap_or_else(|| {
        let test = std::env::current_exe().expect("path of this test");
        test.parent().and_then(Path::parent).expect("target/PROFILE/deps/test").to_path_buf()
    });
    let path = folder.join(name).with_extension(std::env::consts::EXE_EXTENSION);
    assert!(
        path.is_file(),
        "{} is missing: build it first (`cargo xtask test` does, or `cargo build --workspace`)",
        path.display()
    );
    path
}

/// ONNX Runtime's library: `ORT_DYLIB_PATH`, else what `cargo xtask setup` put into the workspace. Where there is none, tests of its
/// engines leave out what needs it.
pub fn onnxruntime() -> Option<PathBuf> {
    let named = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()).map(PathBuf::from);
    let path = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/onnxruntime/lib/libonnxruntime.so"));
    if !path.is_file() {
        eprintln!("skipped: {} is missing; `cargo xtask test` fetches ONNX Runtime", path.display());
        return None;
    }
    Some(path)
}

/// What a finished command left.
#[derive(Debug)]
pub struct Finished {
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// Fails the test unless the exit code is `code`.
    #[track_caller]
    pub fn expect(self, code: i32) -> Finished {
        let Finished { code: found, stdout, stderr } = &self;
        assert_eq!(*found, Some(code), "\nstdout:\n{stdout}\nstderr:\n{stderr}");
        self
    }

    /// Fails the test unless it could not do it (exit code 2) and standard error holds every one of the words.
    #[track_caller]
    pub fn refused(self, words: &[&str]) -> Finished {
        let finished = self.expect(2);
        for word in words {
            assert!(finished.stderr.contains(word), "no {word:?} in:\n{}", finished.stderr);
        }
        assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
        finished
    }
}

/// Runs a binary of the workspace to its end.
pub fn run<S: AsRef<OsStr>>(name: &str, arguments: impl IntoIterator<Item = S>) -> Finished {
    finish(Command::new(bin(name)).args(arguments))
}

/// Runs a command to its end.
pub fn finish(command: &mut Command) -> Finished {
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Finished { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// A synthetic product, made once for all tests: they read it and never change it.
pub struct Product {
    folder: PathBuf,
    /// Keeps a second test program from making it anew at the same time.
    _lock: File,
}

impl Product {
    /// Its data set, MVTec's layout.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A finished run on it.
    pub fn run(&self) -> PathBuf {
        self.folder.join("run")
    }

    /// The bundle that `apc-export` makes of the run.
    pub fn bundle(&self) -> PathBuf {
        self.folder.join("disc.apc")
    }
}

/// The synthetic product of all tests. It lies in the target directory, since nothing would remove a temporary folder that lives as
/// long as the program.
pub fn product() -> &'static Product {
    static PRODUCT: LazyLock<Product> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("product");
        fs::create_dir_all(&folder).expect("folder");
        let lock = File::create(folder.with_extension("lock")).expect("lock");
        lock.lock().expect("lock");
        fs::remove_dir_all(&folder).expect("the last product");
        let product = Product { folder, _lock: lock };
        SyntheticRun::default().write(&product.run(), &product.data());
        let arguments = ["bundle".into(), product.run(), "-o".into(), product.bundle()];
        run("apc-export", arguments).expect(0);
        product
    });
    &PRODUCT
}
