//! The log of every change of a threshold.

use detector::file_system::FileSystem;
use detector::{Error, Result};
use serde::Serialize;

use super::binding::Binding;
use super::threshold::SiteThreshold;
use crate::folder::SITE;
use crate::store::LockedStore;

pub(super) const AUDIT: &str = "audit.jsonl";
/// Largest audit log: some thousand entries. Beyond it the oldest go.
pub(super) const AUDIT_LIMIT: u64 = 4 << 20;

/// What may happen to a threshold, for the audit log.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry<'a> {
    /// It was set.
    Set { role: &'a str, threshold: &'a SiteThreshold },
    /// It came with a station from another machine.
    Imported { role: &'a str, at: u64, by: &'a str, station: &'a str, threshold: &'a SiteThreshold },
    /// All of a camera were removed: the bundle's own threshold judges again.
    Cleared { role: &'a str, at: u64, by: &'a str, removed: Vec<Binding> },
}

impl<F: FileSystem> LockedStore<F> {
    /// Appends to the audit log. It is written anew as a whole: an entry is there completely or not at all.
    pub(super) fn record(&self, entry: &Entry<'_>) -> Result<()> {
        let path = self.subfolder(SITE)?.join(AUDIT);
        let line = serde_json::to_string(entry).map_err(|error| Error::invalid(format!("cannot write JSON: {error}")))?;
        let mut log = if self.files.is_file(&path) { self.files.read(&path, AUDIT_LIMIT)? } else { Vec::new() };
        log.extend_from_slice(line.as_bytes());
        log.push(b'\n');
        let over = (log.len() as u64).saturating_sub(AUDIT_LIMIT) as usize;
        let cut =
            if over == 0 { 0 } else { log[over..].iter().position(|byte| *byte == b'\n').map_or(log.len(), |at| over + at + 1) };
        self.files.write(&path, &log[cut..])
    }
}
