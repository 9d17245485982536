//! `[output]`: where verdict lines go, and how many files of them are kept.

use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

use crate::bounds::bounded;

/// The path that stands for standard output.
pub const STANDARD_OUTPUT: &str = "-";
/// Largest size of a file, in MiB: 1 TiB.
const MIB_LIMIT: u64 = 1 << 20;
/// Most older files that are kept.
const FILES_LIMIT: u32 = 1000;

/// Where verdict lines go, and how many files of them are kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VerdictsConfig {
    /// The file to which verdict lines are appended; [`STANDARD_OUTPUT`] stands for standard output.
    pub verdicts: PathBuf,
    /// Largest size of a file, in MiB. A file that the next line would make larger is renamed, and a new file is begun. The limit holds for
    /// `line.record` too.
    #[serde(deserialize_with = "max_mib")]
    pub max_mib: u64,
    /// Number of older files that are kept, of `line.record` too.
    #[serde(deserialize_with = "files")]
    pub files: NonZeroU32,
}

impl Default for VerdictsConfig {
    fn default() -> Self {
        VerdictsConfig { verdicts: STANDARD_OUTPUT.into(), max_mib: 64, files: NonZeroU32::MIN.saturating_add(7) }
    }
}

fn max_mib<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    bounded(deserializer, |mib| (1..=MIB_LIMIT).contains(mib), format_args!("1 to {MIB_LIMIT} MiB"))
}

fn files<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NonZeroU32, D::Error> {
    let files: u32 = bounded(deserializer, |files| (1..=FILES_LIMIT).contains(files), format_args!("1 to {FILES_LIMIT} files"))?;
    Ok(NonZeroU32::new(files).unwrap_or(NonZeroU32::MIN))
}
