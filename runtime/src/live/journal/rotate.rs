//! Rotation: a full file becomes `NAME.1`, and each older file moves up by one number.

use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use super::disk::Disk;

/// The path of the older file with this number; number 0 is the file itself.
pub(super) fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.into();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Moves a file and the older files up by one number. At most `files` older files are kept: the oldest is replaced if no number is free.
///
/// An interrupted rotation left a number free. Files above this number are not moved again.
///
/// # Errors
/// When a file cannot be renamed. No line is lost, and the next call continues the rotation.
pub(super) fn rotate(disk: &impl Disk, path: &Path, files: NonZeroU32) -> io::Result<()> {
    let mut free = 1;
    while free < files.get() && disk.exists(&numbered(path, free))? {
        free += 1;
    }
    (0..free).rev().try_for_each(|number| disk.rename(&numbered(path, number), &numbered(path, number + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::journal::disk::Machine;
    use std::fs;

    #[test]
    fn the_oldest_file_goes_and_a_free_number_is_filled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines.jsonl");
        let files = NonZeroU32::new(3).unwrap();
        let content = || -> Vec<_> { (0..=4).map(|number| fs::read_to_string(numbered(&path, number)).ok()).collect() };
        let some = |text: &str| Some(text.to_owned());
        for text in ["a", "b", "c", "d", "e"] {
            fs::write(&path, text).unwrap();
            rotate(&Machine, &path, files).unwrap();
        }
        assert_eq!(content(), [None, some("e"), some("d"), some("c"), None]);
        // As after a rotation that was interrupted: number 2 has already become number 3.
        fs::rename(numbered(&path, 2), numbered(&path, 3)).unwrap();
        fs::write(&path, "f").unwrap();
        rotate(&Machine, &path, files).unwrap();
        assert_eq!(content(), [None, some("f"), some("e"), some("d"), None]);
    }
}
