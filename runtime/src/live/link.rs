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

/// What the line thread is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A frame that is a part was taken.
    Triggered(TriggeredPart),
    /// There is a camera's answer for a part.
    Judged {
        /// Which part.
        part: u64,
        /// Which camera.
        view: usize,
        /// The answer.
        verdict: Verdict,
    },
}

/// What the line thread tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// A part has its final answer.
    Decided(Decision),
    /// An output changed.
    Output {
        /// Which.
        output: Output,
        /// To what.
        active: bool,
        /// When, on the service's clock.
        at: Duration,
    },
    /// The stop output was raised.
    Stopped(StopCause),
    /// An answer came too late.
    Late(u64),
    /// An output could not be set.
    OutputFailed(Output),
    /// Edges could not be read.
    InputFailed,
    /// So many parts, since the start, passed without being seen.
    Missed(u64),
    /// This product is made from now on.
    Product(usize),
}

/// What joins the line thread with the others. None of them ever waits for another here, and nothing is allocated.
#[derive(Debug)]
pub struct LineLink<'a> {
    /// Who still moves.
    pub progress: &'a Progress,
    commands: ArrayQueue<Command>,
    /// For each camera.
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
    /// Queues with room for all parts that may be in transit, several times over; a line that begins with this product.
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

    /// The clock of everything.
    pub fn clock(&self) -> Clock {
        self.progress.clock()
    }

    /// Tells the line thread. What finds no room is counted; the part then becomes unknown by its deadline.
    pub fn send(&self, command: Command) {
        if self.commands.push(command).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        self.wake.wake();
    }

    /// The next part that a camera must have a frame of.
    pub fn next_part(&self, view: usize) -> Option<TriggeredPart> {
        self.parts.get(view)?.pop()
    }

    /// Wakes a view's capture thread: a part or another product was announced.
    pub fn view_wake(&self, view: usize) -> &Wake {
        &self.view_wakes[view]
    }

    /// The product that is made now. Parts of the one before have been told already.
    pub fn product(&self) -> usize {
        self.product.load(Ordering::Acquire)
    }

    /// A sensor that waits for triggers gave a frame that no part asked for.
    pub fn count_surplus_frame(&self) {
        self.surplus.fetch_add(1, Ordering::Relaxed);
    }

    /// The next thing that the line thread tells.
    pub fn next_report(&self) -> Option<Report> {
        self.reports.pop()
    }

    /// No part will be judged any more: the line thread ends when no part is in transit.
    pub fn finish(&self) {
        self.finish.store(true, Ordering::Relaxed);
        self.wake.wake();
    }

    /// Messages that verdict no room.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Triggers that made no part: bounces, and frames of a sensor that was triggered though no part was seen.
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

    /// Whether there was room.
    pub(super) fn tell_part(&self, view: usize, seen: TriggeredPart) -> bool {
        let has_room = self.parts.get(view).is_some_and(|parts| parts.push(seen).is_ok());
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
