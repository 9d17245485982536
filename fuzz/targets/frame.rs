//! A camera's frame, from any bytes, in every pixel format.

#![no_main]

use apc_runtime::camera::decode::decode;
use apc_runtime::camera::format::{BayerOrder, Conversion, Layout, PixelFormat};
use config::{Matrix, Range};
use libfuzzer_sys::fuzz_target;

const FORMATS: [PixelFormat; 14] = [
    PixelFormat::Mjpg,
    PixelFormat::Yuyv,
    PixelFormat::Uyvy,
    PixelFormat::Nv12,
    PixelFormat::Rgb3,
    PixelFormat::Bgr3,
    PixelFormat::Grey,
    PixelFormat::Y10,
    PixelFormat::Y12,
    PixelFormat::Y16,
    PixelFormat::Bayer(BayerOrder::Rggb),
    PixelFormat::Bayer(BayerOrder::Grbg),
    PixelFormat::Bayer(BayerOrder::Gbrg),
    PixelFormat::Bayer(BayerOrder::Bggr),
];

// A driver may report any stride. The sides are bounded, so that the target is fast.
fuzz_target!(|input: (u8, u8, u8, [usize; 2], bool, &[u8])| {
    let (format, width, height, [stride, chroma_stride], split, bytes) = input;
    let layout = Layout {
        format: FORMATS[usize::from(format) % FORMATS.len()],
        width: width.into(),
        height: height.into(),
        stride,
        chroma_stride,
        conversion: Conversion { matrix: Matrix::Bt709, range: Range::Limited },
    };
    let (first, second) = bytes.split_at(if split { bytes.len() / 2 } else { bytes.len() });
    let planes = if split { &[first, second][..] } else { &[first][..] };
    if let Ok(picture) = decode(&layout, planes) {
        assert_eq!(picture.pixels.dimensions(), (layout.width, layout.height));
    }
});
