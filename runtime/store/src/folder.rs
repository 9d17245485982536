//! The folders of a state folder, and the time of day.

use std::time::{SystemTime, UNIX_EPOCH};

/// Folder of models in the state folder.
pub(crate) const MODELS: &str = "models";
/// Folder of thresholds in the state folder.
pub(crate) const SITE: &str = "site";
/// Folder of golden parts in the state folder.
pub(crate) const GOLDEN: &str = "golden";

/// Seconds since 1970, UTC; 0 where the clock was never set.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}
