//! The cameras of this machine, with device paths that stay the same after a restart.

use std::fs;
use std::path::{Path, PathBuf};

use super::v4l2::OpenError;
use super::v4l2::device::{Device, Identity};

/// Folders with links that udev makes. A link by id stays when the camera is plugged into another port; a link by path stays when the
/// camera is replaced by one of the same kind.
const STABLE: [&str; 2] = ["/dev/v4l/by-id", "/dev/v4l/by-path"];

/// A camera that was found.
#[derive(Clone, Debug)]
pub struct FoundCamera {
    /// `/dev/videoN`, which may be another camera after a restart.
    pub node: PathBuf,
    /// Links to the node, links by id first.
    pub stable: Vec<PathBuf>,
    /// Its identity, or why it cannot be opened.
    pub identity: std::result::Result<Identity, String>,
}

/// All capture devices, in the order of their numbers, and all devices that cannot be opened. Outputs and metadata nodes are left out.
pub fn list() -> Vec<FoundCamera> {
    let mut nodes: Vec<_> = entries(Path::new("/dev")).into_iter().filter_map(|path| Some((number(&path)?, path))).collect();
    nodes.sort_unstable();
    let stable: Vec<_> = STABLE.iter().flat_map(|folder| entries(Path::new(folder))).collect();
    let cameras = nodes.into_iter().filter_map(|(_, node)| {
        let identity = match Device::open(&node) {
            Ok(device) => Ok(device.identity),
            Err(OpenError::GivesNoPictures(_)) => return None,
            Err(error) => Err(error.to_string()),
        };
        let links = stable.iter().filter(|link| fs::canonicalize(link).is_ok_and(|target| target == node)).cloned();
        Some(FoundCamera { stable: links.collect(), node, identity })
    });
    cameras.collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut entries: Vec<_> = entries.collect();
    entries.sort();
    entries
}

fn number(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.strip_prefix("video")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_have_numbers() {
        assert_eq!(number(Path::new("/dev/video12")), Some(12));
        assert_eq!(number(Path::new("/dev/video-dec0")), None);
        assert_eq!(number(Path::new("/dev/vbi0")), None);
    }
}
