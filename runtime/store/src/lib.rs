//! What is installed on a camera: models, thresholds of the site, golden parts, and stations that carry all of it to a spare camera.
//!
//! ```text
//! models/NAME-ID.apc, NAME-ID.toml    installed bundles, each with the result of its self-test
//! models/active.toml                  which is active, and which were before
//! site/ROLE/ID-ENGINE-VARIANT.toml    thresholds of this site
//! site/audit.jsonl                    who set them, when and from what
//! golden/ROLE.toml, ROLE-ID.png       the golden part
//! tensorrt/                           what TensorRT built
//! ```
//!
//! A *role* is the name of a seat in the state folder: the name of its view, and of its product where the line makes several.
//!
//! [`Store::at`] reads a state folder, [`Store::lock`] allows to change it. Commands change it one at a time; the service only reads it. Each
//! change is an order of single files that may end anywhere. All of it goes through a [`detector::file_system::FileSystem`].

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "files of tests may be half written"))]

mod folder;
pub mod golden;
#[cfg(test)]
mod memory;
pub mod models;
pub mod site;
pub mod station;
mod store;
mod text;

pub use folder::now;
pub use store::{LockedStore, Store};
