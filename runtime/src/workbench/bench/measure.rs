use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use detector::Detector;
use detector::evaluate::Latency;
use detector::scorer::Times;
use serde::Serialize;

use super::error::BenchError;
use super::overlapped::{Overlapped, overlap};
use super::pictures::Pictures;
use crate::workbench::energy::{Energy, Meter};
use crate::workbench::engine_in_use::EngineInUse;
use crate::workbench::{process_memory, stage_bar};

/// Frames that are scored before the clock runs.
const WARM_UP: usize = 3;

/// The course of a measurement.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// When the program started.
    pub start: Instant,
    /// Frames that are measured; at least 1.
    pub frames: u32,
    /// Time without work before each frame, as on a line whose parts come one by one.
    pub pause: Duration,
}

/// How fast a detector is on this machine.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    /// The bundle's id.
    pub bundle: String,
    /// The engine and network that were measured.
    #[serde(flatten)]
    pub engine: EngineInUse,
    /// Threads of backbone and search.
    pub threads: usize,
    /// Frames that were measured.
    pub frames: u32,
    /// Milliseconds without work before each frame.
    pub pause_ms: u64,
    /// Times of the stages, milliseconds.
    pub stages_ms: Stages,
    /// Median after the backbone over the backbone's median.
    pub after_backbone_share: f64,
    /// Frames one after the other, without pauses.
    pub frames_per_second: f64,
    /// As in the service: features of a frame are extracted while the frame before it is scored.
    pub overlapped: Overlapped,
    /// Memory of this process now, MiB; `None` where the kernel does not show it.
    pub resident_mib: Option<f64>,
    /// Memory of this process at most, MiB; `None` where the kernel does not show it.
    pub peak_resident_mib: Option<f64>,
    /// Of the whole machine during the frames; `None` where the kernel shows none to this user.
    pub energy: Option<Energy>,
    /// Of the whole machine, for each frame.
    pub joules_per_frame: Option<f64>,
    /// From the start of the program: reading, verifying, self-test, first score.
    pub start_to_first_verdict_ms: f64,
}

/// Times of the stages, milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Stages {
    /// Region, resize, normalise.
    pub preprocess: Latency,
    /// The network.
    pub backbone: Latency,
    /// Descriptors, search, score.
    pub after_backbone: Latency,
    /// The whole frame.
    pub total: Latency,
}

impl Stages {
    fn of(times: &[Times]) -> Stages {
        let stage = |of: fn(&Times) -> Duration| Latency::of(&times.iter().map(of).collect::<Vec<_>>());
        Stages {
            preprocess: stage(|times| times.preprocess),
            backbone: stage(|times| times.backbone),
            after_backbone: stage(|times| times.after_backbone),
            total: stage(Times::total),
        }
    }
}

impl Measurement {
    /// An SVG picture of the stages.
    pub fn picture(&self) -> String {
        let Stages { preprocess, backbone, after_backbone, .. } = self.stages_ms;
        let stages = [("preprocess", preprocess), ("backbone", backbone), ("after backbone", after_backbone)];
        let title = format!("one frame, engine {}, {} threads", self.engine.engine, self.threads);
        stage_bar::svg(&title, &stages)
    }
}

/// Scores a few frames that do not count, because the first ones are slower. Gives the time when the first verdict was there.
///
/// # Errors
/// When the detector fails on a picture.
pub fn warm_up(detector: &mut Detector, pictures: &Pictures) -> Result<Instant, BenchError> {
    pictures.score(detector, 0)?;
    let first_verdict = Instant::now();
    for frame in 0..WARM_UP {
        pictures.score(detector, frame)?;
    }
    Ok(first_verdict)
}

/// Warms a detector up and measures it. `progress` is called after each frame that counts.
///
/// # Errors
/// When the detector fails on a picture.
pub fn measure(
    detector: &mut Detector,
    pictures: &Pictures,
    course: Course,
    progress: &mut dyn FnMut(),
) -> Result<Measurement, BenchError> {
    let first_verdict = warm_up(detector, pictures)?;
    let frames = course.frames as usize;
    let mut times = Vec::with_capacity(frames);
    let mut meter = Meter::start(Path::new("/sys"));
    for frame in 0..frames {
        thread::sleep(course.pause);
        times.push(pictures.score(detector, frame)?);
        if let Some(meter) = &mut meter {
            meter.sample();
        }
        progress();
    }
    let busy: Duration = times.iter().map(Times::total).sum();
    let energy = meter.map(Meter::finish);
    let stages_ms = Stages::of(&times);
    let overlapped = overlap(detector, pictures, frames)?;
    Ok(Measurement {
        bundle: detector.bundle.clone(),
        engine: EngineInUse::of(detector),
        threads: rayon::current_num_threads(),
        frames: course.frames,
        pause_ms: u64::try_from(course.pause.as_millis()).unwrap_or(u64::MAX),
        after_backbone_share: stages_ms.after_backbone.p50 / stages_ms.backbone.p50.max(f64::MIN_POSITIVE),
        stages_ms,
        frames_per_second: f64::from(course.frames) / busy.as_secs_f64(),
        overlapped,
        resident_mib: process_memory::of_process("VmRSS:"),
        peak_resident_mib: process_memory::of_process("VmHWM:"),
        joules_per_frame: energy.as_ref().map(|energy| energy.joules / f64::from(course.frames)),
        energy,
        start_to_first_verdict_ms: first_verdict.duration_since(course.start).as_secs_f64() * 1e3,
    })
}
