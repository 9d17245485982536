//! A V4L2 camera as a source. It is opened again by itself after it was unplugged, reset or stuck.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use config::{CameraConfig, Controls};
use detector::{Error, Result};
use log::{info, warn};
use rustix::time::{ClockId, clock_gettime};

use super::decode::decode;
use super::format::{Conversion, Layout};
use super::settling::Settling;
use super::source::{Capture, Shot, Source};
use super::v4l2::device::{Device, Mode};
use super::v4l2::stream::{Dequeued, Stream, Wait};
use super::wait::wait;
use super::watch::{Action, Event, Watch};

/// A larger gap in the driver's frame numbers means that the driver has restarted its counter.
const GAP_LIMIT: u32 = 64;
/// Least time between two log messages about lost frames.
const LOG_PAUSE: Duration = Duration::from_secs(1);
/// Longest time between two looks for a frame while the driver gives no usable time stamps: a frame may seem older by so much.
const LOOK: Duration = Duration::from_millis(2);
/// Logged once for each stream.
const NO_STAMPS: &str = "the driver's time stamps are missing, of another clock or in the future; the time of a frame is the time at which it \
                         came, at most 2 ms early";
/// Largest relative difference between the configured frame rate and the rate of the camera.
const RATE_TOLERANCE: f64 = 0.05;

/// The settings that driver and configuration have agreed on.
#[derive(Clone, Debug)]
pub struct Agreed {
    /// How frames lie in memory.
    pub layout: Layout,
    /// Frames per second, if the driver knows.
    pub rate: Option<f64>,
}

/// Sets a camera up as configured, without starting it.
///
/// # Errors
/// When the camera cannot do what is configured; the error lists what the camera offers.
pub fn set_up(device: &Device, config: &CameraConfig) -> Result<Agreed> {
    if let Some(region) = config.region {
        device.set_region(region)?;
    }
    let mode = device.wish(config.format.code(), config.width, config.height)?;
    let wished = format!("{} {}x{}", config.format.code(), config.width, config.height);
    if mode.to_string() != wished {
        return Err(not_offered(device, &format!("{wished} was wished; the nearest mode of the camera is {mode}")));
    }
    if mode.interlaced {
        return Err(not_offered(device, &format!("the camera gives {mode} in two fields, which are taken at different times")));
    }
    let rate = match config.frame_rate {
        None => device.frame_rate(),
        Some(wished) => {
            let rate = device.set_frame_rate(wished)?;
            if (rate - wished).abs() > wished * RATE_TOLERANCE {
                let problem = format!("{wished} frames per second were wished; the nearest rate of the camera is {rate:.2}");
                return Err(not_offered(device, &problem));
            }
            Some(rate)
        }
    };
    device.set_controls(&config.controls)?;
    Ok(Agreed { layout: layout(device, config, &mode)?, rate })
}

fn layout(device: &Device, config: &CameraConfig, mode: &Mode) -> Result<Layout> {
    let format = mode.format().ok_or_else(|| not_offered(device, &format!("{mode} cannot be decoded")))?;
    let Conversion { matrix, range } = mode.conversion;
    let conversion = Conversion { matrix: config.matrix.unwrap_or(matrix), range: config.range.unwrap_or(range) };
    let stride = |plane: usize| mode.strides.get(plane).copied().unwrap_or(0);
    let (width, height) = (mode.width, mode.height);
    Ok(Layout { format, width, height, stride: stride(0), chroma_stride: stride(1), conversion })
}

fn not_offered(device: &Device, problem: &str) -> Error {
    let offers: Vec<_> = device.offers().iter().map(|offer| format!("\n  {offer}")).collect();
    Error::file(device.path(), format!("{problem}. It offers:{}", offers.concat()))
}

/// A camera that is open, or is opened again when it can be.
#[derive(Debug)]
pub struct Camera {
    /// The configuration, with the controls of the present product.
    config: CameraConfig,
    /// The controls of each product.
    products: Vec<Controls>,
    settling: Settling,
    /// Whether each frame is a part, so that a lost frame must become an unknown part.
    each_frame_is_a_part: bool,
    watch: Watch,
    start: Instant,
    running: Option<Running>,
    /// Lost frames that are still to be given as unreadable shots.
    lost: u32,
    /// The frame that came after the lost frames.
    held: Option<Shot>,
    /// Lost frames that are not yet in the log, and when the log last had some.
    unlogged: (u32, Option<Instant>),
    /// Why the camera could not be opened; the log has each problem once.
    problem: String,
    closed_at: Instant,
}

