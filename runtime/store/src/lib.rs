//! What is installed on a camera: models, thresholds of the site, golden parts, and stations that carry all of it to a spare camera.
//!
//! ```text
//! models/NAME-ID.apc, NAME-ID.toml    installed bundles, each with the result of its self-test
//! models/active.toml                  which is active, and which were before
//! site/ROLE/ID-ENGINE-VARIANT.toml    thresholds of this site
//! site/audit.jsonl                    who set them, when and from what
//! golden/ROLE.toml, golden/ROLE.png   the golden part
//! tensorrt/                           what TensorRT built
//! ```
//!
//! Commands change the state folder one at a time; the service only reads it. Each change is an order of single files that may end
//! anywhere.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "files of tests may be half written"))]

mod folder;
pub mod golden;
pub mod models;
pub mod site;
mod state;
pub mod station;

pub use folder::now;
pub use state::State;
