//! `--view` and `--recipe`: one view with one product.

use anyhow::{Result, ensure};
use config::{Config, MAIN, SeatId};

/// Which view, and for which product.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SeatArgs {
    /// The camera of this view, where several look at a part
    #[arg(long, value_name = "NAME", default_value = MAIN)]
    view: String,
    /// For this product of [recipes] [default: that which the line begins with]
    #[arg(long, value_name = "NAME")]
    recipe: Option<String>,
}

impl SeatArgs {
    /// Finds both in a configuration.
    pub(super) fn of(&self, config: &Config) -> Result<SeatId> {
        let place = |what: &str, names: Vec<&String>, wanted: &str| -> Result<usize> {
            let place = names.iter().position(|name| *name == wanted);
            let known: Vec<&str> = names.into_iter().map(String::as_str).collect();
            ensure!(place.is_some(), "the line has no {what} {wanted}; expected one of {}", known.join(", "));
            Ok(place.unwrap_or_default())
        };
        let view = place("view", config.views.iter().map(|view| &view.name).collect(), &self.view)?;
        let products = config.products.iter().map(|product| &product.name).collect();
        let product = match &self.recipe {
            Some(name) => place("product", products, name)?,
            None => config.first_product(),
        };
        Ok(SeatId { product, view })
    }
}

/// The first view, with the product that the line begins with.
pub(super) fn first(config: &Config) -> SeatId {
    SeatId { product: config.first_product(), view: 0 }
}
