//! Where files are kept: the single steps of a change, and the changes that are made of them.
//!
//! A power cut may come before any step, and takes what was not synced. Tests put a file system in memory in the place of the disk, which
//! forgets in the same way.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Begins the name of a file that is not finished; after a power cut it may be left over.
pub const TEMPORARY: &str = ".apc-";

/// What a path leads to; links are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A device, a socket ...
    Other,
}

/// A file system. Each method that changes something is one step; [`write`](FileSystem::write), [`remove`](FileSystem::remove) and
/// [`create_folders`](FileSystem::create_folders) put the steps in the order that a power cut may end anywhere. Programs change files by
/// these three only.
pub trait FileSystem {
    /// A temporary file that is being filled.
    type Temporary;
    /// Holds a lock until it is dropped.
    type Lock;

    /// What a path leads to; none where nothing is there.
    fn kind(&self, path: &Path) -> Option<Kind>;

    /// Whether a path leads to a regular file.
    fn is_file(&self, path: &Path) -> bool {
        self.kind(path) == Some(Kind::File)
    }

    /// Reads a whole file of at most `limit` bytes.
    ///
    /// # Errors
    /// When it cannot be read, is not a regular file, or is longer.
    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>>;

    /// The paths of what lies in a folder, in any order.
    ///
    /// # Errors
    /// When it cannot be read.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;

    /// Locks a file, which is created where it is missing, for one program at a time; none where another program holds the lock.
    ///
    /// # Errors
    /// When the file cannot be created or locked.
    fn lock(&self, path: &Path) -> Result<Option<Self::Lock>>;

    /// Step: a folder appears in one that exists.
    ///
    /// # Errors
    /// The system's; `AlreadyExists` where something is there.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Step: an empty file appears, with a name that begins with [`TEMPORARY`] and was never used.
    ///
    /// # Errors
    /// The system's.
    fn create_temporary(&self, folder: &Path) -> io::Result<(PathBuf, Self::Temporary)>;

    /// Step: a temporary file is filled.
    ///
    /// # Errors
    /// The system's.
    fn fill(&self, file: &mut Self::Temporary, bytes: &[u8]) -> io::Result<()>;

    /// Step: a temporary file's content reaches the disk. Its name need not.
    ///
    /// # Errors
    /// The system's.
    fn sync(&self, file: &Self::Temporary) -> io::Result<()>;

    /// Step: a file takes another name in its folder, and the place of the file that had it.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Step: a file's name disappears.
    ///
    /// # Errors
    /// The system's; `NotFound` where nothing is there.
    fn unlink(&self, path: &Path) -> io::Result<()>;

    /// Step: the names in a folder reach the disk: new ones, and that others are gone.
    ///
    /// # Errors
    /// The system's.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Writes `bytes` to `path`: temporary file beside it, fsync, rename, fsync of the folder.
    ///
    /// # Errors
    /// When any step fails; `path` then holds what it held before, or all of `bytes` where only the last step failed, and the temporary
    /// file is gone.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let folder = folder_of(path);
        let write = || -> io::Result<()> {
            let (temporary, mut file) = self.create_temporary(folder)?;
            // Content first, then the name: the other way round, a name may lead to nothing.
            let filled = self.fill(&mut file, bytes).and_then(|()| self.sync(&file));
            if let Err(error) = filled.and_then(|()| self.rename(&temporary, path)) {
                // The first error is the one to report.
                let _ = self.unlink(&temporary);
                return Err(error);
            }
            self.sync_folder(folder)
        };
        write().map_err(Error::io(path, "write"))
    }

    /// Removes a file; one that is not there is fine.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove(&self, path: &Path) -> Result<()> {
        let remove = || match self.unlink(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| self.sync_folder(folder_of(path))),
        };
        remove().map_err(Error::io(path, "remove"))
    }

    /// Makes a folder and those above it, where they are missing. A file that is synced in a folder whose own name is not would be lost.
    ///
    /// # Errors
    /// When one cannot be made.
    fn create_folders(&self, folder: &Path) -> Result<()> {
        let is_missing = |path: &&Path| !path.as_os_str().is_empty() && self.kind(path) != Some(Kind::Folder);
        let missing: Vec<&Path> = folder.ancestors().take_while(is_missing).collect();
        // A killed program may have made the deepest of the folders that are there, and not have synced its name. Who may not sync the folder
        // above, because it is another user's or on a read-only file system, has made no folder in it.
        let above = folder_of(missing.last().map_or(folder, |path| folder_of(path)));
        if let Err(error) = self.sync_folder(above) {
            use io::ErrorKind::{InvalidInput, NotFound, PermissionDenied, ReadOnlyFilesystem};
            // A folder that has gone meanwhile fails below, where it is needed.
            if !matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | InvalidInput | NotFound) {
                return Err(Error::io(above, "sync")(error));
            }
        }
        let create = |path: &Path| match self.create_folder(path) {
            // Another program made it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.kind(path) == Some(Kind::Folder) => Ok(()),
            created => created.and_then(|()| self.sync_folder(folder_of(path))),
        };
        missing.into_iter().rev().try_for_each(create).map_err(Error::io(folder, "create"))
    }
}

