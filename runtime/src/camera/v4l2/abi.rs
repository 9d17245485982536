//! The structures of `linux/videodev2.h` that a camera needs, as the 64-bit kernels read them.
//!
//! The size of a structure is part of its request's number, so the kernel refuses (ENOTTY) what does not fit; unions are written out for
//! the one member that is used. `sizes` below are those that a C compiler prints.

#![allow(missing_docs, reason = "the names are the kernel's: see Documentation/userspace-api/media/v4l")]

#[cfg(not(target_pointer_width = "64"))]
compile_error!("the V4L2 structures are written for 64-bit systems");

pub const CAP_VIDEO_CAPTURE: u32 = 0x1;
pub const CAP_VIDEO_CAPTURE_MPLANE: u32 = 0x1000;
pub const CAP_STREAMING: u32 = 0x0400_0000;
pub const CAP_DEVICE_CAPS: u32 = 0x8000_0000;

pub const TYPE_CAPTURE: u32 = 1;
pub const TYPE_CAPTURE_MPLANE: u32 = 9;
pub const MEMORY_MMAP: u32 = 1;
pub const FIELD_ANY: u32 = 0;
pub const FIELD_NONE: u32 = 1;
pub const MAX_PLANES: usize = 8;

pub const BUFFER_ERROR: u32 = 0x40;
pub const TIMESTAMP_MASK: u32 = 0xE000;
pub const TIMESTAMP_MONOTONIC: u32 = 0x2000;
pub const TIMESTAMP_SOURCE_MASK: u32 = 0x7_0000;
pub const TIMESTAMP_START_OF_EXPOSURE: u32 = 0x1_0000;

pub const SIZE_DISCRETE: u32 = 1;
pub const CAP_TIME_PER_FRAME: u32 = 0x1000;
pub const SELECTION_CROP: u32 = 0;
pub const SELECTION_CROP_BOUNDS: u32 = 2;
pub const EVENT_SOURCE_CHANGE: u32 = 5;

pub const CONTROL_DISABLED: u32 = 0x1;
pub const CONTROL_READ_ONLY: u32 = 0x4;
pub const CONTROL_INACTIVE: u32 = 0x10;
pub const CONTROL_WRITE_ONLY: u32 = 0x40;
pub const CONTROL_VOLATILE: u32 = 0x80;
pub const CONTROL_NEXT: u32 = 0x8000_0000;

pub const COLORSPACE_REC709: u32 = 3;
pub const COLORSPACE_JPEG: u32 = 7;
pub const YCBCR_601: u32 = 1;
pub const YCBCR_709: u32 = 2;
pub const QUANTIZATION_FULL: u32 = 1;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Capability {
    pub driver: [u8; 16],
    pub card: [u8; 32],
    pub bus_info: [u8; 32],
    pub version: u32,
    pub capabilities: u32,
    pub device_caps: u32,
    pub reserved: [u32; 3],
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FormatDescription {
    pub index: u32,
    pub kind: u32,
    pub flags: u32,
    pub description: [u8; 32],
    pub code: u32,
    pub media_bus_code: u32,
    pub reserved: [u32; 3],
}

/// Discrete sizes fill the first two numbers of `range`; stepwise ones all: least, largest, step of width, then of height.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FrameSize {
    pub index: u32,
    pub code: u32,
    pub kind: u32,
    pub range: [u32; 6],
    pub reserved: [u32; 2],
}

