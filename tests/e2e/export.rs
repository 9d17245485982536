//! `apc-export` from a run to a bundle, and everything that must be refused.
