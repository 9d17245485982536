//! A running stream of frames, with buffers that are shared with the driver. Every wait is bounded.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use detector::Result;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::abi::*;
use super::device::Device;
use super::sys::{self, Argument, Mapping};
use crate::camera::wait::timespec;

/// A stream of frames. Dropping it stops it.
#[derive(Debug)]
pub struct Stream {
    device: Device,
    buffers: Vec<Vec<Mapping>>,
}

/// The result of a wait.
#[derive(Debug)]
pub enum Wait {
    /// A frame.
    Frame(Dequeued),
    /// No frame came in time.
    Nothing,
    /// The camera's signal has changed its size or rate.
    Changed,
    /// The device or its driver has failed; the text says how. The device must be opened again.
    Lost(String),
}

/// A frame that the driver has handed out, until its buffer is given back.
#[derive(Debug)]
pub struct Dequeued {
    index: u32,
    used: Vec<(usize, usize)>,
    /// Whether the driver has marked the frame as damaged.
    pub damaged: bool,
    /// The driver's frame number; a gap means lost frames.
    pub sequence: u32,
    /// Time stamp on CLOCK_MONOTONIC, if the driver uses this clock.
    pub monotonic: Option<Duration>,
    /// Whether the time stamp is the start of the exposure; otherwise it is the end of the frame's transfer.
    pub at_start: bool,
}

impl Stream {
    /// Starts a stream with about `count` buffers. It gives no frame that was captured before.
    ///
    /// # Errors
    /// When the driver refuses, or has no memory.
    pub fn start(device: Device, count: u32) -> Result<Stream> {
        let mut stream = Stream { device, buffers: Vec::new() };
        let mut request =
            RequestBuffers { count, type_: stream.device.buffer_kind(), memory: MEMORY_MMAP, ..RequestBuffers::zero() };
        stream.call("share buffers", |device| sys::REQUEST_BUFFERS.send(&device.descriptor, &mut request))?;
        // A driver may give more buffers than requested; a faulty driver may give any number.
        for index in 0..request.count.min(64) {
            let mappings = stream.call("map a buffer", |device| map(device, index))?;
            stream.buffers.push(mappings);
            stream.call("queue a buffer", |device| queue(device, index))?;
        }
        // Not every camera has this event. Without it, a change shows in the size of the frames.
        let mut subscription = EventSubscription { type_: EVENT_SOURCE_CHANGE, ..EventSubscription::zero() };
        let _ = sys::SUBSCRIBE_EVENT.send(&stream.device.descriptor, &mut subscription);
        let mut kind = stream.device.buffer_kind() as i32;
        stream.call("start", |device| sys::STREAM_ON.send(&device.descriptor, &mut kind))?;
        Ok(stream)
    }

    fn call<T>(&self, what: &str, call: impl FnOnce(&Device) -> rustix::io::Result<T>) -> Result<T> {
        call(&self.device).map_err(|errno| self.device.failed(what, errno))
    }

