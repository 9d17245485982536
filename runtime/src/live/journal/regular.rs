//! Appending to a regular file so that it holds whole lines only.

use std::io;

use super::disk::{Handle, Status};
use super::heal::{Healed, heal};
use super::lines;

/// A file with part of a line behind its last whole line, which could not be cut off after a failed write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Torn {
    identity: (u64, u64),
    /// Length of its whole lines, in bytes.
    whole: u64,
}

/// The result of a write.
#[derive(Debug)]
pub(super) struct Appended {
    /// Length of the whole lines that were written, in bytes.
    pub whole: usize,
    pub result: io::Result<()>,
    /// Set if the file ends with a torn line; then it must be closed.
    pub torn: Option<Torn>,
}

/// Appends whole lines to a file with this status. The rest of a failed write is cut off.
pub(super) fn append(file: &mut impl Handle, status: Status, waiting: &[u8]) -> Appended {
    let mut done = 0;
    let result = loop {
        if done == waiting.len() {
            break Ok(());
        }
        match file.write(&waiting[done..]) {
            Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => done += written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    let whole = lines::whole(&waiting[..done]);
    let length = status.size + whole as u64;
    let torn = Torn { identity: status.identity, whole: length };
    let cut = if result.is_err() { file.cut(length) } else { Ok(()) };
    Appended { whole, result, torn: cut.is_err().then_some(torn) }
}

/// Makes an opened file end with a whole line. `torn` is the result of the last [`append`].
///
/// # Errors
/// When the file cannot be read or changed. Then nothing may be appended to it, and `torn` still holds.
pub(super) fn prepare(file: &mut impl Handle, status: Status, torn: Option<Torn>) -> io::Result<Healed> {
    // The length decides, not the content of the fragment: it may be a whole object that only lacks its newline and is written again.
    if let Some(torn) = torn.filter(|torn| torn.identity == status.identity && torn.whole < status.size) {
        file.cut(torn.whole)?;
        return Ok(Healed::Cut(status.size - torn.whole));
    }
    heal(file, status.size)
}
