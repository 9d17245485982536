//! A station in one file: everything that a spare camera needs to judge as this one does.
//!
//! `station.toml` (who, when, devices, hash list), `line.toml` (the line configuration as it is), `models/` (the active model and the one
//! before), `site/` (their thresholds here), `golden/`. A device is its role and its port, never a serial number: the spare camera in the same
//! port takes the role. The file may come from anywhere: everything in it is parsed as strictly as the running service would.

mod content;
mod error;
mod export;
mod import;
mod parse;

pub use content::{Device, MANIFEST, Station};
pub use error::StationError;

#[cfg(test)]
mod tests;
