//! Reading files within bounds, and writing them so that a power cut leaves the old file or the new one.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use toml::de::{DeTable, DeValue};

use crate::{Error, Place, Result};

/// Begins the name of an unfinished file. A power cut may leave such a file behind.
pub const TEMPORARY: &str = ".apc-";

/// Writes `bytes` to `path`: temporary file beside it, fsync, rename, fsync of the folder.
///
/// # Errors
/// When any step fails; `path` then holds what it held before and the temporary file is gone.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    Disk::default().write(path, bytes)
}

/// A step of a [`Disk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An empty temporary file appears beside the old one.
    Create,
    /// The temporary file is filled.
    Fill,
    /// The temporary file's content reaches the disk.
    Sync,
    /// The temporary file takes the old one's name.
    Rename,
    /// A file disappears.
    Remove,
    /// The folder reaches the disk: names that are new, and names that are gone.
    SyncFolder,
}

/// Changes files in an order of steps that a power cut may end anywhere. A test watches the steps and cuts the power before each in turn.
#[derive(Default)]
pub struct Disk<'a> {
    watch: Option<&'a mut dyn FnMut(Step) -> std::io::Result<()>>,
}

impl<'a> Disk<'a> {
    /// Calls `watch` before each step. If `watch` fails, the files stay as they are, as after a power cut.
    pub fn watched(watch: &'a mut dyn FnMut(Step) -> std::io::Result<()>) -> Disk<'a> {
        Disk { watch: Some(watch) }
    }

    /// [`write_atomic`]
    ///
    /// # Errors
    /// As [`write_atomic`].
    pub fn write(&mut self, path: &Path, bytes: &[u8]) -> Result<()> {
        let folder = folder_of(path);
        let mut write = || -> std::io::Result<()> {
            self.before(Step::Create)?;
            let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder)?;
            // After a power cut nothing removes the temporary file.
            file.disable_cleanup(self.watch.is_some());
            self.before(Step::Fill)?;
            file.write_all(bytes)?;
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
            }
            self.before(Step::Sync)?;
            file.as_file().sync_all()?;
            self.before(Step::Rename)?;
            file.persist(path).map_err(|error| error.error)?;
            self.before(Step::SyncFolder)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(Error::io(path, "write"))
    }

    /// Removes a file.
    ///
    /// # Errors
    /// When it cannot be removed. A file that is not there is no error.
    pub fn remove(&mut self, path: &Path) -> Result<()> {
        let mut remove = || -> std::io::Result<()> {
            self.before(Step::Remove)?;
            match fs::remove_file(path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                removed => removed?,
            }
            self.before(Step::SyncFolder)?;
            File::open(folder_of(path))?.sync_all()
        };
        remove().map_err(Error::io(path, "remove"))
    }

    fn before(&mut self, step: Step) -> std::io::Result<()> {
        self.watch.as_mut().map_or(Ok(()), |watch| watch(step))
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
/// When it cannot be read, is not a regular file, or is longer.
pub fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(Error::io(path, "open"))?;
    let length = file.metadata().map_err(Error::io(path, "read"))?;
    if !length.is_file() {
        return Err(Error::file(path, "is not a regular file"));
    }
    if length.len() > limit {
        return Err(Error::file(path, format!("holds {} bytes; at most {limit} were expected", length.len())));
    }
    // The file may grow between the two calls: the limit holds for the bytes that are read, not for the length that was announced.
    let mut bytes = Vec::with_capacity(length.len() as usize);
    file.take(limit + 1).read_to_end(&mut bytes).map_err(Error::io(path, "read"))?;
    if bytes.len() as u64 > limit {
        return Err(Error::file(path, format!("holds more than the expected {limit} bytes")));
    }
    Ok(bytes)
}

/// Largest configuration file that is read.
const TOML_LIMIT: u64 = 1 << 20;

/// Reads a TOML file into `T`.
///
/// # Errors
/// With line and column of an unknown key, a wrong type or a syntax error.
pub fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = read_bounded(path, TOML_LIMIT)?;
    let text = String::from_utf8(bytes).map_err(|_| Error::file(path, "is not UTF-8 text"))?;
    parse_toml(path, &text)
}

/// Parses the text of a TOML file; `path` only names it in errors.
///
/// # Errors
/// As [`read_toml`].
pub fn parse_toml<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let place = error.span().map(|span| place_at(text, span.start));
        let key = error.span().and_then(|span| key_at(text, &span));
        Error::Toml { path: path.to_path_buf(), place, key, problem: error.to_string() }
    })
}

/// Line and column of a byte of a text.
fn place_at(text: &str, at: usize) -> Place {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    Place { line: before.matches('\n').count() + 1, column: before[start..].chars().count() + 1 }
}