#[derive(Debug)]
struct Running {
    stream: Stream,
    layout: Layout,
    /// Bytes of the last frame, plane by plane.
    planes: Vec<Vec<u8>>,
    started: Duration,
    sequence: Option<u32>,
    /// Whether all frames so far had usable time stamps; none before the first frame.
    stamped: Option<bool>,
    /// When the driver last had no frame: a frame without a usable time stamp came after this time.
    empty: Instant,
}

impl Camera {
    /// Opens a camera and starts it. `each_frame_is_a_part` means that a lost frame must become an unknown part.
    ///
    /// # Errors
    /// When the camera is missing or cannot do what is configured. Later faults are no errors: the camera is opened again.
    pub fn open(config: &CameraConfig, each_frame_is_a_part: bool) -> Result<Camera> {
        let opening = Instant::now();
        let (running, rate) = Running::start(config)?;
        let start = Instant::now();
        info!("{}: the camera streams, {:.2} s after the start", config.device.display(), opening.elapsed().as_secs_f64());
        let watch = Watch::new(rate.map(|rate| Duration::from_secs_f64(1.0 / rate)), config.triggered, Duration::ZERO);
        Ok(Camera {
            settling: Settling::new(0, config.settle_frames),
            config: config.clone(),
            products: Vec::new(),
            each_frame_is_a_part,
            watch,
            start,
            running: Some(running),
            lost: 0,
            held: None,
            unlogged: (0, None),
            problem: String::new(),
            closed_at: start,
        })
    }

    /// The camera with the controls of each product. It was opened with the controls of `product`.
    #[must_use]
    pub fn with_products(self, products: Vec<Controls>, product: usize) -> Camera {
        Camera { settling: Settling::new(product, self.config.settle_frames), products, ..self }
    }

    fn name(&self) -> String {
        self.config.device.display().to_string()
    }

    fn shot(&mut self, at: Instant, picture: std::result::Result<detector::picture::Picture, String>) -> Shot {
        Shot { source: self.name(), at, product: self.settling.taken(at), picture }
    }

    fn step(&mut self, event: Event) {
        match self.watch.step(event, self.start.elapsed()) {
            Action::Wait | Action::Pause => {}
            Action::Close => self.close(),
            Action::GiveUp => {
                warn!("{}: no frame came in time; opening the camera again", self.name());
                self.close();
            }
            Action::Open => self.reopen(),
        }
    }

    fn close(&mut self) {
        self.running = None;
        self.closed_at = Instant::now();
    }

    fn reopen(&mut self) {
        match Running::start(&self.config) {
            Ok((running, _)) => {
                info!("{}: the camera is open again after {:.1} s", self.name(), self.closed_at.elapsed().as_secs_f64());
                self.running = Some(running);
                self.problem.clear();
                self.step(Event::Opened);
            }
            Err(error) => {
                let problem = error.to_string();
                if problem != self.problem {
                    warn!("{problem}; trying again");
                    self.problem = problem;
                }
                self.step(Event::OpenFailed);
            }
        }
    }

    fn receive(&mut self, patience: Duration, wake: Option<BorrowedFd<'_>>) -> Capture {
        let Some(running) = &mut self.running else {
            wait(patience, wake);
            self.step(Event::Tick);
            return Capture::Nothing;
        };
        match running.wait(patience, wake) {
            Wait::Frame(frame) => self.take(frame),
            Wait::Nothing => {
                self.step(Event::Tick);
                Capture::Nothing
            }
            Wait::Changed => self.lose("the camera's signal has changed"),
            Wait::Lost(problem) => self.lose(&problem),
        }
    }

    fn lose(&mut self, problem: &str) -> Capture {
        warn!("{}: {problem}; opening the camera again", self.name());
        self.step(Event::Lost);
        Capture::Nothing
    }

    fn take(&mut self, frame: Dequeued) -> Capture {
        let Some(running) = &mut self.running else { return Capture::Nothing };
        let at = running.captured(&frame, Duration::from_secs_f64(self.config.stamp_delay_ms / 1e3));
        let gap = running.gap(frame.sequence);
        let is_damaged = frame.damaged;
        running.stream.copy_planes(&frame, &mut running.planes);
        // The driver may fill the buffer again while the copy is decoded.
        let given_back = running.stream.give_back(frame);
        let picture = match is_damaged {
            true => Err("the driver marked the frame as damaged".into()),
            false => decode(&running.layout, &running.planes.iter().map(Vec::as_slice).collect::<Vec<_>>()),
        };
        self.step(Event::Frame);
        if let Err(error) = given_back {
            self.lose(&error.to_string());
        }
        let Some(at) = at else {
            warn!("{}: a frame from before the start of the stream was dropped", self.name());
            return Capture::Nothing;
        };
        let shot = self.shot(at, picture);
        if gap == 0 {
            return Capture::Shot(shot);
        }
        self.log_lost(gap);
        self.lost = if self.each_frame_is_a_part { gap } else { 0 };
        self.held = Some(shot);
        self.next_held()
    }

