//! A capture device: its identity, the modes that it offers, its present settings.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use config::{FourCc, Matrix, Range};
use detector::preprocess::Rect;
use detector::{Error, Result};
use rustix::fs::{self, OFlags};
use rustix::io::Errno;

use super::abi::*;
use super::open::OpenError;
use super::sys::{self, Argument};
use crate::camera::format::{Conversion, PixelFormat};

/// Most entries that are read of a driver's list: a faulty driver may have a list without an end.
const LIST_LIMIT: u32 = 256;

/// An open capture device.
#[derive(Debug)]
pub struct Device {
    path: PathBuf,
    pub(super) descriptor: OwnedFd,
    /// Whether its buffers have planes.
    pub(super) multi_planar: bool,
    /// Its identity.
    pub identity: Identity,
}

/// How a device names itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name of the camera.
    pub card: String,
    /// The kernel's driver.
    pub driver: String,
    /// The bus and port to which it is connected.
    pub bus: String,
}

/// A format with sizes and rates.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Its code.
    pub code: FourCc,
    /// Sizes, with their rates.
    pub sizes: Vec<OfferedSize>,
}

/// A size with rates.
#[derive(Clone, Debug)]
pub struct OfferedSize {
    /// Width and height, or the range of both.
    pub size: Span<(u32, u32)>,
    /// Frames per second.
    pub rates: Vec<Span<f64>>,
}

/// One value or a range of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Span<T> {
    /// Exactly this.
    One(T),
    /// From and to.
    Between(T, T),
}

/// The settings of a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Mode {
    /// Pixel format.
    pub code: FourCc,
    /// Width, in pixels.
    pub width: u32,
    /// Height, in pixels.
    pub height: u32,
    /// Bytes from row to row, for each plane.
    pub strides: Vec<usize>,
    /// Bytes of a buffer, for each plane.
    pub sizes: Vec<usize>,
    /// Whether the rows of a picture come in two fields.
    pub interlaced: bool,
    /// How the driver makes luma and chroma.
    pub conversion: Conversion,
}

impl Device {
    /// Opens a device for capture.
    ///
    /// # Errors
    /// When the device is missing, may not be opened, or is no camera. The error says what to do.
    pub fn open(path: &Path) -> std::result::Result<Device, OpenError> {
        let descriptor =
            fs::open(path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, fs::Mode::empty()).map_err(|errno| {
                let advice = match errno {
                    Errno::NOENT | Errno::NXIO | Errno::NODEV => {
                        "no camera is there: `apc-runtime camera list` lists the cameras of this machine"
                    }
                    Errno::ACCESS | Errno::PERM => {
                        "no permission: add this user to the group that owns the device (mostly `video`)"
                    }
                    Errno::BUSY => "another program uses it",
                    _ => return Error::io(path, "open")(errno.into()),
                };
                Error::file(path, format!("cannot be opened: {advice}"))
            })?;
        let mut capability = Capability::zero();
        sys::QUERY_CAPABILITY.send(&descriptor, &mut capability).map_err(|_| Error::file(path, "is no V4L2 device"))?;
        let own = capability.capabilities & CAP_DEVICE_CAPS != 0;
        let capabilities = if own { capability.device_caps } else { capability.capabilities };
        let multi_planar = capabilities & CAP_VIDEO_CAPTURE == 0;
        if capabilities & (CAP_VIDEO_CAPTURE | CAP_VIDEO_CAPTURE_MPLANE) == 0 {
            return Err(OpenError::GivesNoPictures(path.to_owned()));
        }
        if capabilities & CAP_STREAMING == 0 {
            return Err(Error::file(path, "cannot stream into mapped memory, which every current driver can").into());
        }
        let identity =
            Identity { card: text(&capability.card), driver: text(&capability.driver), bus: text(&capability.bus_info) };
        Ok(Device { path: path.into(), descriptor, multi_planar, identity })
    }

