//! Progress on standard error; hidden where that is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How often a bar or spinner moves.
const TICK: Duration = Duration::from_millis(200);

/// Shows a bar with the time that is left while a task of `length` steps works. The task calls its argument after each step.
pub(super) fn with_bar<T>(name: &'static str, length: usize, task: impl FnOnce(&mut dyn FnMut()) -> T) -> T {
    let style = ProgressStyle::with_template("{msg} [{bar:32}] {pos}/{len}, {eta} left").unwrap_or(ProgressStyle::default_bar());
    let bar = ProgressBar::new(length as u64).with_style(style.progress_chars("=> ")).with_message(name);
    bar.enable_steady_tick(TICK);
    let result = task(&mut || bar.inc(1));
    bar.finish_and_clear();
    result
}

/// Shows the time that has gone while a task works whose length nobody knows.
pub(super) fn with_spinner<T>(name: &'static str, task: impl FnOnce() -> T) -> T {
    let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})").unwrap_or(ProgressStyle::default_spinner());
    let bar = ProgressBar::new_spinner().with_style(style).with_message(name);
    bar.enable_steady_tick(TICK);
    let result = task();
    bar.finish_and_clear();
    result
}
