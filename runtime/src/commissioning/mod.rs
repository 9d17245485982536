//! Setting a camera up on its line.
//!
//! ```text
//! collect, grab          pictures to learn from          install   a bundle becomes a model of this machine
//! calibrate              a threshold of this site        golden    a part that shows whether the camera stands as it stood
//! check                  a configuration against this machine, with takt, memory and optics
//! spare                  a spare camera becomes the station of a file
//! ```
//!
//! Nothing here knows the command line or prints. Long tasks call back after each step; `parts` gives parts as the running line sees them.

pub mod calibrate;
pub mod check;
pub mod collect;
pub mod golden;
pub mod grab;
pub mod install;
pub mod memory;
pub mod optics;
pub mod parts;
pub mod spare;
pub mod takt;
