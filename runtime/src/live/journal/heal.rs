//! Healing of a file whose last line may be torn, as after a power cut.

use std::io;

use serde::de::IgnoredAny;

use super::disk::Handle;

/// Longest torn line that is read.
pub(super) const FRAGMENT_LIMIT: u64 = 1 << 20;

/// How the end of a file was healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Healed {
    /// Not at all: the file ends with a whole line, or is empty.
    Nothing,
    /// The last line was a whole JSON object without its newline, and got a newline.
    Ended,
    /// The last line was no whole JSON object: this many bytes were cut off.
    Cut(u64),
    /// The last line is longer than any line of the journal. It got a newline, so that the next line stands alone.
    TooLong,
}

/// Makes a file end with a newline, so that no line is ever appended to a torn line.
///
/// # Errors
/// When the file cannot be read or changed. Then nothing may be appended to it.
pub(super) fn heal(file: &mut impl Handle, size: u64) -> io::Result<Healed> {
    let Some(last) = size.checked_sub(1) else { return Ok(Healed::Nothing) };
    if read(file, last, 1)? == b"\n" {
        return Ok(Healed::Nothing);
    }
    let tail = size.min(FRAGMENT_LIMIT);
    let bytes = read(file, size - tail, tail as usize)?;
    let start = match bytes.iter().rposition(|byte| *byte == b'\n') {
        Some(newline) => newline + 1,
        None if tail == size => 0,
        None => return end(file).map(|()| Healed::TooLong),
    };
    let fragment = &bytes[start..];
    if fragment.starts_with(b"{") && serde_json::from_slice::<IgnoredAny>(fragment).is_ok() {
        return end(file).map(|()| Healed::Ended);
    }
    let length = fragment.len() as u64;
    file.cut(size - length)?;
    Ok(Healed::Cut(length))
}

fn end(file: &mut impl Handle) -> io::Result<()> {
    match file.write(b"\n")? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        _ => Ok(()),
    }
}

/// Reads exactly `length` bytes.
fn read(file: &impl Handle, mut offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut done = 0;
    while done < length {
        match file.read_at(&mut bytes[done..], offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                done += read;
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, OpenOptions};

    fn healed(content: &[u8]) -> (Healed, Vec<u8>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, content).unwrap();
        let mut open = OpenOptions::new().read(true).append(true).open(&file).unwrap();
        let healed = heal(&mut open, content.len() as u64).unwrap();
        (healed, fs::read(&file).unwrap())
    }

    #[test]
    fn a_torn_line_is_cut_and_a_whole_one_is_ended() {
        let cases: [(&[u8], Healed, &[u8]); 9] = [
            (b"", Healed::Nothing, b""),
            (b"{\"a\":1}\n", Healed::Nothing, b"{\"a\":1}\n"),
            (b"{\"a\":1}\n{\"a\":2}", Healed::Ended, b"{\"a\":1}\n{\"a\":2}\n"),
            (b"{\"a\":1}\n{\"a\":2", Healed::Cut(6), b"{\"a\":1}\n"),
            (b"{\"a\":1", Healed::Cut(6), b""),
            (b"{\"a\":1}\n{\"a\":{}", Healed::Cut(7), b"{\"a\":1}\n"),
            (b"{\"a\":1}\n12", Healed::Cut(2), b"{\"a\":1}\n"),
            // A file system may leave zeros for a block that never reached the disk.
            (b"{\"a\":1}\n\0\0\0\0", Healed::Cut(4), b"{\"a\":1}\n"),
            (b"\n{\"\xff", Healed::Cut(3), b"\n"),
        ];
        for (content, expected, left) in cases {
            assert_eq!(healed(content), (expected, left.to_vec()), "{content:?}");
        }
    }

    #[test]
    fn a_line_of_a_gibibyte_is_ended_and_not_read() {
        let mut file = tempfile::tempfile().unwrap();
        let size = 1 << 30;
        file.set_len(size).unwrap();
        std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).unwrap();
        assert_eq!(heal(&mut file, size).unwrap(), Healed::TooLong);
        assert_eq!(read(&file, size, 1).unwrap(), b"\n");
    }

    #[test]
    fn the_longest_line_of_a_journal_is_healed() {
        let (healed, left) = healed(&[b"{}\n{\"a\":\"".to_vec(), vec![b'x'; FRAGMENT_LIMIT as usize - 7]].concat());
        assert_eq!((healed, left), (Healed::Cut(FRAGMENT_LIMIT - 1), b"{}\n".to_vec()));
    }
}
