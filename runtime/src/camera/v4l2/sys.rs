//! Requests to the kernel, and the memory that the driver shares: checked wrappers of the calls of the crate `v4l`.

#![allow(unsafe_code, reason = "ioctl and mmap: a SAFETY comment at each use gives the reason why it is sound")]

use std::ffi::{c_int, c_void};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

use rustix::io::{Errno, Result};
use rustix::ioctl::opcode;
use rustix::mm::{MapFlags, ProtFlags};
use v4l::v4l2::{self, vidioc};

use super::abi::*;

/// A request and the structure that it reads or writes.
pub struct Request<T> {
    number: vidioc::_IOC_TYPE,
    argument: PhantomData<T>,
}

impl<T: Argument> Request<T> {
    /// The number holds the size of the structure: the compiler checks that the two agree.
    const fn new(number: vidioc::_IOC_TYPE) -> Self {
        assert!((number >> 16) as usize & 0x3FFF == size_of::<T>(), "the request is for another structure");
        Request { number, argument: PhantomData }
    }

    /// Sends the request; sends it again after an interrupting signal.
    pub fn send(&self, device: impl AsFd, argument: &mut T) -> Result<()> {
        let device = device.as_fd().as_raw_fd();
        loop {
            // SAFETY: the number belongs to the structure (`new`). The structure is borrowed mutably, and any content is sound for the
            // kernel to read and for this program to find (`Argument`). The only address in these structures is that of the planes:
            // `with_planes` sets it, and its planes outlive the call.
            match unsafe { v4l2::ioctl(device, self.number, ptr::from_mut(argument).cast()) } {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map_err(errno),
            }
        }
    }
}

