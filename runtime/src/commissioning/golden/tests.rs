use image::{Rgb, RgbImage};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use config::GoldenLimits;
use detector::preprocess::Rect;

const WIDTH: u32 = 420;
const HEIGHT: u32 = 300;

/// How the camera stands: the truth that the measurement must find.
#[derive(Clone, Copy)]
struct Truth {
    right: f64,
    down: f64,
    degrees: f64,
    scale: f64,
    /// Of each channel.
    gain: [f64; 3],
    /// Radius of the lens' blur in pixels.
    blur: f64,
    noise: f64,
    seed: u64,
}

/// A sharp picture: no lens is without any blur.
const TRUE: Truth = Truth { right: 0.0, down: 0.0, degrees: 0.0, scale: 1.0, gain: [1.0; 3], blur: 1.0, noise: 2.0, seed: 1 };

/// Something like a stamped bracket: a plate with a hole, a slot and a printed mark, on an even belt. 0 to 1.
fn bracket(x: f64, y: f64) -> f64 {
    let inside = |x0: f64, y0: f64, x1: f64, y1: f64| x > x0 && x < x1 && y > y0 && y < y1;
    match () {
        () if (x + 60.0).hypot(y - 12.0) < 22.0 => 0.12,
        () if inside(20.0, -45.0, 95.0, -31.0) => 0.18,
        () if inside(30.0, 20.0, 36.0, 52.0) || inside(36.0, 20.0, 60.0, 26.0) => 0.35,
        () if inside(-110.0, -60.0, 110.0, 60.0) && x + y < 145.0 => 0.72 + 0.0006 * x,
        () => 0.25,
    }
}

/// Four by four samples a pixel, blur by averaging over a disc, each with the light and noise that a camera has.
fn taken(truth: &Truth) -> RgbImage {
    let mut random = StdRng::seed_from_u64(truth.seed);
    let (sin, cos) = truth.degrees.to_radians().sin_cos();
    let (cx, cy) = ((f64::from(WIDTH) - 1.0) / 2.0, (f64::from(HEIGHT) - 1.0) / 2.0);
    // Opposite pairs: a lens blurs to all sides alike.
    let steps: Vec<(f64, f64)> = (0..16)
        .map(|i| {
            let grid = (f64::from(i % 4) * 0.25 - 0.375, f64::from(i / 4) * 0.25 - 0.375);
            let pair = f64::from(i.min(15 - i));
            let (radius, angle) = (truth.blur * ((pair + 0.5) / 8.0).sqrt(), pair * 2.4);
            let side = if i < 8 { 1.0 } else { -1.0 };
            (grid.0 + side * radius * angle.cos(), grid.1 + side * radius * angle.sin())
        })
        .collect();
    RgbImage::from_fn(WIDTH, HEIGHT, |x, y| {
        let sample = |(dx, dy): &(f64, f64)| {
            let (u, v) = (f64::from(x) + dx - cx - truth.right, f64::from(y) + dy - cy - truth.down);
            bracket((cos * u + sin * v) / truth.scale, (cos * v - sin * u) / truth.scale)
        };
        let light = steps.iter().map(sample).sum::<f64>() / steps.len() as f64;
        Rgb([0, 1, 2].map(|channel| {
            // A sum of four is nearly normal.
            let noise = (0..4).map(|_| random.random_range(-1.0..1.0)).sum::<f64>() * 0.87 * truth.noise;
            (light * 250.0 * truth.gain[channel] + noise).round().clamp(0.0, 255.0) as u8
        }))
    })
}

fn found(truth: &Truth) -> Alignment {
    align(&Plane::of(&taken(&TRUE), 1), &Plane::of(&taken(truth), 1)).expect("an alignment")
}

#[track_caller]
fn is_found(truth: Truth) {
    let found = found(&Truth { seed: 2, ..truth });
    let alignment = format!("{found:?}");
    assert!((found.shift[0] - truth.right).abs() < 0.2 && (found.shift[1] - truth.down).abs() < 0.2, "{alignment}");
    let turned = (found.rotation - truth.degrees).rem_euclid(360.0);
    assert!(turned.min(360.0 - turned) < 0.1, "{alignment}");
    assert!((found.scale - truth.scale).abs() < 0.002, "{alignment}");
    assert!(found.correlation > 0.95, "{alignment}");
}

#[test]
fn nothing_moved_is_found() {
    is_found(TRUE);
}

#[test]
fn shifts_are_found_to_a_fraction_of_a_pixel() {
    for (right, down) in [(0.4, -0.3), (3.7, 2.2), (-25.5, 14.0), (60.0, -40.0)] {
        is_found(Truth { right, down, ..TRUE });
    }
}

#[test]
fn rotations_are_found_to_a_tenth_of_a_degree() {
    for degrees in [0.5, -2.0, 7.3, -14.0, 180.0, 183.5] {
        is_found(Truth { degrees, ..TRUE });
    }
}

#[test]
fn scales_are_found_to_a_fifth_of_a_percent() {
    for scale in [0.99, 1.015, 0.9, 1.12] {
        is_found(Truth { scale, ..TRUE });
    }
}

#[test]
fn everything_at_once_in_another_light_is_found() {
    is_found(Truth { right: 12.0, down: -7.5, degrees: 4.2, scale: 1.03, gain: [0.6, 0.7, 0.65], ..TRUE });
    is_found(Truth { right: -6.0, degrees: -1.2, blur: 3.0, noise: 6.0, ..TRUE });
}

