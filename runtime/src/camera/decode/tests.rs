//! Golden frames (`runtime/golden/frames.py`), and damaged and random frames, none of which may panic.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use config::{FourCc, Matrix, Range};
use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::camera::format::{BayerOrder, Conversion};

#[derive(Deserialize)]
struct Golden {
    fourcc: String,
    width: u32,
    height: u32,
    matrix: Matrix,
    range: Range,
    stride: usize,
    chroma_stride: usize,
    planes: Vec<String>,
    rgb: String,
    tolerance: u8,
}

impl Golden {
    fn read() -> Vec<Golden> {
        serde_json::from_str(include_str!("../../../golden/frames.json")).unwrap()
    }

    fn layout(&self) -> Layout {
        let code = FourCc(self.fourcc.as_bytes().try_into().unwrap());
        Layout {
            format: PixelFormat::of(code).unwrap(),
            width: self.width,
            height: self.height,
            stride: self.stride,
            chroma_stride: self.chroma_stride,
            conversion: Conversion { matrix: self.matrix, range: self.range },
        }
    }

    fn planes(&self) -> Vec<Vec<u8>> {
        self.planes.iter().map(|plane| BASE64_STANDARD.decode(plane).unwrap()).collect()
    }
}

fn slices(planes: &[Vec<u8>]) -> Vec<&[u8]> {
    planes.iter().map(Vec::as_slice).collect()
}

fn jpegs() -> Vec<(Layout, Vec<u8>)> {
    let all = Golden::read().into_iter().filter(|golden| golden.fourcc == "MJPG");
    all.map(|golden| (golden.layout(), golden.planes().remove(0))).collect()
}

#[test]
fn every_format_decodes_to_its_golden_picture() {
    let cases = Golden::read();
    let formats: std::collections::BTreeSet<_> = cases.iter().map(|golden| golden.fourcc.as_str()).collect();
    assert_eq!(formats.len(), 15, "{formats:?}");
    for golden in &cases {
        let planes = golden.planes();
        let picture = decode(&golden.layout(), &slices(&planes)).unwrap();
        let name = format!("{} {:?} {:?}", golden.fourcc, golden.matrix, golden.range);
        let expected = BASE64_STANDARD.decode(&golden.rgb).unwrap();
        assert_eq!(picture.pixels.dimensions(), (golden.width, golden.height));
        let differences = picture.pixels.as_raw().iter().zip(&expected).map(|(found, expected)| found.abs_diff(*expected));
        let worst = differences.clone().max().unwrap();
        assert!(worst <= golden.tolerance, "{name}: differs by up to {worst}\n{:?}\n{expected:?}", picture.pixels.as_raw());
        let grey = expected.as_chunks::<3>().0.iter().all(|[r, g, b]| r == g && g == b);
        assert_eq!(picture.colour, if grey { Colour::Grey } else { Colour::Rgb }, "{name}");
    }
}

#[test]
fn a_frame_one_byte_short_is_an_error() {
    for golden in Golden::read().iter().filter(|golden| golden.fourcc != "MJPG") {
        let mut planes = golden.planes();
        // The padding of the last row may be missing, but not one byte more.
        let layout = golden.layout();
        let words = if golden.fourcc.starts_with("Y1") { 2 } else { 1 };
        let (stride, row) = match layout.format {
            PixelFormat::Yuyv | PixelFormat::Uyvy => (layout.stride, 16),
            PixelFormat::Nv12 => (layout.chroma_stride, 8),
            PixelFormat::Rgb3 | PixelFormat::Bgr3 => (layout.stride, 21),
            _ => (layout.stride, 7 * words),
        };
        let last = planes.last_mut().unwrap();
        last.truncate(last.len() - (stride - row));
        assert!(decode(&layout, &slices(&planes)).is_ok(), "{}", golden.fourcc);
        planes.last_mut().unwrap().pop();
        let error = decode(&layout, &slices(&planes)).unwrap_err();
        assert!(error.contains("short"), "{}: {error}", golden.fourcc);
        assert!(decode(&layout, &[]).is_err());
        let narrow = Layout { stride: 6, chroma_stride: 6, ..layout };
        assert!(decode(&narrow, &slices(&golden.planes())).unwrap_err().contains("at least"));
    }
}

