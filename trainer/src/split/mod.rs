//! Which images are used for what: learned from, calibrated on, tested on, or set aside.
//!
//! Images that belong together (one part, one session: `groups.csv`) all have the same use, and of files with the same pixels one is
//! used: otherwise images that training has seen would be tested on.

mod draw;
mod extend;
mod groups;
mod repeated;
mod selection;
#[cfg(test)]
mod tests;
mod units;

pub use self::selection::Selection;
