use std::collections::BTreeMap;

use super::at_export::{AtExport, Choice, GoodImage, GoodImages, Misses};
use super::text::number;
use super::*;
use crate::workbench::markup::escape;
use detector::Error;
use detector::map::ScoreMap;
use detector::preprocess::{Prepared, Rect};
use image::{ImageFormat, Rgb, RgbImage};

static NOTHING: AtExport = AtExport {
    training: BTreeMap::new(),
    calibration: GoodImages { highest: Vec::new(), without_far_out: None },
    choices: Vec::new(),
};
static NO_PICTURES: BTreeMap<String, Vec<u8>> = BTreeMap::new();

fn image(name: &str, defect: Option<&str>, score: f32) -> ReportImage {
    ReportImage { name: name.to_owned(), defect: defect.map(str::to_owned), score }
}

fn images() -> Vec<ReportImage> {
    vec![
        image("good/a.png", None, 1.0),
        image("good/b.png", None, 1.5),
        image("good/c.png", None, 2.5),
        image("dent/a.png", Some("dent"), 1.8),
        image("dent/b.png", Some("dent"), 3.0),
        image("dent/c.png", Some("dent"), 4.0),
        image("dent/d.png", Some("dent"), 5.0),
        image("stain/a.png", Some("stain"), 2.0),
        image("stain/b.png", Some("stain"), 9.0),
    ]
}

fn report(images: &[ReportImage]) -> Report<'_> {
    let (at_export, good_pictures) = (&NOTHING, &NO_PICTURES);
    Report { title: "flange", facts: &[], threshold: 2.0, images, pixels: PixelFigures::default(), at_export, good_pictures }
}

fn pictures(masked: bool) -> Pictures {
    let content = Rect { x: 0, y: 2, width: 16, height: 12 };
    Pictures {
        prepared: Prepared { pixels: RgbImage::from_pixel(16, 16, Rgb([80, 90, 100])), content },
        map: ScoreMap { height: 16, width: 16, values: vec![1.0; 256], content },
        mask: masked.then(|| (0..256).map(|i| (5..10).contains(&(i % 16)) && (5..10).contains(&(i / 16))).collect()),
    }
}

fn html(images: &[ReportImage]) -> String {
    report(images).html(|_| Ok(pictures(true))).unwrap()
}