    /// The path by which the device was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn buffer_kind(&self) -> u32 {
        if self.multi_planar { TYPE_CAPTURE_MPLANE } else { TYPE_CAPTURE }
    }

    pub(crate) fn failed(&self, what: &str, errno: Errno) -> Error {
        let advice = match errno {
            Errno::BUSY => ": another program uses it",
            Errno::NODEV => ": the camera is gone",
            _ => "",
        };
        Error::file(&self.path, format!("cannot {what}{advice} ({errno})"))
    }

    /// Pixel formats, sizes and rates.
    pub fn offers(&self) -> Vec<Offer> {
        let formats = (0..LIST_LIMIT).map_while(|index| {
            let mut format = FormatDescription { index, type_: self.buffer_kind(), ..FormatDescription::zero() };
            sys::ENUM_FORMAT.send(&self.descriptor, &mut format).ok().map(|()| FourCc::from_number(format.pixelformat))
        });
        formats.map(|code| Offer { code, sizes: self.sizes(code) }).collect()
    }

    fn sizes(&self, code: FourCc) -> Vec<OfferedSize> {
        let mut sizes = Vec::new();
        for index in 0..LIST_LIMIT {
            let mut size = FrameSize { index, pixel_format: code.number(), ..FrameSize::zero() };
            if sys::ENUM_FRAME_SIZES.send(&self.descriptor, &mut size).is_err() {
                break;
            }
            if size.type_ == SIZE_DISCRETE {
                let Size { width, height } = discrete_size(&size);
                sizes.push(OfferedSize { size: Span::One((width, height)), rates: self.rates(code, width, height) });
            } else {
                let SizeRange { min_width, max_width: width, min_height, max_height: height, .. } = size_range(&size);
                let size = Span::Between((min_width, min_height), (width, height));
                sizes.push(OfferedSize { size, rates: self.rates(code, width, height) });
                break;
            }
        }
        sizes
    }

    fn rates(&self, code: FourCc, width: u32, height: u32) -> Vec<Span<f64>> {
        let mut rates = Vec::new();
        for index in 0..LIST_LIMIT {
            let mut interval = FrameInterval { index, pixel_format: code.number(), width, height, ..FrameInterval::zero() };
            if sys::ENUM_FRAME_INTERVALS.send(&self.descriptor, &mut interval).is_err() {
                break;
            }
            if interval.type_ == SIZE_DISCRETE {
                rates.extend(rate(discrete_interval(&interval)).map(Span::One));
            } else {
                let IntervalRange { min, max, .. } = interval_range(&interval);
                rates.extend(rate(max).zip(rate(min)).map(|(lowest, highest)| Span::Between(lowest, highest)));
                break;
            }
        }
        rates
    }

    /// The present mode.
    ///
    /// # Errors
    /// When the driver refuses the request.
    pub fn mode(&self) -> Result<Mode> {
        let mut format = Format { type_: self.buffer_kind(), ..Format::zero() };
        let got = sys::GET_FORMAT.send(&self.descriptor, &mut format);
        got.map_err(|errno| self.failed("read the format", errno))?;
        Ok(Mode::of(&format))
    }

    /// Requests a mode; returns the nearest mode that the driver has set.
    ///
    /// # Errors
    /// When the driver refuses, or another program uses the camera.
    pub fn wish(&self, code: FourCc, width: u32, height: u32) -> Result<Mode> {
        let (pixelformat, field) = (code.number(), FIELD_NONE);
        let mut format = Format { type_: self.buffer_kind(), ..Format::zero() };
        if self.multi_planar {
            format.fmt.pix_mp = MultiFormat { width, height, pixelformat, field, ..MultiFormat::zero() };
        } else {
            format.fmt.pix = SingleFormat { width, height, pixelformat, field, ..SingleFormat::zero() };
        }
        let set = sys::SET_FORMAT.send(&self.descriptor, &mut format);
        set.map_err(|errno| self.failed("set the format", errno))?;
        Ok(Mode::of(&format))
    }

    /// Frames per second, if the driver knows the rate.
    pub fn frame_rate(&self) -> Option<f64> {
        let mut parameters = StreamParameters { type_: self.buffer_kind(), ..StreamParameters::zero() };
        sys::GET_PARAMETERS.send(&self.descriptor, &mut parameters).ok()?;
        rate(capture(&parameters).timeperframe)
    }

    /// Requests a frame rate; returns the rate that the driver has set.
    ///
    /// # Errors
    /// When the camera's rate cannot be set.
    pub fn set_frame_rate(&self, wished: f64) -> Result<f64> {
        let failed = |errno| self.failed("set the frame rate (leave `frame_rate` out if the camera has only one)", errno);
        let timeperframe = Fraction { numerator: 1000, denominator: (wished * 1000.0).round() as u32 };
        let mut parameters = StreamParameters { type_: self.buffer_kind(), ..StreamParameters::zero() };
        parameters.parm.capture = CaptureParameters { timeperframe, ..CaptureParameters::zero() };
        sys::SET_PARAMETERS.send(&self.descriptor, &mut parameters).map_err(failed)?;
        let CaptureParameters { capability, timeperframe, .. } = capture(&parameters);
        rate(timeperframe).filter(|_| capability & CAP_TIME_PER_FRAME != 0).ok_or_else(|| failed(Errno::NOTTY))
    }

    /// The region of the sensor that is read out, and the largest possible region.
    pub fn region(&self) -> Option<(Rectangle, Rectangle)> {
        let get = |target| {
            // This request takes the single-planar type for multi-planar devices too.
            let mut selection = Selection { type_: TYPE_CAPTURE, target, ..Selection::zero() };
            sys::GET_SELECTION.send(&self.descriptor, &mut selection).ok().map(|()| selection.r)
        };
        Some((get(SELECTION_CROP)?, get(SELECTION_CROP_BOUNDS)?))
    }

    /// Reads only this region of the sensor.
    ///
    /// # Errors
    /// When the camera cannot read a region, or only another one.
    pub fn set_region(&self, Rect { x, y, width, height }: Rect) -> Result<()> {
        // The configuration allows no number here that does not fit a signed one.
        let signed = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let wished = Rectangle { left: signed(x), top: signed(y), width, height };
        let mut selection = Selection { type_: TYPE_CAPTURE, target: SELECTION_CROP, r: wished, ..Selection::zero() };
        let set = sys::SET_SELECTION.send(&self.descriptor, &mut selection);
        set.map_err(|errno| self.failed("read only a region (leave `region` out, and set the region when training)", errno))?;
        let numbers = |Rectangle { left, top, width, height }| (left, top, width, height);
        if numbers(selection.r) != numbers(wished) {
            let (left, top, width, height) = numbers(selection.r);
            let problem =
                format!("cannot read exactly this region; the nearest possible region is [{left}, {top}, {width}, {height}]");
            return Err(Error::file(&self.path, problem));
        }
        Ok(())
    }
}

