//! Parts as the running line would see them, for commissioning: same source, decoder, trigger and matching; nothing is judged.

use verdict::Reason;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow};
use detector::picture::Picture;
use log::warn;

use super::run::{open_source, products};
use super::seat::Seat;
use crate::camera::{Capture, Shot, Source};
use config::Config;
use config::line::LineSettings;
use config::line::OnUnknown;
use config::line::Outputs;
use config::line::TriggerBy;
use config::MAIN;
use crate::gpio;
use crate::line::{Match, Matching, MatchingEvent, Presence};
use crate::live::clock::Clock;
use crate::live::progress::Progress;
use crate::live::{LineLink, LineThread, Products};

/// How often a stop is looked for.
const PATIENCE: Duration = Duration::from_millis(50);
/// The same while parts come by other ways than frames.
const SHORT_PATIENCE: Duration = Duration::from_millis(2);

/// One part.
pub(super) struct Part {
    /// Counts the parts, from 1.
    pub number: u64,
    /// Time of its trigger, or of its capture.
    pub at: SystemTime,
    /// Camera or file; empty where no frame came.
    pub source: String,
    /// What the detector would be given, or why it would be given nothing.
    pub picture: std::result::Result<Picture, String>,
}

/// Hands each part, as this camera sees it on the product's settings, to `take`, until it breaks, the source ends, or `stop` becomes true. Outputs stay at their safe levels, as while the
/// service does not run, but for the strobe: without it there may be no light. While `take` works, frames wait as on the line.
pub(super) fn each_part(
    config: &Config,
    seat: Seat<'_>,
    stop: &AtomicBool,
    mut take: impl FnMut(Part) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let progress = Progress::new(Clock::start(), 1);
    let triggered = config.line.as_ref().filter(|line| !line.trigger.is_a_frame()).map(without_verdicts);
    let mut presence = config.line.as_ref().filter(|_| seat.view == MAIN).and_then(|line| match &line.trigger.by {
        TriggerBy::Presence(config) => Some(Presence::new(config.clone())),
        _ => None,
    });
    // Held until the end, so that nothing else drives them meanwhile.
    let _safe = match &config.line {
        Some(line) if !line.simulated => Some(gpio::Outputs::request(&Outputs { strobe: None, ..line.outputs.clone() })?),
        _ => None,
    };
    let link = triggered
        .as_ref()
        .map(|line| LineLink::new(line, seat.number, &progress))
        .transpose()
        .context("cannot start the line")?;
    let line = triggered.as_ref().zip(link.as_ref());
    let line_thread =
        line.map(|(line, link)| LineThread::new(line, Products { first: seat.number, ..products(config) }, link)).transpose()?;
    let source = open_source(config, seat.view, seat.number)?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(config.frames.queue);
        let named = |name: &str| thread::Builder::new().name(name.into());
        if let Some(thread) = line_thread {
            named("line").spawn_scoped(scope, move || thread.run()).context("cannot start a thread")?;
        }
        let stopped = || stop.load(Ordering::Relaxed) || over.load(Ordering::Relaxed);
        let clock = progress.clock();
        let capture = move || {
            let result = match line {
                Some((line, link)) => by_trigger(source, line, link, clock, &sender, stopped),
                None => by_frame(source, presence.as_mut(), &sender, stopped),
            };
            line.inspect(|(_, link)| link.finish());
            result
        };
        let capture = named("capture").spawn_scoped(scope, capture).inspect_err(|_| {
            line.inspect(|(_, link)| link.finish());
        });
        let capture = capture.context("cannot start a thread")?;
        let taken = receiver.iter().map(&mut take).find(|taken| !matches!(taken, Ok(ControlFlow::Continue(())))).transpose();
        over.store(true, Ordering::Relaxed);
        // Whoever waits for room must learn that nobody takes parts any more.
        drop(receiver);
        let captured = capture.join().map_err(|_| anyhow!("the capture thread died: a fault of this program"))?;
        if let Some(link) = link.as_ref().filter(|link| link.missed() > 0) {
            warn!("{} triggers were missed, {} were bounces", link.missed(), link.surplus().0);
        }
        taken.and(captured)
    })
}

