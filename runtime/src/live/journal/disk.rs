//! The calls of the operating system that the journal needs, behind traits: tests inject faults here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, OFlags, access};

/// Opens and renames files.
pub(super) trait Disk: Send + 'static {
    type File: Handle;

    fn standard_output(&self) -> io::Result<Self::File>;

    /// Opens a path for appending; makes a regular file if nothing is there. Never waits for the reader of a FIFO.
    ///
    /// # Errors
    /// `ENXIO` for a FIFO without a reader.
    fn open(&self, path: &Path) -> io::Result<Self::File>;

    fn is_fifo(&self, path: &Path) -> bool;

    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Renames a file; replaces a file at `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// The path with symbolic links resolved, so that rotation renames the file and not a link to it.
    fn real(&self, path: &Path) -> io::Result<PathBuf>;

    /// Whether files in this folder may be renamed.
    fn may_rename_in(&self, folder: &Path) -> bool;
}

/// An open file, pipe or device.
pub(super) trait Handle: Send + 'static {
    fn status(&self) -> io::Result<Status>;

    /// Waits at most `patience` until a write of up to `PIPE_BUF` bytes would not wait.
    fn ready(&self, patience: Duration) -> io::Result<bool>;

    /// Writes the first bytes of `bytes`; returns how many.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Truncates a regular file to this length.
    fn cut(&mut self, length: u64) -> io::Result<()>;

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

/// The status of an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub regular: bool,
    pub size: u64,
    /// Device and inode.
    pub identity: (u64, u64),
    /// Whether it still has a name.
    pub named: bool,
}

/// The files of this machine.
#[derive(Debug)]
pub(super) struct Machine;

impl Disk for Machine {
    type File = File;

    /// A duplicate descriptor. Its flags are shared with every process that has this standard output, so they stay as they are.
    fn standard_output(&self) -> io::Result<File> {
        io::stdout().as_fd().try_clone_to_owned().map(File::from)
    }

    /// A regular file is opened for reading too, because healing reads its end. A FIFO is not: the journal itself would count as a reader,
    /// and a missing reader would go unnoticed.
    fn open(&self, path: &Path) -> io::Result<File> {
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
        let mut options = OpenOptions::new();
        if self.is_fifo(path) {
            options.write(true);
        } else {
            options.read(true).append(true).create(true);
        }
        options.custom_flags(flags).open(path)
    }

    fn is_fifo(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn real(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }

    fn may_rename_in(&self, folder: &Path) -> bool {
        access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok()
    }
}

impl Handle for File {
    fn status(&self) -> io::Result<Status> {
        let metadata = self.metadata()?;
        Ok(Status {
            regular: metadata.is_file(),
            size: metadata.len(),
            identity: (metadata.dev(), metadata.ino()),
            named: metadata.nlink() > 0,
        })
    }

    fn ready(&self, patience: Duration) -> io::Result<bool> {
        let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(self, PollFlags::OUT)], Some(&patience)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(self, bytes)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }
}
