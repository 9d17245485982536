//! What the journal asks of the operating system. Tests put faults in its way.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, OFlags, access};

/// Names of files.
pub(super) trait Disk: Send + 'static {
    type File: Handle;

    fn standard_output(&self) -> io::Result<Self::File>;

    /// Opens for appending what is there, or makes a regular file. Never waits for a reader.
    ///
    /// # Errors
    /// `ENXIO` for a FIFO that nobody reads.
    fn open(&self, path: &Path) -> io::Result<Self::File>;

    fn is_fifo(&self, path: &Path) -> bool;

    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Replaces what is at `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// The path behind symbolic links, so that a file is renamed and not the link to it.
    fn real(&self, path: &Path) -> io::Result<PathBuf>;

    /// Whether files in this folder may be renamed.
    fn may_rename_in(&self, folder: &Path) -> bool;
}

/// An open file, pipe or device.
pub(super) trait Handle: Send + 'static {
    fn status(&self) -> io::Result<Status>;

    /// Waits at most `patience` until a write of up to `PIPE_BUF` bytes would not wait.
    fn ready(&self, patience: Duration) -> io::Result<bool>;

    /// Writes a beginning of `bytes`; gives its length.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Makes a regular file this long.
    fn cut(&mut self, length: u64) -> io::Result<()>;

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

/// What an open file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub regular: bool,
    pub size: u64,
    /// Device and inode.
    pub identity: (u64, u64),
    /// It still has a name.
    pub named: bool,
}

/// The machine's own files.
#[derive(Debug)]
pub(super) struct Machine;

impl Disk for Machine {
    type File = File;

    /// A duplicate: its flags are those of all who share standard output, and stay as they are.
    fn standard_output(&self) -> io::Result<File> {
        io::stdout().as_fd().try_clone_to_owned().map(File::from)
    }

    /// The end of the file is read when it is healed, so a regular file is opened for reading too. A FIFO is not: its own reader would
    /// hide that nobody else reads.
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
