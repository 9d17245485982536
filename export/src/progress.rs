//! Progress of long steps.

/// Called after every part of a step that may take long: the step's title, the number of parts that are done, and the number of all parts.
pub type Progress<'a> = &'a mut dyn FnMut(&'static str, usize, usize);
