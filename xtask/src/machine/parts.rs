//! What a machine is made of: the parts that differ between the kinds of machine.

use std::path::Path;
use std::process::Command;

use super::product::Source;
use super::root::Root;

/// A kind of machine; `uml.rs` and `arm64.rs` make one each.
pub struct Machine {
    /// Name of its folder in the cache.
    pub name: &'static str,
    /// Cargo's target, where it is not this machine's own.
    pub target: Option<&'static str>,
    /// Its root file system.
    pub root: Root,
    /// Where its product comes from.
    pub product: Source,
    /// Name of the folder of its scenarios in tests/machine.
    pub scenarios: &'static str,
    /// The same for the scenarios that take hours.
    pub long: Option<&'static str>,
    /// Starts it.
    pub start: Box<Start>,
}

/// Adds the program that is the machine, and its arguments.
pub type Start = dyn Fn(&mut Command, &Files<'_>);

/// The files that a machine boots from.
pub struct Files<'a> {
    /// The folder of the root file system's image, and of the kernel where that is a package of it.
    pub image: &'a Path,
    /// The folder that the guest sees as /host.
    pub share: &'a Path,
    /// An empty folder for as long as the machine runs.
    pub scratch: &'a Path,
}

/// Arguments of every kernel: a quiet console, for the results come over it.
pub const KERNEL: [&str; 4] = ["rw", "rootfstype=ext4", "loglevel=4", "systemd.show_status=0"];
/// Three simulated cameras. The first, the line's, has one HDMI input and one HDMI output: a picture that is written to the output arrives
/// at the input. The others show test pictures in all formats, the third in buffers of planes.
pub const CAMERA: [&str; 7] = [
    "vivid.n_devs=3",
    "vivid.node_types=0x101,0x1,0x1",
    "vivid.multiplanar=1,1,2",
    "vivid.num_inputs=1,1,1",
    "vivid.input_types=0x3,0x0,0x0",
    "vivid.num_outputs=1,0,0",
    "vivid.output_types=0x1",
];
