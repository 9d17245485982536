//! Setting a camera up: what it sees, how fast it must be, how much memory it takes, where the golden part lies.

pub mod golden;
pub mod memory;
pub mod optics;
pub mod takt;
