//! Checks `[views]` and `[recipes]`: several cameras that look at one part, and several products on one line.

use std::collections::BTreeMap;

use crate::camera::Controls;
use crate::config::{NAME_LIMIT, PRODUCTS_LIMIT, VIEWS_LIMIT};
use crate::error::Problem;
use crate::raw::{RawConfig, RawOverlay};
use crate::region::as_array;
use crate::seat::{MAIN, Product, Seat, View};
use crate::source::SourceConfig;

/// Refuses views and products without `[line]`: only a trigger joins the views of a part and determines its product.
pub(super) fn refuse_without_line(raw: &RawConfig) -> Result<(), Problem> {
    let sections = [("[views]", raw.views.is_empty()), ("[recipes]", raw.recipes.is_empty())];
    match sections.into_iter().find(|(_, is_empty)| !is_empty) {
        Some((section, _)) => Err(Problem::new(
            section,
            "needs [line]: only with a line, parts have a trigger that joins their views and determines their product",
        )),
        None => Ok(()),
    }
}

/// The views, that of `[source]` first.
pub(super) fn views(raw: &RawConfig) -> Result<Vec<View>, Problem> {
    if raw.views.contains_key(MAIN) {
        let problem = "has the name of the camera in [source]; choose another name";
        return Err(Problem::new(format!("views.{MAIN}"), problem));
    }
    if raw.views.len() >= VIEWS_LIMIT {
        let problem = format!("has {} cameras beside [source]; expected at most {}", raw.views.len(), VIEWS_LIMIT - 1);
        return Err(Problem::new("[views]", problem));
    }
    let others = raw.views.iter().map(|(name, view)| (name.as_str(), &view.source));
    let mut devices = BTreeMap::new();
    let mut views = Vec::new();
    for (name, source) in std::iter::once((MAIN, &raw.source)).chain(others) {
        check_name("views", name)?;
        if let SourceConfig::Camera(camera) = source
            && let Some(other) = devices.insert(&camera.device, name)
        {
            let problem = format!("looks through {}, the same camera as {other}", camera.device.display());
            return Err(Problem::new(format!("views.{name}"), problem));
        }
        views.push(View { name: name.to_owned(), source: source.clone() });
    }
    Ok(views)
}

/// The products, sorted by name; one product without a name if there are no `[recipes]`.
pub(super) fn products(raw: &RawConfig) -> Result<Vec<Product>, Problem> {
    if raw.recipes.is_empty() {
        return Ok(vec![Product::default()]);
    }
    if raw.recipes.len() > PRODUCTS_LIMIT {
        let problem = format!("has {} products; expected at most {PRODUCTS_LIMIT}", raw.recipes.len());
        return Err(Problem::new("[recipes]", problem));
    }
    let mut products = Vec::new();
    for (name, product) in &raw.recipes {
        check_name("recipes", name)?;
        if let Some(view) = product.views.keys().find(|view| !raw.views.contains_key(*view)) {
            let others: Vec<&String> = raw.views.keys().collect();
            let problem = format!(
                "changes a camera that [views] does not have; it has {others:?} (what is meant for the camera of [source] stands in \
                 [recipes.{name}] itself)"
            );
            return Err(Problem::new(format!("recipes.{name}.views.{view}"), problem));
        }
        products.push(Product { name: name.clone(), code: product.code });
    }
    Ok(products)
}

/// The seats, product by product, view by view.
pub(super) fn seats(raw: &RawConfig, views: &[View], products: &[Product]) -> Result<Vec<Seat>, Problem> {
    for view in views {
        check_controls(raw, view)?;
    }
    let mut seats = Vec::new();
    for product in products {
        for view in views {
            let seat = seat(raw, view, product);
            check_region(&seat, view, product)?;
            seats.push(seat);
        }
    }
    Ok(seats)
}

fn seat(raw: &RawConfig, view: &View, product: &Product) -> Seat {
    let own = raw.views.get(&view.name);
    let RawOverlay { bundle, region, threshold, controls } = overlay(raw, view, product);
    let mut all = match &view.source {
        SourceConfig::Camera(camera) => camera.controls.clone(),
        SourceConfig::Replay(_) => Controls::new(),
    };
    all.extend(controls);
    let bundle = bundle.or_else(|| own?.bundle.clone());
    Seat {
        bundle: bundle.unwrap_or_else(|| raw.detector.bundle.clone()),
        region: region.or_else(|| own?.region),
        threshold: threshold.or_else(|| own?.threshold),
        controls: all,
    }
}

fn overlay(raw: &RawConfig, view: &View, product: &Product) -> RawOverlay {
    raw.recipes.get(&product.name).map(|product| product.overlay(&view.name)).unwrap_or_default()
}

fn check_name(section: &str, name: &str) -> Result<(), Problem> {
    match (1..=NAME_LIMIT).contains(&name.len()) {
        true => Ok(()),
        false => Err(Problem::new(
            format!("{section}.{name:?}"),
            format!("has a name of {} bytes; expected 1 to {NAME_LIMIT} bytes", name.len()),
        )),
    }
}

/// Refuses a control that one product sets and another does not: its value would depend on the product before.
fn check_controls(raw: &RawConfig, view: &View) -> Result<(), Problem> {
    let key = |product: &str| match view.name.as_str() {
        MAIN => format!("recipes.{product}.controls"),
        name => format!("recipes.{product}.views.{name}.controls"),
    };
    let all: Vec<(&String, Controls)> =
        raw.recipes.iter().map(|(name, product)| (name, product.overlay(&view.name).controls)).collect();
    let SourceConfig::Camera(camera) = &view.source else {
        return match all.iter().find(|(_, controls)| !controls.is_empty()) {
            Some((name, _)) => Err(Problem::new(key(name), "changes controls, but a replay has none; remove them")),
            None => Ok(()),
        };
    };
    for (name, controls) in &all {
        for control in controls.keys().filter(|control| !camera.controls.contains_key(*control)) {
            if let Some((other, _)) = all.iter().find(|(_, others)| !others.contains_key(control)) {
                let problem = format!(
                    "is not set by the product {other}, nor by the camera's own controls: it would stay as the last product had it; set it \
                     in one of the two"
                );
                return Err(Problem::new(format!("{}.{control}", key(name)), problem));
            }
        }
    }
    Ok(())
}

fn check_region(seat: &Seat, view: &View, product: &Product) -> Result<(), Problem> {
    let (SourceConfig::Camera(camera), Some(region)) = (&view.source, seat.region) else { return Ok(()) };
    if region.lies_in(camera.width, camera.height) {
        return Ok(());
    }
    let of_product = if product.name.is_empty() { String::new() } else { format!(" for the product {}", product.name) };
    let problem = format!(
        "{:?} of the view {}{of_product} does not lie in its pictures of {}x{}",
        as_array(region),
        view.name,
        camera.width,
        camera.height
    );
    Err(Problem::new("region", problem))
}