    /// The device that streams: its controls may be changed.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Waits for a frame, at most `patience`, and at most until `wake` becomes readable.
    pub fn next(&self, patience: Duration, wake: Option<BorrowedFd<'_>>) -> Wait {
        let descriptor = self.device.descriptor.as_fd();
        let device = PollFd::new(&descriptor, PollFlags::IN | PollFlags::PRI);
        // Without `wake` the second place is not polled.
        let wake_or_device = PollFd::from_borrowed_fd(wake.unwrap_or(descriptor), PollFlags::IN);
        let mut polled = [device, wake_or_device];
        let count = if wake.is_some() { 2 } else { 1 };
        let timeout = timespec(patience);
        let events = match poll(&mut polled[..count], Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => return Wait::Nothing,
            Ok(_) => polled[0].revents(),
            Err(errno) => return Wait::Lost(format!("cannot wait for the camera ({errno})")),
        };
        if events.contains(PollFlags::PRI) && self.source_changed() {
            return Wait::Changed;
        }
        if events.contains(PollFlags::IN) {
            match self.dequeue() {
                Ok(frame) => return Wait::Frame(frame),
                Err(Errno::AGAIN) => {}
                Err(errno) => return Wait::Lost(format!("the camera gives no more frames ({errno})")),
            }
        }
        if events.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL) {
            return Wait::Lost("the camera was unplugged, or its driver has failed".into());
        }
        Wait::Nothing
    }

    fn source_changed(&self) -> bool {
        let mut changed = false;
        let mut event = Event::zero();
        while sys::DEQUEUE_EVENT.send(&self.device.descriptor, &mut event).is_ok() {
            changed |= event.type_ == EVENT_SOURCE_CHANGE;
            if event.pending == 0 {
                break;
            }
        }
        changed
    }

    fn dequeue(&self) -> rustix::io::Result<Dequeued> {
        let (mut buffer, mut planes) = (blank(&self.device, 0), [Plane::zero(); MAX_PLANES]);
        if self.device.multi_planar {
            sys::with_planes(&sys::DEQUEUE_BUFFER, &self.device.descriptor, &mut buffer, &mut planes)?;
        } else {
            sys::DEQUEUE_BUFFER.send(&self.device.descriptor, &mut buffer)?;
            planes[0].bytesused = buffer.bytesused;
        }
        let mappings = self.buffers.get(buffer.index as usize).ok_or(Errno::BADMSG)?;
        let used = planes.iter().zip(mappings).map(|(plane, _)| (plane.data_offset as usize, plane.bytesused as usize));
        let is_monotonic = buffer.flags & TIMESTAMP_MASK == TIMESTAMP_MONOTONIC;
        let stamp = || {
            let micros = u32::try_from(buffer.timestamp.tv_usec).ok()?;
            Some(Duration::from_secs(u64::try_from(buffer.timestamp.tv_sec).ok()?) + Duration::from_micros(micros.into()))
        };
        Ok(Dequeued {
            index: buffer.index,
            used: used.collect(),
            damaged: buffer.flags & BUFFER_ERROR != 0,
            sequence: buffer.sequence,
            monotonic: is_monotonic.then(stamp).flatten(),
            at_start: buffer.flags & TIMESTAMP_SOURCE_MASK == TIMESTAMP_START_OF_EXPOSURE,
        })
    }

    /// Replaces the content of `planes` with the bytes that the driver has filled, plane by plane. The memory of `planes` is used again.
    pub fn copy_planes(&self, frame: &Dequeued, planes: &mut Vec<Vec<u8>>) {
        let mappings = self.buffers.get(frame.index as usize).map(Vec::as_slice).unwrap_or_default();
        let filled = mappings.iter().zip(&frame.used);
        planes.resize_with(filled.len(), Vec::new);
        // `bytesused` counts from the start of the plane, even if the picture starts later. Bytes behind it belong to an older frame.
        filled.zip(planes).for_each(|((mapping, (start, end)), plane)| mapping.copy_to(*start, *end, plane));
    }

    /// Gives the buffer of a frame back to the driver.
    ///
    /// # Errors
    /// When the driver does not take the buffer: the stream must be started again.
    pub fn give_back(&self, frame: Dequeued) -> Result<()> {
        self.call("queue a buffer", |device| queue(device, frame.index))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut kind = self.device.buffer_kind() as i32;
        // An unplugged camera cannot be stopped. Closing the device, which follows, frees the buffers.
        if let Err(errno) = sys::STREAM_OFF.send(&self.device.descriptor, &mut kind) {
            log::debug!("{}: cannot stop ({errno})", self.device.path().display());
        }
    }
}

fn blank(device: &Device, index: u32) -> Buffer {
    Buffer { index, type_: device.buffer_kind(), memory: MEMORY_MMAP, length: MAX_PLANES as u32, ..Buffer::zero() }
}

fn map(device: &Device, index: u32) -> rustix::io::Result<Vec<Mapping>> {
    let mut buffer = blank(device, index);
    if !device.multi_planar {
        sys::QUERY_BUFFER.send(&device.descriptor, &mut buffer)?;
        return Ok(vec![Mapping::new(&device.descriptor, buffer_offset(&buffer), buffer.length as usize)?]);
    }
    let mut planes = [Plane::zero(); MAX_PLANES];
    sys::with_planes(&sys::QUERY_BUFFER, &device.descriptor, &mut buffer, &mut planes)?;
    let planes = planes.iter().take(buffer.length as usize);
    planes.map(|plane| Mapping::new(&device.descriptor, plane_offset(plane), plane.length as usize)).collect()
}

fn queue(device: &Device, index: u32) -> rustix::io::Result<()> {
    let mut buffer = blank(device, index);
    if device.multi_planar {
        sys::with_planes(&sys::QUEUE_BUFFER, &device.descriptor, &mut buffer, &mut [Plane::zero(); MAX_PLANES])
    } else {
        sys::QUEUE_BUFFER.send(&device.descriptor, &mut buffer)
    }
}
