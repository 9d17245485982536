//! Python wheels as carriers of shared libraries: pinned by hash, fetched with pip, unpacked in part.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use zip::ZipArchive;

use crate::files::{self, sha256};
use crate::process;
use crate::python::Python;

/// One wheel of the Python package index. Its platform is pinned, so that every machine gets the same file.
pub struct Wheel {
    /// The package's name.
    pub name: &'static str,
    /// The package's version.
    pub version: &'static str,
    /// Platform tag for pip.
    pub platform: &'static str,
    /// The wheel's file name.
    pub file: &'static str,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: &'static str,
    /// The environment variable that names one of the user's own instead.
    pub variable: &'static str,
}

impl Wheel {
    /// The wheel's path in `downloads`, fetched if it is not there with the right hash.
    pub fn fetch(&self, python: &Python, downloads: &Path) -> Result<PathBuf> {
        self.fetch_with(downloads, |folder| self.download(python, folder))
    }

    fn fetch_with(&self, downloads: &Path, download: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        files::make_folder(downloads)?;
        let path = downloads.join(self.file);
        if path.exists() {
            if sha256(&path)? == self.sha256 {
                return Ok(path);
            }
            eprintln!("setup: {} is damaged, fetching it again", path.display());
            files::remove(&path)?;
        }
        eprintln!("setup: fetching {} {}", self.name, self.version);
        download(downloads)?;
        let found = sha256(&path)?;
        if found != self.sha256 {
            files::remove(&path)?;
            bail!(
                "{} has SHA-256 {found}, expected {}: the download was damaged, or the package index serves another \
                 file. Run the command again; if that does not help, set {} to a {} of your own",
                self.file,
                self.sha256,
                self.variable,
                self.name
            );
        }
        Ok(path)
    }

    /// Downloads the wheel into `folder` with pip, which shows its progress.
    fn download(&self, python: &Python, folder: &Path) -> Result<()> {
        // Not the system's temporary folder, which may be small and in memory; and no second copy in pip's cache.
        let scratch = folder.join("pip");
        files::make_empty_folder(&scratch)?;
        let Self { name, version, platform, file, variable, .. } = self;
        let mut pip = python.pip();
        pip.args(["download", "--no-deps", "--no-cache-dir", "--only-binary=:all:"])
            .args(["--implementation", "cp", "--python-version", "3.11", "--abi", "cp311", "--abi", "none"])
            .args(["--platform", platform, "--dest"])
            .arg(folder)
            .arg(format!("{name}=={version}"))
            .env("TMPDIR", &scratch);
        let purpose = format!(
            "pip could not fetch {name} {version}. Without a network: put {file} into {}, or set {variable} to a {name} of your own",
            folder.display()
        );
        process::run_to_success(&mut pip, &purpose)?;
        files::remove(&scratch)
    }
}

/// Unpacks those files of the wheel for which `place` gives a path below `into`; returns how many.
pub fn unpack(wheel: &Path, into: &Path, place: impl Fn(&str) -> Option<PathBuf>) -> Result<usize> {
    let failed = || format!("cannot unpack {}", wheel.display());
    let file = File::open(wheel).with_context(failed)?;
    let mut archive = ZipArchive::new(BufReader::new(file)).with_context(failed)?;
    let mut count = 0;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).with_context(failed)?;
        // `enclosed_name` refuses names that would leave the folder.
        let Some(place) = entry.enclosed_name().and_then(|name| place(name.to_str()?)).filter(|_| entry.is_file()) else {
            continue;
        };
        let path = into.join(place);
        files::make_folder(path.parent().unwrap_or(into))?;
        let mut file = files::create(&path)?;
        io::copy(&mut entry, &mut file).with_context(|| format!("cannot write {}", path.display()))?;
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use anyhow::anyhow;
    use tempfile::tempdir;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    /// A wheel that holds "abc".
    const ABC: Wheel = Wheel {
        name: "abc",
        version: "1",
        platform: "any",
        file: "abc-1-any.whl",
        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        variable: "ABC_PATH",
    };

    fn write(text: &'static str) -> impl Fn(&Path) -> Result<()> {
        move |folder| Ok(fs::write(folder.join(ABC.file), text)?)
    }

    #[test]
    fn a_wheel_with_the_right_hash_is_not_fetched_again() {
        let folder = tempdir().unwrap();
        ABC.fetch_with(folder.path(), write("abc")).unwrap();
        ABC.fetch_with(folder.path(), |_| panic!("fetched twice")).unwrap();
    }

    #[test]
    fn a_damaged_wheel_is_fetched_again() {
        let folder = tempdir().unwrap();
        write("ab")(folder.path()).unwrap();
        let path = ABC.fetch_with(folder.path(), write("abc")).unwrap();
        assert_eq!(fs::read(path).unwrap(), b"abc");
    }

    #[test]
    fn a_wheel_with_another_hash_is_refused_and_removed() {
        let folder = tempdir().unwrap();
        let error = ABC.fetch_with(folder.path(), write("abd")).unwrap_err().to_string();
        assert!(error.contains(ABC.file) && error.contains(ABC.sha256), "{error}");
        assert!(!folder.path().join(ABC.file).exists());
    }

    #[test]
    fn a_download_that_fails_keeps_its_message() {
        let folder = tempdir().unwrap();
        let error = ABC.fetch_with(folder.path(), |_| Err(anyhow!("no network"))).unwrap_err();
        assert_eq!(error.to_string(), "no network");
    }

    #[test]
    fn unpacks_only_chosen_files_and_never_outside_the_folder() {
        let folder = tempdir().unwrap();
        let wheel = folder.path().join("x.whl");
        let mut zip = ZipWriter::new(File::create(&wheel).unwrap());
        for name in ["torch/lib/a.so", "torch/lib/b.so", "../lib/a.so"] {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
            zip.write_all(name.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
        let into = folder.path().join("into");
        let count = unpack(&wheel, &into, |name| name.ends_with("lib/a.so").then(|| name.into())).unwrap();
        assert_eq!(count, 1);
        assert_eq!(fs::read(into.join("torch/lib/a.so")).unwrap(), b"torch/lib/a.so");
        assert!(!into.join("torch/lib/b.so").exists());
        assert!(!folder.path().join("lib").exists());
    }

    #[test]
    fn a_truncated_wheel_is_an_error_that_names_it() {
        let folder = tempdir().unwrap();
        let wheel = folder.path().join("x.whl");
        fs::write(&wheel, b"PK\x03\x04").unwrap();
        let error = unpack(&wheel, folder.path(), |_| None).unwrap_err();
        assert!(format!("{error:#}").contains("x.whl"));
    }
}
