//! A threshold of this site as a file.

use std::path::Path;

use detector::calibration::{Calibration, TailEstimate};
use detector::{Error, archive, files};
use serde::{Deserialize, Serialize};

use super::binding::Binding;
use crate::folder::now;
use crate::text::{toml, utf8};

/// Format that this version writes; older ones are read. Since format 2 a threshold may be estimated.
const FORMAT: u32 = 2;
/// Largest file of one.
pub(crate) const SIZE_LIMIT: u64 = 64 << 10;

/// A threshold of this site, with what it holds for and where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteThreshold {
    /// [`FORMAT`]
    format: u32,
    /// When it was made; seconds since 1970, UTC.
    pub at: u64,
    /// Who made it.
    pub by: String,
    /// Where the good parts came from.
    pub source: String,
    /// The threshold in force before.
    pub previous: f32,
    /// What it holds for.
    pub binding: Binding,
    /// The threshold, its promise, and quantiles of the good parts' scores.
    pub calibration: Calibration,
    /// Format 1 only: an estimate for too few parts, beside their largest score, which was the threshold all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<TailEstimate>,
}

impl SiteThreshold {
    /// A threshold made now.
    pub fn new(by: String, source: String, previous: f32, binding: Binding, calibration: Calibration) -> SiteThreshold {
        SiteThreshold { format: FORMAT, at: now(), by, source, previous, binding, calibration, tail: None }
    }

    /// Parses the bytes of a threshold; `path` only names it in errors.
    ///
    /// # Errors
    /// When it was changed by hand, is damaged, newer than this version, or unsound.
    pub fn parse(path: &Path, bytes: &[u8]) -> detector::Result<SiteThreshold> {
        let refuse = |problem: String| Error::file(path, problem);
        archive::check_seal(bytes, "the site threshold").map_err(refuse)?;
        let threshold: SiteThreshold = files::parse_toml(path, utf8(bytes, path)?)?;
        if threshold.format == 0 || threshold.format > FORMAT {
            return Err(refuse(format!(
                "has format {}; this version reads up to {FORMAT}: update apc-runtime",
                threshold.format
            )));
        }
        threshold.calibration.validate().map_err(Error::at(path))?;
        Ok(threshold)
    }

    /// The bytes that [`SiteThreshold::parse`] reads.
    pub(super) fn to_bytes(&self) -> detector::Result<Vec<u8>> {
        Ok(archive::seal(toml(self)?))
    }
}