/// Start tags, end tags and attributes in order; fails on what an HTML parser would have to repair.
fn check_markup(html: &str) {
    const VOID: [&str; 10] = ["meta", "img", "!DOCTYPE", "path", "polyline", "circle", "rect", "br", "link", "input"];
    let mut open = Vec::new();
    let style = html.find("<style>").unwrap()..html.find("</style>").unwrap();
    let html = format!("{}{}", &html[..style.start + 7], &html[style.end..]);
    let mut rest = html.as_str();
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').unwrap();
        let tag = &rest[start + 1..end];
        assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>");
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{name}>");
        } else if !VOID.contains(&name) {
            open.push(name);
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn the_page_is_whole_and_loads_nothing() {
    let page = html(&images());
    check_markup(&page);
    for address in ["http:", "https:", "//", "<script", "<link", "@import", "url("] {
        let beside_pictures: String = page.split("base64,").map(|part| &part[part.find('"').unwrap_or(0)..]).collect();
        assert!(!beside_pictures.contains(address), "{address}");
    }
    check_markup(&html(&[]));
    check_markup(&html(&images()[..3]));
    check_markup(&html(&images()[3..]));
}

#[test]
fn figures_and_table_are_right() {
    let images = images();
    let pixels = PixelFigures { auroc: Some(0.9876), f1: None, aupro: Some(0.5) };
    let facts = [("engine", "tract <1>".to_owned())];
    let page = Report { facts: &facts, pixels, ..report(&images) }.html(|_| Ok(pictures(false))).unwrap();
    for expected in [
        "<dd>3 good, 6 anomalous</dd>",
        "<dt>engine</dt><dd>tract &lt;1&gt;</dd>",
        "<dt>False rejects</dt><dd>33.3 %</dd><dd class=\"note\">1 of 3 good</dd>",
        "<dt>Misses</dt><dd>33.3 %</dd><dd class=\"note\">2 of 6 anomalous</dd>",
        // 16 of 18 pairs are in order.
        "<dt>Image AUROC</dt><dd>0.8889</dd>",
        "<dt>Pixel AUROC</dt><dd>0.9876</dd>",
        "<dt>Pixel F1</dt><dd>–</dd>",
        "<dt>AUPRO</dt><dd>0.5000</dd>",
        "<tr><th scope=\"row\">dent</th><td>4</td><td>1</td><td>25.0 %</td><td>0.9167</td><td>1.800 – 5.000</td></tr>",
        "<tr><th scope=\"row\">stain</th><td>2</td><td>1</td><td>50.0 %</td><td>0.8333</td><td>2.000 – 9.000</td></tr>",
    ] {
        assert!(page.contains(expected), "{expected} is not in the page");
    }
    assert!(!page.contains("defect outlined"), "no mask, no outline");
}

#[test]
fn shows_the_worst_first_and_asks_for_no_more() {
    let images = images();
    let mut asked = Vec::new();
    report(&images)
        .html(|i| {
            asked.push(images[i].name.as_str());
            Ok(pictures(true))
        })
        .unwrap();
    // A score equal to the threshold is passed.
    assert_eq!(asked, ["dent/a.png", "stain/a.png", "good/c.png", "dent/c.png", "stain/b.png"]);

    let many: Vec<ReportImage> = (0..50).map(|i| image("x", Some("dent"), i as f32 / 100.0)).collect();
    let mut asked = Vec::new();
    report(&many)
        .html(|i| {
            asked.push(i);
            Ok(pictures(true))
        })
        .unwrap();
    assert_eq!(asked, (0..8).collect::<Vec<_>>());
}

#[test]
fn pictures_can_be_decoded_and_are_cut_to_their_content() {
    let page = html(&images());
    let data: Vec<&str> = page.split("base64,").skip(1).map(|part| part.split('"').next().unwrap()).collect();
    assert_eq!(data.len(), 5 * 3);
    for data in data {
        use base64::Engine;
        let bytes = base64::prelude::BASE64_STANDARD.decode(data).unwrap();
        let picture = image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg).unwrap();
        assert_eq!((picture.width(), picture.height()), (16, 12));
    }
}

#[test]
fn names_cannot_break_out() {
    let nasty = "\"><img src=x onerror='alert(1)'>&amp;\u{202e}\n.png";
    let images = [image(nasty, Some(nasty), 1.0), image(nasty, None, 3.0)];
    let report = Report { title: nasty, facts: &[(nasty, nasty.to_owned())], ..report(&images) };
    let page = report.html(|_| Ok(pictures(true))).unwrap();
    check_markup(&page);
    assert!(!page.contains("<img src=x") && !page.contains("'alert") && !page.contains('\u{202e}'));
    assert_eq!(escape("a<b>&\"'\u{7}"), "a&lt;b&gt;&amp;&quot;&#39;\u{fffd}");
}

#[test]
fn what_cannot_be_shown_is_an_error() {
    let nan = [image("good/a.png", None, f32::NAN)];
    let error = report(&nan).html(|_| Ok(pictures(true))).unwrap_err().to_string();
    assert!(error.contains("good/a.png") && error.contains("NaN"), "{error}");

    let images = images();
    let short = Pictures { mask: Some(vec![true; 3]), ..pictures(true) };
    let error = report(&images).html(|_| Ok(short.clone())).unwrap_err().to_string();
    assert!(error.contains("dent/a.png") && error.contains("mask"), "{error}");
    let other = Pictures { map: ScoreMap { values: vec![0.0; 9], ..pictures(true).map }, ..pictures(true) };
    assert!(report(&images).html(|_| Ok(other.clone())).is_err());

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    let failed = report(&images).write(&path, |_| Err(Error::invalid("no such picture")));
    assert!(failed.is_err() && !path.exists());
    report(&images).write(&path, |_| Ok(pictures(true))).unwrap();
    assert!(std::fs::read_to_string(&path).unwrap().ends_with("</html>\n"));
}

