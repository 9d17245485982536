use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

/// Why a journal cannot start.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The configuration names something that lines can never be appended to.
    #[error(
        "{key}: cannot append to {}; expected a file in a folder that exists and that this user may write to, a FIFO or a device: \
         name another one, or make the folder",
        path.display()
    )]
    Open {
        /// The configuration's key.
        key: &'static str,
        /// What it names.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The system gives no more threads.
    #[error("cannot start the thread that writes {noun} lines")]
    Thread {
        /// What one line is.
        noun: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

/// Why lines cannot be written now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("cannot open it: {0}")]
    Open(#[source] io::Error),
    #[error("cannot make its last line whole: {0}")]
    Heal(#[source] io::Error),
    #[error("cannot rename it to begin a new file: {0}")]
    Rotate(#[source] io::Error),
    #[error("{0}")]
    Write(#[source] io::Error),
    /// A FIFO that may find a reader again.
    #[error("nobody reads it")]
    NoReader,
    /// Standard output, which cannot.
    #[error("nobody reads it any more")]
    ReaderGone,
}

impl Trouble {
    /// The error, if the configuration is to blame: trying again would not help, so a service must not start. A full or read-only
    /// disk, a disk with errors and a FIFO that nobody reads are not the configuration's fault.
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
        assert!(Trouble::Write(Errno::ACCESS.into()).of_configuration().is_err(), "it was opened");
        assert!(Trouble::NoReader.of_configuration().is_err());
    }
}