/// The innermost key whose name or value holds `span`, behind the keys of the tables around it, with dots between.
fn key_at(text: &str, span: &Range<usize>) -> Option<String> {
    let document = DeTable::parse(text).ok()?;
    let mut keys = Vec::new();
    find_key(document.get_ref(), span, &mut keys).then(|| keys.join("."))
}

/// Extends `keys` as far as the place lies in a table. The parts of a table may lie anywhere in the file, so each table is searched.
fn find_key(table: &DeTable<'_>, span: &Range<usize>, keys: &mut Vec<String>) -> bool {
    let holds = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    table.iter().any(|(key, value)| {
        keys.push(key.get_ref().to_string());
        let found = holds(key.span()) || find_in(value.get_ref(), span, keys) || holds(value.span());
        if !found {
            keys.pop();
        }
        found
    })
}

fn find_in(value: &DeValue<'_>, span: &Range<usize>, keys: &mut Vec<String>) -> bool {
    match value {
        DeValue::Table(table) => find_key(table, span, keys),
        DeValue::Array(values) => values.iter().any(|value| find_in(value.get_ref(), span, keys)),
        _ => false,
    }
}

/// SHA-256 in lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of a file's bytes, read in pieces.
///
/// # Errors
/// When it cannot be read.
pub fn sha256_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io(path, "open"))?;
    let mut hasher = Sha256::new();
    std::io::copy(&mut file, &mut hasher).map_err(Error::io(path, "read"))?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_atomic(&path, b"old").unwrap();
        write_atomic(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(write_atomic(&folder.path().join("missing/file"), b"x").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_power_cut_leaves_the_old_file_or_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut steps = vec![];
        Disk::watched(&mut |step| {
            steps.push(step);
            Ok(())
        })
        .write(&path, b"old")
        .unwrap();
        // Content first, then the name: the other way round, a name may lead to nothing.
        assert_eq!(steps, [Step::Create, Step::Fill, Step::Sync, Step::Rename, Step::SyncFolder]);
        for cut in steps {
            let mut watch = |step| if step == cut { Err(std::io::ErrorKind::Interrupted.into()) } else { Ok(()) };
            assert!(Disk::watched(&mut watch).write(&path, b"new").is_err());
            let expected = if cut == Step::SyncFolder { "new" } else { "old" };
            assert_eq!(fs::read_to_string(&path).unwrap(), expected, "{cut:?}");
        }
    }

    #[test]
    fn reading_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, [0; 11]).unwrap();
        assert_eq!(read_bounded(&path, 11).unwrap().len(), 11);
        assert!(read_bounded(&path, 10).is_err());
        assert!(read_bounded(folder.path(), 10).is_err(), "a folder is not a file");
    }

    #[test]
    fn toml_errors_name_the_line() {
        #[derive(serde::Deserialize, Debug)]
        #[serde(deny_unknown_fields)]
        struct Small {
            #[allow(dead_code, reason = "read by the parser only")]
            size: usize,
        }
        let error = parse_toml::<Small>(Path::new("a.toml"), "size = 1\nsise = 2\n").unwrap_err().to_string();
        assert!(error.contains("a.toml") && error.contains("line 2") && error.contains("sise"), "{error}");
    }

    #[test]
    fn toml_errors_carry_place_and_key() {
        #[derive(serde::Deserialize, Debug)]
        #[serde(deny_unknown_fields)]
        struct Outer {
            #[allow(dead_code, reason = "read by the parser only")]
            inner: Inner,
            #[serde(default)]
            #[allow(dead_code, reason = "read by the parser only")]
            many: Vec<Inner>,
        }
        #[derive(serde::Deserialize, Debug)]
        #[serde(deny_unknown_fields)]
        struct Inner {
            #[allow(dead_code, reason = "read by the parser only")]
            size: usize,
        }
        let failed = |text: &str| match parse_toml::<Outer>(Path::new("a.toml"), text).unwrap_err() {
            Error::Toml { place, key, .. } => (place, key),
            other => panic!("{other}"),
        };
        let at = |line, column, key: &str| (Some(Place { line, column }), Some(key.to_string()));
        assert_eq!(failed("[inner]\nsize = 1\n sise = 2\n"), at(3, 2, "inner.sise"));
        assert_eq!(failed("inner = { size = \"é\" }"), at(1, 18, "inner.size"));
        assert_eq!(failed("other = 1\n[inner]\nsize = 1\n"), at(1, 1, "other"));
        assert_eq!(failed("inner.size = 1\nmany = [{ size = 1 }, { siz = 2 }]"), at(2, 25, "many.siz"));
        assert_eq!(failed("inner.size = 1\n[[many]]\nsize = 1\n[[many]]\nsiz = 2\n"), at(5, 1, "many.siz"));
        let (place, key) = failed("[inner]\nsize = \n");
        assert_eq!((place.map(|place| place.line), key), (Some(2), None), "no key where the syntax is unsound");
    }

    #[test]
    fn sha256_is_the_standard_one() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc"), expected);
    }
}
