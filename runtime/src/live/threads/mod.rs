//! Running the pipeline: starts its threads and waits for their end.

use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::thread::{self, ScopedJoinHandle};

use detector::picture::Picture;
use verdict::{ScoredVerdict, Ticket};

use super::line_thread::LineThread;
use super::pipeline::{Line, OUTCOMES, Pipeline, PipelineError};
use super::realtime;
use super::reporting::Notice;
use super::summary::Summary;
use crate::camera::Source;

/// Most features that wait between the network thread and the detector thread.
const HANDED: usize = 1;

impl<'a> Pipeline<'a> {
    /// Runs until the sources end or `stop` becomes true, and then until no part is in transit.
    ///
    /// There is one source for each view, in the order of the views; several views need a line. `extract` and `score` are the stages of the
    /// detector: while one frame is scored, the features of the next are extracted. `report` is called on this thread.
    ///
    /// # Errors
    /// When a source or the detector fails for good. Every part that was captured has then been reported, and the summary counts them.
    pub fn run<F: Send>(
        self,
        mut sources: Vec<impl Source>,
        mut extract: impl FnMut(&Ticket, &Picture) -> F + Send,
        mut score: impl FnMut(&Ticket, F) -> ScoredVerdict + Send,
        line_thread: Option<LineThread<'a>>,
        mut report: impl FnMut(Notice<'_>),
    ) -> (Summary, Result<(), PipelineError>) {
        let mut summary = Summary::default();
        self.capturing.store(sources.len(), Ordering::Relaxed);
        self.delivering.store(sources.len(), Ordering::Relaxed);
        let result = thread::scope(|scope| {
            let (sender, receiver) = sync_channel(OUTCOMES);
            let for_captures: Vec<_> = sources.iter().map(|_| sender.clone()).collect();
            let named = |name: &str| thread::Builder::new().name(name.into());
            let driven = match line_thread.zip(self.line) {
                Some((thread, Line { settings, .. })) => {
                    let drive = move || {
                        realtime::prepare(settings);
                        thread.run();
                    };
                    Some(named("line").spawn_scoped(scope, drive).map_err(PipelineError::Thread)?)
                }
                None => None,
            };
            // A thread that cannot start ends the threads that have started.
            let abandon = |error| {
                self.stop.store(true, Ordering::Relaxed);
                self.line.inspect(|line| line.link.finish());
                PipelineError::Thread(error)
            };
            let this = &self;
            let (hand, handed) = sync_channel(HANDED);
            let for_network = sender.clone();
            let detector = named("detector").spawn_scoped(scope, || this.score(handed, &mut score, sender)).map_err(abandon)?;
            let network =
                named("network").spawn_scoped(scope, || this.extract(&mut extract, hand, for_network)).map_err(abandon)?;
            let mut captures = Vec::with_capacity(sources.len());
            for ((view, source), outcomes) in sources.iter_mut().enumerate().zip(for_captures) {
                let capture = named("capture").spawn_scoped(scope, move || this.capture(view, source, outcomes));
                captures.push(capture.map_err(abandon)?);
            }
            self.report_all(receiver, driven.as_ref(), &mut summary, &mut report);
            let captured: Vec<_> = captures.into_iter().map(ScopedJoinHandle::join).collect();
            let (extracted, scored) = (network.join(), detector.join());
            driven.map_or(Ok(()), ScopedJoinHandle::join).map_err(|_| PipelineError::Lost("line"))?;
            extracted.and(scored).map_err(|_| PipelineError::Lost("detector"))?;
            for captured in captured {
                captured.map_err(|_| PipelineError::Lost("capture"))??;
            }
            Ok(())
        });
        summary.replaced = self.lock().replaced();
        (summary, result)
    }
}

#[cfg(test)]
mod tests;
