//! Why a journal cannot start, and why it cannot write now.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

/// Why a journal cannot start.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The configuration names a path to which lines can never be appended.
    #[error(
        "{key}: cannot append to {}; expected a file in a folder that exists and that this user may write to, a FIFO or a device: \
         name another path, or make the folder",
        path.display()
    )]
    Open {
        /// The configuration's key.
        key: &'static str,
        /// The path that it names.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The system gives no more threads.
    #[error("cannot start the thread that writes {noun} lines")]
    Thread {
        /// The noun for one line.
        noun: &'static str,
        /// The error of the system.
        source: io::Error,
    },
}

/// Why lines cannot be written now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("cannot open the file: {0}")]
    Open(io::Error),
    #[error("cannot heal the last line: {0}")]
    Heal(io::Error),
    #[error("cannot rename the file to begin a new one: {0}")]
    Rotate(io::Error),
    #[error("{0}")]
    Write(io::Error),
    /// A FIFO that may find a reader again.
    #[error("the FIFO has no reader")]
    NoReader,
    /// Standard output, which cannot find a reader again.
    #[error("its reader is gone")]
    ReaderGone,
}

impl Trouble {
    /// The error, if the configuration is at fault: trying again would not help, so the service must not start. A full or read-only disk, a
    /// disk with errors and a FIFO without a reader are not the configuration's fault.
    pub(super) fn of_configuration(self) -> Result<io::Error, Trouble> {
        const FAULTS: [Errno; 10] = [
            Errno::NOENT,
            Errno::NOTDIR,
            Errno::ISDIR,
            Errno::ACCESS,
            Errno::PERM,
            Errno::LOOP,
            Errno::NAMETOOLONG,
            Errno::INVAL,
            Errno::NXIO,
            Errno::NODEV,
        ];
        match self {
            Trouble::Open(error)
                if error.kind() == io::ErrorKind::InvalidInput
                    || Errno::from_io_error(&error).is_some_and(|errno| FAULTS.contains(&errno)) =>
            {
                Ok(error)
            }
            other => Err(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_may_recover_and_a_wrong_path_may_not() {
        let open = |errno: Errno| Trouble::Open(errno.into()).of_configuration().is_ok();
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::ROFS, Errno::IO, Errno::MFILE, Errno::NOMEM, Errno::STALE] {
            assert!(!open(errno), "{errno}");
        }
        for errno in [Errno::NOENT, Errno::ISDIR, Errno::ACCESS, Errno::NXIO] {
            assert!(open(errno), "{errno}");
        }
        assert!(Trouble::Write(Errno::ACCESS.into()).of_configuration().is_err(), "the file was opened before");
        assert!(Trouble::NoReader.of_configuration().is_err());
    }
}
