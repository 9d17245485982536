//! A spare camera becomes the station of a file.

use std::path::Path;

use anyhow::Result;
use detector::Detector;
use store::Store;
use store::models::Model;
use store::station::{Device, Station};

/// Makes this machine the station: its models pass their self-test here before anything is written. `config` is where the line
/// configuration goes, `state` the state folder.
///
/// # Errors
/// When a model fails its self-test, a file that differs is there already, or a file cannot be written.
pub fn import(station: &Station, config: &Path, state: &Path, by: &str) -> Result<()> {
    let mut setup = station.line.setup();
    // Relative paths of the configuration lead from the folder where it will be.
    let folder = config.parent().unwrap_or(Path::new(""));
    setup.machine.onnxruntime = setup.machine.onnxruntime.map(|library| folder.join(library));
    setup.machine.state = setup.machine.state.map(|state| folder.join(state));
    let mut tested = Vec::new();
    for (_, bundle) in &station.models {
        tested.push(Model::tested(&Detector::start(bundle, &setup)?, bundle, ""));
    }
    Ok(Store::at(state).lock()?.import_station(station, config, &tested, by)?)
}

/// Whether a device of a station is plugged in here.
pub fn is_plugged_in(device: &Device) -> bool {
    device.port == "replay" || Path::new(&device.port).exists()
}
