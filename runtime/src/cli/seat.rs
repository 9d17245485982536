//! `--view` and `--recipe`: one view with one product.

use anyhow::{Context, Result};
use config::{Config, MAIN, SeatId};

/// Which view, and for which product.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SeatArgs {
    /// The camera of this view, where several look at a part
    #[arg(long, value_name = "NAME", default_value = MAIN)]
    view: String,
    /// For this product of [recipes] [default: the product that the line begins with]
    #[arg(long, value_name = "NAME")]
    recipe: Option<String>,
}

impl SeatArgs {
    /// The seat of a configuration that the options name.
    pub(super) fn of(&self, config: &Config) -> Result<SeatId> {
        let place = |kind: &str, names: Vec<&String>, wanted: &str| -> Result<usize> {
            let known = || names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
            let place = names.iter().position(|name| *name == wanted);
            place.with_context(|| format!("the line has no {kind} {wanted}; expected one of {}", known()))
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
