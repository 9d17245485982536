//! `[views]`, `[recipes]` and `[line.recipe]`: what they become, and settings that are refused.

use std::path::Path;
use std::time::Duration;

use detector::preprocess::Rect;

use crate::line::Travel;
use crate::{Config, Seat, SeatId, Setting};

const LEAST: &str = "[detector]\nbundle = \"a.apc\"\n[source.camera]\ndevice = \"v\"\nformat = \"GREY\"\nwidth = 640\nheight = 480\n\
                     controls.gain = 1\n[line]\ndelay_ms = 500\n";
const BY_CODE: &str = "[line.recipe]\ncode = [{ line = \"C0\" }, { line = \"C1\" }]\n";
const BY_SOCKET: &str = "[line.recipe]\nsocket = \"s\"\nstart = \"nut\"\n";
const SIDE: &str = "[views.side]\nsource.replay.images = \"i\"\n";

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("line.toml"), text).map_err(|error| error.to_string())
}

#[track_caller]
fn refused(more: &str, words: &[&str]) {
    let error = parse(&format!("{LEAST}{more}")).unwrap_err();
    for word in words {
        assert!(error.contains(word), "no {word:?} in {error}");
    }
}

fn names<'a>(names: impl IntoIterator<Item = &'a String>) -> Vec<&'a str> {
    names.into_iter().map(String::as_str).collect()
}

#[test]
fn a_product_overrides_the_rest_of_the_configuration() {
    let text = format!(
        "{LEAST}{BY_CODE}{SIDE}[recipes.bolt]\ncode = 2\ncontrols = {{ gain = 5 }}\ndelay_ms = 600\n[recipes.nut]\ncode = 1\n\
         bundle = \"nut.apc\"\nregion = [0, 0, 320, 240]\nthreshold = 3.5\nviews.side = {{ bundle = \"side.apc\", threshold = 2.0 }}\n"
    );
    let config = parse(&text).unwrap();
    assert_eq!(names(config.products.iter().map(|product| &product.name)), ["bolt", "nut"]);
    assert_eq!(names(config.views.iter().map(|view| &view.name)), ["main", "side"]);
    let [bolt, bolt_side, nut, nut_side] = &config.seats().map(|(_, seat)| seat.clone()).collect::<Vec<Seat>>()[..] else {
        panic!()
    };
    assert_eq!((&bolt.bundle, bolt.region, bolt.threshold), (&"a.apc".into(), None, None));
    assert_eq!(bolt.controls["gain"], Setting::Integer(5));
    let region = Some(Rect { x: 0, y: 0, width: 320, height: 240 });
    assert_eq!((&nut.bundle, nut.region, nut.threshold), (&"nut.apc".into(), region, Some(3.5)));
    assert_eq!(nut.controls["gain"], Setting::Integer(1), "the control of the camera");
    assert_eq!(bolt_side.bundle, Path::new("a.apc"));
    assert_eq!((&nut_side.bundle, nut_side.threshold), (&"side.apc".into(), Some(2.0)));
    assert_eq!(config.seat(SeatId { product: 1, view: 0 }), nut);
    assert_eq!(config.bundles(), ["a.apc", "nut.apc", "side.apc"].map(Path::new));
    let control = config.line.unwrap().control;
    let delays: Vec<_> = control.timings.iter().map(|timing| timing.delay).collect();
    assert_eq!(delays, [600, 500].map(|ms| Travel::Time(Duration::from_millis(ms))));
    assert_eq!(control.views, 2);
}

#[test]
fn a_line_without_products_makes_one_that_has_no_name() {
    let mut config = parse(LEAST).unwrap();
    assert!(config.has_one_nameless_product());
    assert_eq!((config.views.len(), config.first_product()), (1, 0));
    assert_eq!(config.seat(SeatId { product: 0, view: 0 }).controls["gain"], Setting::Integer(1));
    let control = &config.line.as_ref().unwrap().control;
    assert_eq!((control.timings.len(), control.views), (1, 1));
    assert!(config.replace_bundle(Path::new("b.apc")));
    assert_eq!(config.bundles(), [Path::new("b.apc")]);
}

