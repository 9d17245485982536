//! How much memory the service needs, and how much it may have.

use std::fs;

use config::{Config, SourceConfig};
use detector::{Error, Result};

use crate::workbench::process_memory;

/// The service's unit allows it this share of the machine's memory (`MemoryMax`).
const SHARE: f64 = 0.75;
/// Pictures of a view beside those that wait for the detector: pictures next to a trigger, pictures that are decoded or judged.
const PICTURES: u64 = 6;
const MIB: f64 = 1024.0 * 1024.0;

/// Compares the memory of this process, which has started the detectors of so many bundles, and of the pictures that may wait, with the
/// limit of the service's unit.
///
/// # Errors
/// When the memory is above the limit, or the kernel does not show it. The text has the figures in MiB.
pub fn check(config: &Config, bundles: usize) -> Result<String> {
    let unreadable = || Error::invalid("the kernel does not tell how much memory there is (/proc is not there)");
    let taken = process_memory::of_process("VmRSS:").ok_or_else(unreadable)?;
    let machine = process_memory::of_machine().ok_or_else(unreadable)?;
    // Inside a container the machine's memory is not ours.
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse::<f64>().ok());
    let limit = SHARE * group.map_or(machine, |group| machine.min(group / MIB));
    hold(taken, pictures(config), limit, bundles)
}

fn hold(taken: f64, pictures: f64, limit: f64, bundles: usize) -> Result<String> {
    let text = format!(
        "{bundles} {} in memory with everything else: {taken:.0} MiB, and at most {pictures:.0} MiB of pictures that wait; the limit is \
         {limit:.0} MiB",
        if bundles == 1 { "bundle" } else { "bundles" }
    );
    if taken + pictures > limit {
        return Err(Error::invalid(format!(
            "{text} (the unit's MemoryMax): fewer products, bundles shared by several products, or a shorter frames.queue would help"
        )));
    }
    Ok(text)
}

/// Pictures that may be held at once, in MiB; those of a replay, whose size nobody knows, are left out.
fn pictures(config: &Config) -> f64 {
    let sizes = config.views.iter().filter_map(|view| match &view.source {
        SourceConfig::Camera(camera) => Some(3 * u64::from(camera.width) * u64::from(camera.height)),
        SourceConfig::Replay(_) => None,
    });
    let sizes: Vec<u64> = sizes.collect();
    let queued = config.frames.queue as u64 * sizes.iter().max().copied().unwrap_or(0);
    (queued + PICTURES * sizes.iter().sum::<u64>()) as f64 / MIB
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn too_many_bundles_are_refused_with_numbers() {
        assert!(hold(700.0, 100.0, 800.0, 1).unwrap().contains("1 bundle in memory with everything else: 700 MiB"));
        let error = hold(701.0, 100.0, 800.0, 5).unwrap_err().to_string();
        assert!(error.contains("5 bundles") && error.contains("limit is 800 MiB") && error.contains("fewer products"), "{error}");
    }

    #[test]
    fn pictures_that_wait_are_counted() {
        let text = "[detector]\nbundle = \"a\"\n[frames]\nqueue = 10\n[source.camera]\ndevice = \"v\"\nformat = \"GREY\"\nwidth = 1024\n\
                    height = 1024\n";
        let config = Config::parse(Path::new("line.toml"), text).unwrap();
        assert_eq!(pictures(&config), 3.0 * 16.0);
    }
}
