//! One file that holds several others: the container of bundles and stations. Its reader takes hostile bytes.
//!
//! The format is a tar of ustar entries: regular files only, the manifest first, the others sorted by name, no times, no owners. The
//! manifest lists the SHA-256 of every other entry; its last line is the SHA-256 of the lines above. Errors are messages without the
//! file's name.

use std::collections::BTreeMap;
use std::io::Read;

use tar::{Builder, EntryType, Header};

use crate::files;

/// Largest archive that is read or written.
pub const SIZE_LIMIT: u64 = 1 << 30;
/// Most entries.
const ENTRIES_LIMIT: usize = 1000;
const BLOCK: u64 = 512;

/// Names and contents.
pub type Entries = Vec<(String, Vec<u8>)>;

/// Bytes of an archive with these entries; the manifest comes first, the others must be sorted.
///
/// # Errors
/// When a name is not allowed, or the archive would be larger than [`SIZE_LIMIT`].
pub fn pack(entries: &[(String, Vec<u8>)]) -> Result<Vec<u8>, String> {
    let mut tar = Builder::new(Vec::new());
    for (name, bytes) in entries {
        check_name(name)?;
        let failed = |error: std::io::Error| format!("entry {name:?}: {error}");
        tar.append(&header(name, bytes.len() as u64).map_err(failed)?, bytes.as_slice()).map_err(failed)?;
    }
    let bytes = tar.into_inner().map_err(|error| error.to_string())?;
    if bytes.len() as u64 > SIZE_LIMIT {
        return Err(format!("would have {} bytes; at most {SIZE_LIMIT} are allowed", bytes.len()));
    }
    Ok(bytes)
}

/// The one header that an entry may have.
fn header(name: &str, size: u64) -> std::io::Result<Header> {
    let mut header = Header::new_ustar();
    header.set_path(name)?;
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_cksum();
    Ok(header)
}

/// Entries in order, `manifest` first; `what` names the kind of file in messages. No more memory is taken than the file is long.
///
/// # Errors
/// When anything is not as [`pack`] writes it.
pub fn unpack(bytes: &[u8], manifest: &str, what: &str) -> Result<Entries, String> {
    let damaged = |error: std::io::Error| format!("is no {what}, or a damaged or truncated one: {error}");
    let mut entries: Entries = Vec::new();
    let mut archive = tar::Archive::new(bytes);
    let mut end = 0;
    for entry in archive.entries().map_err(damaged)?.raw(true) {
        let mut entry = entry.map_err(damaged)?;
        let found = entry.header();
        if found.as_ustar().is_none() || found.entry_type() != EntryType::Regular {
            return Err("holds something other than regular ustar files".into());
        }
        let name = String::from_utf8(entry.path_bytes().into_owned()).map_err(|_| "holds a name that is not UTF-8")?;
        check_name(&name)?;
        let size = found.entry_size().map_err(damaged)?;
        if found.as_bytes() != header(&name, size).map_err(damaged)?.as_bytes() {
            return Err(format!("is damaged, or was not written by this kit: header of entry {name:?}"));
        }
        let start = entry.raw_file_position();
        let padded = size.checked_next_multiple_of(BLOCK).filter(|_| size <= SIZE_LIMIT);
        end = padded.and_then(|padded| start.checked_add(padded)).unwrap_or(u64::MAX);
        if end > bytes.len() as u64 {
            return Err(format!("is truncated: entry {name:?} claims {size} bytes, which the file does not hold"));
        }
        if entries.len() >= ENTRIES_LIMIT {
            return Err(format!("holds more than {ENTRIES_LIMIT} entries"));
        }
        // In this order no entry can be there twice.
        let sorted = match entries.last() {
            None => name == manifest,
            Some((last, _)) => name != manifest && (last == manifest || *last < name),
        };
        if !sorted {
            return Err(format!("entry {name:?} is out of order or twice there; {manifest} comes first, the others sorted"));
        }
        if bytes[(start + size) as usize..end as usize].iter().any(|byte| *byte != 0) {
            return Err(format!("is damaged: entry {name:?} is not followed by zeros up to the next block"));
        }
        let mut content = Vec::with_capacity(size as usize);
        entry.read_to_end(&mut content).map_err(damaged)?;
        entries.push((name, content));
    }
    // Two zero blocks end the archive; nothing may hide behind them.
    let tail = bytes.get(end as usize..).unwrap_or_default();
    if tail.len() as u64 != 2 * BLOCK || tail.iter().any(|byte| *byte != 0) {
        return Err("is truncated or has bytes behind its end".into());
    }
    Ok(entries)
}

