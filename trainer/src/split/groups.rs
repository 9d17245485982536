//! `groups.csv`: which images belong together.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use detector::{Error, Result, files};

/// Name of the file. It has lines `path,group` after a header; paths are relative to the data folder.
pub(super) const GROUPS: &str = "groups.csv";
/// Largest such file in bytes.
const GROUPS_LIMIT: u64 = 64 << 20;

/// Groups by path; none where there is no such file.
pub(super) fn read_groups(root: &Path) -> Result<HashMap<PathBuf, String>> {
    let path = root.join(GROUPS);
    if !path.exists() {
        return Ok(HashMap::new());
    }
    let bytes = files::read_bounded(&path, GROUPS_LIMIT)?;
    let refuse = |problem: String| Error::file(&path, problem);
    let mut records = records(&bytes).map_err(refuse)?.into_iter();
    if records.next().is_none_or(|(_, header)| header != ["path", "group"]) {
        return Err(refuse("the first line is not \"path,group\"".into()));
    }
    let mut groups = HashMap::new();
    for (line, [image, group]) in records {
        let file = root.join(&image);
        if !file.is_file() {
            return Err(refuse(format!("line {line}: there is no image {}", file.display())));
        }
        if groups.insert(file, group.clone()).is_some_and(|earlier| earlier != group) {
            return Err(refuse(format!("line {line}: {image} is in two groups")));
        }
    }
    Ok(groups)
}

/// Records of a comma-separated file (RFC 4180) with two fields each, and the lines they end on.
fn records(bytes: &[u8]) -> std::result::Result<Vec<(u64, [String; 2])>, String> {
    let mut reader = csv_core::Reader::new();
    let (mut output, mut ends) = (vec![0; bytes.len()], [0; 4]);
    let (mut records, mut rest) = (Vec::new(), bytes);
    loop {
        let line = reader.line();
        let (result, read, _, fields) = reader.read_record(rest, &mut output, &mut ends);
        rest = &rest[read..];
        match result {
            csv_core::ReadRecordResult::End => return Ok(records),
            // All input was given: csv-core wants to be called once more, with nothing, before it reports the end.
            csv_core::ReadRecordResult::InputEmpty => continue,
            csv_core::ReadRecordResult::Record if fields == 2 => {}
            _ => return Err(format!("line {line}: two fields were expected, path and group")),
        }
        let text = |from: usize, to: usize| String::from_utf8_lossy(&output[from..to]).trim().to_owned();
        records.push((line, [text(0, ends[0]), text(ends[0], ends[1])]));
    }
}