#[test]
fn a_service_begins_with_the_product_that_is_named() {
    let config = parse(&format!("{LEAST}{BY_SOCKET}[recipes.bolt]\nbundle = \"b.apc\"\n[recipes.nut]\n")).unwrap();
    assert_eq!((config.first_product(), config.has_one_nameless_product()), (1, false));
    assert!(!config.clone().replace_bundle(Path::new("c.apc")), "there are two bundles");
}

#[test]
fn how_a_product_is_chosen_must_be_clear() {
    refused("[recipes.nut]\n", &["[recipes] needs [line.recipe]"]);
    refused(BY_CODE, &["[line.recipe]", "none"]);
    refused("[line.recipe]\n", &["exactly one"]);
    refused(&format!("{BY_SOCKET}code = []\n"), &["exactly one"]);
    refused("[line.recipe]\ncode = []\n", &["1 to 8"]);
    refused("[line.recipe]\nsocket = \"s\"\n", &["recipe.start is missing"]);
    refused(&format!("{BY_CODE}start = \"nut\"\n"), &["recipe.start", "remove"]);
    refused(&format!("{BY_SOCKET}settle_ms = 5\n"), &["recipe.settle_ms", "remove"]);
    refused(&format!("{BY_SOCKET}[recipes.bolt]\n"), &["line.recipe.start is \"nut\"", "bolt"]);
    refused(&format!("{BY_SOCKET}[recipes.nut]\ncode = 1\n"), &["recipes.nut.code", "remove"]);
    refused(&format!("{BY_CODE}[recipes.nut]\n"), &["recipes.nut.code", "0 to 3"]);
    refused(&format!("{BY_CODE}[recipes.nut]\ncode = 4\n"), &["recipes.nut.code", "0 to 3"]);
    refused(&format!("{BY_CODE}[recipes.nut]\ncode = 1\n[recipes.bolt]\ncode = 1\n"), &["recipes.nut.code", "recipes.bolt.code"]);
    refused(&format!("{BY_SOCKET}[recipes.\"\"]\n"), &["1 to 64 bytes"]);
}

#[test]
fn settings_that_a_product_cannot_change_are_refused() {
    let nut = |keys: &str| format!("{BY_SOCKET}[recipes.nut]\n{keys}\n");
    refused(&nut("exposure = 5"), &["exposure"]);
    refused(&nut("threshold = -1.0"), &["score above 0"]);
    refused(&nut("region = [0, 0, 0, 5]"), &["width and a height"]);
    refused(&nut("region = [600, 0, 100, 5]"), &["[600, 0, 100, 5]", "product nut", "640x480"]);
    refused(&nut("delay_pulses = 5"), &["recipes.nut", "delay_ms"]);
    refused(&nut("delay_ms = 5"), &["recipes.nut", "spacing"]);
    refused(&nut("deadline_ms = 600"), &["recipes.nut", "deadline"]);
    refused(&nut("views.top.threshold = 1.0"), &["recipes.nut.views.top", "[views]"]);
    let half = nut("controls.exposure = 5\n[recipes.bolt]");
    refused(&half, &["recipes.nut.controls.exposure", "bolt"]);
    assert!(parse(&format!("{LEAST}{}", half + "controls.exposure = 7\n")).is_ok());
    refused(&format!("{SIDE}{}", nut("views.side.controls.gain = 5")), &["recipes.nut.views.side.controls", "replay"]);
}

#[test]
fn views_must_be_cameras_of_a_line() {
    let without_line = LEAST.split("[line]").next().unwrap();
    let error = parse(&format!("{without_line}{SIDE}")).unwrap_err();
    assert!(error.contains("[views] needs [line]"), "{error}");
    refused("[views.main]\nsource.replay.images = \"i\"\n", &["views.main", "another"]);
    refused(&SIDE.replace("side", "side.wrong"), &["wrong"]);
    refused(&format!("{SIDE}[line.trigger]\nwindow_ms = 15\n"), &["line.spacing_ms", "twice"]);
    let same = "[views.side.source.camera]\ndevice = \"v\"\nformat = \"GREY\"\nwidth = 640\nheight = 480\n";
    refused(same, &["views.side", "the same camera as main"]);
    let many: String = (0..8).map(|number| SIDE.replace("side", &format!("side{number}"))).collect();
    refused(&many, &["at most 7"]);
}