/// SHA-256 of each of these files, for a manifest.
pub fn hashes(files: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, String> {
    files.iter().map(|(name, bytes)| (name.clone(), files::sha256(bytes))).collect()
}

/// Entries and hash list must cover each other exactly.
///
/// # Errors
/// Names the entry.
pub fn check_hashes(listed: &BTreeMap<String, String>, files: &BTreeMap<String, Vec<u8>>) -> Result<(), String> {
    for (name, bytes) in files {
        match listed.get(name) {
            None => return Err(format!("entry {name:?} is not in the manifest's list of files")),
            Some(expected) if *expected != files::sha256(bytes) => {
                return Err(format!("entry {name:?} is damaged: its SHA-256 is not the manifest's; copy the file again"));
            }
            Some(_) => {}
        }
    }
    match listed.keys().find(|name| !files.contains_key(*name)) {
        Some(name) => Err(format!("entry {name:?} is in the manifest's list of files and missing")),
        None => Ok(()),
    }
}

/// Begins a sealed text's last line, which holds the SHA-256 of all lines above it. A manifest covers every other entry; in a file without
/// a signature only the seal shows a flipped digit of the manifest itself.
const SEAL: &str = "# sha256 of all above: ";

/// A TOML text with its hash as the last line.
pub fn seal(text: String) -> Vec<u8> {
    let hash = files::sha256(text.as_bytes());
    format!("{text}{SEAL}{hash}\n").into_bytes()
}

/// Checks that a text is as [`seal`] left it; `name` names it in the message.
///
/// # Errors
/// When it was changed.
pub fn check_seal(sealed: &[u8], name: &str) -> Result<(), String> {
    let hash_length = 64;
    let text = sealed.len().checked_sub(SEAL.len() + hash_length + 1).map(|length| &sealed[..length]);
    match text.and_then(|text| std::str::from_utf8(text).ok()) {
        Some(text) if seal(text.into()) == sealed => Ok(()),
        _ => Err(format!("{name} is damaged or was changed by hand: its last line is not its SHA-256; copy the file again")),
    }
}

/// Accepts relative paths of plain parts, which cannot leave the folder.
fn check_name(name: &str) -> Result<(), String> {
    let plain = |part: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        !part.is_empty() && part.chars().all(allowed) && !part.starts_with('.')
    };
    match name.len() <= 100 && name.split('/').all(plain) {
        true => Ok(()),
        false => Err(format!("entry {name:?} has a path that is not allowed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MANIFEST: &str = "manifest.toml";

    fn unpack(bytes: &[u8]) -> Result<Entries, String> {
        super::unpack(bytes, MANIFEST, "bundle")
    }

    fn entries() -> Entries {
        vec![(MANIFEST.into(), b"x = 1\n".to_vec()), ("a/b.png".into(), vec![7; 700]), ("c.json".into(), vec![])]
    }

    /// A tar with one entry whose header was tampered with.
    fn tampered(change: impl Fn(&mut Header)) -> Vec<u8> {
        let mut header = super::header(MANIFEST, 4).unwrap();
        change(&mut header);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend([0; 512 + 1024]);
        bytes
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let bytes = pack(&entries()).unwrap();
        assert_eq!(unpack(&bytes).unwrap(), entries());
        assert_eq!(bytes, pack(&entries()).unwrap(), "the same entries give the same bytes");
    }

    #[test]
    fn hostile_archives_are_refused() {
        assert!(unpack(&tampered(|_| {})).is_ok(), "the untampered one is sound");
        let cases: [(&str, Vec<u8>); 8] = [
            ("leaves the folder", tampered(|header| header.as_mut_bytes()[..9].copy_from_slice(b"../../etc"))),
            ("absolute path", tampered(|header| header.as_mut_bytes()[..4].copy_from_slice(b"/etc"))),
            ("gigabyte entry", tampered(|header| header.set_size(1 << 33))),
            ("largest size", tampered(|header| header.set_size(u64::MAX))),
            ("nearly the largest size", tampered(|header| header.set_size(u64::MAX - 600))),
            ("symlink", tampered(|header| header.set_entry_type(EntryType::Symlink))),
            ("folder", tampered(|header| header.set_entry_type(EntryType::Directory))),
            ("time", tampered(|header| header.set_mtime(5))),
        ];
        for (name, bytes) in cases {
            assert!(unpack(&bytes).is_err(), "{name}");
        }
        let good = pack(&entries()).unwrap();
        let mut longer = good.clone();
        longer.extend([0; 512]);
        assert!(unpack(&longer).is_err(), "bytes behind the end");
        let mut unsorted = entries();
        unsorted.swap(1, 2);
        assert!(unpack(&pack(&unsorted).unwrap()).is_err());
        assert!(pack(&[("../x".into(), vec![])]).is_err());
    }

    proptest! {
        #[test]
        fn every_truncation_is_refused(cut in 0usize..5000) {
            let bytes = pack(&entries()).unwrap();
            prop_assert!(unpack(&bytes[..cut % bytes.len()]).is_err());
        }

        #[test]
        fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..3000)) {
            let _ = unpack(&noise);
        }
    }
}