#[test]
fn a_round_part_has_no_rotation_to_complain_of() {
    let disc = |seed: u64, right: f64| {
        let mut random = StdRng::seed_from_u64(seed);
        RgbImage::from_fn(200, 200, |x, y| {
            let light = if (f64::from(x) - 100.0 - right).hypot(f64::from(y) - 100.0) < 70.0 { 180.0 } else { 50.0 };
            Rgb([(light + random.random_range(-5.0..5.0)) as u8; 3])
        })
    };
    let found = align(&Plane::of(&disc(1, 0.0), 1), &Plane::of(&disc(2, 5.0), 1)).unwrap();
    assert!(found.rotation.abs() < 0.5 && (found.shift[0] - 5.0).abs() < 0.3, "{found:?}");
}

fn compared(truth: &Truth) -> Vec<Finding> {
    compare(&taken(&TRUE), &taken(&Truth { seed: 3, ..*truth }), &GoldenLimits::default(), Some(0.1))
}

/// Exactly these do not hold.
#[track_caller]
fn fails(truth: Truth, measures: &[&str], words: &[&str]) {
    let findings = compared(&truth);
    let failed: Vec<_> = findings.iter().filter(|finding| !finding.holds).collect();
    assert_eq!(failed.iter().map(|finding| finding.measure).collect::<Vec<_>>(), measures, "{findings:?}");
    for word in words {
        assert!(failed.iter().any(|finding| finding.text.contains(word) || finding.advice.contains(word)), "{word}: {failed:?}");
    }
}

#[test]
fn a_deviation_is_reported_with_its_size_and_advice() {
    fails(TRUE, &[], &[]);
    fails(
        Truth { right: 6.0, down: -3.0, ..TRUE },
        &["position"],
        &["6.0 px (0.60 mm) to the right, 3.0 px (0.30 mm) up", "move the camera"],
    );
    fails(Truth { degrees: -2.0, ..TRUE }, &["rotation"], &["anticlockwise", "turn the camera"]);
    fails(Truth { scale: 1.03, ..TRUE }, &["scale"], &["% larger", "too near"]);
    fails(Truth { gain: [0.9; 3], ..TRUE }, &["brightness"], &["red -10", "check the lamp"]);
    fails(Truth { gain: [1.0, 1.0, 1.1], ..TRUE }, &["brightness"], &["blue +10", "white balance"]);
    fails(Truth { blur: 3.0, ..TRUE }, &["focus"], &["focus the lens"]);
}

#[test]
fn sharpness_does_not_care_about_light() {
    let sharpness = |truth: &Truth| Plane::of(&taken(truth), 1).sharpness();
    let sharp = sharpness(&TRUE);
    let dark = sharpness(&Truth { gain: [0.6; 3], noise: 1.2, ..TRUE });
    assert!((dark / sharp - 1.0).abs() < 0.05, "{dark} {sharp}");
    let blurred = [2.0, 3.0, 4.5].map(|blur| sharpness(&Truth { blur, ..TRUE }));
    assert!(blurred[0] < 0.8 * sharp && blurred.windows(2).all(|pair| pair[1] < 0.9 * pair[0]), "{sharp} {blurred:?}");
}

#[test]
fn something_else_is_not_the_golden_part() {
    let mut random = StdRng::seed_from_u64(5);
    let noise = RgbImage::from_fn(WIDTH, HEIGHT, |_, _| Rgb(random.random()));
    let even = RgbImage::from_pixel(WIDTH, HEIGHT, Rgb([90; 3]));
    let smaller = RgbImage::from_pixel(40, 30, Rgb([90; 3]));
    for other in [&noise, &even, &smaller] {
        let findings = compare(&taken(&TRUE), other, &GoldenLimits::default(), None);
        assert!(
            findings[0].measure == "part" && !findings[0].holds && findings[0].advice.contains("not to be seen"),
            "{findings:?}"
        );
        assert!(findings.iter().all(|finding| finding.measure != "position"), "{findings:?}");
    }
    // Tiny and even pictures are no reason to panic either way round.
    for small in [1, 2, 7, 9] {
        let small = RgbImage::from_pixel(small, 1, Rgb([3; 3]));
        compare(&small, &small, &GoldenLimits::default(), None);
    }
}

#[test]
fn large_pictures_are_measured_in_their_own_pixels() {
    let enlarge =
        |picture: RgbImage| image::imageops::resize(&picture, 4 * WIDTH, 4 * HEIGHT, image::imageops::FilterType::Nearest);
    let (then, now) = (enlarge(taken(&TRUE)), enlarge(taken(&Truth { right: 5.0, seed: 2, ..TRUE })));
    let findings = compare(&then, &now, &GoldenLimits::default(), None);
    let position = findings.iter().find(|finding| finding.measure == "position").unwrap();
    let pixels: f64 = position.text.split(' ').next().unwrap().parse().unwrap();
    assert!((pixels - 20.0).abs() < 0.5, "{position:?}");
}

#[test]
fn narrow_regions_are_measured_too() {
    let strip = |truth: &Truth| Rect { x: 0, y: 140, width: WIDTH, height: 40 }.crop(&taken(truth)).unwrap();
    let (then, now) = (strip(&TRUE), strip(&Truth { right: 6.0, seed: 2, ..TRUE }));
    let found = align(&Plane::of(&then, 1), &Plane::of(&now, 1)).unwrap();
    assert!((found.shift[0] - 6.0).abs() < 0.3 && found.shift[1].abs() < 0.3, "{found:?}");
}
