//! `[views]` and `[recipes]`: several cameras that look at one part, and several products on one line. Every key is documented in
//! `configs/line/recipes.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::line::{ChosenBy, LineSettings, Timing, Travel, some_ms, some_pulses};
use super::{LineConfig, SourceConfig, bounded};
use crate::camera::v4l2::control::Setting;
use crate::live::NAME_LIMIT;

/// The view of `[source]`.
pub const MAIN: &str = "main";
/// Most cameras that look at one part.
pub const VIEWS_LIMIT: usize = 8;
/// Most products of a line: their detectors are all in memory.
pub const RECIPES_LIMIT: usize = 64;

/// Another camera that looks at the same parts.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewConfig {
    /// Its bundle; `detector.bundle` if left out.
    pub bundle: Option<PathBuf>,
    /// Part of its pictures that the detector gets.
    #[serde(default, deserialize_with = "region")]
    pub region: Option<Region>,
    /// Takes the place of the bundle's threshold.
    #[serde(default, deserialize_with = "threshold")]
    pub threshold: Option<f32>,
    /// Where its frames come from.
    pub source: SourceConfig,
}

/// A product: what differs from the rest of the configuration while it is made.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecipeConfig {
    /// What the lines of `line.recipe.code` show for it.
    pub code: Option<u32>,
    /// From trigger to actuator.
    #[serde(deserialize_with = "some_ms")]
    pub delay_ms: Option<Duration>,
    /// From trigger to actuator, in pulses.
    #[serde(deserialize_with = "some_pulses")]
    pub delay_pulses: Option<u32>,
    /// An answer that comes later than this after the trigger is none.
    #[serde(deserialize_with = "some_ms")]
    pub deadline_ms: Option<Duration>,
    /// Of the camera in `[source]`.
    pub bundle: Option<PathBuf>,
    /// Of the camera in `[source]`.
    #[serde(deserialize_with = "region")]
    pub region: Option<Region>,
    /// Of the camera in `[source]`.
    #[serde(deserialize_with = "threshold")]
    pub threshold: Option<f32>,
    /// Of the camera in `[source]`.
    pub controls: Controls,
    /// Of the other cameras.
    pub views: BTreeMap<String, Overlay>,
}

/// What a recipe changes for one camera.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Overlay {
    /// The view's bundle.
    pub bundle: Option<PathBuf>,
    /// Part of the pictures that the detector gets.
    #[serde(deserialize_with = "region")]
    pub region: Option<Region>,
    /// Takes the place of the bundle's threshold.
    #[serde(deserialize_with = "threshold")]
    pub threshold: Option<f32>,
    /// Of the camera; they add to its own.
    pub controls: Controls,
}

/// Left, top, width and height in pixels.
pub type Region = [u32; 4];
/// By the camera's own names.
pub type Controls = BTreeMap<String, Setting>;

/// What one camera's pictures of one product are judged by.
#[derive(Clone, Debug, PartialEq)]
pub struct Product {
    /// The bundle.
    pub bundle: PathBuf,
    /// Part of the pictures that the detector gets.
    pub region: Option<Region>,
    /// Takes the place of the bundle's threshold.
    pub threshold: Option<f32>,
    /// All that the camera is set to.
    pub controls: Controls,
}

impl RecipeConfig {
    fn overlay(&self, view: &str) -> Overlay {
        if view != MAIN {
            return self.views.get(view).cloned().unwrap_or_default();
        }
        let RecipeConfig { bundle, region, threshold, controls, .. } = self.clone();
        Overlay { bundle, region, threshold, controls }
    }
}

impl LineConfig {
    /// Names of the cameras, that of `[source]` first. Their places are the views' numbers.
    pub fn view_names(&self) -> Vec<&str> {
        std::iter::once(MAIN).chain(self.views.keys().map(String::as_str)).collect()
    }

    /// Names of the products. Their places are the recipes' numbers; a line without recipes makes one product without a name.
    pub fn recipe_names(&self) -> Vec<&str> {
        if self.recipes.is_empty() { vec![""] } else { self.recipes.keys().map(String::as_str).collect() }
    }

    /// A view's source.
    pub fn view_source(&self, view: &str) -> &SourceConfig {
        self.views.get(view).map_or(&self.source, |view| &view.source)
    }

    /// The recipe that a service begins with.
    pub fn first_recipe(&self) -> usize {
        match self.line.as_ref().and_then(|line| line.recipe.as_ref()) {
            Some(ChosenBy::Socket { start, .. }) => self.recipe_names().iter().position(|name| name == start).unwrap_or(0),
            _ => 0,
        }
    }

    /// What a view's pictures are judged by while a recipe is made.
    pub fn product(&self, recipe: &str, view: &str) -> Product {
        let own = self.views.get(view);
        let overlay = self.recipes.get(recipe).map(|recipe| recipe.overlay(view)).unwrap_or_default();
        let mut controls = match self.view_source(view) {
            SourceConfig::Camera(camera) => camera.controls.clone(),
            SourceConfig::Replay(_) => Controls::new(),
        };
        controls.extend(overlay.controls);
        let bundle = overlay.bundle.or_else(|| own?.bundle.clone());
        Product {
            bundle: bundle.unwrap_or_else(|| self.detector.bundle.clone()),
            region: overlay.region.or_else(|| own?.region),
            threshold: overlay.threshold.or_else(|| own?.threshold),
            controls,
        }
    }

