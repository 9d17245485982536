//! Progress bars.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Steps that end sooner show no bar.
const SHORT: Duration = Duration::from_secs(1);

/// Bars of long steps on standard error, with the time left.
#[derive(Default)]
pub(super) struct Bars {
    current: Option<Bar>,
}

struct Bar {
    title: &'static str,
    bar: ProgressBar,
    begun: Instant,
    shown: bool,
}

impl Bars {
    /// `done` of `total` parts of a step are done.
    pub(super) fn set(&mut self, title: &'static str, done: usize, total: usize) {
        let current = match &mut self.current {
            Some(current) if current.title == title => current,
            slot => slot.insert(Bar::new(title, total)),
        };
        current.bar.set_position(done as u64);
        if !current.shown && current.begun.elapsed() > SHORT {
            current.bar.set_draw_target(ProgressDrawTarget::stderr());
            current.shown = true;
        }
        if done == total {
            current.bar.finish_and_clear();
            let seconds = current.begun.elapsed().as_secs_f64();
            log::info!("{title}: {total} done in {seconds:.1} s");
        }
    }
}

impl Bar {
    fn new(title: &'static str, total: usize) -> Bar {
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{prefix:12} [{bar:32}] {pos}/{len}  {elapsed} gone, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar.set_prefix(title);
        Bar { title, bar, begun: Instant::now(), shown: false }
    }
}