impl Mode {
    fn of(format: &Format) -> Mode {
        if format.type_ == TYPE_CAPTURE_MPLANE {
            let format = multi(format);
            let planes = format.plane_fmt.into_iter().take(format.num_planes.into());
            let (strides, sizes) = planes.map(|plane| (plane.bytesperline as usize, plane.sizeimage as usize)).unzip();
            let conversion = conversion(format.colorspace, multi_ycbcr(&format).into(), format.quantization.into());
            Mode::new(format.pixelformat, (format.width, format.height), format.field, strides, sizes, conversion)
        } else {
            let format = single(format);
            let (strides, sizes) = (vec![format.bytesperline as usize], vec![format.sizeimage as usize]);
            let conversion = conversion(format.colorspace, single_ycbcr(&format), format.quantization);
            Mode::new(format.pixelformat, (format.width, format.height), format.field, strides, sizes, conversion)
        }
    }

    fn new(
        code: u32,
        (width, height): (u32, u32),
        field: u32,
        strides: Vec<usize>,
        sizes: Vec<usize>,
        conversion: Conversion,
    ) -> Mode {
        let interlaced = !matches!(field, FIELD_ANY | FIELD_NONE);
        Mode { code: FourCc::from_number(code), width, height, strides, sizes, interlaced, conversion }
    }

    /// The pixel format, if it can be decoded.
    pub fn format(&self) -> Option<PixelFormat> {
        PixelFormat::of(self.code)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}x{}", self.code, self.width, self.height)
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.code)?;
        for (i, OfferedSize { size, rates }) in self.sizes.iter().enumerate() {
            f.write_str(if i == 0 { " " } else { ", " })?;
            match size {
                Span::One((width, height)) => write!(f, "{width}x{height}")?,
                Span::Between((w, h), (width, height)) => write!(f, "{w}x{h} to {width}x{height}")?,
            }
            for (i, rate) in rates.iter().enumerate() {
                f.write_str(if i == 0 { " at " } else { "/" })?;
                match rate {
                    Span::One(rate) => write!(f, "{}", rounded(*rate))?,
                    Span::Between(lowest, highest) => write!(f, "{} to {}", rounded(*lowest), rounded(*highest))?,
                }
            }
        }
        Ok(())
    }
}

/// The conversion of a format; unspecified values follow from the colour space, as V4L2 defines.
fn conversion(colorspace: u32, ycbcr: u32, quantization: u32) -> Conversion {
    let matrix = match ycbcr {
        YCBCR_601 => Matrix::Bt601,
        YCBCR_709 => Matrix::Bt709,
        _ if colorspace == COLORSPACE_REC709 => Matrix::Bt709,
        _ => Matrix::Bt601,
    };
    let full = quantization == QUANTIZATION_FULL || (quantization == 0 && colorspace == COLORSPACE_JPEG);
    Conversion { matrix, range: if full { Range::Full } else { Range::Limited } }
}

fn rate(Fraction { numerator, denominator }: Fraction) -> Option<f64> {
    (numerator > 0 && denominator > 0).then(|| f64::from(denominator) / f64::from(numerator))
}

fn rounded(rate: f64) -> f64 {
    (rate * 100.0).round() / 100.0
}

/// A text of the kernel, up to its terminating zero.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim().to_string()
}
