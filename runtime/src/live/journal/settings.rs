//! The settings of a journal: destination, rotation, and limits of its queue.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;

/// The settings of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The noun for one line in log messages, such as `verdict`.
    pub noun: &'static str,
    /// The configuration's key of the destination, for errors at the start, such as `output.verdicts`.
    pub key: &'static str,
    /// Where lines go.
    pub destination: Destination,
    /// How much a file and its older files may hold.
    pub rotation: Rotation,
    /// How many lines may wait.
    pub queue: QueueLimits,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard output. It is never rotated, cut or reopened, even if it is a file.
    StandardOutput,
    /// A regular file, which is created if it is missing; or an existing FIFO or device.
    Path(PathBuf),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::StandardOutput => f.write_str("standard output"),
            Destination::Path(path) => path.display().fmt(f),
        }
    }
}

/// How much a regular file and its older files may hold: at most `(files + 1) * max_bytes` bytes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// A file that the next line would make larger than this is renamed, and a new file is begun. A line that is longer than this gets a
    /// file of its own.
    pub max_bytes: u64,
    /// Older files that are kept: `NAME.1` is the newest, `NAME.2` the one before.
    pub files: NonZeroU32,
}

impl Default for Rotation {
    /// 64 MiB and 8 older files.
    fn default() -> Rotation {
        Rotation { max_bytes: 64 << 20, files: NonZeroU32::MIN.saturating_add(7) }
    }
}

/// How many lines may wait in the queue. The writer thread holds at most as many again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Most lines.
    pub lines: usize,
    /// Most bytes. A longer line is lost.
    pub bytes: usize,
}

impl Default for QueueLimits {
    /// 4096 lines and 1 MiB.
    fn default() -> QueueLimits {
        QueueLimits { lines: 4096, bytes: 1 << 20 }
    }
}