#[test]
fn odd_scores_and_thresholds_make_a_page() {
    let images = [
        image("a", None, f32::NEG_INFINITY),
        image("b", Some("x"), f32::INFINITY),
        image("c", Some("x"), 0.0),
        image("d", None, 1e30),
    ];
    for threshold in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-30] {
        let page = Report { threshold, ..report(&images) }.html(|_| Ok(pictures(true))).unwrap();
        check_markup(&page);
        for (i, _) in page.match_indices("NaN") {
            assert!(threshold.is_nan(), "…{}", &page[i.saturating_sub(60)..i + 10]);
        }
    }
}

#[test]
fn numbers_have_four_digits() {
    let shown = [0.0, 1.0, 12.34567, 0.012345678, -2.5, 123456.0, 1e-9, 1e12].map(number);
    assert_eq!(shown, ["0.000", "1.000", "12.35", "0.01235", "-2.500", "123456", "1.000e-9", "1.000e12"]);
}

#[test]
fn training_is_shown_as_curves() {
    let images = images();
    let curves = BTreeMap::from([("defects".to_owned(), vec![2.0, 1.0, 0.5]), ("<odd>".to_owned(), vec![f32::NAN])]);
    let at_export = AtExport { training: curves, ..AtExport::default() };
    let page = Report { at_export: &at_export, ..report(&images) }.html(|_| Ok(pictures(true))).unwrap();
    check_markup(&page);
    for expected in ["Learning defects", "from 2.000 to 0.5000", "&lt;odd&gt;", "0.0,0.0 170.0,120.0 340.0,180.0"] {
        assert!(page.contains(expected), "{expected} is not in the page");
    }
}

#[test]
fn good_images_that_set_the_threshold_are_shown_and_other_thresholds_told() {
    let images = images();
    let good = |image: &str, score, far_out, picture: &str| GoodImage {
        image: image.into(),
        score,
        far_out,
        picture: Some(picture.into()),
    };
    let misses = |missed| Misses { samples: 10, missed, low: 0.1, high: 0.6 };
    let choice = |rate, estimated| Choice { rate, threshold: 2.5, estimated, misses: misses(3), like_samples: Some(misses(1)) };
    let at_export = AtExport {
        calibration: GoodImages {
            highest: vec![good("good/<odd>.png", 7.5, true, "calibration/007.png"), good("good/b.png", 2.0, false, "gone")],
            without_far_out: Some(2.25),
        },
        choices: vec![choice(0.001, true), choice(0.05, false)],
        ..AtExport::default()
    };
    let good_pictures = BTreeMap::from([("calibration/007.png".to_owned(), vec![1, 2, 3])]);
    let page =
        Report { at_export: &at_export, good_pictures: &good_pictures, ..report(&images) }.html(|_| Ok(pictures(true))).unwrap();
    check_markup(&page);
    for expected in [
        "good/&lt;odd&gt;.png</h3><p><span class=\"class\">good</span> score <strong>7.500</strong>, far out",
        "src=\"data:image/png;base64,AQID\"",
        "1 of them lie far above all others",
        "the threshold would be 2.250",
        "<th scope=\"row\">0.1 %</th><td>2.500 (an estimate)</td><td>1 of 10 (10.0 % to 60.0 %)</td><td>3 of 10 (10.0 % to 60.0 %)</td>",
    ] {
        assert!(page.contains(expected), "{expected} is not in the page");
    }
    assert_eq!(page.matches("image/png").count(), 1, "a picture that is not there is left out");
}

#[test]
fn a_failed_report_leaves_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let (images, page) = (images(), folder.path().join("report.html"));
    report(&images).write(&page, |_| Ok(pictures(true))).unwrap();
    let text = std::fs::read_to_string(&page).unwrap();
    let error = report(&images).write(&page, |_| Err(Error::invalid("b.png is gone"))).unwrap_err().to_string();
    assert!(error.contains("b.png"), "{error}");
    assert_eq!(std::fs::read_to_string(&page).unwrap(), text);
}