/// The folder that a path lies in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// This machine's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl FileSystem for Disk {
    type Temporary = File;
    type Lock = File;

    fn kind(&self, path: &Path) -> Option<Kind> {
        let found = fs::metadata(path).ok()?;
        Some(if found.is_file() {
            Kind::File
        } else if found.is_dir() {
            Kind::Folder
        } else {
            Kind::Other
        })
    }

    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>> {
        let file = File::open(path).map_err(Error::io(path, "open"))?;
        let length = file.metadata().map_err(Error::io(path, "read"))?;
        if !length.is_file() {
            return Err(Error::file(path, "is not a regular file"));
        }
        if length.len() > limit {
            return Err(Error::file(path, format!("holds {} bytes; at most {limit} were expected", length.len())));
        }
        // The file may grow between the two calls: the limit holds for what is read, not for what was announced.
        let mut bytes = Vec::with_capacity(length.len() as usize);
        file.take(limit + 1).read_to_end(&mut bytes).map_err(Error::io(path, "read"))?;
        if bytes.len() as u64 > limit {
            return Err(Error::file(path, format!("holds more than the expected {limit} bytes")));
        }
        Ok(bytes)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
    }

    fn lock(&self, path: &Path) -> Result<Option<File>> {
        #[expect(clippy::disallowed_methods, reason = "a lock has no content")]
        let file = File::create(path).map_err(Error::io(path, "create"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(Error::io(path, "lock")(error)),
        }
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn create_temporary(&self, folder: &Path) -> io::Result<(PathBuf, File)> {
        let file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
        }
        // It is not removed by itself: after a power cut it would not be, either.
        let (file, path) = file.keep().map_err(|error| error.error)?;
        Ok((path, file))
    }

    fn fill(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// The disk, which stops before one of its steps and from then on, and notes the steps that it has taken.
    struct Cut {
        left: Cell<usize>,
        steps: RefCell<Vec<&'static str>>,
    }

    impl Cut {
        fn after(steps: usize) -> Cut {
            Cut { left: Cell::new(steps), steps: RefCell::default() }
        }

        fn step(&self, name: &'static str) -> io::Result<()> {
            self.left.set(self.left.get().checked_sub(1).ok_or(io::ErrorKind::Interrupted)?);
            self.steps.borrow_mut().push(name);
            Ok(())
        }
    }

    impl FileSystem for Cut {
        type Temporary = File;
        type Lock = File;

        fn kind(&self, path: &Path) -> Option<Kind> {
            Disk.kind(path)
        }

        fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>> {
            Disk.read(path, limit)
        }

        fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
            Disk.list(folder)
        }

        fn lock(&self, path: &Path) -> Result<Option<File>> {
            Disk.lock(path)
        }

        fn create_folder(&self, path: &Path) -> io::Result<()> {
            self.step("create folder").and_then(|()| Disk.create_folder(path))
        }

        fn create_temporary(&self, folder: &Path) -> io::Result<(PathBuf, File)> {
            self.step("create").and_then(|()| Disk.create_temporary(folder))
        }

        fn fill(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
            self.step("fill").and_then(|()| Disk.fill(file, bytes))
        }

        fn sync(&self, file: &File) -> io::Result<()> {
            self.step("sync").and_then(|()| Disk.sync(file))
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.step("rename").and_then(|()| Disk.rename(from, to))
        }

        fn unlink(&self, path: &Path) -> io::Result<()> {
            self.step("unlink").and_then(|()| Disk.unlink(path))
        }

        fn sync_folder(&self, folder: &Path) -> io::Result<()> {
            self.step("sync folder").and_then(|()| Disk.sync_folder(folder))
        }
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        Disk.write(&path, b"old").unwrap();
        Disk.write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(Disk.write(&folder.path().join("missing/file"), b"x").is_err());
        let occupied = folder.path().join("folder");
        fs::create_dir_all(occupied.join("inner")).unwrap();
        assert!(Disk.write(&occupied, b"x").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file stays");
    }

    #[test]
    fn a_cut_leaves_the_old_file_or_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let whole = Cut::after(usize::MAX);
        whole.write(&path, b"old").unwrap();
        // Content first, then the name: the other way round, a name may lead to nothing.
        assert_eq!(*whole.steps.borrow(), ["create", "fill", "sync", "rename", "sync folder"]);
        for cut in 0..5 {
            assert!(Cut::after(cut).write(&path, b"new").is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), if cut == 4 { "new" } else { "old" }, "{cut}");
        }
    }

    #[test]
    fn removing_and_creating_reach_the_folder_above() {
        let folder = tempfile::tempdir().unwrap();
        let (deep, file) = (folder.path().join("a/b"), folder.path().join("a/b/file"));
        let steps = |change: &dyn Fn(&Cut) -> Result<()>| {
            let disk = Cut::after(usize::MAX);
            change(&disk).unwrap();
            disk.steps.into_inner()
        };
        let created = ["sync folder", "create folder", "sync folder", "create folder", "sync folder"];
        assert_eq!(steps(&|disk| disk.create_folders(&deep)), created);
        assert_eq!(steps(&|disk| disk.create_folders(&deep)), ["sync folder"], "a killed program may have made it");
        Disk.write(&file, b"x").unwrap();
        assert!(Disk.create_folders(&file).is_err() && Disk.create_folders(&file.join("c")).is_err(), "a file is in the way");
        assert_eq!(steps(&|disk| disk.remove(&file)), ["unlink", "sync folder"]);
        assert_eq!(steps(&|disk| disk.remove(&file)), ["unlink"], "it is gone");
    }

    #[test]
    fn one_lock_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".lock");
        let first = Disk.lock(&path).unwrap();
        assert!(first.is_some() && Disk.lock(&path).unwrap().is_none());
        drop(first);
        assert!(Disk.lock(&path).unwrap().is_some());
        assert!(Disk.lock(&folder.path().join("missing/.lock")).unwrap_err().to_string().contains("cannot create"));
    }
}
