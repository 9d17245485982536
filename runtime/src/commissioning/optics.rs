//! Whether a camera can see parts and defects, computed from the scene in the configuration.

use config::{CameraConfig, Scene};
use detector::preprocess::{Preprocess, Rect, Resize};
use detector::{Error, Result};

/// Blur beyond this hides what the network could see.
const LARGEST_BLUR_PX: f64 = 2.0;
/// A defect that covers fewer of the network's pixels, each way, only shades its surroundings.
const LEAST_DEFECT_PX: f64 = 2.0;

/// Whether a camera of so many frames per second sees each part of a scene; no rate is known of some cameras.
///
/// # Errors
/// When more parts than frames come.
pub fn takt(scene: &Scene, rate: Option<f64>) -> Result<String> {
    let parts = scene.parts_per_second;
    match rate {
        Some(rate) if rate < parts => Err(Error::invalid(format!(
            "{parts} parts per second pass, and the camera gives {rate:.2} frames: parts will be missed"
        ))),
        Some(rate) => Ok(format!("{parts} parts per second, {rate:.2} frames")),
        None => Ok(format!("{parts} parts per second; the camera does not tell its rate")),
    }
}

/// How far parts move while the shutter is open, for a picture `width` pixels wide.
///
/// # Errors
/// When the blur hides what the network could see.
pub fn blur(scene: &Scene, width: u32) -> Result<String> {
    let pixel = scene.width_mm / f64::from(width);
    let moved = scene.belt_speed_mm_s * scene.exposure_ms / 1e3;
    let pixels = moved / pixel;
    let text = format!("parts move {moved:.3} mm while the shutter is open, {pixels:.1} px of {pixel:.3} mm");
    if pixels <= LARGEST_BLUR_PX {
        return Ok(text);
    }
    let exposure = LARGEST_BLUR_PX * pixel / scene.belt_speed_mm_s * 1e3;
    Err(Error::invalid(format!("{text}: expose for at most {exposure:.2} ms, with more light")))
}

/// The smallest defect that the network's resolution shows. The detector gets `region` of the picture, or all of it.
///
/// # Errors
/// When the configuration wishes for a smaller defect.
pub fn smallest_defect(scene: &Scene, camera: &CameraConfig, region: Option<Rect>, input: &Preprocess) -> Result<String> {
    let whole = Rect { x: 0, y: 0, width: camera.width, height: camera.height };
    let looked_at = input.region.or(region).unwrap_or(whole);
    let across = f64::from(looked_at.width) / f64::from(input.size.width);
    let down = f64::from(looked_at.height) / f64::from(input.size.height);
    // Stretching blurs one direction more than the other; letterboxing scales by the larger of both. Enlarging adds nothing.
    let (scale, longer) = match input.resize {
        Resize::Stretch if across == down => (across, ""),
        Resize::Stretch if across > down => (across, " across"),
        Resize::Stretch => (down, " down"),
        Resize::Letterbox => (across.max(down), ""),
    };
    let network_pixel = scale.max(1.0) * scene.width_mm / f64::from(camera.width);
    let smallest = LEAST_DEFECT_PX * network_pixel;
    let text = format!(
        "a pixel of the network shows {network_pixel:.3} mm{longer}, {:.1} px of the camera: defects below {smallest:.2} mm \
         ({LEAST_DEFECT_PX} px) cannot be seen",
        scale.max(1.0)
    );
    match scene.smallest_defect_mm {
        Some(wanted) if wanted < smallest => Err(Error::invalid(format!(
            "{text}, but scene.smallest_defect_mm is {wanted}: look at a smaller region, or train with a larger input"
        ))),
        _ => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use detector::picture::Colour;
    use detector::preprocess::{IMAGENET_MEAN, IMAGENET_STD, Size};

    const SCENE: Scene =
        Scene { width_mm: 128.0, belt_speed_mm_s: 200.0, exposure_ms: 1.0, parts_per_second: 20.0, smallest_defect_mm: None };

    #[test]
    fn too_much_blur_is_refused_with_the_exposure_that_would_do() {
        assert!(blur(&SCENE, 640).unwrap().contains("0.200 mm while the shutter is open, 1.0 px of 0.200 mm"));
        let error = blur(&Scene { exposure_ms: 4.0, ..SCENE }, 640).unwrap_err().to_string();
        assert!(error.contains("4.0 px") && error.contains("at most 2.00 ms"), "{error}");
    }

    #[test]
    fn too_slow_a_camera_is_refused_with_numbers() {
        assert!(takt(&SCENE, Some(30.0)).is_ok() && takt(&SCENE, None).is_ok());
        let error = takt(&SCENE, Some(15.0)).unwrap_err().to_string();
        assert!(error.contains("20 parts") && error.contains("15.00 frames"), "{error}");
    }

    #[test]
    fn the_networks_pixels_bound_the_smallest_defect() {
        let camera: CameraConfig = toml::from_str("device = \"v\"\nformat = \"GREY\"\nwidth = 1280\nheight = 960\n").unwrap();
        let input = |resize, region| Preprocess {
            colour: Colour::Grey,
            region,
            size: Size { height: 320, width: 320 },
            resize,
            crop: None,
            mean: IMAGENET_MEAN,
            std: IMAGENET_STD,
        };
        let smallest = |scene: &Scene, region, input: Preprocess| smallest_defect(scene, &camera, region, &input);
        let square = Some(Rect { x: 0, y: 0, width: 640, height: 640 });
        // 0.1 mm for each of the camera's pixels.
        let whole = smallest(&SCENE, None, input(Resize::Stretch, None)).unwrap();
        assert!(whole.contains("0.400 mm across, 4.0 px of the camera: defects below 0.80 mm (2 px)"), "{whole}");
        assert!(smallest(&SCENE, None, input(Resize::Letterbox, None)).unwrap().contains("0.400 mm, 4.0 px"));
        assert!(smallest(&SCENE, square, input(Resize::Stretch, None)).unwrap().contains("below 0.40 mm"));
        let inner = Some(Rect { x: 10, y: 10, width: 160, height: 160 });
        assert!(smallest(&SCENE, square, input(Resize::Stretch, inner)).unwrap().contains("below 0.20 mm"));
        let wanted = Scene { smallest_defect_mm: Some(0.5), ..SCENE };
        let error = smallest(&wanted, None, input(Resize::Stretch, None)).unwrap_err().to_string();
        assert!(error.contains("smallest_defect_mm is 0.5") && error.contains("smaller region"), "{error}");
        assert!(smallest(&wanted, square, input(Resize::Stretch, None)).is_ok());
    }
}