    /// Logs lost frames, at most once in [`LOG_PAUSE`]: a camera that is too fast would fill the log.
    fn log_lost(&mut self, gap: u32) {
        let (lost, logged_at) = self.unlogged;
        let lost = lost + gap;
        if logged_at.is_some_and(|at| at.elapsed() < LOG_PAUSE) {
            self.unlogged.0 = lost;
        } else {
            warn!("{}: {lost} frames were lost between camera and driver", self.name());
            self.unlogged = (0, Some(Instant::now()));
        }
    }

    /// Gives each lost frame as an unreadable shot, then the frame after them.
    fn next_held(&mut self) -> Capture {
        match &self.held {
            Some(Shot { source, at, product, .. }) if self.lost > 0 => {
                self.lost -= 1;
                let picture = Err("the frame was lost between camera and driver".into());
                Capture::Shot(Shot { source: source.clone(), at: *at, product: *product, picture })
            }
            _ => self.held.take().map_or(Capture::Nothing, Capture::Shot),
        }
    }
}

impl Source for Camera {
    fn next(&mut self, patience: Duration, wake: Option<BorrowedFd<'_>>) -> Result<Capture> {
        Ok(if self.held.is_some() { self.next_held() } else { self.receive(patience, wake) })
    }

    fn trigger(&mut self, _at: Instant) {
        self.step(Event::Triggered);
    }

    fn set_product(&mut self, product: usize) {
        let controls = self.products.get(product).unwrap_or(&self.config.controls);
        let same = *controls == self.config.controls;
        if !same {
            self.config.controls = controls.clone();
            // A closed camera is opened with the new controls later.
            let set = self.running.as_ref().map(|running| running.stream.device().set_controls(&self.config.controls));
            if let Some(Err(error)) = set {
                self.lose(&error.to_string());
            }
        }
        self.settling.change(product, same, Instant::now());
    }
}

impl Running {
    fn start(config: &CameraConfig) -> Result<(Running, Option<f64>)> {
        let device = Device::open(&config.device)?;
        let Agreed { layout, rate } = set_up(&device, config)?;
        let started = monotonic();
        let stream = Stream::start(device, config.buffers)?;
        Ok((Running { stream, layout, planes: Vec::new(), started, sequence: None, stamped: None, empty: Instant::now() }, rate))
    }

    fn wait(&mut self, patience: Duration, wake: Option<BorrowedFd<'_>>) -> Wait {
        let end = Instant::now() + patience;
        loop {
            let ready = self.stream.next(Duration::ZERO, None);
            if !matches!(ready, Wait::Nothing) {
                return ready;
            }
            self.empty = Instant::now();
            let left = end.saturating_duration_since(self.empty);
            // Without time stamps, `empty` is the time of the next frame: it must not be old.
            let pause = if self.stamped == Some(true) { left } else { left.min(LOOK) };
            let waited = self.stream.next(pause, wake);
            let is_woken = self.empty.elapsed() < pause;
            if !matches!(waited, Wait::Nothing) || is_woken || pause == left {
                return waited;
            }
        }
    }

    /// When a frame was captured; none if it was before the start of the stream. In doubt the time is too early, not too late: an old frame
    /// must not pass as a new one. A time stamp in the future is not usable.
    fn captured(&mut self, frame: &Dequeued, stamp_delay: Duration) -> Option<Instant> {
        let (now, instant) = (monotonic(), Instant::now());
        let stamp = frame.monotonic.and_then(|stamp| now.checked_sub(stamp).map(|age| (stamp, age)));
        let stamped = stamp.is_some() && self.stamped != Some(false);
        if !stamped && self.stamped != Some(false) {
            info!("{}: {NO_STAMPS}", self.stream.device().path().display());
        }
        self.stamped = Some(stamped);
        match stamp {
            Some((stamp, _)) if stamp < self.started => None,
            Some((_, age)) => {
                let delay = if frame.at_start { Duration::ZERO } else { stamp_delay };
                instant.checked_sub(age + delay)
            }
            None => Some(self.empty),
        }
    }

    /// Number of frames that the driver counted but did not deliver before this one.
    fn gap(&mut self, sequence: u32) -> u32 {
        let last = self.sequence.replace(sequence);
        let gap = last.map_or(0, |last| sequence.wrapping_sub(last).wrapping_sub(1));
        if gap <= GAP_LIMIT { gap } else { 0 }
    }
}

fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}