    /// Every path of `[views]` and `[recipes]`.
    pub(super) fn recipe_paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let of_views = self.views.values_mut().filter_map(|view| view.bundle.as_mut());
        let of_recipes = self.recipes.values_mut().flat_map(|recipe| {
            let of_views = recipe.views.values_mut().filter_map(|overlay| overlay.bundle.as_mut());
            recipe.bundle.iter_mut().chain(of_views)
        });
        of_views.chain(of_recipes)
    }

    /// Checks views and recipes against the rest, and tells the line what it must know of them.
    pub(super) fn join_recipes(&mut self) -> Result<(), String> {
        let Some(mut line) = self.line.take() else {
            if let Some(section) =
                [("views", self.views.is_empty()), ("recipes", self.recipes.is_empty())].iter().find(|(_, no)| !no)
            {
                return Err(format!(
                    "[{}] needs [line]: only there parts have a trigger that everything is joined by",
                    section.0
                ));
            }
            return Ok(());
        };
        let joined =
            self.check_names().and_then(|()| self.check_views(&line)).and_then(|()| self.check_choice(&line)).and_then(|()| {
                for view in self.view_names() {
                    self.check_controls(view)?;
                    self.check_regions(view)?;
                }
                let timings = self.recipes.iter().map(|(name, recipe)| timing(name, recipe, &line));
                timings.collect::<Result<Vec<_>, _>>()
            });
        joined.map(|timings| {
            line.control.recipes = timings;
            line.control.views = self.view_names().len();
            self.line = Some(line);
        })
    }

    /// A recipe's name comes in a datagram of limited length.
    fn check_names(&self) -> Result<(), String> {
        for (section, name) in
            self.views.keys().map(|name| ("views", name)).chain(self.recipes.keys().map(|name| ("recipes", name)))
        {
            if !(1..=NAME_LIMIT).contains(&name.len()) {
                return Err(format!("{section}.{name:?}: expected a name of 1 to {NAME_LIMIT} bytes"));
            }
        }
        Ok(())
    }

    fn check_views(&self, line: &LineSettings) -> Result<(), String> {
        if self.views.contains_key(MAIN) {
            return Err(format!("views.{MAIN}: this is the name of the camera in [source]; choose another"));
        }
        if self.views.len() >= VIEWS_LIMIT {
            return Err(format!(
                "[views] has {} cameras beside [source]; expected at most {}",
                self.views.len(),
                VIEWS_LIMIT - 1
            ));
        }
        let mut devices = BTreeMap::new();
        for view in self.view_names() {
            if let SourceConfig::Camera(camera) = self.view_source(view)
                && let Some(other) = devices.insert(&camera.device, view)
            {
                return Err(format!("views.{view} looks through {}, the same camera as {other}", camera.device.display()));
            }
        }
        if let Travel::Time(spacing) = line.control.spacing
            && !self.views.is_empty()
            && spacing < 2 * line.trigger.window
        {
            return Err(format!(
                "line.spacing_ms must be at least twice line.trigger.window_ms ({:?}) with [views]: a frame could belong to two parts",
                line.trigger.window
            ));
        }
        for (name, recipe) in &self.recipes {
            if let Some(view) = recipe.views.keys().find(|view| !self.views.contains_key(*view)) {
                return Err(format!(
                    "recipes.{name}.views.{view}: [views] has no such camera, but {:?} (what is meant for the camera of [source] stands \
                     in [recipes.{name}] itself)",
                    &self.view_names()[1..]
                ));
            }
        }
        Ok(())
    }

    fn check_choice(&self, line: &LineSettings) -> Result<(), String> {
        if self.recipes.len() > RECIPES_LIMIT {
            return Err(format!("[recipes] has {} products; expected at most {RECIPES_LIMIT}", self.recipes.len()));
        }
        match (&line.recipe, self.recipes.is_empty()) {
            (None, true) => Ok(()),
            (Some(_), true) => Err("[line.recipe] chooses among [recipes], but there are none".into()),
            (None, false) => Err("[recipes] needs [line.recipe]: code = [lines] or a socket by which one is chosen".into()),
            (Some(ChosenBy::Socket { start, .. }), false) => {
                if !self.recipes.contains_key(start) {
                    let names = self.recipe_names().join(", ");
                    return Err(format!("line.recipe.start is {start:?}; expected one of [recipes]: {names}"));
                }
                match self.recipes.iter().find(|(_, recipe)| recipe.code.is_some()) {
                    Some((name, _)) => Err(format!("recipes.{name}.code says nothing without line.recipe.code: remove it")),
                    None => Ok(()),
                }
            }
            (Some(ChosenBy::Code { lines, .. }), false) => {
                let mut seen = BTreeMap::new();
                for (name, recipe) in &self.recipes {
                    let most = (1u32 << lines.len()) - 1;
                    let code = recipe.code.filter(|code| *code <= most).ok_or_else(|| {
                        format!("recipes.{name}.code must say which code chooses it: 0 to {most} with {} lines", lines.len())
                    })?;
                    if let Some(other) = seen.insert(code, name) {
                        return Err(format!("recipes.{name}.code is {code}, which is recipes.{other}.code already"));
                    }
                }
                Ok(())
            }
        }
    }

    /// A control that one recipe sets and another leaves alone would depend on what was made before.
    fn check_controls(&self, view: &str) -> Result<(), String> {
        let key = |name: &str| match view {
            MAIN => format!("recipes.{name}.controls"),
            _ => format!("recipes.{name}.views.{view}.controls"),
        };
        let all: Vec<_> = self.recipes.iter().map(|(name, recipe)| (name, recipe.overlay(view).controls)).collect();
        let SourceConfig::Camera(camera) = self.view_source(view) else {
            return match all.iter().find(|(_, controls)| !controls.is_empty()) {
                Some((name, _)) => Err(format!("{}: a replay has no controls; remove them", key(name))),
                None => Ok(()),
            };
        };
        for (name, controls) in &all {
            for control in controls.keys().filter(|control| !camera.controls.contains_key(*control)) {
                if let Some((other, _)) = all.iter().find(|(_, others)| !others.contains_key(control)) {
                    return Err(format!(
                        "{}.{control} is not set by recipe {other}, nor by the camera's own controls: it would stay as the last product \
                         had it; set it in one of the two",
                        key(name)
                    ));
                }
            }
        }
        Ok(())
    }

    fn check_regions(&self, view: &str) -> Result<(), String> {
        let SourceConfig::Camera(camera) = self.view_source(view) else { return Ok(()) };
        for name in self.recipe_names() {
            let Some([left, top, width, height]) = self.product(name, view).region else { continue };
            let fits = |from: u32, length: u32, side: u32| from.checked_add(length).is_some_and(|end| end <= side);
            if !(fits(left, width, camera.width) && fits(top, height, camera.height)) {
                return Err(format!(
                    "region [{left}, {top}, {width}, {height}] of view {view}{}{name} does not lie in its pictures of {}x{}",
                    if name.is_empty() { "" } else { " in recipe " },
                    camera.width,
                    camera.height
                ));
            }
        }
        Ok(())
    }
}

