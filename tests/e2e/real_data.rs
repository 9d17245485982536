//! The whole main job on real images, with ImageNet weights: trained, exported, judged. Skipped where the images are not
//! (`APC_DATA`, see `cargo xtask test`).
//!
//! Floors are a little below what `cargo xtask bench product` prints, since libtorch's arithmetic differs between processors and one
//! seed is not a mean; a broken step costs far more (random weights give 0.75 on the pills).

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::run;

struct Product {
    name: &'static str,
    recipe: &'static str,
    image_auroc: f64,
    pixel_auroc: f64,
}

/// Folder of the real images; none where there are none, which is said.
fn real_data() -> Option<PathBuf> {
    let data = std::env::var_os("APC_DATA").map(PathBuf::from).filter(|data| data.is_dir());
    if data.is_none() {
        println!("skipped: no real images (APC_DATA names no folder)");
    }
    data
}

impl Product {
    /// PatchCore from images to figures, through the int8 bundle.
    fn check(&self) {
        let Some(data) = real_data() else { return };
        let images = data.join(self.name);
        let weights = data.join("weights/resnet18_imagenet_layer3.safetensors");
        let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/train").join(self.recipe);
        let folder = tempfile::tempdir().unwrap();
        let (out, bundle) = (folder.path().join("run"), folder.path().join("product.apc"));
        let arguments = ["train".as_ref(), "--config".as_ref(), recipe.as_os_str(), "--data".as_ref(), images.as_os_str()];
        let places = ["--weights".as_ref(), weights.as_os_str(), "--out".as_ref(), out.as_os_str()];
        run("apc-trainer", arguments.into_iter().chain(places)).expect(0);
        let arguments = ["bundle".as_ref(), out.as_os_str(), "-o".as_ref(), bundle.as_os_str(), "--no-evaluate".as_ref()];
        run("apc-export", arguments).expect(0);
        let arguments = ["evaluate".as_ref(), "--json".as_ref(), "--model".as_ref(), bundle.as_os_str()];
        let arguments = arguments.into_iter().chain(["--data".as_ref(), images.as_os_str()]);
        let figures: Value = serde_json::from_str(&run("apc-runtime", arguments).expect(0).stdout).unwrap();
        println!("{}: {figures}", self.name);
        for (figure, floor) in [("image_auroc", self.image_auroc), ("pixel_auroc", self.pixel_auroc)] {
            assert!(figures[figure].as_f64().unwrap() >= floor, "{figure} is below {floor}: {figures}");
        }
    }
}

#[test]
fn pills() {
    Product { name: "mvtec_pill", recipe: "patchcore.toml", image_auroc: 0.935, pixel_auroc: 0.955 }.check();
}

#[test]
fn cookies() {
    Product { name: "cookies", recipe: "whole.toml", image_auroc: 0.96, pixel_auroc: 0.94 }.check();
}
