/// How a command that could be carried out ended.
pub(super) enum Answer {
    /// Exit code 0.
    Done,
    /// Exit code 1: a check or comparison failed, or nothing was found.
    No,
}