fn errno(error: io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

/// A structure of the kernel's interface, of numbers and addresses only.
///
/// # Safety
/// All zeros and whatever the kernel writes must be valid values.
pub unsafe trait Argument: Sized {
    /// All zeros, which the interface requires in unused fields.
    fn zero() -> Self {
        // SAFETY: by the trait's contract.
        unsafe { std::mem::zeroed() }
    }
}

macro_rules! arguments {
    ($($name:ty),*) => { $(
        // SAFETY: a C structure of integers and raw pointers, and of arrays and unions of them.
        unsafe impl Argument for $name {}
    )* };
}

arguments!(Capability, FormatDescription, FrameSize, FrameInterval, Format, SingleFormat, MultiFormat, RequestBuffers, Buffer);
arguments!(
    Plane,
    StreamParameters,
    CaptureParameters,
    Selection,
    QueryControl,
    QueryMenu,
    ControlValue,
    EventSubscription,
    Event
);
arguments!(c_int);

pub const QUERY_CAPABILITY: Request<Capability> = Request::new(vidioc::VIDIOC_QUERYCAP);
pub const ENUM_FORMAT: Request<FormatDescription> = Request::new(vidioc::VIDIOC_ENUM_FMT);
pub const GET_FORMAT: Request<Format> = Request::new(vidioc::VIDIOC_G_FMT);
pub const SET_FORMAT: Request<Format> = Request::new(vidioc::VIDIOC_S_FMT);
pub const REQUEST_BUFFERS: Request<RequestBuffers> = Request::new(vidioc::VIDIOC_REQBUFS);
pub const QUERY_BUFFER: Request<Buffer> = Request::new(vidioc::VIDIOC_QUERYBUF);
pub const QUEUE_BUFFER: Request<Buffer> = Request::new(vidioc::VIDIOC_QBUF);
pub const DEQUEUE_BUFFER: Request<Buffer> = Request::new(vidioc::VIDIOC_DQBUF);
pub const STREAM_ON: Request<c_int> = Request::new(vidioc::VIDIOC_STREAMON);
pub const STREAM_OFF: Request<c_int> = Request::new(vidioc::VIDIOC_STREAMOFF);
pub const GET_PARAMETERS: Request<StreamParameters> = Request::new(vidioc::VIDIOC_G_PARM);
pub const SET_PARAMETERS: Request<StreamParameters> = Request::new(vidioc::VIDIOC_S_PARM);
pub const GET_CONTROL: Request<ControlValue> = Request::new(vidioc::VIDIOC_G_CTRL);
pub const SET_CONTROL: Request<ControlValue> = Request::new(vidioc::VIDIOC_S_CTRL);
pub const QUERY_CONTROL: Request<QueryControl> = Request::new(vidioc::VIDIOC_QUERYCTRL);
pub const QUERY_MENU: Request<QueryMenu> = Request::new(vidioc::VIDIOC_QUERYMENU);
pub const ENUM_FRAME_SIZES: Request<FrameSize> = Request::new(vidioc::VIDIOC_ENUM_FRAMESIZES);
pub const ENUM_FRAME_INTERVALS: Request<FrameInterval> = Request::new(vidioc::VIDIOC_ENUM_FRAMEINTERVALS);
// Requests for which the crate has no number.
pub const DEQUEUE_EVENT: Request<Event> = Request::new(opcode::read::<Event>(b'V', 89) as _);
pub const SUBSCRIBE_EVENT: Request<EventSubscription> = Request::new(opcode::write::<EventSubscription>(b'V', 90) as _);
pub const GET_SELECTION: Request<Selection> = Request::new(opcode::read_write::<Selection>(b'V', 94) as _);
pub const SET_SELECTION: Request<Selection> = Request::new(opcode::read_write::<Selection>(b'V', 95) as _);

/// Sends a request about a buffer with planes.
pub fn with_planes(
    request: &Request<Buffer>,
    device: impl AsFd,
    buffer: &mut Buffer,
    planes: &mut [Plane; MAX_PLANES],
) -> Result<()> {
    // The kernel writes at most `length` planes to this address, and the array outlives the call.
    buffer.m.planes = planes.as_mut_ptr();
    buffer.length = buffer.length.min(MAX_PLANES as u32);
    let result = request.send(device, buffer);
    buffer.m.planes = ptr::null_mut();
    result
}

/// Memory of a buffer, shared with the driver.
#[derive(Debug)]
pub struct Mapping {
    address: *mut c_void,
    length: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and is never written.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps `length` bytes of the driver's memory at `offset`.
    pub fn new(device: impl AsFd, offset: u32, length: usize) -> Result<Mapping> {
        if length == 0 {
            return Err(Errno::INVAL);
        }
        let (reading, shared) = (ProtFlags::READ.bits() as c_int, MapFlags::SHARED.bits() as c_int);
        let device = device.as_fd().as_raw_fd();
        // SAFETY: the kernel chooses an address that nothing else uses.
        let address = unsafe { v4l2::mmap(ptr::null_mut(), length, reading, shared, device, offset.into()) };
        Ok(Mapping { address: address.map_err(errno)?, length })
    }

    /// Replaces the content of `target` with the mapped bytes from `start` to `end`, as far as the mapping reaches.
    ///
    /// The memory is never lent as `&[u8]`: a driver may write to it at any time, and the bytes behind a reference must not change.
    pub fn copy_to(&self, start: usize, end: usize, target: &mut Vec<u8>) {
        let end = end.min(self.length);
        let start = start.min(end);
        target.clear();
        target.reserve(end - start);
        // SAFETY: `length` bytes are mapped for reading as long as `self` lives, and `start..end` lies within them. The vector has room for
        // `end - start` bytes, and its memory does not overlap the mapping. A byte that changes meanwhile is copied in either state.
        unsafe {
            ptr::copy_nonoverlapping(self.address.cast::<u8>().add(start), target.as_mut_ptr(), end - start);
            target.set_len(end - start);
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and no reference to it exists.
        let unmapped = unsafe { v4l2::munmap(self.address, self.length) };
        if let Err(error) = unmapped {
            log::debug!("cannot unmap a camera's buffer: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_kernels() {
        // As a C compiler prints them from linux/videodev2.h.
        assert_eq!(GET_FORMAT.number, 0xC0D0_5604);
        assert_eq!(DEQUEUE_EVENT.number, 0x8088_5659);
        assert_eq!(SUBSCRIBE_EVENT.number, 0x4020_565A);
        assert_eq!(GET_SELECTION.number, 0xC040_565E);
        assert_eq!(STREAM_ON.number, 0x4004_5612);
    }

    #[test]
    fn a_copy_ends_where_the_mapping_ends() {
        use std::io::Write;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        let mapping = Mapping::new(&file, 0, 8).unwrap();
        let mut bytes = vec![9; 100];
        for (start, end, expected) in [(2, 5, &[3, 4, 5][..]), (0, 100, &[1, 2, 3, 4, 5, 6, 7, 8]), (5, 2, &[]), (100, 200, &[])]
        {
            mapping.copy_to(start, end, &mut bytes);
            assert_eq!(bytes, expected, "{start}..{end}");
        }
    }

    #[test]
    fn a_file_is_no_camera() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(QUERY_CAPABILITY.send(&file, &mut Capability::zero()), Err(Errno::NOTTY));
    }
}
