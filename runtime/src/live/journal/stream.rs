//! Pipes, terminals, sockets and devices. They take lines at their own pace, and a line in them cannot be cut off.

use std::io;
use std::thread;
use std::time::Duration;

use super::disk::Handle;
use super::lines;

/// A write of at most this many bytes to a pipe that is ready does not wait, and no other writer gets in between (POSIX's `PIPE_BUF`).
const PIECE: usize = 4096;
/// Pause after a stream was ready and then took no byte.
const BUSY: Duration = Duration::from_millis(1);

/// A stream, and how many bytes of the present line were sent. A line that was begun is completed before anything else is written.
#[derive(Debug)]
pub(super) struct Stream<H> {
    handle: H,
    sent: usize,
}

impl<H: Handle> Stream<H> {
    pub(super) fn new(handle: H) -> Stream<H> {
        Stream { handle, sent: 0 }
    }

    /// Waits at most `patience` until the stream is ready, then writes at most [`PIECE`] bytes. Returns the length of the lines that were
    /// sent as a whole; the next call must begin behind them.
    pub(super) fn append(&mut self, waiting: &[u8], patience: Duration) -> io::Result<usize> {
        if !self.handle.ready(patience)? {
            return Ok(0);
        }
        let rest = &waiting[self.sent..];
        let piece = match lines::fitting(rest, PIECE) {
            0 => rest.len().min(PIECE),
            whole => whole,
        };
        match self.handle.write(&rest[..piece]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => self.sent += written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(BUSY),
            Err(error) => return Err(error),
        }
        let whole = lines::whole(&waiting[..self.sent]);
        self.sent -= whole;
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::OwnedFd;

    #[test]
    fn long_lines_are_sent_in_pieces_and_a_full_pipe_does_not_block() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut stream = Stream::new(File::from(OwnedFd::from(writer)));
        let long = [vec![b'x'; 100_000], b"\n".to_vec()].concat();
        let waiting = [b"short\n".to_vec(), long.clone(), b"last\n".to_vec()].concat();
        let (mut at, mut read, mut stalls) = (0, Vec::new(), 0);
        while at < waiting.len() {
            let sent = stream.sent;
            let whole = stream.append(&waiting[at..], Duration::ZERO).unwrap();
            at += whole;
            if whole == 0 && stream.sent == sent {
                stalls += 1;
                let mut buffer = [0; 30_000];
                let length = reader.read(&mut buffer).unwrap();
                read.extend_from_slice(&buffer[..length]);
            }
        }
        assert!(stalls > 0, "a pipe holds less than this line");
        drop(stream);
        reader.read_to_end(&mut read).unwrap();
        assert!(read == waiting, "all bytes, in order");
    }
}
