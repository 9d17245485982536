//! One camera of a line, and one of the products that it looks at.

use anyhow::{Result, ensure};

use crate::config::LineConfig;
use crate::config::recipes::{MAIN, Product};

/// Which camera, and for which product.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SeatArgs {
    /// The camera of this view, where several look at a part
    #[arg(long, value_name = "NAME", default_value = MAIN)]
    view: String,
    /// For this recipe [default: that which the line begins with]
    #[arg(long, value_name = "NAME")]
    recipe: Option<String>,
}

/// A view and a recipe that the configuration has.
#[derive(Clone, Copy)]
pub(super) struct Seat<'a> {
    pub view: &'a str,
    pub recipe: &'a str,
    /// The recipe's place among all.
    pub number: usize,
}

impl SeatArgs {
    /// Finds both in a configuration.
    pub(super) fn of<'a>(&self, config: &'a LineConfig) -> Result<Seat<'a>> {
        let (views, recipes) = (config.view_names(), config.recipe_names());
        let view = views.iter().find(|view| **view == self.view);
        ensure!(view.is_some(), "the line has no view {}; expected one of {}", self.view, views.join(", "));
        let number = match &self.recipe {
            None => config.first_recipe(),
            Some(name) => {
                let found = recipes.iter().position(|recipe| recipe == name);
                ensure!(found.is_some(), "the line has no recipe {name}; expected one of {}", recipes.join(", "));
                found.unwrap_or(0)
            }
        };
        Ok(Seat { view: view.copied().unwrap_or(MAIN), recipe: recipes[number], number })
    }
}

impl Seat<'_> {
    /// The first camera, with the recipe that the line begins with.
    pub(super) fn first(config: &LineConfig) -> Seat<'_> {
        let number = config.first_recipe();
        Seat { view: MAIN, recipe: config.recipe_names()[number], number }
    }

    /// What its pictures are judged by.
    pub(super) fn product(&self, config: &LineConfig) -> Product {
        config.product(self.recipe, self.view)
    }
}
