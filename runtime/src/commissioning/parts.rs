//! Parts as the running line sees them, for commissioning: the same source, decoder, trigger and capture loop; nothing is judged.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow};
use config::line::{GpioOutputs, LineSettings, OnUnknown};
use config::{Binding, Config, SeatId};
use detector::picture::Picture;
use log::warn;
use verdict::Reason;

use crate::assembly::sources;
use crate::camera::Shot;
use crate::gpio;
use crate::line::Match;
use crate::live::capture::{PartFinder, PartSink, ViewCapture};
use crate::live::clock::Clock;
use crate::live::progress::Progress;
use crate::live::{LineLink, LineThread};

/// One part.
#[derive(Debug)]
pub struct Part {
    /// Counts the parts, from 1.
    pub number: u64,
    /// Time of its trigger, or of its capture.
    pub at: SystemTime,
    /// Camera or file; empty where no frame came.
    pub source: String,
    /// What the detector would be given, or why it would be given nothing.
    pub picture: std::result::Result<Picture, String>,
}

/// Hands each part, as a seat sees it, to `take`, until it breaks, the source ends, or `stop` becomes true.
///
/// Outputs stay at their safe levels, as while the service does not run, but for the strobe: without it there may be no light. While
/// `take` works, frames wait as on the line.
///
/// # Errors
/// When the source or a GPIO line cannot be used, or `take` fails.
pub fn each_part(
    config: &Config,
    seat: SeatId,
    stop: &AtomicBool,
    mut take: impl FnMut(Part) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let progress = Progress::new(Clock::start(), 1);
    // Held until the end, so that nothing else drives them meanwhile.
    let _safe = match &config.line {
        Some(line) if !line.simulated => Some(gpio::Outputs::request(&GpioOutputs { strobe: None, ..line.outputs.clone() })?),
        _ => None,
    };
    // Where frames make parts, no line thread is needed to announce them.
    let line = config.line.as_ref().filter(|line| !line.trigger.is_a_frame()).map(without_verdicts);
    let link = line.as_ref().map(|line| LineLink::new(line, seat.product, &progress)).transpose();
    let link = link.context("cannot start the line")?;
    let line_thread = line.as_ref().zip(link.as_ref());
    let line_thread = line_thread.map(|(line, link)| LineThread::new(line, config.products.clone(), link)).transpose()?;
    let parts = match &line {
        Some(line) => PartFinder::by_line(line),
        None => PartFinder::of_first_view(config.line.as_ref().filter(|_| seat.view == 0), Binding::Part),
    };
    let mut source = sources::open(config, seat)?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(config.frames.queue);
        let named = |name: &str| thread::Builder::new().name(name.into());
        if let Some(thread) = line_thread {
            named("line").spawn_scoped(scope, move || thread.run()).context("cannot start a thread")?;
        }
        let (clock, link) = (progress.clock(), link.as_ref());
        let capture = ViewCapture { parts, link, view: 0, product: seat.product, clock };
        let mut sink = Sink { clock, link, stop, over: &over, ended: false, sender };
        let capture = named("capture").spawn_scoped(scope, move || {
            let result = capture.run(&mut source, &mut sink);
            link.inspect(|link| link.finish());
            result
        });
        let capture = capture.inspect_err(|_| {
            link.inspect(|link| link.finish());
        });
        let capture = capture.context("cannot start a thread")?;
        let taken = receiver.iter().map(&mut take).find(|taken| !matches!(taken, Ok(ControlFlow::Continue(())))).transpose();
        over.store(true, Ordering::Relaxed);
        // A sender that waits for room learns that nobody takes parts any more.
        drop(receiver);
        let captured = capture.join().map_err(|_| anyhow!("the capture thread died: a fault of this program"))?;
        if let Some(link) = link.filter(|link| link.missed() > 0) {
            warn!("{} triggers were missed, {} were bounces", link.missed(), link.surplus().0);
        }
        taken.map(drop)?;
        Ok(captured?)
    })
}

/// The line with nothing on it but its trigger and its strobe: no part is judged, so nothing may act on a part or stop.
fn without_verdicts(line: &LineSettings) -> LineSettings {
    let mut line = line.clone();
    line.outputs = GpioOutputs { strobe: line.outputs.strobe, ..GpioOutputs::default() };
    line.control.on_unknown = OnUnknown::Pass;
    (line.control.stop_after_unknowns, line.control.stop_after_rejects) = (None, None);
    // The product is the one that was asked for, and no other view takes part.
    (line.reset, line.record, line.selection) = (None, None, None);
    line.control.views = 1;
    line
}

/// Hands parts to whoever receives them.
struct Sink<'a> {
    clock: Clock,
    link: Option<&'a LineLink<'a>>,
    stop: &'a AtomicBool,
    over: &'a AtomicBool,
    ended: bool,
    sender: SyncSender<Part>,
}

impl Sink<'_> {
    fn send(&mut self, part: Part) {
        self.ended |= self.sender.send(part).is_err();
    }

    fn since_1970(&self, at: Duration) -> SystemTime {
        let now = SystemTime::now();
        now.checked_sub(self.clock.now().saturating_sub(at)).unwrap_or(now)
    }
}

impl PartSink for Sink<'_> {
    fn goes_on(&mut self) -> bool {
        // Nobody reads the line's reports, but a full queue of them would count as a loss.
        while self.link.and_then(LineLink::next_report).is_some() {}
        !(self.ended || self.stop.load(Ordering::Relaxed) || self.over.load(Ordering::Relaxed))
    }

    fn frame(&mut self, shot: Shot, part: Option<u64>, _: usize) {
        let Some(number) = part else { return };
        let at = self.since_1970(self.clock.at(shot.at));
        self.send(Part { number, at, source: shot.source, picture: shot.picture });
    }

    fn matched(&mut self, found: Match<Shot>) {
        let (part, source, picture) = match found {
            Match::Bound(part, Shot { source, picture, .. }) => (part, source, picture),
            Match::Unmatched(part, reason) => (part, String::new(), Err(format!("no one frame shows it: {}", reason.word()))),
            Match::Surplus(_) => return,
        };
        // Parts that wait when somebody stops are of no interest.
        if !self.stop.load(Ordering::Relaxed) {
            self.send(Part { number: part.part, at: self.since_1970(part.at), source, picture });
        }
    }

    fn source_ended(&mut self) {
        self.ended = true;
    }

    fn reason_at_end(&self) -> Reason {
        Reason::NoFrame
    }
}