/// Discrete intervals fill the first fraction; stepwise ones are least, largest and step.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FrameInterval {
    pub index: u32,
    pub code: u32,
    pub width: u32,
    pub height: u32,
    pub kind: u32,
    pub range: [Fraction; 3],
    pub reserved: [u32; 2],
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fraction {
    pub numerator: u32,
    pub denominator: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SingleFormat {
    pub kind: u32,
    pub pad: u32,
    pub width: u32,
    pub height: u32,
    pub code: u32,
    pub field: u32,
    pub bytes_per_line: u32,
    pub size: u32,
    pub colorspace: u32,
    pub private: u32,
    pub flags: u32,
    pub ycbcr: u32,
    pub quantization: u32,
    pub transfer: u32,
    /// The union also holds structures with pointers.
    pub rest: [u64; 19],
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MultiFormat {
    pub kind: u32,
    pub pad: u32,
    pub width: u32,
    pub height: u32,
    pub code: u32,
    pub field: u32,
    pub colorspace: u32,
    pub planes: [PlaneFormat; MAX_PLANES],
    pub plane_count: u8,
    pub flags: u8,
    pub ycbcr: u8,
    pub quantization: u8,
    pub transfer: u8,
    pub reserved: [u8; 7],
    pub rest: [u64; 1],
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PlaneFormat {
    pub size: u32,
    pub bytes_per_line: u32,
    pub reserved: [u16; 6],
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RequestBuffers {
    pub count: u32,
    pub kind: u32,
    pub memory: u32,
    pub capabilities: u32,
    pub flags: u8,
    pub reserved: [u8; 3],
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    pub index: u32,
    pub kind: u32,
    pub bytes_used: u32,
    pub flags: u32,
    pub field: u32,
    pub pad: u32,
    pub seconds: i64,
    pub microseconds: i64,
    pub timecode: [u32; 4],
    pub sequence: u32,
    pub memory: u32,
    /// Offset to map, or the address of the planes.
    pub offset_or_planes: u64,
    /// Bytes, or number of planes.
    pub length: u32,
    pub reserved: u32,
    pub request: u32,
    pub pad_end: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Plane {
    pub bytes_used: u32,
    pub length: u32,
    pub offset: u64,
    pub data_offset: u32,
    pub reserved: [u32; 11],
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct StreamParameters {
    pub kind: u32,
    pub capability: u32,
    pub mode: u32,
    pub time_per_frame: Fraction,
    pub rest: [u32; 46],
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Selection {
    pub kind: u32,
    pub target: u32,
    pub flags: u32,
    pub rectangle: Rectangle,
    pub reserved: [u32; 9],
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rectangle {
    pub left: i32,
    pub top: i32,
    pub width: u32,
    pub height: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct QueryControl {
    pub id: u32,
    pub kind: u32,
    pub name: [u8; 32],
    pub minimum: i32,
    pub maximum: i32,
    pub step: i32,
    pub default: i32,
    pub flags: u32,
    pub reserved: [u32; 2],
}

/// Of an integer menu, the first eight bytes of the name are the number.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct QueryMenu {
    pub id: u32,
    pub index: u32,
    pub name: [u8; 32],
    pub reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ControlValue {
    pub id: u32,
    pub value: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EventSubscription {
    pub kind: u32,
    pub id: u32,
    pub flags: u32,
    pub reserved: [u32; 5],
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub kind: u32,
    pub pad: u32,
    pub data: [u64; 8],
    pub pending: u32,
    pub sequence: u32,
    pub timestamp: [i64; 2],
    pub id: u32,
    pub reserved: [u32; 9],
}

const _: () = {
    assert!(size_of::<Capability>() == 104 && size_of::<FormatDescription>() == 64);
    assert!(size_of::<FrameSize>() == 44 && size_of::<FrameInterval>() == 52);
    assert!(size_of::<SingleFormat>() == 208 && size_of::<MultiFormat>() == 208);
    assert!(size_of::<RequestBuffers>() == 20 && size_of::<Buffer>() == 88 && size_of::<Plane>() == 64);
    assert!(size_of::<StreamParameters>() == 204 && size_of::<Selection>() == 64);
    assert!(size_of::<QueryControl>() == 68 && size_of::<QueryMenu>() == 44 && size_of::<ControlValue>() == 8);
    assert!(size_of::<EventSubscription>() == 32 && size_of::<Event>() == 136);
};
