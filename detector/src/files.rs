//! Whole files of this machine: bounded reads, writes that leave the old file or the new one, TOML with places, hashes.

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use toml::de::{DeTable, DeValue};

use crate::file_system::{Disk, FileSystem};
use crate::{Error, Place, Result};

/// Writes `bytes` to `path`: temporary file beside it, fsync, rename, fsync of the folder.
///
/// # Errors
/// As [`FileSystem::write`].
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    Disk.write(path, bytes)
}

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
/// As [`FileSystem::read`].
pub fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>> {
    Disk.read(path, limit)
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
    fn reading_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, [0; 11]).unwrap();
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