/// The frame without its Huffman tables, as many webcams send it.
fn without_tables(bytes: &[u8]) -> Vec<u8> {
    let (mut kept, mut at) = (bytes[..2].to_vec(), 2);
    loop {
        let [_, marker, high, low] = bytes[at..at + 4].try_into().unwrap();
        let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
        if marker == 0xDA {
            kept.extend(&bytes[at..]);
            return kept;
        }
        if marker != 0xC4 {
            kept.extend(&bytes[at..end]);
        }
        at = end;
    }
}

#[test]
fn jpegs_without_huffman_tables_and_with_padding_are_decoded() {
    for (layout, bytes) in jpegs() {
        let expected = decode(&layout, &[&bytes]).unwrap();
        let mut bare = without_tables(&bytes);
        assert!(bare.len() < bytes.len() - 20);
        bare.extend([0; 100]);
        assert_eq!(decode(&layout, &[&bare]).unwrap().pixels, expected.pixels);
    }
}

#[test]
fn a_cut_jpeg_is_an_error_also_with_an_end_marker() {
    for (layout, bytes) in jpegs() {
        for length in 0..bytes.len() - 2 {
            assert!(decode(&layout, &[&bytes[..length]]).is_err(), "cut after {length} bytes");
        }
        // A bridge that drops packets still writes the end marker. A cut within the last row of blocks goes unnoticed.
        let scan = bytes.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap() + 14;
        for length in (scan..scan + (bytes.len() - scan) * 2 / 5).step_by(7) {
            let spliced = [&bytes[..length], &[0xFF, 0xD9]].concat();
            assert!(decode(&layout, &[&spliced]).is_err(), "cut after {length} bytes of {}", bytes.len());
        }
    }
}

#[test]
fn a_jpeg_of_another_size_is_an_error() {
    for (layout, bytes) in jpegs() {
        for (width, height) in [(35, 28), (40, 28), (36, 64)] {
            assert!(decode(&Layout { width, height, ..layout }, &[&bytes]).is_err());
        }
    }
}

fn any_format() -> impl Strategy<Value = PixelFormat> {
    use PixelFormat::*;
    let bayer = [BayerOrder::Rggb, BayerOrder::Grbg, BayerOrder::Gbrg, BayerOrder::Bggr].map(Bayer);
    prop::sample::select([&[Mjpg, Yuyv, Uyvy, Nv12, Rgb3, Bgr3, Grey, Y10, Y12, Y16], &bayer[..]].concat())
}

proptest! {
    #[test]
    fn no_frame_panics(
        format in any_format(),
        (width, height) in (0u32..40, 0u32..40),
        (stride, chroma_stride) in (0usize..100, prop_oneof![0usize..100, Just(usize::MAX)]),
        planes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..3),
    ) {
        let conversion = Conversion { matrix: Matrix::Bt601, range: Range::Full };
        let layout = Layout { format, width, height, stride, chroma_stride, conversion };
        if let Ok(picture) = decode(&layout, &slices(&planes)) {
            prop_assert_eq!(picture.pixels.dimensions(), (width, height));
        }
        let endless = Layout { stride: usize::MAX, ..layout };
        prop_assert!(height < 2 || format == PixelFormat::Mjpg || decode(&endless, &slices(&planes)).is_err());
    }

    #[test]
    fn a_damaged_jpeg_never_panics(which in 0usize..4, edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let (layout, mut bytes) = jpegs().swap_remove(which);
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = decode(&layout, &[&bytes]);
    }

    /// Grey without chroma stays grey, and luma keeps its order.
    #[test]
    fn luma_alone_is_grey_and_monotone(matrix in prop::sample::select(&[Matrix::Bt601, Matrix::Bt709][..]),
                                       range in prop::sample::select(&[Range::Full, Range::Limited][..]), a in any::<u8>(), b in any::<u8>()) {
        let layout = Layout {
            format: PixelFormat::Yuyv, width: 2, height: 1, stride: 4, chroma_stride: 0, conversion: Conversion { matrix, range },
        };
        let picture = decode(&layout, &[&[a, 128, b, 128]]).unwrap();
        let [left, right] = [picture.pixels.get_pixel(0, 0).0, picture.pixels.get_pixel(1, 0).0];
        prop_assert!(left.iter().all(|value| *value == left[0]) && right.iter().all(|value| *value == right[0]));
        let (darker, brighter) = if a <= b { (left, right) } else { (right, left) };
        prop_assert!(darker[0] <= brighter[0]);
    }
}
