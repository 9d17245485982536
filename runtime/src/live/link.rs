//! The link between the line thread and the other threads: bounded queues, and counts of lost messages.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use config::line::LineSettings;
use crossbeam_queue::ArrayQueue;
use verdict::{Output, Verdict};

use super::clock::Clock;
use super::progress::Progress;
use super::wake::Wake;
use crate::line::{Decision, StopCause, TriggerCounts, TriggeredPart};

/// A message to the line thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A frame was taken that makes a part.
    Triggered(TriggeredPart),
    /// There is a view's verdict on a part.
    Judged {
        /// The number of the part.
        part: u64,
        /// The number of the view.
        view: usize,
        /// The verdict.
        verdict: Verdict,
    },
}

/// A report of the line thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// A part is decided.
    Decided(Decision),
    /// An output changed.
    Output {
        /// The output.
        output: Output,
        /// Its new level.
        active: bool,
        /// When it changed, on the service's clock.
        at: Duration,
    },
    /// The stop output was raised.
    Stopped(StopCause),
    /// The verdict of this part came after its decision.
    Late(u64),
    /// An output could not be set.
    OutputFailed(Output),
    /// Edges could not be read.
    InputFailed,
    /// Triggers that the kernel could not keep, since the start: their parts passed unseen.
    Missed(u64),
    /// The line makes this product from now on.
    Product(usize),
}

/// Joins the line thread with the other threads. No thread ever waits for another here, and no message allocates.
#[derive(Debug)]
pub struct LineLink<'a> {
    /// Which threads make progress.
    pub progress: &'a Progress,
    commands: ArrayQueue<Command>,
    /// Announced parts, for each view.
    parts: Vec<ArrayQueue<TriggeredPart>>,
    product: AtomicUsize,
    reports: ArrayQueue<Report>,
    /// Wakes the line thread.
    wake: Wake,
    /// Wake the capture thread of each view.
    view_wakes: Vec<Wake>,
    finish: AtomicBool,
    lost: AtomicU64,
    bounces: AtomicU64,
    missed: AtomicU64,
    surplus: AtomicU64,
}

impl<'a> LineLink<'a> {
    /// A link for a line that begins with `product`. The queues have room for several times the parts that may be in transit.
    ///
    /// # Errors
    /// When the system gives no descriptor.
    pub fn new(settings: &LineSettings, product: usize, progress: &'a Progress) -> io::Result<LineLink<'a>> {
        let (parts, views) = (settings.control.parts, settings.control.views);
        Ok(LineLink {
            progress,
            commands: ArrayQueue::new(4 * parts * views + 64),
            parts: (0..views).map(|_| ArrayQueue::new(parts)).collect(),
            product: AtomicUsize::new(product),
            reports: ArrayQueue::new(16 * parts + 4096),
            wake: Wake::new()?,
            view_wakes: (0..views).map(|_| Wake::new()).collect::<io::Result<_>>()?,
            finish: AtomicBool::new(false),
            lost: AtomicU64::new(0),
            bounces: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            surplus: AtomicU64::new(0),
        })
    }

    /// The clock of the service.
    pub fn clock(&self) -> Clock {
        self.progress.clock()
    }

    /// Sends a message to the line thread. Without room the message is lost and counted; its part becomes unknown at its deadline.
    pub fn send(&self, command: Command) {
        if self.commands.push(command).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        self.wake.wake();
    }

    /// The next part of which this view must find a frame.
    pub fn next_part(&self, view: usize) -> Option<TriggeredPart> {
        self.parts.get(view)?.pop()
    }

    /// Wakes a view's capture thread: a part or another product was announced.
    pub fn view_wake(&self, view: usize) -> &Wake {
        &self.view_wakes[view]
    }

    /// The product that the line makes now. All parts of the product before it have been announced.
    pub fn product(&self) -> usize {
        self.product.load(Ordering::Acquire)
    }

    /// Counts a frame that a sensor in trigger mode gave without a part.
    pub fn count_surplus_frame(&self) {
        self.surplus.fetch_add(1, Ordering::Relaxed);
    }

    /// The next report of the line thread.
    pub fn next_report(&self) -> Option<Report> {
        self.reports.pop()
    }

    /// No more verdicts will come: the line thread ends when no part is in transit.
    pub fn finish(&self) {
        self.finish.store(true, Ordering::Relaxed);
        self.wake.wake();
    }

    /// Messages that were lost for want of room.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Triggers that made no part: bounces, and frames of a sensor in trigger mode without a part.
    pub fn surplus(&self) -> (u64, u64) {
        (self.bounces.load(Ordering::Relaxed), self.surplus.load(Ordering::Relaxed))
    }

    /// Triggers that the kernel could not keep.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    pub(super) fn next_command(&self) -> Option<Command> {
        self.commands.pop()
    }

    /// Announces a part to a view. Returns `false` if there was no room.
    pub(super) fn announce_part(&self, view: usize, part: TriggeredPart) -> bool {
        let has_room = self.parts.get(view).is_some_and(|parts| parts.push(part).is_ok());
        self.view_wakes.get(view).inspect(|wake| wake.wake());
        has_room
    }

    pub(super) fn choose(&self, product: usize) {
        self.product.store(product, Ordering::Release);
        self.view_wakes.iter().for_each(Wake::wake);
    }

    pub(super) fn report(&self, report: Report) {
        if self.reports.push(report).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn count(&self, counts: TriggerCounts) {
        self.bounces.store(counts.bounces, Ordering::Relaxed);
        if self.missed.swap(counts.missed, Ordering::Relaxed) != counts.missed {
            self.report(Report::Missed(counts.missed));
        }
    }

    pub(super) fn is_finishing(&self) -> bool {
        self.finish.load(Ordering::Relaxed)
    }

    pub(super) fn wake(&self) -> &Wake {
        &self.wake
    }
}
