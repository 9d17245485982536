//! One camera of a line, and one of the products that it looks at.

use anyhow::{Result, ensure};

use config::Config;
use config::MAIN;
use config::Seat;

/// Which camera, and for which product.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SeatArgs {
    /// The camera of this view, where several look at a part
    #[arg(long, value_name = "NAME", default_value = MAIN)]
    view: String,
    /// For this product [default: that which the line begins with]
    #[arg(long, value_name = "NAME")]
    product: Option<String>,
}

/// A view and a product that the configuration has.
#[derive(Clone, Copy)]
pub(super) struct Seat<'a> {
    pub view: &'a str,
    pub product: &'a str,
    /// The product's place among all.
    pub number: usize,
}

impl SeatArgs {
    /// Finds both in a configuration.
    pub(super) fn of<'a>(&self, config: &'a Config) -> Result<Seat<'a>> {
        let (views, products) = (config.view_names(), config.product_names());
        let view = views.iter().find(|view| **view == self.view);
        ensure!(view.is_some(), "the line has no view {}; expected one of {}", self.view, views.join(", "));
        let number = match &self.product {
            None => config.first_product(),
            Some(name) => {
                let found = products.iter().position(|product| product == name);
                ensure!(found.is_some(), "the line has no recipe {name}; expected one of {}", products.join(", "));
                found.unwrap_or(0)
            }
        };
        Ok(Seat { view: view.copied().unwrap_or(MAIN), product: products[number], number })
    }
}

impl Seat<'_> {
    /// The first camera, with the product that the line begins with.
    pub(super) fn first(config: &Config) -> Seat<'_> {
        let number = config.first_product();
        Seat { view: MAIN, product: config.product_names()[number], number }
    }

    /// What its pictures are judged by.
    pub(super) fn product(&self, config: &Config) -> Product {
        config.product(self.product, self.view)
    }
}