/// A recipe's way from trigger to actuator.
fn timing(name: &str, recipe: &RecipeConfig, line: &LineSettings) -> Result<Timing, String> {
    let control = &line.control;
    let delay = match (control.delay, recipe.delay_ms, recipe.delay_pulses) {
        (delay, None, None) => delay,
        (Travel::Time(_), Some(delay), None) => Travel::Time(delay),
        (Travel::Pulses(_), None, Some(delay)) => Travel::Pulses(delay),
        _ => return Err(format!("recipes.{name} must give its delay as [line] does: in delay_ms, or in delay_pulses")),
    };
    let soon = match (delay, control.spacing) {
        (Travel::Time(delay), Travel::Time(spacing)) => delay < spacing,
        (Travel::Pulses(delay), Travel::Pulses(spacing)) => delay < spacing,
        _ => false,
    };
    if soon {
        return Err(format!(
            "recipes.{name}: its delay must be at least the line's spacing: a part would be at the actuator before its neighbour is seen"
        ));
    }
    let deadline = recipe.deadline_ms.or(control.deadline);
    if let (Travel::Time(delay), Some(deadline)) = (delay, deadline)
        && deadline > delay
    {
        return Err(format!(
            "recipes.{name}: its deadline ({deadline:?}) is later than its delay ({delay:?}): the part would be past the actuator; set both"
        ));
    }
    Ok(Timing { delay, deadline })
}

/// Paths of a source lead from `folder`.
pub(super) fn resolve_source(source: &mut SourceConfig, folder: &Path) {
    use crate::config::recipes::{Images, ReplayConfig};
    let resolve = |path: &mut PathBuf| *path = folder.join(&*path);
    match source {
        SourceConfig::Replay(ReplayConfig { images: Images::At(path), .. }) => resolve(path),
        SourceConfig::Replay(ReplayConfig { images: Images::Listed(paths), .. }) => paths.iter_mut().for_each(resolve),
        SourceConfig::Camera(_) => {}
    }
}

pub(super) fn region<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Region>, D::Error> {
    let region @ [_, _, width, height] = Region::deserialize(deserializer)?;
    if width == 0 || height == 0 {
        let expected = "[left, top, width, height] in pixels, with a width and a height";
        return Err(D::Error::custom(format_args!("{region:?} is out of bounds; expected {expected}")));
    }
    Ok(Some(region))
}

fn threshold<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
    bounded(deserializer, |threshold: &f32| *threshold > 0.0 && threshold.is_finite(), format_args!("a score above 0")).map(Some)
}

#[cfg(test)]
mod tests;
