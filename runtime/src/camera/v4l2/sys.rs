//! The only unsafe code of the cameras: requests to the kernel, and the memory it shares.

#![allow(unsafe_code, reason = "ioctl and mmap: each use says why it is sound")]

use std::ffi::c_void;
use std::marker::PhantomData;
use std::os::fd::AsFd;
use std::ptr;

use rustix::io::{Errno, Result};
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, opcode};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::abi::*;

/// A request and the structure that it reads or writes: its number holds the structure's size, so the two cannot disagree.
pub struct Request<T> {
    opcode: Opcode,
    argument: PhantomData<T>,
}

impl<T: Argument> Request<T> {
    const fn read(number: u8) -> Self {
        Request { opcode: opcode::read::<T>(b'V', number), argument: PhantomData }
    }

    const fn write(number: u8) -> Self {
        Request { opcode: opcode::write::<T>(b'V', number), argument: PhantomData }
    }

    const fn update(number: u8) -> Self {
        Request { opcode: opcode::read_write::<T>(b'V', number), argument: PhantomData }
    }

    /// Sends the request; a signal does not end it.
    pub fn send(&self, device: impl AsFd, argument: &mut T) -> Result<()> {
        loop {
            let call = Call { opcode: self.opcode, argument: &mut *argument };
            // SAFETY: the number belongs to the structure (`Request`), any content of which is sound for the kernel to read and for
            // us to find (`Argument`). The one address in them, of planes, is set by `with_planes`, which outlives the call.
            match unsafe { rustix::ioctl::ioctl(&device, call) } {
                Err(Errno::INTR) => {}
                result => return result,
            }
        }
    }
}

/// A structure of the kernel's interface: numbers only, without padding that Rust does not know, every content sound.
///
/// # Safety
/// All zeros and whatever the kernel writes must be valid values.
pub unsafe trait Argument: Sized {
    /// All zeros, as the interface wants unused fields.
    fn zero() -> Self {
        // SAFETY: by the trait's contract.
        unsafe { std::mem::zeroed() }
    }
}

macro_rules! arguments {
    ($($name:ty),*) => { $(
        // SAFETY: `repr(C)`, integers and arrays of them only.
        unsafe impl Argument for $name {}
    )* };
}

arguments!(Capability, FormatDescription, FrameSize, FrameInterval, SingleFormat, MultiFormat, RequestBuffers, Buffer, Plane);
arguments!(StreamParameters, Selection, QueryControl, QueryMenu, ControlValue, EventSubscription, Event, i32);

pub const QUERY_CAPABILITY: Request<Capability> = Request::read(0);
pub const ENUM_FORMAT: Request<FormatDescription> = Request::update(2);
pub const GET_SINGLE_FORMAT: Request<SingleFormat> = Request::update(4);
pub const SET_SINGLE_FORMAT: Request<SingleFormat> = Request::update(5);
pub const GET_MULTI_FORMAT: Request<MultiFormat> = Request::update(4);
pub const SET_MULTI_FORMAT: Request<MultiFormat> = Request::update(5);
pub const REQUEST_BUFFERS: Request<RequestBuffers> = Request::update(8);
pub const QUERY_BUFFER: Request<Buffer> = Request::update(9);
pub const QUEUE_BUFFER: Request<Buffer> = Request::update(15);
pub const DEQUEUE_BUFFER: Request<Buffer> = Request::update(17);
pub const STREAM_ON: Request<i32> = Request::write(18);
pub const STREAM_OFF: Request<i32> = Request::write(19);
pub const GET_PARAMETERS: Request<StreamParameters> = Request::update(21);
pub const SET_PARAMETERS: Request<StreamParameters> = Request::update(22);
pub const GET_CONTROL: Request<ControlValue> = Request::update(27);
pub const SET_CONTROL: Request<ControlValue> = Request::update(28);
pub const QUERY_CONTROL: Request<QueryControl> = Request::update(36);
pub const QUERY_MENU: Request<QueryMenu> = Request::update(37);
pub const ENUM_FRAME_SIZES: Request<FrameSize> = Request::update(74);
pub const ENUM_FRAME_INTERVALS: Request<FrameInterval> = Request::update(75);
pub const DEQUEUE_EVENT: Request<Event> = Request::read(89);
pub const SUBSCRIBE_EVENT: Request<EventSubscription> = Request::write(90);
pub const GET_SELECTION: Request<Selection> = Request::update(94);
pub const SET_SELECTION: Request<Selection> = Request::update(95);

struct Call<'a, T> {
    opcode: Opcode,
    argument: &'a mut T,
}

// SAFETY: the pointer is that of a live, exclusively borrowed structure of the size in the opcode.
unsafe impl<T> Ioctl for Call<'_, T> {
    type Output = ();

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        ptr::from_mut(self.argument).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> Result<()> {
        Ok(())
    }
}

/// Sends a request about a buffer with planes.
pub fn with_planes(
    request: &Request<Buffer>,
    device: impl AsFd,
    buffer: &mut Buffer,
    planes: &mut [Plane; MAX_PLANES],
) -> Result<()> {
    // The kernel writes at most `length` planes to this address, and the array lives through the call.
    buffer.offset_or_planes = planes.as_mut_ptr() as u64;
    buffer.length = buffer.length.min(MAX_PLANES as u32);
    let result = request.send(device, buffer);
    buffer.offset_or_planes = 0;
    result
}

/// Memory of a buffer, shared with the driver.
#[derive(Debug)]
pub struct Mapping {
    address: *mut c_void,
    length: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and is only read.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps what the driver offers at `offset`.
    pub fn new(device: impl AsFd, offset: u64, length: usize) -> Result<Mapping> {
        if length == 0 {
            return Err(Errno::INVAL);
        }
        // SAFETY: the kernel chooses an address that nothing else uses.
        let address = unsafe { mmap(ptr::null_mut(), length, ProtFlags::READ, MapFlags::SHARED, device, offset) }?;
        Ok(Mapping { address, length })
    }

    /// What the driver has written. To be read between dequeuing and queuing only, when the driver leaves it alone; the borrow of the
    /// stream that `Stream::next` gives sees to that.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: mapped for reading, `length` bytes, as long as `self` lives. A driver that writes out of turn changes pixels, and no
        // code depends on a byte being the same twice for its safety.
        unsafe { std::slice::from_raw_parts(self.address.cast(), self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and no slice of it outlives `self`.
        let unmapped = unsafe { munmap(self.address, self.length) };
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
        assert_eq!(GET_SINGLE_FORMAT.opcode, 0xC0D0_5604);
        assert_eq!(DEQUEUE_EVENT.opcode, 0x8088_5659);
        assert_eq!(SUBSCRIBE_EVENT.opcode, 0x4020_565A);
        assert_eq!(STREAM_ON.opcode, 0x4004_5612);
    }

    #[test]
    fn a_file_is_no_camera() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(QUERY_CAPABILITY.send(&file, &mut Capability::zero()), Err(Errno::NOTTY));
    }
}
