use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use detector::Detector;
use detector::evaluate::Latency;
use serde::Serialize;

use super::error::BenchError;
use super::pictures::Pictures;

/// Both stages of the detector at work at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Overlapped {
    /// Frames in a second.
    pub frames_per_second: f64,
    /// Of one frame, from its first stage to its score.
    pub latency_ms: Latency,
}

/// Scores frames as the service does when they come as fast as they can be judged: features of a frame are extracted while the frame
/// before it is scored.
pub(super) fn overlap(detector: &mut Detector, pictures: &Pictures, frames: usize) -> Result<Overlapped, BenchError> {
    let (mut extractor, scorer) = detector.stages();
    let (sender, receiver) = sync_channel(1);
    let begin = Instant::now();
    let latencies = thread::scope(|scope| {
        let extracting = scope.spawn(move || -> Result<(), BenchError> {
            for frame in 0..frames {
                let start = Instant::now();
                let features = pictures.extract(&mut extractor, frame)?;
                // The receiver is gone only where scoring has failed.
                if sender.send((start, features)).is_err() {
                    break;
                }
            }
            Ok(())
        });
        let latencies = receiver.iter().map(|(start, features)| {
            scorer.score(features).map_err(BenchError::Score)?;
            Ok(start.elapsed())
        });
        let latencies = latencies.collect::<Result<Vec<Duration>, BenchError>>();
        // A failure above leaves features in the channel; without a receiver the other thread ends.
        drop(receiver);
        extracting.join().map_err(|_| BenchError::ThreadDied)??;
        latencies
    })?;
    let frames_per_second = frames as f64 / begin.elapsed().as_secs_f64();
    Ok(Overlapped { frames_per_second, latency_ms: Latency::of(&latencies) })
}
