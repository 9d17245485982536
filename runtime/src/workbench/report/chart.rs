//! Curves as inline SVG; colours come from the page's style sheet.

use detector::metrics::{Decisions, RocPoint};

use super::content::ReportImage;
use super::text::number;

/// Width and height of the plotted area, and the room for labels left and below.
const WIDTH: f64 = 340.0;
const HEIGHT: f64 = 240.0;
const MARGIN: f64 = 54.0;
const BINS: usize = 40;

/// The ROC curve with the threshold's own point.
pub(super) fn roc(curve: &[RocPoint], at: &Decisions) -> String {
    let place = |x: f64, y: f64| format!("{:.1},{:.1}", x * WIDTH, (1.0 - y) * HEIGHT);
    let points: Vec<String> = curve.iter().map(|p| place(p.false_positive_rate, p.true_positive_rate)).collect();
    let mut plot = format!(
        "<path class=\"chance\" d=\"M{} L{}\"/><polyline class=\"curve\" points=\"{}\"/>",
        place(0.0, 0.0),
        place(1.0, 1.0),
        points.join(" ")
    );
    let mut about = "The ROC curve: share of anomalous images rejected against share of good images rejected.".to_owned();
    if let (Some(false_reject), Some(miss)) = (at.false_reject_rate(), at.miss_rate()) {
        let (x, y) = (false_reject * WIDTH, miss * HEIGHT);
        plot += &format!("<circle class=\"point\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"/>");
        about += &format!(" At the threshold: {:.3} against {false_reject:.3}.", 1.0 - miss);
    }
    let ticks = [0.0, 0.25, 0.5, 0.75, 1.0].map(|t| (t, format!("{t}")));
    frame(&plot, &about, &ticks, &ticks, "good images rejected", "anomalous images rejected")
}

/// How many good and anomalous images have which score, with the threshold.
pub(super) fn histogram(images: &[ReportImage], threshold: f32) -> String {
    let finite = images.iter().map(|image| f64::from(image.score)).chain([f64::from(threshold)]).filter(|s| s.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), s| (l.min(s), h.max(s)));
    let (low, high) = if low < high { (low, high) } else { (low.min(0.0), low.min(0.0) + 1.0) };
    let place = |score: f32| ((f64::from(score) - low) / (high - low)).clamp(0.0, 1.0);
    let mut counts = [[0usize; BINS]; 2];
    for image in images {
        let bin = (place(image.score) * BINS as f64) as usize;
        counts[usize::from(image.defect.is_some())][bin.min(BINS - 1)] += 1;
    }
    let highest = counts.iter().flatten().copied().max().unwrap_or(0).max(1);
    let mut plot = String::new();
    for (class, counts) in ["good", "anomalous"].iter().zip(&counts) {
        let step = WIDTH / BINS as f64;
        for (i, &count) in counts.iter().enumerate().filter(|&(_, &count)| count > 0) {
            let tall = count as f64 / highest as f64 * HEIGHT;
            let (x, y, wide) = (i as f64 * step, HEIGHT - tall, step - 1.0);
            plot += &format!("<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{tall:.1}\"/>");
        }
    }
    let x = place(threshold) * WIDTH;
    plot += &format!("<path class=\"threshold\" d=\"M{x:.1},0 V{HEIGHT}\"/>");
    let across: Vec<(f64, String)> =
        [0.0, 0.25, 0.5, 0.75, 1.0].iter().map(|&t| (t, number((low + t * (high - low)) as f32))).collect();
    let up = [(0.0, "0".to_owned()), (1.0, highest.to_string())];
    let about = format!(
        "How many images have which score, from {} to {}; the threshold is {}.",
        number(low as f32),
        number(high as f32),
        number(threshold)
    );
    frame(&plot, &about, &across, &up, "score", "images")
}

/// Mean losses over the course of a training.
pub(super) fn losses(values: &[f32]) -> String {
    let highest = values.iter().copied().filter(|value| value.is_finite()).fold(0.0, f32::max).max(f32::MIN_POSITIVE);
    let last = (values.len().max(2) - 1) as f64;
    let place = |(i, value): (usize, &f32)| {
        let share = f64::from(value.clamp(0.0, highest) / highest);
        format!("{:.1},{:.1}", i as f64 / last * WIDTH, (1.0 - share) * HEIGHT)
    };
    let points: Vec<String> = values.iter().enumerate().filter(|(_, value)| value.is_finite()).map(place).collect();
    let plot = format!("<polyline class=\"curve\" points=\"{}\"/>", points.join(" "));
    let (first, end) = (values.first().copied().unwrap_or(0.0), values.last().copied().unwrap_or(0.0));
    let about = format!("The loss while learning: from {} to {}.", number(first), number(end));
    let across = [(0.0, "begin".to_owned()), (1.0, "end".to_owned())];
    frame(&plot, &about, &across, &[(0.0, "0".to_owned()), (1.0, number(highest))], "training", "loss")
}

/// Axes and labels around a plot whose origin is its upper left corner. Ticks are at shares of the axis.
fn frame(plot: &str, about: &str, across: &[(f64, String)], up: &[(f64, String)], x_name: &str, y_name: &str) -> String {
    let mut axes = format!("<path class=\"axis\" d=\"M0,0 V{HEIGHT} H{WIDTH}\"/>");
    for (at, label) in across {
        let (x, y) = (at * WIDTH, HEIGHT + 16.0);
        axes += &format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{label}</text>");
    }
    for (at, label) in up {
        let y = (1.0 - at) * HEIGHT + 4.0;
        axes += &format!("<text x=\"-7\" y=\"{y:.1}\" text-anchor=\"end\">{label}</text>");
    }
    let (mid_x, mid_y, below) = (WIDTH / 2.0, HEIGHT / 2.0, HEIGHT + 34.0);
    axes += &format!("<text x=\"{mid_x}\" y=\"{below}\" text-anchor=\"middle\">{x_name}</text>");
    axes += &format!("<text transform=\"translate(-42,{mid_y}) rotate(-90)\" text-anchor=\"middle\">{y_name}</text>");
    let (wide, tall) = (WIDTH + MARGIN + 16.0, HEIGHT + MARGIN + 10.0);
    format!(
        "<svg viewBox=\"-{MARGIN} -10 {wide} {tall}\" role=\"img\" aria-label=\"{about}\"><title>{about}</title>\
         {axes}{plot}</svg>"
    )
}
