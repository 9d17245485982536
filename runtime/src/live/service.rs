//! Notifications to systemd: ready, status, watchdog, stopping.
//!
//! Without systemd all of this does nothing.

use std::time::{Duration, Instant};

use log::{error, warn};
use sd_notify::NotifyState;

use super::Summary;
use super::progress::{Progress, Worker};

/// Least time between two status notifications.
const STATUS_EVERY: Duration = Duration::from_secs(2);

/// Notifies systemd while the pipeline works.
#[derive(Debug)]
pub struct Service<'a> {
    progress: &'a Progress,
    /// A thread without progress for longer has hung.
    stall: Duration,
    workers: &'a [Worker],
    watchdog: Option<Duration>,
    next_watchdog: Instant,
    next_status: Instant,
    hung: Option<Worker>,
}

impl<'a> Service<'a> {
    /// Notifies systemd that the service is ready: the detector has passed its self-test, and the GPIO lines are requested.
    ///
    /// The watchdog is fed only while each of `workers` makes progress at least every `stall`.
    pub fn ready(progress: &'a Progress, workers: &'a [Worker], stall: Duration) -> Service<'a> {
        notify(&[NotifyState::Ready]);
        let now = Instant::now();
        let watchdog = sd_notify::watchdog_enabled().map(|limit| limit / 4);
        Service { progress, stall, workers, watchdog, next_watchdog: now, next_status: now, hung: None }
    }

    /// Feeds the watchdog and sends the status when they are due; call it often. `lost_lines` counts verdict lines that could not be
    /// written. With `ending`, threads need not make progress any more.
    pub fn tick(&mut self, summary: &Summary, lost_lines: u64, ending: bool) {
        let now = Instant::now();
        let stalled = if ending { None } else { self.progress.stalled(self.workers, self.stall) };
        if self.hung != stalled {
            match stalled {
                Some(worker) => error!("the {} thread makes no progress: its parts become unknown", worker.word()),
                None => warn!("all threads make progress again"),
            }
            self.hung = stalled;
        }
        if let Some(every) = self.watchdog
            && now >= self.next_watchdog
            && stalled.is_none()
        {
            self.next_watchdog = now + every;
            notify(&[NotifyState::Watchdog]);
        }
        if now >= self.next_status {
            self.next_status = now + STATUS_EVERY;
            let mut state = match (stalled, ending) {
                (Some(worker), _) => format!("{} thread hangs; {summary}", worker.word()),
                (None, true) => format!("ending; {summary}"),
                (None, false) => summary.to_string(),
            };
            if lost_lines > 0 {
                state += &format!("; {lost_lines} verdict lines LOST");
            }
            notify(&[NotifyState::Status(&state)]);
        }
    }
}

/// Notifies systemd that the service stops.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        // If systemd cannot be reached, its watchdog restarts the service.
        warn!("cannot talk to systemd: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::clock::Clock;

    #[test]
    fn a_thread_that_hangs_is_noticed_and_its_return_too() {
        let progress = Progress::new(Clock::start(), 1);
        let workers = [Worker::Capture(0), Worker::Detector];
        let mut service = Service::ready(&progress, &workers, Duration::from_millis(200));
        service.tick(&Summary::default(), 0, false);
        assert_eq!(service.hung, None);
        std::thread::sleep(Duration::from_millis(300));
        progress.beat(Worker::Capture(0));
        service.tick(&Summary::default(), 0, false);
        assert_eq!(service.hung, Some(Worker::Detector));
        progress.beat(Worker::Detector);
        service.tick(&Summary::default(), 0, false);
        assert_eq!(service.hung, None);
        std::thread::sleep(Duration::from_millis(300));
        service.tick(&Summary::default(), 0, true);
        assert_eq!(service.hung, None, "threads end one by one");
    }
}