/// The line with nothing on it but its trigger and its strobe: no part is judged, so nothing may act on a part or stop.
fn without_verdicts(line: &LineSettings) -> LineSettings {
    let mut line = line.clone();
    line.outputs = Outputs { strobe: line.outputs.strobe, ..Outputs::default() };
    line.control.on_unknown = OnUnknown::Pass;
    (line.control.stop_after_unknowns, line.control.stop_after_rejects) = (None, None);
    // The product is the one that was asked for, and no other camera takes part.
    (line.reset, line.record, line.product) = (None, None, None);
    line.control.views = 1;
    line
}

fn by_frame(
    mut source: Box<dyn Source>,
    mut presence: Option<&mut Presence>,
    parts: &SyncSender<Part>,
    stopped: impl Fn() -> bool,
) -> Result<()> {
    let mut number = 0;
    while !stopped() {
        let shot = match source.next(PATIENCE)? {
            Capture::Shot(shot) => shot,
            Capture::Nothing => continue,
            Capture::End => break,
        };
        let appears = |presence: &mut &mut Presence| shot.picture.as_ref().is_ok_and(|picture| presence.appears(picture));
        if !presence.as_mut().is_none_or(appears) {
            continue;
        }
        number += 1;
        let at = since_1970(shot.at.elapsed());
        if parts.send(Part { number, at, source: shot.source, picture: shot.picture }).is_err() {
            break;
        }
    }
    Ok(())
}

fn by_trigger(
    mut source: Box<dyn Source>,
    line: &LineSettings,
    link: &LineLink<'_>,
    clock: Clock,
    parts: &SyncSender<Part>,
    stopped: impl Fn() -> bool,
) -> Result<()> {
    let mut matching: Matching<Shot> = Matching::new(&line.trigger, line.control.parts);
    let (mut found, mut listened) = (Vec::new(), true);
    while listened && !stopped() {
        // Nobody wants to know what became of the parts, but a full queue counts as a loss.
        while link.next_report().is_some() {}
        while let Some(seen) = link.next_part(0) {
            source.trigger(clock.instant(seen.at));
            matching.step(MatchingEvent::Part(seen), clock.now(), &mut |one| found.push(one));
        }
        let event = match source.next(SHORT_PATIENCE)? {
            Capture::Shot(shot) => MatchingEvent::Frame { at: clock.at(shot.at), frame: shot },
            Capture::Nothing => MatchingEvent::Tick,
            Capture::End => break,
        };
        matching.step(event, clock.now(), &mut |one| found.push(one));
        listened = found.drain(..).filter_map(|one| part(one, clock)).all(|part| parts.send(part).is_ok());
    }
    if listened && !stopped() {
        matching.finish(Reason::NoFrame, &mut |one| found.push(one));
        found.drain(..).filter_map(|one| part(one, clock)).all(|part| parts.send(part).is_ok());
    }
    Ok(())
}

fn part(found: Match<Shot>, clock: Clock) -> Option<Part> {
    let at = |at: Duration| since_1970(clock.now().saturating_sub(at));
    match found {
        Match::Bound(seen, Shot { source, picture, .. }) => Some(Part { number: seen.part, at: at(seen.at), source, picture }),
        Match::Unmatched(seen, reason) => {
            let problem = format!("no one frame shows it: {}", reason.word());
            Some(Part { number: seen.part, at: at(seen.at), source: String::new(), picture: Err(problem) })
        }
        Match::Surplus(_) => None,
    }
}

fn since_1970(age: Duration) -> SystemTime {
    let now = SystemTime::now();
    now.checked_sub(age).unwrap_or(now)
}
