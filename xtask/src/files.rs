//! Files and folders of the chores. Errors name the path.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// SHA-256 of a file, in hexadecimal.
pub fn sha256(path: &Path) -> Result<String> {
    // Its text tells the cause already.
    detector::files::sha256_file(path).map_err(anyhow::Error::msg)
}

/// Reads a text file.
pub fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a file that can be made again: after a power cut, half of it may be there.
#[expect(clippy::disallowed_methods, reason = "chores write only what they can make again")]
pub fn write(path: &Path, contents: impl AsRef<[u8]>) -> Result<()> {
    fs::write(path, contents).with_context(|| format!("cannot write {}", path.display()))
}

/// Creates an empty file, or empties it, for a program's output or a lock.
#[expect(clippy::disallowed_methods, reason = "chores write only what they can make again")]
pub fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}

/// Copies a file.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map(drop).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

/// Copies a folder with all that lies in it.
pub fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    make_folder(to)?;
    for path in list(from)? {
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() { copy_folder(&path, &target)? } else { copy(&path, &target)? }
    }
    Ok(())
}

/// The size of a file in bytes.
pub fn size(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len())
}

/// The full path of a file or folder that must exist.
pub fn existing(path: &Path) -> Result<PathBuf> {
    path.canonicalize().with_context(|| format!("cannot find {}", path.display()))
}

/// The paths in a folder, sorted.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    let mut paths = read().with_context(|| format!("cannot list {}", folder.display()))?;
    paths.sort();
    Ok(paths)
}

/// Makes a folder and those above it, unless they are there.
pub fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))
}

/// Makes an empty folder; an old one is removed with all that lies in it.
pub fn make_empty_folder(folder: &Path) -> Result<()> {
    remove(folder)?;
    make_folder(folder)
}

/// Removes a file, or a folder with all that lies in it, if it is there.
pub fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Name of the file that says from what a folder was made.
const STAMP: &str = "made-from";

/// Makes `folder` hold what `fill` writes, unless its stamp says that it already does.
///
/// The folder appears all at once: an interrupted chore leaves nothing that looks finished.
pub fn install(folder: &Path, stamp: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if is_installed(folder, stamp) {
        return Ok(());
    }
    let partial = folder.with_extension("partial");
    remove(folder)?;
    make_empty_folder(&partial)?;
    fill(&partial)?;
    write(&partial.join(STAMP), stamp)?;
    fs::rename(&partial, folder).with_context(|| format!("cannot rename {}", partial.display()))
}

/// Whether `folder` was completely made from what `stamp` names.
pub fn is_installed(folder: &Path, stamp: &str) -> bool {
    fs::read_to_string(folder.join(STAMP)).is_ok_and(|found| found == stamp)
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use tempfile::tempdir;

    use super::*;

    #[test]
    fn installs_once_and_again_when_the_stamp_changes() {
        let folder = tempdir().unwrap();
        let place = folder.path().join("lib");
        let fill = |text: &'static str| move |folder: &Path| write(&folder.join("file"), text);
        install(&place, "one", fill("1")).unwrap();
        install(&place, "one", |_| panic!("installed twice")).unwrap();
        install(&place, "two", fill("2")).unwrap();
        assert_eq!(read(&place.join("file")).unwrap(), "2");
    }

    #[test]
    fn an_interrupted_installation_does_not_look_finished() {
        let folder = tempdir().unwrap();
        let place = folder.path().join("lib");
        let half = |folder: &Path| {
            write(&folder.join("half"), "1")?;
            Err(anyhow!("interrupted"))
        };
        install(&place, "one", half).unwrap_err();
        assert!(!place.exists());
        install(&place, "one", |_| Ok(())).unwrap();
        assert!(is_installed(&place, "one") && !place.join("half").exists());
    }

    #[test]
    fn what_is_not_there_is_removed_already() {
        let folder = tempdir().unwrap();
        let (file, full) = (folder.path().join("file"), folder.path().join("full"));
        write(&file, "1").unwrap();
        make_folder(&full.join("deep")).unwrap();
        for path in [&file, &full] {
            remove(path).unwrap();
            assert!(!path.exists());
            remove(path).unwrap();
        }
    }

    #[test]
    fn errors_name_the_path() {
        let missing = Path::new("/nowhere/at/all");
        for error in [read(missing).err(), write(missing, "").err(), list(missing).err(), existing(missing).err()] {
            assert!(error.unwrap().to_string().contains("/nowhere/at/all"));
        }
    }
}
