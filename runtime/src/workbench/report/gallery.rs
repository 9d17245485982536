//! The pictures worth looking at: misses, false rejects, typical hits.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use detector::calibration::is_anomalous;
use detector::preprocess::Rect;
use detector::{Error, Result};
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage, imageops};

use super::content::{Pictures, Report, ReportImage};
use super::text::number;
use crate::workbench::heatmap;
use crate::workbench::markup::escape;

/// Most pictures in one group: the page stays small enough to mail.
const MOST: usize = 8;
const JPEG_QUALITY: u8 = 88;
/// Outline of a mask; neither metal nor inferno has this colour.
const OUTLINE: Rgb<u8> = Rgb([0, 224, 255]);

pub(super) struct Group {
    title: &'static str,
    about: &'static str,
    /// Shown in place of pictures.
    none: &'static str,
    images: Vec<usize>,
    /// How many there are, of which `images` are the worst.
    all: usize,
}

/// Worst misses, worst false rejects, and of each type of defect the hit in the middle.
pub(super) fn pick(images: &[ReportImage], threshold: f32) -> [Group; 3] {
    let of_class = |anomalous: bool, rejected: bool| {
        let judged = move |&(_, image): &(usize, &ReportImage)| {
            image.defect.is_some() == anomalous && is_anomalous(image.score, threshold) == rejected
        };
        let mut found: Vec<usize> = images.iter().enumerate().filter(judged).map(|(i, _)| i).collect();
        found.sort_by(|&a, &b| images[a].score.total_cmp(&images[b].score));
        found
    };
    let mut misses = of_class(true, false);
    let mut false_rejects = of_class(false, true);
    false_rejects.reverse();
    let hits = of_class(true, true);
    let mut types: Vec<&Option<String>> = hits.iter().map(|&i| &images[i].defect).collect();
    types.sort_unstable();
    types.dedup();
    let middle = |defect: &&Option<String>| {
        let same: Vec<usize> = hits.iter().copied().filter(|&i| &&images[i].defect == defect).collect();
        same[same.len() / 2]
    };
    let mut typical: Vec<usize> = types.iter().map(middle).collect();
    let all = [misses.len(), false_rejects.len(), hits.len()];
    for images in [&mut misses, &mut false_rejects, &mut typical] {
        images.truncate(MOST);
    }
    let [missed, rejected, hit] = all;
    [
        Group {
            title: "Worst misses",
            about: "Anomalous images that were passed, lowest score first.",
            none: "None: every anomalous image was rejected.",
            images: misses,
            all: missed,
        },
        Group {
            title: "Worst false rejects",
            about: "Good images that were rejected, highest score first.",
            none: "None: every good image was passed.",
            images: false_rejects,
            all: rejected,
        },
        Group {
            title: "Typical hits",
            about: "Of each type of defect the rejected image with the middle score.",
            none: "None: no anomalous image was rejected.",
            images: typical,
            all: hit,
        },
    ]
}

pub(super) fn html(report: &Report<'_>, group: &Group, pictures: &mut impl FnMut(usize) -> Result<Pictures>) -> Result<String> {
    let mut cards = String::new();
    for &i in &group.images {
        cards += &card(report, &report.images[i], &pictures(i)?)?;
    }
    let (title, about, shown, all) = (group.title, group.about, group.images.len(), group.all);
    let body = match shown {
        0 => format!("<p class=\"none\">{}</p>", group.none),
        _ => format!("<p>{about} {shown} of {all} shown.</p><div class=\"cards\">{cards}</div>"),
    };
    Ok(format!("<section><h2>{title}</h2>{body}</section>\n"))
}

fn card(report: &Report<'_>, image: &ReportImage, pictures: &Pictures) -> Result<String> {
    let name = escape(&image.name);
    let rect = pictures.prepared.content;
    let picture = cut(&pictures.prepared.pixels, rect);
    let hot = heatmap::overlay(&pictures.prepared.pixels, &pictures.map, report.threshold)
        .map_err(|e| Error::invalid(format!("{}: {e}", image.name)))?;
    let mut panels = panel(&picture, "picture", &name)? + &panel(&hot, "heat map", &name)?;
    panels += &match &pictures.mask {
        Some(mask) if mask.contains(&true) => {
            panel(&outlined(&pictures.prepared.pixels, mask, rect, &image.name)?, "defect outlined", &name)?
        }
        _ => String::new(),
    };
    let verdict = if is_anomalous(image.score, report.threshold) { "rejected" } else { "passed" };
    let class = image.defect.as_deref().unwrap_or("good");
    Ok(format!(
        "<article><h3>{name}</h3><p><span class=\"class\">{}</span> score <strong>{}</strong>, {} of the threshold: \
         {verdict}</p><div class=\"panels\">{panels}</div></article>\n",
        escape(class),
        number(image.score),
        ratio(image.score, report.threshold),
    ))
}

fn ratio(score: f32, threshold: f32) -> String {
    let share = score / threshold * 100.0;
    if share.is_finite() { format!("{share:.1} %") } else { "?".to_owned() }
}

/// `name` is escaped already.
fn panel(picture: &RgbImage, caption: &str, name: &str) -> Result<String> {
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY)
        .encode_image(picture)
        .map_err(|e| Error::invalid(format!("cannot encode the {caption}: {e}")))?;
    let (width, height, data) = (picture.width(), picture.height(), BASE64_STANDARD.encode(jpeg));
    Ok(format!(
        "<figure><img width=\"{width}\" height=\"{height}\" alt=\"{caption} of {name}\" src=\"data:image/jpeg;base64,{data}\">\
         <figcaption>{caption}</figcaption></figure>"
    ))
}

fn cut(picture: &RgbImage, rect: Rect) -> RgbImage {
    imageops::crop_imm(picture, rect.x, rect.y, rect.width, rect.height).to_image()
}

/// The picture with a line around the mask, drawn on the pixels just outside so that nothing of the defect is hidden.
fn outlined(pixels: &RgbImage, mask: &[bool], rect: Rect, name: &str) -> Result<RgbImage> {
    let (width, height) = (pixels.width() as usize, pixels.height() as usize);
    if mask.len() != width * height {
        let found = mask.len();
        return Err(Error::invalid(format!("{name}: its mask has {found} pixels, expected {width} x {height}")));
    }
    let mut drawn = pixels.clone();
    for (i, _) in mask.iter().enumerate().filter(|&(_, &inside)| !inside) {
        let (x, y) = (i % width, i / width);
        let rows = y.saturating_sub(1)..=(y + 1).min(height - 1);
        let mut near = rows.flat_map(|y| (x.saturating_sub(1)..=(x + 1).min(width - 1)).map(move |x| y * width + x));
        if near.any(|j| mask[j]) {
            drawn.put_pixel(x as u32, y as u32, OUTLINE);
        }
    }
    Ok(cut(&drawn, rect))
}
