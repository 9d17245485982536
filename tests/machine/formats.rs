//! Every pixel format of the simulated cameras, through driver and decoder: the same test picture must come out of each.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use image::DynamicImage;

use crate::scenario::change;
use crate::shell;

/// Where frames and their configuration are kept.
const FOLDER: &str = "/run/formats";
/// The simulated camera's first test picture: so many bars of one colour each.
const BARS: usize = 8;
/// Formats without colour.
const GREY: [&str; 4] = ["GREY", "Y10", "Y12", "Y16"];
/// Size of the frames.
const SIZE: (u32, u32) = (640, 360);

/// Grabs a frame in each format and compares the bars' colours with those of the first format, which has red, green and blue for each pixel.
///
/// # Errors
/// When a format cannot be had, or a colour differs by more than `within` of 255.
pub fn check(config: &toml::Table, device: &str, formats: &[String], within: f64) -> Result<String> {
    fs::create_dir_all(FOLDER).with_context(|| format!("cannot make {FOLDER}"))?;
    shell::must(&format!("v4l2-ctl -d {device} -c osd_text_mode=2,test_pattern=0"))?;
    let mut grabbed = Vec::new();
    for format in formats {
        grabbed.push(grab(config, device, format).with_context(|| format.clone())?);
    }
    let reference = grabbed.first().context("no format")?.clone();
    let distinct = reference.windows(2).all(|pair| (0..3).any(|c| (pair[0][c] - pair[1][c]).abs() > 10.0 * within));
    ensure!(distinct, "the bars have no colours that can be told apart: {reference:.0?}");
    let mut worst: f64 = 0.0;
    for (format, colours) in formats.iter().zip(&grabbed) {
        let is_grey = GREY.contains(&format.as_str());
        for (bar, (found, expected)) in colours.iter().zip(&reference).enumerate() {
            let expected = if is_grey { [luma(*expected); 3] } else { *expected };
            let difference = found.iter().zip(expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f64::max);
            ensure!(difference <= within, "{format}: bar {bar} is {found:.1?} instead of {expected:.1?}");
            worst = worst.max(difference);
        }
    }
    Ok(format!("{} formats agree within {worst:.1} of 255", formats.len()))
}

/// The bars' colours.
fn grab(config: &toml::Table, device: &str, format: &str) -> Result<Vec<[f64; 3]>> {
    let mut config = config.clone();
    let (width, height) = SIZE;
    let camera = toml::toml! { device = device format = format width = width height = height };
    change(&mut config, &toml::toml! { "source.camera" = camera })?;
    let (path, picture) = (format!("{FOLDER}/{format}.toml"), format!("{FOLDER}/{format}.png"));
    fs::write(&path, toml::to_string(&config)?).with_context(|| format!("cannot write {path}"))?;
    shell::must(&format!("apc-runtime camera grab --config {path} --out {picture}"))?;
    let picture = image::open(Path::new(&picture)).with_context(|| format!("cannot read {picture}"))?;
    ensure!((picture.width(), picture.height()) == SIZE, "it is {}x{}", picture.width(), picture.height());
    Ok(bars(&picture))
}

/// The mean colour in the middle of each bar, where no neighbour reaches.
fn bars(picture: &DynamicImage) -> Vec<[f64; 3]> {
    let picture = picture.to_rgb8();
    let (width, height) = (picture.width() as usize / BARS, picture.height());
    let mean = |bar: usize| {
        let columns = bar * width + width / 4..(bar + 1) * width - width / 4;
        let mut sum = [0.0; 3];
        for (x, y) in columns.clone().flat_map(|x| (height / 4..3 * height / 4).map(move |y| (x as u32, y))) {
            picture.get_pixel(x, y).0.iter().zip(&mut sum).for_each(|(value, sum)| *sum += f64::from(*value));
        }
        sum.map(|sum| sum / (columns.len() as f64 * f64::from(height / 2)))
    };
    (0..BARS).map(mean).collect()
}

/// Brightness after Rec. 709, as these cameras compute it where there is no colour.
fn luma([red, green, blue]: [f64; 3]) -> f64 {
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}
