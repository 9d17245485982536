//! Tests of the journal: random faults on a disk in memory, and real files, pipes and devices.

mod faults;
mod real;
