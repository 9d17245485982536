//! The GPIO inputs: requests, edges and levels.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use config::line::{GpioLine, InputRole, LineSettings};
use gpiocdev::Request;
use gpiocdev::line::{EdgeDetection, EdgeEvent, EdgeKind, EventClock, Offset, Value};
use gpiocdev::request::Config;

use super::find::{FoundGpioLine, find};
use super::{CONSUMER, GpioError};

/// Most edges that are read at once.
const BATCH: usize = 64;
/// Most edges that the kernel keeps until they are read.
const KERNEL_BUFFER: u32 = 1024;

/// An edge on an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputEdge {
    /// The input.
    pub role: InputRole,
    /// Whether it goes from inactive to active.
    pub rising: bool,
    /// When it came: CLOCK_MONOTONIC, in nanoseconds.
    pub at_ns: u64,
    /// The kernel's number of the edge on this GPIO line, from 1.
    pub number: u32,
}

/// The inputs that the configuration names. The GPIO lines of one chip share a request, so the kernel keeps their edges in order.
#[derive(Debug, Default)]
pub struct Inputs {
    requests: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    request: Request,
    roles: Vec<(Offset, InputRole)>,
    buffer: Vec<u64>,
}

impl Inputs {
    /// Requests the GPIO line of every input.
    ///
    /// # Errors
    /// When a GPIO line does not exist, is in use, or is refused by the kernel.
    pub fn request(settings: &LineSettings) -> Result<Inputs, GpioError> {
        let mut found: Vec<(FoundGpioLine, InputRole, GpioLine)> = Vec::new();
        for (role, config) in settings.inputs() {
            let key = role.key();
            let line = find(key, config)?;
            if let Some((_, other, _)) = found.iter().find(|(other, ..)| (&other.chip, other.offset) == (&line.chip, line.offset))
            {
                let consumer = format!("{} of this configuration", other.key());
                return Err(GpioError::Taken { key: key.into(), line: line.name, consumer });
            }
            found.push((line, role, config.clone()));
        }
        let mut chips: Vec<PathBuf> = found.iter().map(|(line, ..)| line.chip.clone()).collect();
        chips.sort();
        chips.dedup();
        let requests = chips.iter().map(|chip| Group::request(found.iter().filter(|(line, ..)| line.chip == *chip)));
        Ok(Inputs { requests: requests.collect::<Result<_, _>>()? })
    }

    /// One descriptor for each group; it is readable while the group has edges.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.requests.iter().map(|group| group.request.as_fd())
    }

    /// Reads the edges of a group whose descriptor is readable, in order. Does not allocate.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn read(&mut self, group: usize, take: &mut impl FnMut(InputEdge)) -> Result<(), gpiocdev::Error> {
        let Group { request, roles, buffer } = &mut self.requests[group];
        let words = request.read_edge_events_into_slice(buffer)?;
        for event in buffer[..words].chunks_exact(request.edge_event_u64_size()) {
            let EdgeEvent { timestamp_ns, kind, offset, line_seqno, .. } = request.edge_event_from_slice(event)?;
            if let Some((_, role)) = roles.iter().find(|(other, _)| *other == offset) {
                take(InputEdge { role: *role, rising: kind == EdgeKind::Rising, at_ns: timestamp_ns, number: line_seqno });
            }
        }
        Ok(())
    }

    /// Whether an input is active now; `false` for an input that is not configured.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn is_active(&self, role: InputRole) -> Result<bool, gpiocdev::Error> {
        for group in &self.requests {
            if let Some((offset, _)) = group.roles.iter().find(|(_, other)| *other == role) {
                return Ok(group.request.value(*offset)? == Value::Active);
            }
        }
        Ok(false)
    }
}

impl Group {
    fn request<'a>(lines: impl Iterator<Item = &'a (FoundGpioLine, InputRole, GpioLine)>) -> Result<Group, GpioError> {
        let mut config = Config::default();
        let mut roles = Vec::new();
        let (mut keys, mut names) = (Vec::new(), Vec::new());
        for (found, role, line) in lines {
            let edges = match role {
                InputRole::EncoderB | InputRole::Code(_) => EdgeDetection::BothEdges,
                _ => EdgeDetection::RisingEdge,
            };
            let config = found.configure(&mut config, line).as_input();
            config.with_edge_detection(edges).with_event_clock(EventClock::Monotonic);
            roles.push((found.offset, *role));
            keys.push(role.key());
            names.push(found.name.clone());
        }
        let request = Request::from_config(config).with_consumer(CONSUMER).with_kernel_event_buffer_size(KERNEL_BUFFER).request();
        let request = request.map_err(|source| GpioError::Refused { key: keys.join(", "), line: names.join(", "), source })?;
        let buffer = vec![0; BATCH * request.edge_event_u64_size()];
        Ok(Group { request, roles, buffer })
    }
}
