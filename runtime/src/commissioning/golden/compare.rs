use config::GoldenLimits;
use image::RgbImage;
use serde::Serialize;
use store::golden::Measures;

use super::align::align;
use super::plane::Plane;

/// Longest side of the planes that are aligned; larger pictures are averaged first.
const LONGEST: usize = 512;
/// Below this correlation the picture shows something else, or nothing.
const SAME_PART: f64 = 0.6;

/// Measures light and focus in a picture's region.
pub fn measure(region: &RgbImage) -> Measures {
    let count = (region.width() as usize * region.height() as usize).max(1) as f64;
    let sum = |channel: usize| region.as_raw().iter().skip(channel).step_by(3).map(|byte| u64::from(*byte)).sum::<u64>();
    Measures { levels: [0, 1, 2].map(|channel| sum(channel) as f64 / count), sharpness: Plane::of(region, 1).sharpness() }
}

/// One measure of a picture, compared with the golden part's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// `part`, `position`, `rotation`, `scale`, `brightness`, `focus`.
    #[serde(rename = "what")]
    pub measure: &'static str,
    /// Whether it is within its limit.
    pub holds: bool,
    /// The deviation and its limit.
    pub text: String,
    /// What to do where it does not hold; otherwise empty.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub advice: &'static str,
}

/// Compares a picture's region with the golden part's. `mm_per_pixel` is known where the configuration has a scene; positions are then
/// given in mm too.
pub fn compare(reference: &RgbImage, now: &RgbImage, limits: &GoldenLimits, mm_per_pixel: Option<f64>) -> Vec<Finding> {
    let longest = reference.width().max(reference.height()) as usize;
    let by = longest.div_ceil(LONGEST).max(1);
    let found = match reference.dimensions() == now.dimensions() {
        true => align(&Plane::of(reference, by), &Plane::of(now, by)),
        false => None,
    };
    let mut findings = Vec::new();
    let mut add =
        |measure, holds, text, advice| findings.push(Finding { measure, holds, text, advice: if holds { "" } else { advice } });
    let correlation = found.map_or(0.0, |found| found.correlation);
    let is_there = correlation >= SAME_PART;
    add(
        "part",
        is_there,
        format!("correlation with the golden part {correlation:.2}; at least {SAME_PART:.2}"),
        "the golden part is not to be seen, or lies quite differently: put it in its place, and see that the camera has the picture \
         size and region that it had",
    );
    if let Some(found) = found.filter(|_| is_there) {
        let [right, down] = found.shift.map(|shift| shift * by as f64);
        let limit = limits.shift_percent / 100.0 * longest as f64;
        let mm = |pixels: f64| mm_per_pixel.map(|mm| format!(" ({:.2} mm)", pixels.abs() * mm)).unwrap_or_default();
        let (across, along) = (if right < 0.0 { "left" } else { "right" }, if down < 0.0 { "up" } else { "down" });
        let text = format!(
            "{:.1} px{} to the {across}, {:.1} px{} {along}; at most {limit:.1} px{}",
            right.abs(),
            mm(right),
            down.abs(),
            mm(down),
            mm(limit)
        );
        add("position", right.hypot(down) <= limit, text, "move the camera after the part, or the part's guide back");
        let way = if found.rotation < 0.0 { "anticlockwise" } else { "clockwise" };
        let text = format!("{:.2} degrees {way}; at most {:.2}", found.rotation.abs(), limits.rotation_degrees);
        let advice = "turn the camera the same way, or the part's guide back";
        add("rotation", found.rotation.abs() <= limits.rotation_degrees, text, advice);
        let percent = (found.scale - 1.0) * 100.0;
        let larger = if percent < 0.0 { "smaller" } else { "larger" };
        let text = format!("{:.2} % {larger}; at most {:.2} %", percent.abs(), limits.scale_percent);
        let advice = "check the distance of the camera and the lens: larger is too near, smaller too far";
        add("scale", percent.abs() <= limits.scale_percent, text, advice);
    }
    let (then, here) = (measure(reference), measure(now));
    let change = |now: f64, then: f64| (now / then.max(0.5) - 1.0) * 100.0;
    let changes = [0, 1, 2].map(|channel| change(here.levels[channel], then.levels[channel]));
    let [red, green, blue] = changes;
    let even = changes.iter().all(|change| (change - green).abs() <= limits.brightness_percent);
    add(
        "brightness",
        changes.iter().all(|change| change.abs() <= limits.brightness_percent),
        format!("red {red:+.1} %, green {green:+.1} %, blue {blue:+.1} %; at most {:.1} %", limits.brightness_percent),
        match even {
            true => "check the lamp, its distance, aperture, exposure and gain; clean lens and lamp",
            false => "the channels differ: check the camera's white balance, and the colour of the lamp and of stray light",
        },
    );
    let sharpness = change(here.sharpness / then.sharpness.max(1e-9), 1.0);
    let text = format!("sharpness {sharpness:+.0} %; at most {:.0} %", limits.sharpness_percent);
    let advice = match sharpness < 0.0 {
        true => "focus the lens, clean it, and see that the part does not move while the shutter is open",
        false => "sharper than the golden part's picture: if all is well, capture the golden part anew",
    };
    add("focus", sharpness.abs() <= limits.sharpness_percent, text, advice);
    findings
}
