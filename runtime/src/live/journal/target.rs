//! The destination of the lines: opened by name, rotated, opened again.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::{info, warn};
use rustix::io::Errno;

use super::disk::{Disk, Handle};
use super::heal::Healed;
use super::lines;
use super::regular::{self, Torn};
use super::rotate::rotate;
use super::settings::{Destination, Rotation};
use super::stream::Stream;
use super::trouble::Trouble;

/// Longest wait for a stream in one call.
const PATIENCE: Duration = Duration::from_millis(200);

/// A destination, open or not. After a failure it is closed, and opened again by its name at the next call.
pub(super) struct Target<D: Disk> {
    disk: D,
    destination: Destination,
    rotation: Rotation,
    open: Option<Open<D::File>>,
    torn: Option<Torn>,
}

enum Open<F> {
    Regular {
        file: F,
        /// With symbolic links resolved.
        path: PathBuf,
    },
    Stream(Stream<F>),
}

impl<D: Disk> Target<D> {
    pub(super) fn new(disk: D, destination: Destination, rotation: Rotation) -> Target<D> {
        Target { disk, destination, rotation, open: None, torn: None }
    }

    /// Writes some of the whole lines in `waiting`; returns the length of the lines that were written as a whole. 0 may also mean that a
    /// stream is not ready yet. With no line in `waiting` it only opens the destination.
    pub(super) fn append(&mut self, waiting: &[u8]) -> Result<usize, Trouble> {
        let open = match self.open.take() {
            Some(open) => open,
            None => self.open()?,
        };
        match open {
            open if waiting.is_empty() => {
                self.open = Some(open);
                Ok(0)
            }
            Open::Regular { file, path } => self.append_to_file(file, path, waiting),
            Open::Stream(stream) => self.append_to_stream(stream, waiting),
        }
    }

    /// Closes a regular file; the next call opens the file that then has its name. A stream stays open: it may be within a line.
    pub(super) fn close_file(&mut self) {
        self.open.take_if(|open| matches!(open, Open::Regular { .. }));
    }

    /// Warns at the start if rotation cannot work.
    pub(super) fn check_folder(&self) {
        if let Some(Open::Regular { path, .. }) = &self.open
            && let Some(folder) = path.parent()
            && !self.disk.may_rename_in(folder)
        {
            let (folder, path, limit) = (folder.display(), path.display(), self.rotation.max_bytes);
            warn!(
                "{path} takes no more lines once it has {limit} bytes: files in {folder} cannot be renamed; make the folder writable"
            );
        }
    }

    fn append_to_file(&mut self, mut file: D::File, mut path: PathBuf, waiting: &[u8]) -> Result<usize, Trouble> {
        let mut status = file.status().map_err(Trouble::Write)?;
        let mut fitting = self.fitting(waiting, status.size);
        if !status.named || fitting == 0 {
            if status.named {
                rotate(&self.disk, &path, self.rotation.files).map_err(Trouble::Rotate)?;
            }
            drop(file);
            match self.open()? {
                Open::Regular { file: new, path: at } => (file, path) = (new, at),
                stream @ Open::Stream(_) => {
                    self.open = Some(stream);
                    return Ok(0);
                }
            }
            status = file.status().map_err(Trouble::Write)?;
            fitting = self.fitting(waiting, status.size);
        }
        let appended = regular::append(&mut file, status, &waiting[..fitting]);
        self.torn = appended.torn;
        // An error after whole lines is not reported here: it comes again with the next line.
        if appended.whole == 0 {
            appended.result.map_err(Trouble::Write)?;
        }
        if self.torn.is_none() {
            self.open = Some(Open::Regular { file, path });
        }
        Ok(appended.whole)
    }

    /// Length of the lines that may go into a file of this size.
    fn fitting(&self, waiting: &[u8], size: u64) -> usize {
        let room = self.rotation.max_bytes.saturating_sub(size);
        match lines::fitting(waiting, usize::try_from(room).unwrap_or(usize::MAX)) {
            0 if size == 0 => lines::first(waiting),
            fitting => fitting,
        }
    }

    fn append_to_stream(&mut self, mut stream: Stream<D::File>, waiting: &[u8]) -> Result<usize, Trouble> {
        let result = stream.append(waiting, PATIENCE);
        let by_name = matches!(self.destination, Destination::Path(_));
        // A destination that is opened again by its name begins with a whole line. Standard output stays open, and its line is completed.
        if result.is_ok() || !by_name {
            self.open = Some(Open::Stream(stream));
        }
        result.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe if by_name => Trouble::NoReader,
            io::ErrorKind::BrokenPipe => Trouble::ReaderGone,
            _ => Trouble::Write(error),
        })
    }

    fn open(&mut self) -> Result<Open<D::File>, Trouble> {
        let path = match &self.destination {
            Destination::StandardOutput => {
                return self.disk.standard_output().map(|handle| Open::Stream(Stream::new(handle))).map_err(Trouble::Open);
            }
            Destination::Path(path) => path,
        };
        let mut file = self.disk.open(path).map_err(|error| {
            let no_reader = Errno::from_io_error(&error) == Some(Errno::NXIO) && self.disk.is_fifo(path);
            if no_reader { Trouble::NoReader } else { Trouble::Open(error) }
        })?;
        let status = file.status().map_err(Trouble::Open)?;
        if !status.regular {
            return Ok(Open::Stream(Stream::new(file)));
        }
        let healed = regular::prepare(&mut file, status, self.torn).map_err(Trouble::Heal)?;
        self.torn = None;
        log_healing(path, healed);
        let path = self.disk.real(path).map_err(Trouble::Open)?;
        Ok(Open::Regular { file, path })
    }
}

fn log_healing(path: &Path, healed: Healed) {
    let path = path.display();
    match healed {
        Healed::Nothing => {}
        Healed::Ended => info!("{path}: the last line lacked its newline, as after a power cut; the line is whole and is kept"),
        Healed::Cut(bytes) => warn!("{path}: the last line was torn, as after a power cut; its {bytes} bytes were cut off"),
        Healed::TooLong => {
            warn!("{path}: the last line is longer than any line that this program writes; it got a newline and is kept")
        }
    }
}
