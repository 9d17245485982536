//! Which images are used for what: learned from, calibrated on, tested on, or set aside.
//!
//! Images that belong together (one part, one session: `groups.csv`) never stand on two sides, and no picture is used twice, whatever
//! its file is called: otherwise a test would ask what training has already seen.

mod draw;
mod extend;
mod groups;
mod repeated;
mod selection;
#[cfg(test)]
mod tests;
mod units;

pub use self::selection::Selection;
