//! The structures of `linux/videodev2.h`, as the crate `v4l` binds them, under short names; and functions that read their unions.

#![allow(unsafe_code, reason = "unions: each holds numbers only, in every member that is read")]

pub use v4l::v4l_sys::{
    V4L2_BUF_FLAG_ERROR as BUFFER_ERROR, V4L2_BUF_FLAG_TIMESTAMP_MASK as TIMESTAMP_MASK,
    V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC as TIMESTAMP_MONOTONIC, V4L2_BUF_FLAG_TSTAMP_SRC_MASK as TIMESTAMP_SOURCE_MASK,
    V4L2_BUF_FLAG_TSTAMP_SRC_SOE as TIMESTAMP_START_OF_EXPOSURE, V4L2_CAP_DEVICE_CAPS as CAP_DEVICE_CAPS,
    V4L2_CAP_STREAMING as CAP_STREAMING, V4L2_CAP_TIMEPERFRAME as CAP_TIME_PER_FRAME,
    V4L2_CAP_VIDEO_CAPTURE as CAP_VIDEO_CAPTURE, V4L2_CAP_VIDEO_CAPTURE_MPLANE as CAP_VIDEO_CAPTURE_MPLANE,
    V4L2_CTRL_FLAG_DISABLED as CONTROL_DISABLED, V4L2_CTRL_FLAG_INACTIVE as CONTROL_INACTIVE,
    V4L2_CTRL_FLAG_NEXT_CTRL as CONTROL_NEXT, V4L2_CTRL_FLAG_READ_ONLY as CONTROL_READ_ONLY,
    V4L2_CTRL_FLAG_VOLATILE as CONTROL_VOLATILE, V4L2_CTRL_FLAG_WRITE_ONLY as CONTROL_WRITE_ONLY,
    V4L2_EVENT_SOURCE_CHANGE as EVENT_SOURCE_CHANGE, V4L2_SEL_TGT_CROP as SELECTION_CROP,
    V4L2_SEL_TGT_CROP_BOUNDS as SELECTION_CROP_BOUNDS,
};
pub use v4l::v4l_sys::{
    v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE as TYPE_CAPTURE,
    v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE as TYPE_CAPTURE_MPLANE,
    v4l2_colorspace_V4L2_COLORSPACE_JPEG as COLORSPACE_JPEG, v4l2_colorspace_V4L2_COLORSPACE_REC709 as COLORSPACE_REC709,
    v4l2_ctrl_type_V4L2_CTRL_TYPE_BITMASK as CONTROL_BITMASK, v4l2_ctrl_type_V4L2_CTRL_TYPE_BOOLEAN as CONTROL_BOOLEAN,
    v4l2_ctrl_type_V4L2_CTRL_TYPE_CTRL_CLASS as CONTROL_CLASS, v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER as CONTROL_INTEGER,
    v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER_MENU as CONTROL_INTEGER_MENU, v4l2_ctrl_type_V4L2_CTRL_TYPE_MENU as CONTROL_MENU,
    v4l2_field_V4L2_FIELD_ANY as FIELD_ANY, v4l2_field_V4L2_FIELD_NONE as FIELD_NONE,
    v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE as SIZE_DISCRETE, v4l2_memory_V4L2_MEMORY_MMAP as MEMORY_MMAP,
    v4l2_quantization_V4L2_QUANTIZATION_FULL_RANGE as QUANTIZATION_FULL, v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_601 as YCBCR_601,
    v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_709 as YCBCR_709,
};
pub use v4l::v4l_sys::{
    v4l2_buffer as Buffer, v4l2_capability as Capability, v4l2_captureparm as CaptureParameters, v4l2_control as ControlValue,
    v4l2_event as Event, v4l2_event_subscription as EventSubscription, v4l2_fmtdesc as FormatDescription, v4l2_format as Format,
    v4l2_fract as Fraction, v4l2_frmival_stepwise as IntervalRange, v4l2_frmivalenum as FrameInterval,
    v4l2_frmsize_discrete as Size, v4l2_frmsize_stepwise as SizeRange, v4l2_frmsizeenum as FrameSize,
    v4l2_pix_format as SingleFormat, v4l2_pix_format_mplane as MultiFormat, v4l2_plane as Plane, v4l2_queryctrl as QueryControl,
    v4l2_querymenu as QueryMenu, v4l2_rect as Rectangle, v4l2_requestbuffers as RequestBuffers, v4l2_selection as Selection,
    v4l2_streamparm as StreamParameters,
};

/// Most planes of a buffer.
pub const MAX_PLANES: usize = v4l::v4l_sys::VIDEO_MAX_PLANES as usize;

/// Functions that read a member of a union. The type field of the same structure, or its request, determines which member the kernel has
/// written.
macro_rules! members {
    ($($(#[$doc:meta])* $name:ident($of:ty) -> $member:ty = $($path:ident).+;)*) => { $(
        $(#[$doc])*
        pub fn $name(of: &$of) -> $member {
            // SAFETY: the union holds only numbers, and all of it is initialised (zeroed, or written by the kernel), so every content is
            // valid.
            unsafe { of.$($path).+ }
        }
    )* };
}

members! {
    /// Format of a single-planar device.
    single(Format) -> SingleFormat = fmt.pix;
    /// Format of a multi-planar device.
    multi(Format) -> MultiFormat = fmt.pix_mp;
    /// Encoding of luma and chroma of a single-planar device.
    single_ycbcr(SingleFormat) -> u32 = __bindgen_anon_1.ycbcr_enc;
    /// Encoding of luma and chroma of a multi-planar device.
    multi_ycbcr(MultiFormat) -> u8 = __bindgen_anon_1.ycbcr_enc;
    /// One size.
    discrete_size(FrameSize) -> Size = __bindgen_anon_1.discrete;
    /// A range of sizes.
    size_range(FrameSize) -> SizeRange = __bindgen_anon_1.stepwise;
    /// One frame interval.
    discrete_interval(FrameInterval) -> Fraction = __bindgen_anon_1.discrete;
    /// A range of frame intervals.
    interval_range(FrameInterval) -> IntervalRange = __bindgen_anon_1.stepwise;
    /// Parameters of a capture stream.
    capture(StreamParameters) -> CaptureParameters = parm.capture;
    /// Offset at which a buffer of a single-planar device is mapped.
    buffer_offset(Buffer) -> u32 = m.offset;
    /// Offset at which a plane is mapped.
    plane_offset(Plane) -> u32 = m.mem_offset;
    /// Text of a menu's entry.
    entry_name(QueryMenu) -> [u8; 32] = __bindgen_anon_1.name;
    /// Number of an integer menu's entry.
    entry_number(QueryMenu) -> i64 = __bindgen_anon_1.value;
}
