//! Whole lines in a buffer.

/// Length of the whole lines at the start of `bytes`.
pub(super) fn whole(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1)
}

/// Length of the whole lines at the start of `bytes` that fit into `room` bytes.
pub(super) fn fitting(bytes: &[u8], room: usize) -> usize {
    whole(&bytes[..bytes.len().min(room)])
}

/// Length of the first line; 0 if there is none.
pub(super) fn first(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte == b'\n').map_or(0, |newline| newline + 1)
}

/// Number of lines.
pub(super) fn count(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}
