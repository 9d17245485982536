//! Reporting, on the thread that started the pipeline: outcomes and the reports of the line thread.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::{self, ScopedJoinHandle};

use verdict::Outcome;

use super::capture::PATIENCE;
use super::link::{LineLink, Report};
use super::pipeline::{OUTCOMES, Pipeline};
use super::summary::Summary;
use crate::line::Ledger;

/// A notice of the pipeline to its caller.
#[derive(Debug)]
pub enum Notice<'a> {
    /// A frame has its outcome.
    Outcome(&'a Outcome),
    /// A report of the line thread.
    Line(Report),
    /// Comes often, as long as the pipeline works, whether or not there is something new.
    Idle {
        /// Whether the sources have ended and only parts in transit are left.
        ending: bool,
    },
}

impl Pipeline<'_> {
    /// Reports outcomes and the reports of the line thread until all threads have ended. `line_thread` is the running line thread.
    pub(super) fn report_all(
        &self,
        outcomes: Receiver<Outcome>,
        line_thread: Option<&ScopedJoinHandle<'_, ()>>,
        summary: &mut Summary,
        report: &mut impl FnMut(Notice<'_>),
    ) {
        let mut report = |notice: Notice<'_>| {
            if let Notice::Outcome(outcome) = &notice {
                summary.add(outcome);
            }
            report(notice);
        };
        let patience = if self.line.is_some() { PATIENCE / 5 } else { PATIENCE };
        let mut ledger = self.line.map(|line| {
            let control = &line.settings.control;
            Ledger::new(control.views, 2 * control.parts + OUTCOMES)
        });
        let mut ending = false;
        while !ending {
            let complete = match outcomes.recv_timeout(patience) {
                Ok(outcome) => match &mut ledger {
                    Some(ledger) => ledger.judged(outcome),
                    None => Some(outcome),
                },
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => {
                    ending = true;
                    None
                }
            };
            if let Some(outcome) = complete {
                report(Notice::Outcome(&outcome));
            }
            if let Some((line, ledger)) = self.line.zip(ledger.as_mut()) {
                report_line(line.link, ledger, &mut report);
                while let Some(outcome) = ledger.expired(self.progress.clock().now()) {
                    report(Notice::Outcome(&outcome));
                }
            }
            // No thread drives the outputs when the line thread has ended.
            if line_thread.is_some_and(ScopedJoinHandle::is_finished) {
                self.stop.store(true, Ordering::Relaxed);
            }
            report(Notice::Idle { ending });
        }
        let Some((line, mut ledger)) = self.line.zip(ledger) else { return };
        line.link.finish();
        while line_thread.is_some_and(|thread| !thread.is_finished()) {
            thread::sleep(patience);
            report_line(line.link, &mut ledger, &mut report);
            report(Notice::Idle { ending: true });
        }
        report_line(line.link, &mut ledger, &mut report);
        ledger.finish().for_each(|outcome| report(Notice::Outcome(&outcome)));
    }
}

/// Passes the reports of the line thread on, and the outcomes that its decisions complete.
fn report_line(link: &LineLink<'_>, ledger: &mut Ledger, report: &mut impl FnMut(Notice<'_>)) {
    while let Some(line_report) = link.next_report() {
        report(Notice::Line(line_report));
        if let Report::Decided(decision) = line_report
            && let Some(outcome) = ledger.decided(decision)
        {
            report(Notice::Outcome(&outcome));
        }
    }
}
