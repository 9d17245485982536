//! Progress of long steps on standard error: a bar with the time left on a terminal, log lines elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Time between two log lines where there is no terminal.
const QUIET: Duration = Duration::from_secs(15);

/// One long step.
pub struct Progress {
    bar: ProgressBar,
    title: String,
    started: Instant,
    logged: Instant,
}

impl Progress {
    /// Begins a step of `total` units of work.
    pub fn new(title: &str, total: usize) -> Progress {
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{prefix:22} [{bar:32}] {pos}/{len}  {msg}  {elapsed} gone, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar.set_prefix(title.to_string());
        Progress { bar, title: title.to_string(), started: Instant::now(), logged: Instant::now() }
    }

    /// Shows that `done` units are done.
    pub fn set(&mut self, done: usize) {
        self.bar.set_position(done as u64);
        if self.bar.is_hidden() && self.logged.elapsed() > QUIET {
            self.logged = Instant::now();
            let (left, total) = (self.bar.eta().as_secs(), self.bar.length().unwrap_or(0));
            log::info!("{}: {done} of {total}, about {left} s left", self.title);
        }
    }

    /// Shows a text beside the bar.
    pub fn note(&self, text: String) {
        self.bar.set_message(text);
    }

    /// Ends the step; gives the seconds that it took.
    pub fn finish(self) -> f64 {
        self.bar.finish_and_clear();
        let seconds = self.started.elapsed().as_secs_f64();
        log::info!("{}: done in {seconds:.1} s", self.title);
        seconds
    }
}
