//! A datagram socket at a path, for software triggers and product names.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use super::line_error::LineError;

/// A datagram socket whose file is removed when it is dropped.
#[derive(Debug)]
pub(super) struct Socket {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Socket {
    /// Binds a socket to `path`. The file of a socket at which no process listens is removed first: an earlier service was killed.
    ///
    /// # Errors
    /// When no socket can be bound to `path`; names the configuration's `key`.
    pub(super) fn listen(key: &'static str, path: &Path) -> Result<Socket, LineError> {
        let error = |source| LineError::Socket { key, path: path.to_owned(), source };
        let probe = UnixDatagram::unbound().map_err(error)?;
        let is_socket = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
        if is_socket && probe.connect(path).is_err() {
            std::fs::remove_file(path).map_err(error)?;
        }
        let socket = UnixDatagram::bind(path).map_err(error)?;
        socket.set_nonblocking(true).map_err(error)?;
        Ok(Socket { socket, path: path.to_owned() })
    }

    /// Receives the next datagram, cut to the length of `buffer`; returns its length.
    ///
    /// # Errors
    /// `WouldBlock` when no datagram waits.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(buffer)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
