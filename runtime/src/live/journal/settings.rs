use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;

/// What a journal writes, where to, and how much of it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What one line is, for log messages: `verdict`.
    pub noun: &'static str,
    /// The configuration's key of [`Settings::destination`], for errors at the start: `output.verdicts`.
    pub key: &'static str,
    /// Where lines go.
    pub destination: Destination,
    /// How much a file and its predecessors may hold.
    pub rotation: Rotation,
    /// How much may wait.
    pub queue: QueueLimits,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard output, whatever it leads to. It is never rotated, cut or reopened.
    StandardOutput,
    /// A regular file, which is made where it is missing; or a FIFO or a device that exists.
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

/// How much a regular file and its predecessors may hold: at most `(files + 1) * max_bytes` bytes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// A file that the next line would make larger than this is renamed, and a new one is begun. A single longer line gets a file of
    /// its own.
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

/// How much may wait in the queue. The writer thread has at most as much again in its hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Lines.
    pub lines: usize,
    /// Bytes. A longer line is lost.
    pub bytes: usize,
}

impl Default for QueueLimits {
    /// 4096 lines and 1 MiB.
    fn default() -> QueueLimits {
        QueueLimits { lines: 4096, bytes: 1 << 20 }
    }
}
