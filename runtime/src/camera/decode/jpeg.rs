//! Motion JPEG: each frame is a JPEG image, often without the Huffman tables. A decoder then uses the standard tables.

use std::borrow::Cow;

use detector::picture::{Colour, Picture};
use image::RgbImage;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

const END_OF_IMAGE: [u8; 2] = [0xFF, 0xD9];
const HUFFMAN_TABLES: u8 = 0xC4;
const START_OF_SCAN: u8 = 0xDA;

/// Decodes strictly: a cut frame is an error. A lenient decoder would give the upper half of the picture above grey.
pub(super) fn decode(bytes: &[u8], width: u32, height: u32) -> Result<Picture, String> {
    let bytes = complete(bytes)?;
    let damaged = |error: zune_jpeg::errors::DecodeErrors| format!("the frame is no sound JPEG: {error}");
    let options = DecoderOptions::default().set_strict_mode(true).set_max_width(width as usize).set_max_height(height as usize);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&*bytes), options);
    decoder.decode_headers().map_err(damaged)?;
    let size = decoder.dimensions().unwrap_or_default();
    if size != (width as usize, height as usize) {
        return Err(format!("the frame is {}x{} px; {width}x{height} px were agreed with the camera", size.0, size.1));
    }
    let colour = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => Colour::Grey,
        _ => Colour::Rgb,
    };
    decoder.set_options(options.jpeg_set_out_colorspace(ColorSpace::RGB));
    let pixels = decoder.decode().map_err(damaged)?;
    let pixels = RgbImage::from_raw(width, height, pixels).ok_or("the frame's JPEG has too few pixels")?;
    Ok(Picture { pixels, colour })
}

/// The image up to its end marker, with Huffman tables.
fn complete(bytes: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    // Drivers pad frames with zeros.
    let length = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let bytes = &bytes[..length];
    if !bytes.starts_with(&[0xFF, 0xD8]) {
        return Err("the frame is no JPEG: it does not start with the marker of one".into());
    }
    if !bytes.ends_with(&END_OF_IMAGE) {
        return Err("the frame is cut: its JPEG has no end marker".into());
    }
    // Without the end marker the decoder notices that bytes are missing; with the marker it would fill the picture with grey.
    let bytes = &bytes[..bytes.len() - END_OF_IMAGE.len()];
    match scan_without_tables(bytes) {
        Some(scan) => Ok(Cow::Owned([&bytes[..scan], &standard_tables(), &bytes[scan..]].concat())),
        None => Ok(Cow::Borrowed(bytes)),
    }
}

/// Where the first scan starts, if no Huffman table comes before it.
fn scan_without_tables(bytes: &[u8]) -> Option<usize> {
    let mut at = 2;
    while let Some(&[0xFF, marker, high, low]) = bytes.get(at..at + 4).and_then(|header| header.first_chunk()) {
        match marker {
            HUFFMAN_TABLES => return None,
            START_OF_SCAN => return Some(at),
            _ => at += 2 + usize::from(u16::from_be_bytes([high, low])),
        }
    }
    None
}

/// The Huffman tables of ITU-T T.81, annex K.3: numbers of codes by length, and their values.
fn standard_tables() -> Vec<u8> {
    const DC: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
    const LUMA_DC: [u8; 16] = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0];
    const CHROMA_DC: [u8; 16] = [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0];
    const LUMA_AC: [u8; 16] = [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7D];
    const CHROMA_AC: [u8; 16] = [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77];
    const LUMA_AC_FIRST: &[u8] =
        b"\x01\x02\x03\x00\x04\x11\x05\x12\x21\x31\x41\x06\x13\x51\x61\x07\x22\x71\x14\x32\x81\x91\xA1\x08\
        \x23\x42\xB1\xC1\x15\x52\xD1\xF0\x24\x33\x62\x72\x82\x09\x0A\x16\x17\x18\x19\x1A\x25\x26\x27\x28\x29\x2A\x34";
    const CHROMA_AC_FIRST: &[u8] =
        b"\x00\x01\x02\x03\x11\x04\x05\x21\x31\x06\x12\x41\x51\x07\x61\x71\x13\x22\x32\x81\x08\x14\x42\x91\
        \xA1\xB1\xC1\x09\x23\x33\x52\xF0\x15\x62\x72\xD1\x0A\x16\x24\x34\xE1\x25\xF1\x17\x18\x19\x1A\x26\x27\x28\x29\x2A\x35";
    // Both lists end with the remaining codes, in rising order.
    let rest = |first: &[u8]| {
        let codes = (0u8..=0xFA).filter(|code| (1..=10).contains(&(code & 15)));
        codes.filter(|code| !first.contains(code)).collect::<Vec<_>>()
    };
    let mut tables = Vec::new();
    for (class, counts, values) in [
        (0x00, LUMA_DC, DC.to_vec()),
        (0x10, LUMA_AC, [LUMA_AC_FIRST, &rest(LUMA_AC_FIRST)].concat()),
        (0x01, CHROMA_DC, DC.to_vec()),
        (0x11, CHROMA_AC, [CHROMA_AC_FIRST, &rest(CHROMA_AC_FIRST)].concat()),
    ] {
        tables.extend([0xFF, HUFFMAN_TABLES]);
        tables.extend((2 + 17 + values.len() as u16).to_be_bytes());
        tables.push(class);
        tables.extend(counts);
        tables.extend(values);
    }
    tables
}
