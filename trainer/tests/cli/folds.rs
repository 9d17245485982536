//! Thresholds from all good images: each is scored by a detector that has not learned from it.

use std::fs;

use detector::run::{FoldScores, Run, Use};
use image::RgbImage;

use crate::place::{Place, SMALL, error, trainer};

/// Trains with fixed features, those of an earlier run.
fn run(place: &Place, out: &str, recipe: &str) -> Run {
    place.recipe(recipe);
    let weights = place.path("kept.safetensors");
    let output = place.train(out, &["--weights", weights.to_str().unwrap()]);
    assert!(output.status.success(), "{}", error(&output));
    Run::open(&place.path(out)).unwrap()
}

#[track_caller]
fn check(run: &Run, images: usize) -> FoldScores {
    let scores = run.info.fold_scores.clone().unwrap();
    assert_eq!((scores.folds, run.info.calibration.len(), scores.unseen.len()), (10, images, images));
    let split = run.split().unwrap();
    let of_bank: Vec<_> = split.images.iter().filter(|image| image.r#use == Use::Bank).collect();
    assert_eq!(of_bank.len(), images, "nothing is held out");
    let named: Vec<_> = run.info.calibration.iter().map(|picture| picture.image.clone().unwrap()).collect();
    assert_eq!(named, of_bank.iter().map(|image| image.path.clone()).collect::<Vec<_>>());
    assert!((0..10).all(|fold| of_bank.iter().any(|image| image.fold == Some(fold))));
    // A detector scores an image higher that it has not learned from.
    let higher = scores.unseen.iter().zip(&scores.seen).filter(|(unseen, seen)| unseen > seen).count();
    assert!(higher * 2 > images, "{scores:?}");
    scores
}

#[test]
fn with_fixed_features_every_good_image_counts_for_the_threshold() {
    let place = Place::new(4);
    assert!(place.train("first", &[]).status.success());
    assert!(Run::open(&place.path("first")).unwrap().info.fold_scores.is_none(), "a backbone that learns has seen every image");
    let (first, kept) = (place.path("first"), place.path("kept.safetensors"));
    let output = trainer(&["weights", "keep", first.to_str().unwrap(), "--out", kept.to_str().unwrap()]);
    assert!(output.status.success(), "{}", error(&output));
    let (kept, whole) = (fs::metadata(kept).unwrap().len(), fs::metadata(first.join("weights.safetensors")).unwrap().len());
    assert!(kept < whole * 6 / 10, "half precision: {kept} of {whole} bytes");

    let plain = SMALL.replace("\"apc\"", "\"patchcore\"").replace("[examples]\nbatch = 4\n[finetune]\ncheckpoint = 2\n", "");
    let patchcore = run(&place, "patchcore", &plain);
    let scores = check(&patchcore, 14);
    assert!(scores.unseen.iter().zip(&scores.seen).all(|(unseen, seen)| unseen + 1e-4 >= *seen), "{scores:?}");
    let output = trainer(&["evaluate", place.path("patchcore").to_str().unwrap(), "--json"]);
    assert!(output.status.success(), "{}", error(&output));

    let heads = SMALL.replace("\"apc\"", "\"apc+\"").replace("[finetune]\ncheckpoint = 2\n", "");
    let heads = format!("{heads}[defects]\nunits = 8\nexamples = 20\nsteps = 6\n[smoothing]\nneighbourhood = 3\n");
    let with_heads = run(&place, "heads", &heads);
    check(&with_heads, 14);
    let samples = with_heads.split().unwrap().images.iter().filter(|image| image.r#use == Use::Anomalous).count();
    assert!(samples > 0 && with_heads.info.anomalous_scores.len() == samples, "each sample is unknown to one head");
    // A share that is held out stays possible, and a single head has learned from half of the images.
    let held_out = run(&place, "held-out", &heads.replace("[data]\n", "[data]\ncalibration_share = 0.4\n"));
    assert!(held_out.info.fold_scores.is_none() && held_out.info.calibration.len() == 6);
    let single = run(&place, "single", &heads.replace("[defects]\n", "[defects]\nheads = 1\n"));
    assert!(single.info.fold_scores.is_none() && single.info.calibration.len() == 5);
    assert!(single.info.anomalous_scores.is_empty(), "a single head has learned from all samples");

    // An update keeps folds, and the new images count too.
    fs::create_dir_all(place.path("add/good")).unwrap();
    for i in 0..3u8 {
        RgbImage::from_pixel(64, 64, image::Rgb([90 + i; 3])).save(place.path(&format!("add/good/{i}.png"))).unwrap();
    }
    let path = |name: &str| place.path(name).to_str().unwrap().to_owned();
    let output = trainer(&["update", &path("heads"), "--add", &path("add"), "--out", &path("new"), "--device", "cpu"]);
    assert!(output.status.success(), "{}", error(&output));
    check(&Run::open(&place.path("new")).unwrap(), 17);
}
